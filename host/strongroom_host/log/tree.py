"""Reading a log from any storage that has the tlog-tiles layout: files, HTTP, a bucket, a dict.

The storage is believed nothing: an entry is handed out with proof that the head has it. What a head
is worth is for its signatures to say (`notes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from strongroom_wire.bundle import LogHead
from strongroom_wire.merkle import Frontier, leaf_hash

from strongroom_host.log import proofs
from strongroom_host.log.errors import HeadsInconsistent, NotIncluded, OutsideLog, TileMissing
from strongroom_host.log.tiles import (
    ENTRIES,
    HEIGHT,
    WIDTH,
    Tile,
    parent,
    parse_bundle,
    parse_tile,
    width_at,
)

__all__ = ["LogReader", "Storage", "TileHashes"]

_KEPT_TILES: Final = 64


class Storage(Protocol):
    """Where the resources of a log are."""

    def read(self, path: str) -> bytes | None:
        """The bytes at a path relative to the log's prefix, or None where there are none."""


class TileHashes:
    """The subtree hashes of a tree of `size` leaves, out of its tiles: a `HashReader`.

    The last 64 tiles that were read are kept, so that a proof reads each only once.
    """

    def __init__(self, storage: Storage, size: int) -> None:
        self._storage, self._size = storage, size
        self._kept: dict[tuple[int, int], list[bytes]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """The root of the `index`-th perfect subtree of 2**level leaves.

        Raises:
            OutsideLog: the tree does not have that subtree in full.
            TileMissing, TileMalformed: the storage has not what it takes.
        """
        if index < 0 or (index + 1) << level > self._size:
            raise OutsideLog(
                "no such subtree", expected=f"within {self._size} leaves", actual=(level, index)
            )
        tile_level, height = divmod(level, HEIGHT)
        first = index << height
        at = first % WIDTH
        return parent(self.tile(tile_level, first // WIDTH)[at : at + (1 << height)])

    def tile(self, level: int, index: int) -> list[bytes]:
        """The hashes in a tile: as many as this tree has of them, or all that the tile can."""
        if (level, index) not in self._kept:
            while len(self._kept) >= _KEPT_TILES:
                del self._kept[next(iter(self._kept))]
            data, width = _fetch(self._storage, self._size, level, index)
            self._kept[level, index] = parse_tile(data, width)
        return self._kept[level, index]


class LogReader:
    """A log as its head says it is.

    `stored` is the size that the storage has tiles of, by default that of the head: an older head
    is read from the tiles of the newest, as those of its own may be gone.

    Raises:
        OutsideLog: the storage has fewer leaves than the head.
    """

    def __init__(self, storage: Storage, head: LogHead, stored: int | None = None) -> None:
        self.head = head
        self._storage, self._stored = storage, head.size if stored is None else stored
        if self._stored < head.size:
            raise OutsideLog("the head has more leaves", expected=stored, actual=head.size)
        self.hashes = TileHashes(storage, self._stored)

    def entry(self, index: int) -> bytes:
        """The leaf at `index`, with proof that the head has it there.

        Raises:
            OutsideLog: the head has fewer leaves.
            NotIncluded: the storage has another leaf there, or other hashes.
            TileMissing, TileMalformed, BundleMalformed: it has not what it takes.
        """
        proof = self.inclusion_proof(index)
        found = self.bundle(index // WIDTH)[index % WIDTH]
        proofs.verify_inclusion(leaf_hash(found), index, self.head, proof)
        return found

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The leaves from `start` up to `end`, in order and without proof: `verify` takes them.

        Raises:
            TileMissing, BundleMalformed: the storage has them not, or not all.
        """
        end = self.head.size if end is None else min(end, self.head.size)
        while start < end:
            found = self.bundle(start // WIDTH)[start % WIDTH :][: end - start]
            yield from found
            start += len(found)

    def bundle(self, index: int) -> list[bytes]:
        """The entries in a bundle, as many as the head has of them, without proof."""
        used = width_at(self.head.size, ENTRIES, index)
        data, width = _fetch(self._storage, self._stored, ENTRIES, index)
        return parse_bundle(data, width)[: max(used, 0)]

    def inclusion_proof(self, index: int) -> tuple[bytes, ...]:
        """The proof that leaf `index` is in the head; the storage's word, so verify it."""
        return proofs.inclusion_proof(index, self.head.size, self.hashes)

    def consistency_proof(self, old: int) -> tuple[bytes, ...]:
        """The proof that the first `old` leaves are its beginning; the storage's word, too."""
        return proofs.consistency_proof(old, self.head.size, self.hashes)

    def continues(self, old: LogHead) -> None:
        """Proves that this log begins with the whole log of `old`.

        Raises:
            HeadsInconsistent: it does not, or the storage cannot prove it.
        """
        if old.size > self.head.size:
            raise HeadsInconsistent(
                "the log became shorter", expected=old.size, actual=self.head.size
            )
        proofs.verify_consistency(old, self.head, self.consistency_proof(old.size))

    def frontier(self) -> Frontier:
        """What the enclave needs to continue this head.

        Raises:
            NotIncluded: the storage's hashes are not those of the head.
        """
        found = proofs.frontier(self.head.size, self.hashes)
        if found.head != self.head:
            raise NotIncluded(
                "the stored tiles are another tree's", expected=self.head, actual=found.head
            )
        return found


def _fetch(storage: Storage, size: int, level: int, index: int) -> tuple[bytes, int]:
    """A tile's bytes, and how wide what was found is."""
    used = width_at(size, level, index)
    if used < 1 or index < 0:
        raise OutsideLog("no such tile in this tree", actual=Tile(level, index).path)
    for width in dict.fromkeys((used, WIDTH)):  # a partial tile may go once the full one is there
        data = storage.read(Tile(level, index, width).path)
        if data is not None:
            return data, width
    raise TileMissing(
        "the storage lacks a part of the log",
        expected=Tile(level, index, used).path,
        remedy="it was lost or is withheld; another copy of the log may have it",
    )
