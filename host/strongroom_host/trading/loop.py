"""The loop: ring, strategy, order path, and whatever has a time of its own, in one thread.

Ticks come first. Between them, and after at most `_BURST` of them, it takes in what the venue
answered, beats the heart, asks about open orders. A strategy is told of gaps before the tick that
follows, and of outcomes between ticks, in the order in which the record of decisions has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns, time_ns
from typing import Final, Protocol

from strongroom_wire.errors import Rule

from strongroom_host.latency.stages import Stage
from strongroom_host.latency.stats import Counter, Figures
from strongroom_host.ring.tick import Kind
from strongroom_host.strategy.decisions import (
    AnswerRecord,
    DecisionRecord,
    DecisionWriter,
    EventRecord,
    GapRecord,
)
from strongroom_host.strategy.port import (
    Cancel,
    CancelAll,
    Decision,
    Intent,
    OrderEvent,
    Strategy,
    TickView,
)
from strongroom_host.trading.errors import RingEnded
from strongroom_host.trading.gate import Gate, Held
from strongroom_host.trading.markets import TradedMarket
from strongroom_host.trading.orders import TrackedOrder
from strongroom_host.trading.path import Answered, OrderPath

__all__ = ["Said", "TickSource", "Timed", "TradingLoop"]

_BURST: Final = 32
_KEPT: Final = 64
_SILENCE_NS: Final = 10_000_000_000
_UNIT: Final = 100
"""A tick's price counts 1e-8, an order's 1e-6."""


class TickSource(Protocol):
    """Where ticks come from; a `RingReader` is one."""

    gap: int

    def poll(self) -> memoryview | None:
        """The next tick, in the same 64 bytes every time; None while there is none."""

    def next(self, timeout: float | None = None) -> memoryview | None:
        """The same, waiting for it up to `timeout` seconds."""

    @property
    def closed(self) -> bool:
        """Whether no more will come."""


class Timed(Protocol):
    """Something with a time of its own: heartbeats, a relay's deposit, the live view."""

    def turn(self, now_ns: int) -> None:
        """Does what is due. Never waits."""


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that happened, for people: an order, a denial, a gap, an outcome."""

    at_ns: int
    decision: Decision | None = None
    market: TradedMarket | None = None
    held: Held | None = None
    answered: Answered | None = None
    event: OrderEvent | None = None
    missed: int = 0


@dataclass(slots=True)
class TradingLoop:
    """One strategy on one ring with one key. Everything in it belongs to one thread.

    Attributes:
        said: The last things that happened.
        stop: Set from a signal handler: the loop ends at the next turn.
    """

    source: TickSource
    strategy: Strategy
    markets: dict[int, TradedMarket]
    gate: Gate
    path: OrderPath
    figures: Figures
    decisions: DecisionWriter
    timed: Sequence[Timed] = ()
    hear: Callable[[Said], None] | None = None
    said: deque[Said] = field(default_factory=lambda: deque(maxlen=_KEPT))
    stop: bool = False
    _number: int = 0
    _last: int = 0
    _view: TickView | None = None
    _memory: memoryview | None = None
    _venue_ns: int = 0
    _tick_ns: int = 0
    _quiet: bool = False

    def run(self, idle_s: float = 0.001) -> None:
        """Trades until `stop` is set.

        Args:
            idle_s: How long to wait for a tick before looking after the rest.

        Raises:
            RingEnded: the producer ended the ring.
            HostError: the enclave or the journal is gone; see `OrderPath.place`.
        """
        source, burst = self.source, 0
        while not self.stop:
            tick = source.poll() if burst else source.next(idle_s)
            if tick is None:
                burst = 0
                self._between()
                if source.closed and source.poll() is None:
                    raise RingEnded(
                        "the ring has ended: its feed was stopped",
                        remedy="start `strongroom feed run` again, then this",
                    )
                continue
            self.tick(tick)
            burst = burst + 1 if burst < _BURST else 0
            if not burst:
                self._between()
        self.decisions.flush()

    def tick(self, tick: memoryview) -> None:
        """Takes one tick."""
        read_ns = monotonic_ns()
        view = self._view
        if view is None or tick is not self._memory:
            view, self._memory = TickView(tick), tick
            self._view = view
        figures, gap = self.figures, self.source.gap
        figures.counters[Counter.TICKS] += 1
        if gap:
            self._missed(gap, view, read_ns)
        kind = view.kind
        if kind >= Kind.STATUS:
            self._status(view)
        elif kind == Kind.TRADE and self.path.book.open:
            self.path.look(view.instrument, view.price // _UNIT)
        received_ns = view.received_ns
        self._venue_ns, self._tick_ns, self._quiet = view.venue_ns, read_ns, False
        decisions = self.strategy.on_tick(view)
        self._last = view.sequence
        if decisions:
            decided_ns = monotonic_ns()
            figures.stages[Stage.FEED].record(read_ns - received_ns)
            figures.stages[Stage.DECIDE].record(decided_ns - read_ns)
            self._decide(decisions, view.sequence, received_ns, decided_ns)

    def _missed(self, gap: int, view: TickView, now_ns: int) -> None:
        self.figures.count(Counter.GAPS)
        self.figures.count(Counter.MISSED, gap)
        self.decisions.write(GapRecord(self._last, gap, 0))
        self._say(Said(now_ns, missed=gap))
        self._decide(self.strategy.on_gap(gap, 0), self._last, view.received_ns, now_ns)

    def _status(self, view: TickView) -> None:
        if view.kind == Kind.STATUS:
            self.gate.status(view)
        elif view.kind == Kind.TICK_SIZE and (market := self.markets.get(view.instrument)):
            market.retick(view.detail)

    def _decide(
        self, decisions: Sequence[Decision], tick: int, received_ns: int, decided_ns: int
    ) -> None:
        for decision in decisions:
            self._number += 1
            number = self._number
            self.figures.count(Counter.DECISIONS)
            answered = self._act(decision, number, received_ns, decided_ns)
            # Written after the order is out: the journal and the enclave's log came before it.
            self.decisions.write(
                DecisionRecord.of(
                    number,
                    decision,
                    self.strategy.model_sha256,
                    tick=tick,
                    received_ns=received_ns,
                    decided_ns=decided_ns,
                )
            )
            if answered is not None:
                self.decisions.write(_answer(answered))

    def _act(
        self, decision: Decision, number: int, received_ns: int, now_ns: int
    ) -> Answered | None:
        match decision:
            case Intent():
                return self._order(decision, number, received_ns, now_ns)
            case Cancel():
                self.path.cancel([decision.order_hash])
            case CancelAll():
                self.path.cancel_all()
        self._say(Said(now_ns, decision))
        return None

    def _order(self, intent: Intent, number: int, received_ns: int, now_ns: int) -> Answered | None:
        order = TrackedOrder(number, intent)
        market = self.markets.get(intent.instrument)
        held = (
            Held.UNKNOWN_MARKET
            if market is None
            else self.gate.held(intent.instrument, received_ns, now_ns, self._skew_ns())
        )
        if market is None or held is not None:
            self.figures.count(Counter.HELD)
            self.path.events.append(self.path.book.not_sent(order, now_ns))
            self._say(Said(now_ns, intent, market, held))
            return None
        self.gate.under_way.add(intent.instrument)
        answered = self.path.place(order, market, received_ns)
        if answered.rule or answered.code:
            self.gate.under_way.discard(intent.instrument)
            self.gate.denied(intent.instrument, monotonic_ns())
            if answered.rule is Rule.KILL_SWITCH and not self.gate.killed:
                self.gate.killed = True
                self.path.cancel_all()
        self._say(Said(now_ns, intent, market, None, answered))
        return answered

    def _skew_ns(self) -> int:
        return time_ns() - self._venue_ns if self._venue_ns else 0

    def _between(self) -> None:
        """What is due when there is no tick."""
        path = self.path
        path.turn()
        now_ns = monotonic_ns()
        self.told()
        path.poll()
        if self._tick_ns and not self._quiet and now_ns - self._tick_ns > _SILENCE_NS:
            # Nobody sees the market any more: the feed died, or hangs without saying so.
            self._quiet = True
            path.cancel(path.resting())
        for each in self.timed:
            each.turn(now_ns)

    def told(self) -> None:
        """Tells the strategy what became of its orders."""
        path = self.path
        while path.released:
            self.gate.under_way.discard(path.released.popleft())
        while path.events:
            event = path.events.popleft()
            self.decisions.write(EventRecord.of(self._last, event))
            self.strategy.on_order_event(event)
            self._say(Said(event.at_ns, event=event))

    def _say(self, said: Said) -> None:
        self.said.append(said)
        if self.hear is not None:
            self.hear(said)


def _answer(answered: Answered) -> AnswerRecord:
    rule = answered.rule.name if answered.rule else ""
    order_hash = answered.order_hash.hex() if any(answered.order_hash) else ""
    code = int(answered.code)
    return AnswerRecord(answered.number, code, rule, answered.leaf, order_hash, monotonic_ns())
