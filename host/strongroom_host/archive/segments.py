"""Segments: consecutive leaves of a log in one fixed layout, read in place, byte for byte the same
whoever writes them.

All numbers are unsigned and little-endian. Sections follow one another without gaps, except that
zeros fill up to the next multiple of 64 before the leaves; every offset counts from the first byte.

    at   bytes
    0    16     "strongroom/seg/1"
    16   8      start: index of the first leaf
    24   8      end: index after the last
    32   8      boots: how many have leaves in here
    40   8      hashes of the frontier: as many as `start` has bits set
    48   8 x 5  offsets of rows, leaf hashes, boots, frontier, leaves
    88   8      length of the segment
    96   32     root of the tree of the `start` leaves before these
    128  32     root of the tree of `end` leaves
    160  32     SHA-256 of the log's origin line
    192  8      earliest time in here, ms since the epoch of Unix; 0 if no leaf has one
    200  8      latest
    208  48     zeros
    256         rows, 32 bytes a leaf: u64 offset of the leaf, u64 its time in ms, u32 its length,
                u32 its kind, u32 number of its boot in the table below, u32 zero
                leaf hashes (RFC 6962), 32 bytes each
                boots, 48 bytes each: boot id (32), u64 first leaf in here, u64 after the last
                frontier before `start`, 32 bytes each, largest subtree first (RFC 6962)
                leaves, one directly after the other

Where the cuts are depends on nothing but the log's size (`cuts`), so two exports of a log agree.
A segment of 256 leaves or more is a perfect subtree.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier, leaf_hash

from strongroom_host.archive.errors import SegmentMalformed
from strongroom_host.log.errors import OutsideLog

__all__ = ["FULL", "LEAST", "MAX_SEGMENT", "Row", "Segment", "build", "cuts"]

FULL: Final = 1 << 16
"""Leaves in a full segment: about 12 MB of decisions."""
LEAST: Final = 1 << 8
"""Below this many, what is left at the end of a log is one segment."""
MAX_SEGMENT: Final = 1 << 27
"""Upper bound of a segment in bytes; the longest leaves take 74 MB."""
_MAGIC: Final = b"strongroom/seg/1"
_HEADER: Final = struct.Struct("<16s10Q32s32s32sQQ48x")
_ROW: Final = struct.Struct("<QQIIII")
_BOOT: Final = struct.Struct("<32sQQ")
_HASH: Final = 32
_ALIGNMENT: Final = 64


def cuts(size: int) -> Iterator[tuple[int, int]]:
    """The segments, as (start, end), that a log of `size` leaves is archived in.

    Full ones first, then one for each bit of the rest down to 256, then what is left. So however
    often a growing log is archived, it has few segments; what is below 256 leaves is written anew
    each time, any other leaf at most eight times.
    """
    start = 0
    while size - start >= LEAST:
        length = min(FULL, 1 << (size - start).bit_length() - 1)
        yield start, start + length
        start += length
    if start < size:
        yield start, size


@dataclass(frozen=True, slots=True)
class Row:
    """What a segment's table says of one leaf. `boot` is its boot's number in the segment."""

    offset: int
    time_ms: int
    length: int
    kind: int
    boot: int


def build(origin: str, before: Frontier, entries: Sequence[bytes]) -> bytes:
    """The segment of `entries`, which follow the leaves of the frontier `before`.

    Raises:
        OutsideLog: none, or more than a full segment.
        SegmentMalformed: an entry is no leaf, or the leaf of another place.
    """
    if not 1 <= len(entries) <= FULL:
        raise OutsideLog("no segment", expected=f"1 to {FULL} leaves", actual=len(entries))
    tree, boots = Frontier(before.size, before.hashes), dict[bytes, list[int]]()
    count, order = len(entries), list[Leaf]()
    for index, entry in enumerate(entries, before.size):
        leaf = _parse(entry, index)
        order.append(leaf)
        boots.setdefault(leaf.epoch, [len(boots), index, index])[2] = index + 1
    layout = _layout(before.size, before.size + count, len(boots))
    rows, hashes, at = bytearray(), bytearray(), layout.leaves
    for leaf, entry in zip(order, entries, strict=True):
        number = boots[leaf.epoch][0]
        rows += _ROW.pack(at, leaf.time_ms, len(entry), leaf.kind, number, 0)
        digest = leaf_hash(entry)
        hashes += digest
        tree.append(digest)
        at += len(entry)
    times = [leaf.time_ms for leaf in order if leaf.time_ms]
    header = _HEADER.pack(
        _MAGIC,
        *(before.size, tree.size, len(boots), len(before.hashes)),
        *(layout.rows, layout.hashes, layout.boots, layout.frontier, layout.leaves, at),
        *(before.head.root, tree.head.root, sha256(origin.encode()).digest()),
        *(min(times, default=0), max(times, default=0)),
    )
    table = b"".join(_BOOT.pack(boot, *places[1:]) for boot, places in boots.items())
    tables = header + rows + hashes + table + b"".join(before.hashes)
    return tables.ljust(layout.leaves, b"\0") + b"".join(entries)


class Segment:
    """A segment in a buffer, such as a mapped file. Looking a leaf up touches its row and itself.

    The header is checked when it is made; `check` proves the rest of it.

    Raises:
        SegmentMalformed: the header is not that of a segment of this length.
    """

    __slots__ = ("_layout", "_view", "boots", "end", "log", "span", "start")

    def __init__(self, data: bytes | memoryview) -> None:
        self._view = view = memoryview(data)
        if not _HEADER.size <= len(view) <= MAX_SEGMENT:
            raise SegmentMalformed("no segment: too short or too long", actual=len(view))
        header: tuple[Any, ...] = _HEADER.unpack_from(view)
        magic, start, end, boots, hashes, *offsets, length = header[:11]
        self.start: int = start
        self.end: int = end
        self.boots: int = boots
        self.log: bytes = header[13]
        """SHA-256 of the origin line."""
        self.span: tuple[int, int] = header[14], header[15]
        """Earliest and latest time of a leaf in here, ms since the epoch of Unix; 0 without."""
        if magic != _MAGIC or not 0 < end - start <= FULL or not 0 < boots <= end - start:
            raise SegmentMalformed("no segment", expected=_MAGIC.decode(), actual=bytes(view[:48]))
        self._layout = layout = _layout(start, end, boots)
        where = [layout.rows, layout.hashes, layout.boots, layout.frontier, layout.leaves]
        if [*offsets, hashes] != [*where, start.bit_count()] or not where[-1] < length == len(view):
            raise SegmentMalformed(
                "a segment of another layout or length",
                expected=[*where, start.bit_count(), len(view)],
                actual=[*offsets, hashes, length],
            )

    @property
    def before(self) -> LogHead:
        """The head of all leaves before these, as the segment says."""
        return LogHead(self.start, bytes(self._view[96:128]))

    @property
    def after(self) -> LogHead:
        """The head of all leaves up to the last of these, as the segment says."""
        return LogHead(self.end, bytes(self._view[128:160]))

    def row(self, index: int) -> Row:
        """What the table says of leaf `index` of the log.

        Raises:
            OutsideLog: it is not in this segment.
            SegmentMalformed: the row leads out of it.
        """
        return Row(*self._row(index)[:5])

    def leaf(self, index: int) -> memoryview:
        """The bytes of leaf `index` of the log, where they are; raises as `row` does."""
        offset, _, length, *_ = self._row(index)
        return self._view[offset : offset + length]

    def leaf_hash(self, index: int) -> bytes:
        """The hash of leaf `index` as the table says it."""
        at = self._layout.hashes + self._place(index) * _HASH
        return bytes(self._view[at : at + _HASH])

    def boot(self, number: int) -> tuple[bytes, int, int]:
        """A boot's id, the first of its leaves in here, and the index after the last.

        Raises:
            SegmentMalformed: there is no such boot.
        """
        if not 0 <= number < self.boots:
            raise SegmentMalformed("no such boot in it", expected=self.boots, actual=number)
        found: tuple[bytes, int, int] = _BOOT.unpack_from(
            self._view, self._layout.boots + number * _BOOT.size
        )
        return found

    def entries(self) -> Iterator[bytes]:
        """The leaves in order."""
        for index in range(self.start, self.end):
            yield bytes(self.leaf(index))

    def frontier(self) -> Frontier:
        """The tree before the first of these leaves, as the segment says."""
        at, count = self._layout.frontier, self.start.bit_count()
        hashes = (bytes(self._view[n : n + _HASH]) for n in range(at, at + count * _HASH, _HASH))
        return Frontier(self.start, tuple(hashes))

    def check(self, origin: str) -> None:
        """Proves that every byte is as `build` writes it for these leaves, of the log `origin`.

        So tables, hashes and roots agree with the leaves. That the log has these leaves is for its
        head to say.

        Raises:
            SegmentMalformed: it does not hold.
        """
        if build(origin, self.frontier(), list(self.entries())) != self._view:
            raise SegmentMalformed(
                f"the tables of segment {self.start} to {self.end - 1} are not those of its leaves"
            )

    def _row(self, index: int) -> tuple[int, ...]:
        at = self._layout.rows + self._place(index) * _ROW.size
        row: tuple[int, ...] = _ROW.unpack_from(self._view, at)
        if not self._layout.leaves <= row[0] <= row[0] + row[2] <= len(self._view):
            raise SegmentMalformed("a row leads out of its segment", actual=index)
        return row

    def _place(self, index: int) -> int:
        if not self.start <= index < self.end:
            held = f"{self.start} to {self.end - 1}"
            raise OutsideLog("the segment has no such leaf", expected=held, actual=index)
        return index - self.start


@dataclass(frozen=True, slots=True)
class _Layout:
    rows: int
    hashes: int
    boots: int
    frontier: int
    leaves: int


def _layout(start: int, end: int, boots: int) -> _Layout:
    rows = _HEADER.size
    hashes = rows + (end - start) * _ROW.size
    table = hashes + (end - start) * _HASH
    frontier = table + boots * _BOOT.size
    leaves = frontier + start.bit_count() * _HASH
    return _Layout(rows, hashes, table, frontier, leaves + -leaves % _ALIGNMENT)


def _parse(entry: bytes, index: int) -> Leaf:
    try:
        leaf = Leaf.parse(entry)
    except WireError as error:
        raise SegmentMalformed(f"leaf {index} is none", actual=error) from error
    if leaf.index != index:
        raise SegmentMalformed("a leaf of another place", expected=index, actual=leaf.index)
    return leaf
