"""Is this host's clock the venue's? Judged by what can only be seen one way: the smallest delay.

Every event shows the time here less the time it was stamped: latency plus the clocks' difference.
The smallest of a while is nearly the difference alone; a negative one cannot be latency at all.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SkewMeter"]

_SAMPLES: Final = 64


class SkewMeter:
    """The smallest delay of the last few dozen events, in ns; `limit_ns` is what passes unsaid."""

    __slots__ = ("_count", "_least", "_limit", "_said", "_turned", "offset_ns", "value_ns")

    def __init__(self, limit_ns: int) -> None:
        self._limit = limit_ns
        self._least = 1 << 63
        self._count = 0
        self._said = self._turned = False
        self.offset_ns = 0
        """Wall clock less CLOCK_MONOTONIC; whoever has clocks keeps it up to date."""
        self.value_ns = 0

    @property
    def off(self) -> bool:
        """Whether the clocks are further apart than they should be."""
        return self._said

    def note(self, received_ns: int, venue_ns: int) -> None:
        """An event of venue time `venue_ns` arrived at `received_ns` of CLOCK_MONOTONIC."""
        delay = received_ns + self.offset_ns - venue_ns
        if delay < self._least:
            self._least = delay
        self._count += 1
        if self._count >= _SAMPLES:
            self.value_ns = self._least
            off = abs(self._least) > self._limit
            self._turned = self._turned or off != self._said
            self._said = off
            self._least, self._count = 1 << 63, 0

    def turned(self) -> bool:
        """Whether the verdict changed since this was asked last."""
        turned, self._turned = self._turned, False
        return turned

    def words(self) -> str:
        """The verdict for a person."""
        apart = f"{abs(self.value_ns) / 1e9:.3f} s"
        if not self._said:
            return f"this host's clock agrees with the venue's again (within {apart})"
        if self.value_ns < 0:
            return f"this host's clock is {apart} behind the venue's: check its time service"
        return (
            f"events are {apart} old when they arrive: this host's clock is ahead, or data is late"
        )
