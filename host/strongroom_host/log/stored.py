"""A log in a directory, as it was at one moment: to read, also while another process writes it.

`files` says what is in the directory and writes it. Nothing is locked here: the writer adds, and
never changes what is there, so that whatever was read belongs to one history.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from strongroom_wire.bundle import LogHead
from strongroom_wire.merkle import Frontier, leaf_hash

from strongroom_host.log import proofs
from strongroom_host.log.boots import BOOTS_INDEX, parse_boot_path
from strongroom_host.log.errors import LogAbsent, LogDamaged, OutsideLog, PathMalformed
from strongroom_host.log.notes import Checkpoint, Note
from strongroom_host.log.tail import Tail, parse_tail
from strongroom_host.log.tiles import (
    CHECKPOINT,
    ENTRIES,
    HEIGHT,
    WIDTH,
    WITNESSED,
    Tile,
    bundle,
    parent,
    parse_tile,
)
from strongroom_host.log.tree import LogReader, TileHashes

__all__ = ["FolderStorage", "StoredLog", "head_of"]

_TRIES: Final = 5
_PAUSE_S: Final = 0.02


class FolderStorage:
    """A directory as a plain file server shows it: what is published, and nothing of the tail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        """The bytes at a path of the tlog-tiles layout, or the evidence of a boot; else None."""
        try:
            known = path in (CHECKPOINT, WITNESSED, BOOTS_INDEX)
            if not known and parse_boot_path(path) is None:
                Tile.parse(path)
            return (self._folder / path).read_bytes()
        except (PathMalformed, FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None


class StoredLog:
    """All leaves that are stored, whether published or not; a `Storage` of them.

    Raises:
        LogAbsent: there is no such directory.
        LogDamaged: what is there is no log, or has fewer leaves than its own checkpoint names.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise LogAbsent(
                f"{folder} is no log", remedy="run `strongroom log pull`, or name it with --log"
            )
        for attempt in range(_TRIES):
            try:
                self._load(folder)
            except (LogDamaged, OSError) as error:
                # Or its writer was completing a bundle, or taking away a file, at this moment.
                if attempt < _TRIES - 1:
                    time.sleep(_PAUSE_S)
                elif isinstance(error, OSError):
                    raise LogDamaged(f"cannot read the log {folder}", actual=error) from error
                else:
                    raise
            else:
                return

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    @property
    def size(self) -> int:
        """How many leaves are stored."""
        return self._frontier.size

    @property
    def head(self) -> LogHead:
        """The head of all leaves that are stored, published or not."""
        return self._frontier.head

    @property
    def frontier(self) -> Frontier:
        """What it takes to go on with all leaves that are stored."""
        return Frontier(self._frontier.size, self._frontier.hashes)

    @property
    def published(self) -> int:
        """How many leaves the newest published checkpoint has."""
        data = self._bytes(CHECKPOINT)
        return 0 if data is None else head_of(data).size

    @property
    def signed(self) -> bytes | None:
        """The signed note of the largest head that is stored, published or not yet; its signatures
        are not verified. The published one may have cosignatures that this one has not."""
        if self._note:
            return self._note
        return self._bytes(CHECKPOINT)

    def reader(self, size: int | None = None) -> LogReader:
        """The log of its first `size` leaves, by default all, published or not."""
        if size is None or size == self.size:
            return LogReader(self, self.head)
        return LogReader(self, proofs.head(size, TileHashes(self, self.size)), self.size)

    def leaf(self, index: int) -> bytes:
        """The leaf at `index`, as it is stored and without proof.

        Raises:
            OutsideLog: there are fewer leaves.
            TileMissing, BundleMalformed: it cannot be read.
        """
        if not 0 <= index < self.size:
            raise OutsideLog("no such leaf", expected=f"0 to {self.size - 1}", actual=index)
        number, at = divmod(index, WIDTH)
        if number == self.size // WIDTH:
            return self._entries[at]
        return self.reader().bundle(number)[at]

    def read(self, path: str) -> bytes | None:
        """What is at a path of the tlog-tiles layout; parts not yet published come from memory."""
        if path in (CHECKPOINT, WITNESSED):
            return self._bytes(path)
        try:
            tile = Tile.parse(path)
        except PathMalformed:
            return None
        edge = self._entries if tile.level == ENTRIES else self._edge(tile.level)
        beyond = self.size >> HEIGHT * (max(tile.level, 0) + 1)
        if tile.index == beyond and tile.width <= len(edge):
            found = edge[: tile.width]
            return bundle(found) if tile.level == ENTRIES else b"".join(found)
        return self._completed.get(path) or self._bytes(path)

    # --- opening ------------------------------------------------------------------------------

    def _load(self, folder: Path) -> Tail:
        """Takes up what is stored: full bundles, the hashes above them, and the tail."""
        self._folder = folder
        self._entries: list[bytes] = []
        self._edges: list[list[bytes]] = [[]]
        """By level: the hashes of the tile that is not full yet."""
        self._frontier = Frontier()
        self._completed: dict[str, bytes] = {}
        self._note = b""
        """The signed head in the tail, where it is larger than the published one."""
        self._signed = 0
        """How many leaves the larger of the two has."""
        # First, so that what is read next has their leaves.
        vouched, published = self._bytes(WITNESSED), self._bytes(CHECKPOINT)
        bundles = self._count(ENTRIES)
        level = 0
        while bundles >> HEIGHT * level:
            full = bundles >> HEIGHT * level
            first = full - full % WIDTH
            self._edge(level + 1).extend(self._full(level, n) for n in range(first, full))
            level += 1
        size = bundles * WIDTH
        self._frontier = proofs.frontier(size, TileHashes(self, size))
        tails = self._tails()
        if tails and (newest := tails[-1]) > bundles:
            raise LogDamaged(
                f"the log {self._folder} lacks a bundle",
                expected=Tile(ENTRIES, newest - 1).path,
                remedy="restore it from a copy; the log is not written to meanwhile",
            )
        tail = parse_tail(self._bytes(f"tail.{bundles}") or b"")
        # The note in a tail before that is still needed where its bundle was completed, and the
        # process ended before the note stood in the next tail.
        notes = [parse_tail(self._bytes(f"tail.{n}") or b"").note for n in tails]
        self._take(tail.entries)
        signed = 0 if published is None else self._check(published, 0)
        if vouched is not None:
            self._check(vouched, 0)
        for note in filter(None, notes):
            if (size := self._check(note, 0)) > signed:
                self._note, signed = note, size
        self._signed = signed
        return tail

    def _take(self, entries: Sequence[bytes]) -> None:
        """Counts leaves that are durable, and keeps the bundle and tiles they complete."""
        self._entries += entries
        hashes = [leaf_hash(entry) for entry in entries]
        self._edges[0] += hashes
        for each in hashes:
            self._frontier.append(each)
        if len(self._entries) < WIDTH:
            return
        number, level = self.size // WIDTH - 1, 0
        while len(self._edges[level]) == WIDTH:
            self._put_full(Tile(level, number >> HEIGHT * level), b"".join(self._edges[level]))
            self._edge(level + 1).append(parent(self._edges[level]))
            self._edges[level] = []
            level += 1
        self._put_full(Tile(ENTRIES, number), bundle(self._entries))
        self._entries = []

    def _put_full(self, tile: Tile, data: bytes) -> None:
        """Keeps a tile that its writer had no time to put where it belongs."""
        self._completed[tile.path] = data

    def _tails(self) -> list[int]:
        """The numbers of the bundles that there is a tail for."""
        return sorted(int(path.suffix[1:]) for path in self._folder.glob("tail.*"))

    def _count(self, level: int) -> int:
        """How many full tiles of a level there are, without a gap."""
        prefix = self._folder / "tile" / ("entries" if level == ENTRIES else str(level))
        names = (path.relative_to(self._folder).as_posix() for path in prefix.rglob("[0-9]*"))
        found = [Tile.parse(name).index for name in names if ".p" not in name]
        if sorted(found) != list(range(len(found))):
            missing = next(n for n, index in enumerate(sorted(found)) if n != index)
            raise LogDamaged(
                f"the log {self._folder} lacks a bundle",
                expected=Tile(level, missing).path,
                remedy="restore it from a copy; the log is not written to meanwhile",
            )
        return len(found)

    def _full(self, level: int, index: int) -> bytes:
        """The root of a full tile."""
        path = Tile(level, index).path
        data = self._bytes(path)
        if data is None:
            raise LogDamaged(f"the log {self._folder} lacks a tile", expected=path)
        return parent(parse_tile(data, WIDTH))

    def _check(self, note: bytes, least: int) -> int:
        """Holds a checkpoint against what is stored, and returns its size."""
        head = head_of(note)
        if not least <= head.size <= self.size:
            raise LogDamaged(
                "a checkpoint of leaves that are not stored, or older than the one served",
                expected=f"{least} to {self.size} leaves",
                actual=head.size,
                remedy="do not go on with this log: leaves were lost, or an old copy was restored",
            )
        stored = self.reader(head.size).head
        if stored != head:
            raise LogDamaged(
                "a checkpoint of another history than is stored",
                expected=stored.root.hex(),
                actual=head.root.hex(),
                remedy="do not go on with this log: find out which of the two is true",
            )
        return head.size

    def _edge(self, level: int) -> list[bytes]:
        while len(self._edges) <= level:
            self._edges.append([])
        return self._edges[level]

    def _bytes(self, path: str) -> bytes | None:
        try:
            return (self._folder / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None


def head_of(note: bytes) -> LogHead:
    """The head in a checkpoint, whoever signed it.

    Raises:
        NoteMalformed, CheckpointMalformed: it is none.
    """
    return Checkpoint.parse(Note.parse(note).text).head
