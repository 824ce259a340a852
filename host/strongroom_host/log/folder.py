"""What is in a log's folder, whatever state that is in: the view of who verifies it.

`StoredLog` is for who goes on with a log, and refuses one that contradicts itself. An auditor wants
to know what is wrong and where, so here everything that is there is handed out as it is, without a
lock and while another process writes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from strongroom_wire.merkle import leaf_hash

from strongroom_host.errors import BadInput
from strongroom_host.log.boots import BOOTS, BOOTS_INDEX, MAX_BOOT, Boots, boot_path
from strongroom_host.log.errors import LogUnreadable, PathMalformed, TileMissing
from strongroom_host.log.notes import MAX_NOTE
from strongroom_host.log.tail import parse_tail
from strongroom_host.log.tiles import (
    CHECKPOINT,
    ENTRIES,
    MAX_ENTRY,
    WIDTH,
    WITNESSED,
    Tile,
    bundle,
    parent,
    parse_tile,
    width_at,
)
from strongroom_host.private_files import read_file

__all__ = ["FolderLog"]

_TRIES: Final = 20
_MAX_BUNDLE: Final = WIDTH * (MAX_ENTRY + 2)
_MAX_TAIL: Final = 4 * _MAX_BUNDLE


class FolderLog:
    """The leaves, the checkpoint and the evidence of boots in a folder: a `Storage`.

    What is seen is one moment: the evidence first, then the checkpoints, then the leaves, so that
    every head in the first two has its leaves in the last.

    Raises:
        BadInput: there is no such folder.
        LogUnreadable: it cannot be read, or changes faster than that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._edges: dict[tuple[int, int], list[bytes]] = {}
        if not folder.is_dir():
            raise BadInput(
                f"{folder} is no log",
                remedy="run `strongroom log pull`, or name the folder that it filled",
            )
        boots = Boots(folder)
        self._boots = {
            boot_path(each): self._bytes(boot_path(each), MAX_BOOT) for each in boots.ids()
        }
        self._boots[BOOTS_INDEX] = boots.index()
        self._witnessed = self._bytes(WITNESSED, MAX_NOTE)
        self.checkpoint = self._bytes(CHECKPOINT, MAX_NOTE)
        """The newest published note, or None."""
        self.note = b""
        """A signed head that is stored with the leaves and may be newer, or nothing."""
        self._bundles, self._tail = self._leaves()

    @property
    def size(self) -> int:
        """Up to where leaves are stored, published or not; some before may be missing."""
        return self._bundles * WIDTH + len(self._tail)

    def read(self, path: str) -> bytes | None:
        """What is at a path of the layout: checkpoint, tile, bundle, evidence of a boot.

        Tiles that are not full come from the leaves and tiles below them where no file has them.

        Raises:
            LogUnreadable: it is there and cannot be read.
            TileMissing, TileMalformed: a tile that it takes to make this one.
        """
        if path == CHECKPOINT:
            return self.checkpoint
        if path == WITNESSED:
            return self._witnessed
        if path.startswith(f"{BOOTS}/"):
            return self._boots.get(path)
        try:
            tile = Tile.parse(path)
        except PathMalformed:
            return None
        if tile.level <= 0 and tile.index == self._bundles:
            found = self._tail[: tile.width]
            if len(found) < tile.width:
                return None
            hashes = b"".join(leaf_hash(entry) for entry in found)
            return bundle(found) if tile.level == ENTRIES else hashes
        data = self._bytes(path, _MAX_BUNDLE)
        return self._made(tile) if data is None and tile.level > 0 else data

    def _made(self, tile: Tile) -> bytes | None:
        """A tile out of those below it."""
        if tile.width > width_at(self.size, tile.level, tile.index):
            return None
        hashes = self._edges.get((tile.level, tile.index), [])
        first = tile.index * WIDTH
        for index in range(first + len(hashes), first + tile.width):
            below = Tile(tile.level - 1, index)
            data = self.read(below.path)
            if data is None:
                raise TileMissing("the storage lacks a part of the log", expected=below.path)
            hashes.append(parent(parse_tile(data, WIDTH)))
        self._edges[tile.level, tile.index] = hashes
        return b"".join(hashes[: tile.width])

    def _leaves(self) -> tuple[int, list[bytes]]:
        """How many full bundles there are, the last one counting, and the leaves after it.

        A full bundle appears before its tail goes, so that one of them is there at any moment.
        Between two looks both can be missed, once.
        """
        for _ in range(_TRIES):
            bundles = self._count()
            data = self._bytes(f"tail.{bundles}", _MAX_TAIL)
            if data is not None or self._count() == bundles:
                tail = parse_tail(data or b"")
                self.note = tail.note
                return bundles, tail.entries
        raise LogUnreadable(
            f"the log {self.folder} grows faster than it can be read",
            remedy="copy the folder, and read the copy",
        )

    def _count(self) -> int:
        tails = (path.suffix[1:] for path in self.folder.glob("tail.*"))
        numbers = [int(number) for number in tails if number.isdecimal()]
        # Unlike rglob, walk goes on where the writer removes a folder under its feet.
        for folder, folders, names in os.walk(self.folder / "tile" / "entries"):
            folders[:] = [name for name in folders if not name.endswith(".p")]
            for name in names:
                path = Path(folder, name).relative_to(self.folder).as_posix()
                with suppress(PathMalformed):
                    numbers.append(Tile.parse(path).index + 1)
        return max(numbers, default=0)

    def _bytes(self, path: str, limit: int) -> bytes | None:
        where = self.folder / path
        if not where.is_file():
            return None
        try:
            return read_file(where, limit=limit)
        except BadInput as error:
            if not where.exists():
                return None  # a tail or partial tile that the writer has just completed
            raise LogUnreadable(error.what, expected=error.expected, remedy=error.remedy) from error
