"""What stands between a decision and the enclave: reasons of this host to send nothing.

Nothing here protects the owner: that is the enclave's policy. It keeps a strategy from acting on
what it does not see (feeds that are down, ticks that are late), and venue and enclave from more
than one order at a time in one market.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from strongroom_host.ring.tick import Kind, Status
from strongroom_host.strategy.port import TickView

__all__ = ["Gate", "GateLimits", "Held"]

_DOWN: Final = frozenset({Status.LOST, Status.STALLED, Status.BOOK_MISMATCH})
_UP: Final = frozenset({Status.CONNECTED, Status.RESUMED})


class Held(Enum):
    """Why a decision went nowhere."""

    FEED = "a feed is down"
    RESOLVED = "the market is resolved"
    LATE = "the tick came late"
    CLOCK = "the venue's time is another: this clock is off, or the ring replays the past"
    BUSY = "an order is under way in this market"
    RATE = "too many orders in a second"
    PAUSED = "the enclave has just denied one in this market"
    KILLED = "the owner's kill switch is on"
    CLOSING = "trading is ending"
    UNKNOWN_MARKET = "the market is none of --market"


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Times in seconds. `late_s` bounds the age of the tick that a decision rests on; `skew_s` how
    far the venue's own time of it may be from this machine's, 0 for not comparing them; `pause_s`
    is how long a market is left alone after a denial."""

    late_s: float = 0.25
    skew_s: float = 5.0
    per_second: int = 20
    pause_s: float = 0.25


class Gate:
    """Knows what is up and what is under way. Times are CLOCK_MONOTONIC in ns."""

    def __init__(self, limits: GateLimits) -> None:
        self.limits = limits
        self.killed = self.closing = False
        self.down: dict[int, int] = {}
        """Feed -> its status, where that is a reason to stand aside."""
        self.resolved: set[int] = set()
        self.under_way: set[int] = set()
        """Instruments with an order whose outcome is awaited."""
        self._paused: dict[int, int] = {}
        self._tokens, self._refilled_ns = float(limits.per_second), 0

    def status(self, view: TickView) -> None:
        """Takes a STATUS tick."""
        if view.kind != Kind.STATUS:
            return
        status, feed = view.detail, view.feed
        if status == Status.MARKET_RESOLVED:
            self.resolved.add(view.instrument)
        elif status in _DOWN:
            self.down[feed] = status
        elif status in _UP:
            self.down.pop(feed, None)

    def denied(self, instrument: int, now_ns: int) -> None:
        """Takes the news of a denial in a market."""
        self._paused[instrument] = now_ns + int(self.limits.pause_s * 1e9)

    def held(self, instrument: int, received_ns: int, now_ns: int, skew_ns: int = 0) -> Held | None:
        """Returns why an order must not go out now, or None, and counts it as gone.

        Args:
            instrument: Where.
            received_ns: When the tick that it rests on arrived.
            now_ns: Now.
            skew_ns: This machine's wall clock less the venue's time of that tick, if it gave one.
        """
        if self.killed:
            return Held.KILLED
        if self.closing:
            return Held.CLOSING
        if self.down:
            return Held.FEED
        if instrument in self.resolved:
            return Held.RESOLVED
        if instrument in self.under_way:
            return Held.BUSY
        if now_ns - received_ns > self.limits.late_s * 1e9:
            return Held.LATE
        if self.limits.skew_s and abs(skew_ns) > self.limits.skew_s * 1e9:
            return Held.CLOCK
        if self._paused.get(instrument, 0) > now_ns:
            return Held.PAUSED
        per_second = self.limits.per_second
        gained = (now_ns - self._refilled_ns) * 1e-9 * per_second
        self._tokens, self._refilled_ns = min(float(per_second), self._tokens + gained), now_ns
        if self._tokens < 1:
            return Held.RATE
        self._tokens -= 1
        return None
