"""Finding archived leaves by number, time, kind and boot: from the manifest to the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from strongroom_wire.leaves import Kind

from strongroom_host.archive.errors import SegmentMalformed
from strongroom_host.archive.manifest import ArchivedSegment, Manifest, segment_key
from strongroom_host.archive.segments import Row, Segment
from strongroom_host.archive.store import Store

__all__ = ["Listed", "Wanted", "listed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which leaves: those for which all of it holds.

    Attributes:
        start: From this index on.
        end: Up to and without this one; None for all.
        since_ms: At or after this time, ms since the epoch of Unix; leaves without a time are left
            out where a time is asked for.
        until_ms: Before this time; None for all.
        kinds: Of one of these kinds; all if empty.
        boot: Of the boot whose id, in hex, begins so.
    """

    start: int = 0
    end: int | None = None
    since_ms: int = 0
    until_ms: int | None = None
    kinds: frozenset[Kind] = frozenset()
    boot: str = ""

    def in_segment(self, entry: ArchivedSegment) -> bool:
        """Whether a segment can have such leaves, by what the manifest says of it."""
        timed = self.since_ms <= entry.latest_ms and (
            self.until_ms is None or entry.earliest_ms < self.until_ms
        )
        placed = entry.end > self.start and (self.end is None or entry.start < self.end)
        return placed and timed and any(boot.startswith(self.boot) for boot in entry.boots)


@dataclass(frozen=True, slots=True)
class Listed:
    """A leaf that was found, and where it is: `offset` in the object named `key`."""

    index: int
    time_ms: int
    kind: Kind
    boot: str
    hash: str
    leaf: bytes
    key: str
    offset: int


def listed(store: Store, manifest: Manifest, wanted: Wanted) -> Iterator[Listed]:
    """The leaves that are wanted, in order.

    Each segment is proved to be what the manifest says, by its digest; that the log's head has
    these leaves, `check` proves.

    Raises:
        ObjectMissing, ObjectAltered, SegmentMalformed: a segment that has some is gone.
    """
    for entry in manifest.segments:
        if not wanted.in_segment(entry):
            continue
        key = segment_key(entry)
        segment = Segment(store.read(key))
        boots = [segment.boot(number)[0].hex() for number in range(segment.boots)]
        last = segment.end if wanted.end is None else min(segment.end, wanted.end)
        for index in range(max(segment.start, wanted.start), last):
            row = segment.row(index)
            kind, boot = _named(row, boots)
            timed = wanted.since_ms <= row.time_ms and (
                wanted.until_ms is None or 0 < row.time_ms < wanted.until_ms
            )
            if timed and boot.startswith(wanted.boot) and kind in (wanted.kinds or Kind):
                yield Listed(
                    index,
                    row.time_ms,
                    kind,
                    boot,
                    segment.leaf_hash(index).hex(),
                    bytes(segment.leaf(index)),
                    key,
                    row.offset,
                )


def _named(row: Row, boots: list[str]) -> tuple[Kind, str]:
    try:
        return Kind(row.kind), boots[row.boot]
    except (ValueError, IndexError) as error:
        raise SegmentMalformed("a row names no kind or boot", actual=row) from error
