"""What every feed does whatever its venue: joins connections, counts, breaks epochs, says so.

Sans-I/O: whoever holds the connections tells of openings, messages and ends with the time in ns of
CLOCK_MONOTONIC, sends what `outbox` collects, and ends the connections that `overdue` names. A
venue's module fills in how its messages are read and taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from strongroom_host.feeds.clock import SkewMeter
from strongroom_host.feeds.counters import Counters
from strongroom_host.feeds.errors import Reason, Refused
from strongroom_host.feeds.merge import Merge
from strongroom_host.feeds.sink import Lane
from strongroom_host.ring.sink import TickSink
from strongroom_host.ring.tick import Status

__all__ = ["RESYNC", "Feed", "Timing"]

log = logging.getLogger("strongroom.feeds")

M = TypeVar("M")
E = TypeVar("E")

_SECOND: Final = 1_000_000_000
RESYNC: Final = "resync"
"""Why a connection is ended to begin anew at once."""
_COMING: Final = 4
_MOST_PATIENCE: Final = 64
"""How many times longer than at first it takes at most between two requests for the state."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `silence` ends a connection from which nothing at all came for so long; `behind`
    one that brings nothing while another brings events; `resubscribe` is the least time between
    two connections ended for a fresh state; `skew` is how far clocks may be apart unsaid."""

    silence: float = 30.0
    behind: float = 30.0
    resubscribe: float = 1.0
    skew: float = 1.0


class Feed(Generic[M, E]):
    """One venue's stream over any number of connections, as ticks in one lane.

    Attributes:
        connections: How many connections there are when all stand.
        name: The feed's name, first part of its instruments' names.
        window: How many events are remembered, to know them again.
        heartbeat: The text that keeps a connection open, sent every 10 s; None where WebSocket
        pings
            do.
        outbox: Texts to send, with the connection each belongs to; whoever sends clears it.
    """

    name = "feed"
    heartbeat: str | None = None
    window = 1 << 14

    def __init__(
        self, feed: int, sink: TickSink, *, first_epoch: int, timing: Timing | None = None
    ) -> None:
        self.lane = Lane(feed, sink, first_epoch)
        self.counters = Counters()
        self.timing = timing or Timing()
        self.outbox: list[tuple[int, str]] = []
        self.endings: list[tuple[int, str]] = []
        """Connections that the venue is about to end, or that are of no more use, and why."""
        self.skew = SkewMeter(round(self.timing.skew * _SECOND))
        self.merge: Merge[E] = Merge(self._take, self._broke, window=self.window)
        self._now_ns = 0
        self._heard: dict[int, int] = {}
        self._lost_ns: int | None = None
        self._begun = False
        self._wants_rebase = False
        self._patience_ns = round(self.timing.resubscribe * _SECOND)
        self._rebased_ns = -(1 << 62)
        self._culprit = -1
        self.connections = 1

    # --- what a venue fills in ----------------------------------------------------------------

    def _hello(self) -> Iterable[str]:
        """The texts that subscribe a fresh connection."""
        raise NotImplementedError

    def _read(self, connection: int, message: M, received_ns: int) -> None:
        """Read one message and `_offer` its events.

        Raises:
            Refused: it, or a part of it, cannot be taken.
        """
        raise NotImplementedError

    def _take(self, event: E, connection: int, received_ns: int) -> None:
        """Publish one event; it is new, and in its place."""
        raise NotImplementedError

    def _needs_state(self) -> bool:
        """Whether a fresh picture of the venue's state is missing; a connection begins with one."""
        return False

    def _forget(self, connection: int) -> None:
        """A connection's own state is void: it is new, or gone."""

    def _unsettle(self) -> None:
        """What was known of the venue's state is void: an epoch has ended."""

    # --- what the connections tell ------------------------------------------------------------

    def opened(self, connection: int, now_ns: int) -> None:
        """A connection stands; what it needs to hear is in the outbox."""
        self._now_ns = now_ns
        self._heard[connection] = now_ns
        self.counters.connected += 1
        self._forget(connection)
        self.outbox.extend((connection, text) for text in self._hello())

    def received(self, connection: int, message: M, received_ns: int) -> None:
        """A whole message: a text proven to be UTF-8, or parts in bytes.

        Never raises for what a venue sent.
        """
        self._now_ns = self._heard[connection] = received_ns
        self._culprit = connection
        self.counters.messages += 1
        try:
            self._read(connection, message, received_ns)
        except Refused as refusal:
            self.refused(connection, refusal.reason, received_ns, refusal)
        if self._wants_rebase:
            self._rebase()

    def heard(self, connection: int, now_ns: int) -> None:
        """A sign of life without a message: a pong."""
        self._heard[connection] = now_ns

    def refused(
        self, connection: int, reason: Reason, now_ns: int, why: Refused | None = None
    ) -> None:
        """Something that came cannot be taken; unless it is of no concern, a tick may be
        missing."""
        self._now_ns, self._culprit = now_ns, connection
        counted = self.counters.refused
        counted[reason] += 1
        if counted[reason] == 1:
            log.warning("%s: %s", self.name, reason.value if why is None else why.what)
        if reason.loses:
            self.merge.demote(connection)

    def closed(self, connection: int, why: str, now_ns: int) -> None:
        """A connection is over, for the reason that `why` names in a word."""
        self._now_ns = now_ns
        self.counters.closed[why] += 1
        self._heard.pop(connection, None)
        self._forget(connection)
        self.merge.leave(connection)

    def overdue(self, now_ns: int) -> list[tuple[int, str]]:
        """What time does: the connections to end now, each with the reason for `closed`.

        To be called a few times a second; sends what had to wait into the outbox.
        """
        self._now_ns = now_ns
        if self._wants_rebase:
            self._rebase()
        ended, self.endings = self.endings, []
        for connection, heard_ns in self._heard.items():
            if now_ns - heard_ns > self.timing.silence * _SECOND:
                ended.append((connection, "silent"))
            elif self.merge.behind_ns(connection) > self.timing.behind * _SECOND:
                ended.append((connection, "behind"))
        if ended and set(self.merge.covering()) <= {connection for connection, _ in ended}:
            self.lane.status(Status.STALLED, now_ns)
        if self.skew.turned():
            log.warning("%s: %s", self.name, self.skew.words())
        return ended

    # --- for the venue's module ---------------------------------------------------------------

    def _ready(self, connection: int, now_ns: int) -> None:
        """The venue has begun to send what was asked for: from here on the stream has no hole."""
        if connection in self.merge or not self.merge.join(connection, now_ns):
            return
        if self._lost_ns is not None:
            self.counters.recoveries += 1
            away = now_ns - self._lost_ns
            self.counters.recovery_ns = max(self.counters.recovery_ns, away)
            self._lost_ns = None
            self._new_epoch(Status.RESUMED)
        elif not self._begun:
            self._begun = True
            self.lane.status(Status.CONNECTED, now_ns)

    def _offer(self, connection: int, key: int, event: E, received_ns: int) -> None:
        self.merge.offer(connection, key, event, received_ns)

    def _skipped(self, connection: int, count: int) -> None:
        """The venue's own numbers show that `connection` left something out."""
        self.counters.skipped += count
        self.merge.demote(connection)

    def _count_lost(self, before: int, number: int) -> int:
        """Count what is missing between two numbers of what was published; the higher of them."""
        if before >= 0 and number > before + 1:
            self.counters.lost += number - before - 1
        elif number < before and self.counters.lost:
            self.counters.lost -= 1  # it was only late
        return max(before, number)

    def _suspect(self, check: str) -> None:
        """The state kept here is not the venue's: end the epoch and ask for the state anew."""
        self.counters.suspicions[check] += 1
        self._new_epoch(Status.BOOK_MISMATCH)
        self._wants_rebase = True

    def _broke(self) -> None:
        if self.merge.connections == 0:
            self.lane.status(Status.LOST, self._now_ns)
            self._lost_ns = self._now_ns
            self._unsettle()
        else:
            self._new_epoch(Status.RESUMED)
            self._wants_rebase = True

    def _new_epoch(self, status: Status) -> None:
        self.counters.breaks += 1
        self._unsettle()
        self.lane.break_off()
        self.lane.status(status, self._now_ns)

    def _rebase(self) -> None:
        """Have one connection begin anew, and with it the venue's state, unless that is under way.

        Subscribing again on a standing connection would leave a hole that nobody could see; a new
        connection's hole shows, and another connection goes on covering meanwhile. The culprit is
        chosen, or whichever there is. Often needed, it takes longer.
        """
        if not self._needs_state():
            self._wants_rebase = False
            return
        quiet_ns = self._now_ns - self._rebased_ns
        coming = len(self._heard) < self.connections and quiet_ns < _COMING * self._patience_ns
        if quiet_ns < self._patience_ns or coming or not self._heard:
            return
        self._wants_rebase = False
        least_ns = round(self.timing.resubscribe * _SECOND)
        doubled = min(2 * self._patience_ns, _MOST_PATIENCE * least_ns)
        self._patience_ns = least_ns if quiet_ns > 2 * doubled else doubled
        self._rebased_ns = self._now_ns
        self.counters.resubscribed += 1
        culprit = self._culprit
        self.endings.append((culprit if culprit in self._heard else min(self._heard), RESYNC))
