"""One session: ticks to a strategy, its decisions to a desk, and all of it on the record.

Backtest and paper mode are this and a fill model; the trading loop does the same with an enclave
and a venue. The order of things is always: gap, outcomes, tick.
"""

from collections.abc import Callable, Sequence
from typing import Final

from strongroom_host.strategy.decisions import DecisionRecord, EventRecord, GapRecord, Record
from strongroom_host.strategy.desk import Desk
from strongroom_host.strategy.port import Decision, Strategy, TickView

__all__ = ["Session", "nowhere"]


def nowhere(record: Record) -> None:
    """Keeps no record."""


class Session:
    """Drives one strategy.

    Attributes:
        decided: How many decisions were made.
    """

    def __init__(
        self, strategy: Strategy, desk: Desk, write: Callable[[Record], None] = nowhere
    ) -> None:
        self._strategy, self._desk, self._write = strategy, desk, write
        self._on_tick: Final = strategy.on_tick
        self._last = self._last_ns = 0
        self.decided = 0

    def gap(self, missed: int, feed: int = 0) -> None:
        """Ticks were lost before the one that comes next."""
        self._desk.gap()
        self._write(GapRecord(self._last, missed, feed))
        self._decide(self._strategy.on_gap(missed, feed))

    def tick(self, view: TickView) -> None:
        """The next tick."""
        for event in self._desk.events(view):
            self._write(EventRecord.of(self._last, event))
            self._strategy.on_order_event(event)
        self._last, self._last_ns = view.sequence, view.received_ns
        decisions = self._on_tick(view)
        if decisions:
            self._decide(decisions)

    def _decide(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self.decided += 1
            record = DecisionRecord.of(
                self.decided,
                decision,
                self._strategy.model_sha256,
                tick=self._last,
                received_ns=self._last_ns,
            )
            self._write(record)
            self._desk.submit(self.decided, decision, self._last_ns)
