"""Counts of durations in buckets that grow with the value, so that a tail costs no memory.

A bucket spans 1/64 of its power of two: a percentile is at most 1.6 % above the true value, and
never below it. Durations are ns, from 0 to 2^40 (18 minutes); longer ones count as that. The counts
lie in memory of whoever made it, which may be a file that others read meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["BUCKETS", "POINTS", "Histogram", "exact"]

_BITS: Final = 6
_LONGEST: Final = 40
BUCKETS: Final = (_LONGEST - _BITS) * (1 << _BITS) + (1 << _BITS)
POINTS: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
"""What is shown of a distribution."""
_LAST: Final = BUCKETS - 1


class Histogram:
    """Durations of one stage. `counts` has `BUCKETS` unsigned 64-bit numbers."""

    __slots__ = ("_counts",)

    def __init__(self, counts: memoryview | None = None) -> None:
        self._counts = memoryview(bytearray(8 * BUCKETS)).cast("Q") if counts is None else counts
        if len(self._counts) != BUCKETS:
            raise ValueError(f"{len(self._counts)} buckets instead of {BUCKETS}")

    def record(self, duration_ns: int) -> None:
        """Counts one duration; a negative one, which a clock may give, as 0."""
        if duration_ns < 128:
            self._counts[max(0, duration_ns)] += 1
            return
        shift = duration_ns.bit_length() - 7
        at = (shift << 6) + (duration_ns >> shift)
        self._counts[at if at < BUCKETS else _LAST] += 1

    def total(self) -> int:
        """Returns how many were counted."""
        return sum(self._counts)

    def at(self, share: float) -> int:
        """Returns the duration in ns that `share` of all did not exceed; 0 if there is none."""
        counts = self._counts.tolist()
        wanted = math.ceil(sum(counts) * share)
        seen = 0
        for bucket, count in enumerate(counts):
            seen += count
            if count and seen >= wanted:
                return _top(bucket)
        return 0

    def points(self) -> dict[str, int | None]:
        """Returns the percentiles of `POINTS` in ns; None where there are too few durations to
        tell: a p99.99 takes 10,000 of them."""
        total = self.total()
        return {
            name: self.at(share) if total and total * (1 - share) >= 1 - 1e-9 else None
            for name, share in POINTS.items()
        }

    def merge(self, other: Histogram) -> None:
        """Adds another's counts."""
        for bucket, count in enumerate(other._counts.tolist()):
            if count:
                self._counts[bucket] += count

    def steps(self) -> list[tuple[int, int]]:
        """Returns each bucket that counted something: its longest duration in ns, and how many."""
        found = enumerate(self._counts.tolist())
        return [(_top(bucket), count) for bucket, count in found if count]

    @classmethod
    def of(cls, durations_ns: Iterable[int]) -> Histogram:
        """Returns a histogram of these."""
        made = cls()
        for duration in durations_ns:
            made.record(duration)
        return made


def exact(durations_ns: Sequence[int]) -> dict[str, int | None]:
    """Returns the percentiles of `POINTS` of all these, nothing rounded; None as in `points`."""
    ordered = sorted(durations_ns)
    total = len(ordered)
    return {
        name: ordered[math.ceil(total * share) - 1]
        if total and total * (1 - share) >= 1 - 1e-9
        else None
        for name, share in POINTS.items()
    }


def _top(bucket: int) -> int:
    """Returns the longest duration that falls into a bucket."""
    if bucket < 128:
        return bucket
    shift = (bucket >> 6) - 1
    return ((bucket - (shift << 6) + 1) << shift) - 1
