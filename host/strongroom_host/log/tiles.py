"""Tiles and entry bundles of C2SP tlog-tiles: which there are, their paths, their bytes.

A tile holds up to 256 consecutive hashes of one level; level l of tiles has those of every eighth
level of the tree. An entry bundle holds the leaves under a tile of level 0, each after its length
as a big-endian u16. Full tiles never change; the rightmost of a level may be partial.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_wire.merkle import node_hash

from strongroom_host.log.errors import BundleMalformed, PathMalformed, TileMalformed

__all__ = [
    "CHECKPOINT",
    "ENTRIES",
    "HEIGHT",
    "MAX_ENTRY",
    "WIDTH",
    "WITNESSED",
    "Tile",
    "bundle",
    "parent",
    "parse_bundle",
    "parse_tile",
    "tiles",
    "width_at",
]

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
MAX_ENTRY: Final = (1 << 16) - 1
ENTRIES: Final = -1
"""Stands for the level of entry bundles, below that of leaf hashes."""
CHECKPOINT: Final = "checkpoint"
WITNESSED: Final = "witnessed"
"""The last checkpoint that a quorum of witnesses cosigned; no path of tlog-tiles, but ours."""
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile or, at level `ENTRIES`, an entry bundle: the `index`-th of its level, `width` wide."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is, relative to the log's prefix."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        index = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{index}{partial}"

    @classmethod
    def parse(cls, path: str) -> Tile:
        """The tile that a path names.

        Raises:
            PathMalformed: none; also for a second spelling of one.
        """
        match = _PATH.fullmatch(path)
        if match is not None:
            level = ENTRIES if match["level"] == "entries" else int(match["level"])
            index = int(match["index"].replace("x", "").replace("/", ""))
            found = cls(level, index, int(match["width"] or WIDTH))
            if found.path == path and found.width <= WIDTH:
                return found
        raise PathMalformed("not the path of a tile", actual=path[:200])


def width_at(size: int, level: int, index: int) -> int:
    """How wide the tile is in a tree of `size` leaves: 1 to 256, or 0 or less where it is none."""
    return min(WIDTH, (size >> HEIGHT * max(level, 0)) - index * WIDTH)


def tiles(old: int, new: int) -> Iterator[Tile]:
    """The tiles that a tree of `new` leaves has and one of `old` has not, lowest level first.

    Bundles are not among them: those at level `ENTRIES` are as the tiles of level 0.
    """
    level = 0
    while new >> HEIGHT * level:
        first = (old >> HEIGHT * level) // WIDTH
        last = (new >> HEIGHT * level) - 1
        for index in range(first, last // WIDTH + 1):
            width = width_at(new, level, index)
            if width != width_at(old, level, index):
                yield Tile(level, index, width)
        level += 1


def parse_tile(data: bytes, width: int) -> list[bytes]:
    """The hashes in a tile.

    Raises:
        TileMalformed: it is not `width` hashes long.
    """
    if len(data) != 32 * width:
        raise TileMalformed("a tile of another length", expected=32 * width, actual=len(data))
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def bundle(entries: Sequence[bytes]) -> bytes:
    """The bundle of 1 to 256 entries of up to 65,535 bytes.

    Raises:
        BundleMalformed: more, none, or a longer one.
    """
    if not 1 <= len(entries) <= WIDTH or any(len(entry) > MAX_ENTRY for entry in entries):
        sizes = [len(entry) for entry in entries]
        raise BundleMalformed("no bundle", expected=f"1 to {WIDTH} entries", actual=sizes[:300])
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries in a bundle; `bundle` gives the same bytes back.

    Raises:
        BundleMalformed: it does not hold exactly `width` entries.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if at != len(data) or len(entries) != width:
        raise BundleMalformed(
            "a bundle of another shape",
            expected=f"{width} entries in {len(data)} bytes",
            actual=f"{len(entries)} in {at}",
        )
    return entries


def parent(hashes: Sequence[bytes]) -> bytes:
    """The root of 1, 2, 4 ... or 256 consecutive hashes of one level."""
    while len(hashes) > 1:
        pairs = range(0, len(hashes), 2)
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in pairs]
    return hashes[0]
