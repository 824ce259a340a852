"""What was here before: a sliding window over sequence numbers, a memory of whole frames.

Pure: numbers and times come in as arguments.
"""

from __future__ import annotations

from typing import Final

from strongroom_host.relay.reasons import Reason

__all__ = ["WINDOW", "ReplayWindow", "SeenFrames"]

WINDOW: Final = 1024
_MASK: Final = (1 << WINDOW) - 1


class ReplayWindow:
    """Admits each number once, late ones as long as fewer than `WINDOW` are ahead of them.

    The idea is RFC 6479's; one integer is the bitmap, for shifting it costs less here than walking
    an array of words. Only numbers of authenticated packets may be shown to it, or a forger could
    push the window ahead.
    """

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 1  # bit n: highest - n was here; number 0 never is

    @property
    def highest(self) -> int:
        """The largest number so far, 0 for none."""
        return self._highest

    def admit(self, sequence: int) -> Reason | None:
        """None, and from then on the number is taken; or why it is not."""
        ahead = sequence - self._highest
        if ahead > 0:
            # A shift by a forged distance would cost memory; beyond the window nothing is left.
            self._seen = ((self._seen << ahead) | 1) & _MASK if ahead < WINDOW else 1
            self._highest = sequence
            return None
        if -ahead >= WINDOW:
            return Reason.TOO_OLD
        bit = 1 << -ahead
        if self._seen & bit:
            return Reason.REPLAYED
        self._seen |= bit
        return None


class SeenFrames:
    """Which v1 frames were here within their window, by their MACs; nanoseconds throughout.

    Two generations, each of which takes entries in for `2 * window`: an entry is kept for at least
    that long, which is as long as its stamp can be in the window (it may be `window` ahead at
    first). When a generation goes, so does the right to its stamps: whatever is stamped no later
    than its latest is refused from then on, however the wall clock was moved meanwhile. The same
    rule keeps out what an earlier relay may have forwarded: at the start, everything stamped within
    a window of it.

    Only authentic frames may be shown to it: strangers could fill it otherwise.
    """

    __slots__ = ("_before", "_floor", "_latest", "_limit", "_now", "_turn_ns", "_window")

    def __init__(self, window_ns: int, started_wall_ns: int, monotonic_ns: int, limit: int) -> None:
        self._window, self._limit = window_ns, limit
        self._floor = started_wall_ns + window_ns
        self._turn_ns = monotonic_ns + 2 * window_ns
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()
        self._latest = (self._floor, self._floor)  # latest stamp of (before, now)

    def __len__(self) -> int:
        return len(self._now) + len(self._before)

    def admit(self, mac: bytes, stamp_ns: int, wall_ns: int, monotonic_ns: int) -> Reason | None:
        """None, and from then on the frame is known; or why it is refused."""
        if monotonic_ns >= self._turn_ns:
            self._turn(monotonic_ns)
        if stamp_ns < wall_ns - self._window:
            return Reason.V1_STALE
        if stamp_ns > wall_ns + self._window:
            return Reason.V1_AHEAD
        if mac in self._now or mac in self._before:
            return Reason.V1_REPLAYED
        if stamp_ns <= self._floor:
            return Reason.V1_BEFORE_START
        if len(self) >= self._limit:
            return Reason.V1_SEEN_FULL
        self._now.add(mac)
        before, latest = self._latest
        self._latest = (before, max(latest, stamp_ns))
        return None

    def _turn(self, monotonic_ns: int) -> None:
        before, latest = self._latest
        if monotonic_ns >= self._turn_ns + 2 * self._window:  # both generations are over
            self._floor, self._before = max(self._floor, before, latest), set()
        else:
            self._floor, self._before = max(self._floor, before), self._now
        self._now = set()
        self._latest = (latest, self._floor)
        self._turn_ns = monotonic_ns + 2 * self._window
