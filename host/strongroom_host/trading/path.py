"""The one order path: decision, enclave, journal, venue, and what became of it.

An order's hash is on the disk before the first byte of its request leaves. Nothing is sent twice:
an order without a certain outcome is asked about (`store.reconciling`) until the venue's answer
proves something. Questions go the same way as orders, and nothing here waits for an answer.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic_ns, perf_counter_ns
from typing import Final, Protocol

from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Reply
from strongroom_wire.leaves import Leaf
from strongroom_wire.pages import Entry

from strongroom_host.enclave_client.channel import refused_reply
from strongroom_host.enclave_client.errors import EnclaveRefused
from strongroom_host.errors import BadInput, HostError
from strongroom_host.latency.stages import Stage
from strongroom_host.latency.stats import Counter, Figures
from strongroom_host.ring.tick import Side
from strongroom_host.store import (
    AbsenceRule,
    Journal,
    OrderState,
    Reconciliation,
    WrongTransition,
    reconciling,
    record_outcome,
)
from strongroom_host.strategy.port import Intent, OrderEvent
from strongroom_host.trading.intents import IntentWriter
from strongroom_host.trading.markets import TradedMarket
from strongroom_host.trading.orders import OrderBook, TrackedOrder, read_matched, read_size_matched
from strongroom_host.trading.outlet import Outlet, Pending
from strongroom_host.trading.questions import (
    Errand,
    SignedQueries,
    alone,
    answer_of,
    cancelled_in,
    settle_from,
)
from strongroom_host.trading.templates import OrderTemplate
from strongroom_host.venue import (
    MalformedRequest,
    NotSent,
    OutcomeUnknown,
    SignedRequest,
    VenueResponse,
)

__all__ = ["Answered", "Enclave", "OrderPath", "PathLimits"]

_CANCELS: Final = 1000
_INSISTS: Final = 60
"""How often a cancel is sent that nobody answers, `poll_s` apart."""
_POLL_NS: Final = 50_000_000
_LEFT: Final = frozenset({OrderState.ACCEPTED, OrderState.OPEN, OrderState.UNKNOWN})


class Enclave(Protocol):
    """The signer as the path sees it; an open `FastChannel` is one."""

    spans: tuple[int, int, int]

    def exchange_bytes(self, intent: bytes, timeout: float | None = None) -> Reply:
        """See `FastChannel.exchange_bytes`."""


@dataclass(frozen=True, slots=True)
class PathLimits:
    """Times in seconds: how long a request may be on its way; how often orders that rest are asked
    about, and those of which nothing is known; when "no such order" is believed."""

    deadline_s: float = 5.0
    poll_s: float = 1.0
    settle_s: float = 0.5
    absence_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What the enclave said to one decision; `rule` and the figures only of a denial."""

    number: int
    code: Code
    rule: Rule
    limit: int
    actual: int
    leaf: int | None
    order_hash: bytes


@dataclass(slots=True)
class _Flight:
    order: TrackedOrder
    signed: SignedRequest
    pending: Pending
    begun_ns: int


@dataclass(slots=True)
class _Question:
    errand: Errand
    pending: Pending


class OrderPath:
    """Owned by the trading loop's thread.

    Attributes:
        book: The orders that are not over.
        events: What the strategy is to be told, in order; the loop takes them from here.
        released: Instruments in which no order is under way any more; likewise.
        troubles: What went wrong with questions, in words.
        withheld: Why the last signed order did not leave; empty once one did.
    """

    def __init__(
        self,
        enclave: Enclave,
        writer: IntentWriter,
        journal: Journal,
        outlet: Outlet,
        figures: Figures,
        limits: PathLimits,
        kept: Callable[[Sequence[Entry]], object] | None = None,
        *,
        templates: bool = False,
    ) -> None:
        """Takes the parts that are open already.

        Args:
            enclave: An open channel.
            writer: Encodes for the key and the strategy.
            journal: Of this boot.
            outlet: The way to the venue.
            figures: Where stages and counts go.
            limits: Times.
            kept: Returns once the log durably has an entry; without it the journal alone has it.
            templates: Lay requests out here, as soon as one like it was signed.
        """
        self._enclave, self._writer, self._journal = enclave, writer, journal
        self._outlet, self._figures, self._limits, self._kept = outlet, figures, limits, kept
        self._stages = figures.stages
        self.book = OrderBook()
        self.events: deque[OrderEvent] = deque()
        self.released: deque[int] = deque()
        self.troubles: deque[str] = deque(maxlen=32)
        self.withheld = ""
        self._flights: list[_Flight] = []
        self._questions: list[_Question] = []
        self._asked: dict[bytes, int] = {}
        self._next_poll_ns = 0
        self._templates: dict[tuple[int, ...], OrderTemplate] | None = {} if templates else None
        self._inherited: set[bytes] = set()
        self._asking: set[bytes] = set()
        self._again: list[tuple[int, Callable[[], None]]] = []

    # --- orders -------------------------------------------------------------------------------

    def place(self, order: TrackedOrder, market: TradedMarket, received_ns: int) -> Answered:
        """Has an order signed, journalled and sent; its outcome comes with a later `turn`.

        Raises:
            ChannelClosed, ChannelTimeout, ChannelBroken, EnclaveRefused: the channel is gone;
                nothing was sent.
            JournalBroken: nothing was sent.
        """
        stages = self._stages
        began = perf_counter_ns()
        intent = self._encoded(order.intent, market, time.time_ns())
        encoded = perf_counter_ns()
        reply = self._enclave.exchange_bytes(intent)
        stages[Stage.INTENT].record(encoded - began)
        answered = self._answered(order, reply)
        now_ns = monotonic_ns()
        if reply.code is not Code.OK:
            self._figures.count(Counter.DENIED)
            code = int(reply.rule) if reply.rule else int(reply.code)
            self.events.append(self.book.denied(order, code, now_ns))
            return answered
        seal, wait, opened = self._enclave.spans
        stages[Stage.SEAL].record(seal)
        stages[Stage.ENCLAVE].record(wait)
        stages[Stage.OPEN].record(opened)
        stages[Stage.SIGNED].record(now_ns - received_ns)
        self._figures.count(Counter.SIGNED)
        entry = Entry(reply.leaf, reply.opening)
        signed = SignedRequest(reply.order_hashes, reply.request, reply.decision, entry)
        self.book.signed(order, answered.order_hash)
        if self._templates is not None:
            self._templates.setdefault(_like(order.intent), OrderTemplate(signed.request))
        self._send(order, signed, received_ns)
        return answered

    def _encoded(self, decision: Intent, market: TradedMarket, now_ns: int) -> bytes:
        template = None if self._templates is None else self._templates.get(_like(decision))
        if template is None:
            return self._writer.order(decision, market, now_ns)
        laid = template.lay(decision, now_ns // 1_000_000, 1 + secrets.randbits(52))
        return self._writer.templated(decision, market, now_ns, laid)

    def _send(self, order: TrackedOrder, signed: SignedRequest, received_ns: int) -> None:
        stages = self._stages
        began = perf_counter_ns()
        self._journal.prepare(signed, sending=self._kept is None)
        if self._kept is not None:
            try:
                self._kept([signed.entry])
            except HostError as error:
                self._not_sent(order, signed, NotSent(f"not kept in the log: {error}"))
                return
            self._journal.mark_sent(signed)
        journalled = perf_counter_ns()
        stages[Stage.JOURNAL].record(journalled - began)
        deadline_ns = monotonic_ns() + int(self._limits.deadline_s * 1e9)
        try:
            pending = self._outlet.begin(signed.request, deadline_ns)
        except (NotSent, MalformedRequest) as error:
            self._not_sent(order, signed, error)
            return
        begun_ns = monotonic_ns()
        self.withheld = ""
        stages[Stage.FRAME].record(perf_counter_ns() - journalled)
        stages[Stage.OUT].record(begun_ns - received_ns)
        self._figures.count(Counter.SENT)
        self._flights.append(_Flight(order, signed, pending, begun_ns))

    def _not_sent(self, order: TrackedOrder, signed: SignedRequest, error: HostError) -> None:
        record_outcome(self._journal, signed, error)
        self.withheld = f"#{order.number} not sent: {error}"
        self.events.append(self.book.not_sent(order, monotonic_ns()))
        self.released.append(order.intent.instrument)

    @staticmethod
    def _answered(order: TrackedOrder, reply: Reply) -> Answered:
        leaf = Leaf.parse(reply.leaf).index if reply.leaf else None
        order_hash = reply.order_hashes[0] if reply.order_hashes else bytes(32)
        figures = (reply.rule, reply.limit, reply.actual)
        return Answered(order.number, reply.code, *figures, leaf, order_hash)

    # --- cancels and other questions ----------------------------------------------------------

    def take_over(self) -> int:
        """Takes back what an earlier life of this desk may have left at the venue.

        Returns how many orders that is. What is unknown may still be on its way, and come to the
        venue after its cancel: it is asked about until that is known, and taken back then.
        """
        left = {
            entry.order_hash: entry.state
            for entry in self._journal.entries()
            if entry.state in _LEFT and entry.order_hash not in self.book.open
        }
        hashes = list(left)
        for first in range(0, len(hashes), _CANCELS):
            self.cancel(hashes[first : first + _CANCELS])
        self._inherited = {key for key, state in left.items() if state is OrderState.UNKNOWN}
        return len(hashes)

    def cancel(self, hashes: Sequence[bytes]) -> None:
        """Has these orders taken back; what went away is told in `events`."""
        if hashes:
            self._insist(partial(self._writer.cancel, hashes[:_CANCELS]), "cancel")

    def cancel_all(self) -> None:
        """Has everything taken back that the key has resting, this session's or not."""
        self._insist(self._writer.cancel_all, "cancel all")

    def _insist(self, intent: Callable[[], bytes], what: str, left: int = _INSISTS) -> None:
        """Sends a cancel until the venue has answered one: twice does what once does."""
        self.run(self._cancelling(intent, what, left))

    def sign(self, intent: bytes, what: str) -> bytes:
        """Returns a signed request without orders.

        Raises:
            EnclaveRefused: the enclave does not let this client ask for it.
        """
        reply = self._enclave.exchange_bytes(intent)
        if error := refused_reply(reply, what):
            raise error
        return reply.request

    def run(self, errand: Errand) -> None:
        """Begins something that asks the venue; it goes on with every answer."""
        self._step(errand, None, first=True)

    def _step(self, errand: Errand, answer: VenueResponse | None, *, first: bool = False) -> None:
        while True:
            try:
                request = next(errand) if first else errand.send(answer)
            except StopIteration:
                return
            except (EnclaveRefused, WrongTransition, BadInput) as error:
                self.troubles.append(str(error))
                return
            first, answer = False, None
            deadline_ns = monotonic_ns() + int(self._limits.deadline_s * 1e9)
            try:
                pending = self._outlet.begin(request, deadline_ns)
            except (NotSent, OutcomeUnknown):
                continue  # as if nobody had answered
            self._questions.append(_Question(errand, pending))
            return

    def _cancelling(self, intent: Callable[[], bytes], what: str, left: int) -> Errand:
        answer = yield self.sign(intent(), what)
        self._figures.count(Counter.CANCELS)
        if answer is None or answer.status != 200:
            self.troubles.append(f"{what}: {answer.status if answer else 'no answer'}")
            if left > 1:
                due_ns = monotonic_ns() + int(self._limits.poll_s * 1e9)
                self._again.append((due_ns, partial(self._insist, intent, what, left - 1)))
            return
        for order_hash in cancelled_in(answer):
            order = self.book.open.get(order_hash)
            # What is still under way has an answer of its own coming, and is asked about then.
            if order is not None and order_hash not in self._flying():
                # What was traded of it before it went is asked for, then it is over.
                yield from self._standing(order)

    def _standing(self, order: TrackedOrder) -> Errand:
        """Asks what became of an order that the venue has, and tells of it."""
        intent = self._writer.query_order(order.order_hash)
        answer = yield self.sign(intent, "order query")
        if answer is None or answer.status != 200 or order.order_hash not in self.book.open:
            return
        matched = read_size_matched(answer)
        if matched is None:
            return
        unknown = self._journal.get(order.order_hash).state is OrderState.UNKNOWN
        settle_from(self._journal, order.order_hash, answer)
        state = self._journal.get(order.order_hash).state
        if unknown and state is not OrderState.UNKNOWN:
            self.released.append(order.intent.instrument)
        over = state in (OrderState.CLOSED, OrderState.FILLED)
        for event in self.book.standing(order, matched, monotonic_ns(), over=over):
            self._tell(event)

    def _reconcile(self, order: TrackedOrder) -> Errand:
        """Asks about an order of which nothing is certain."""
        rule = AbsenceRule(self._limits.absence_s)
        queries = SignedQueries(self.sign, self._writer)
        steps = reconciling(self._journal, order.order_hash, queries, absence=rule)
        answer: VenueResponse | None = None
        try:
            request = next(steps)
            while True:
                answer = yield request
                if order.order_hash not in self.book.open:
                    return  # settled meanwhile, by the answer to a cancel
                request = steps.send(answer)
        except StopIteration as done:
            result: Reconciliation = done.value
        if result is not Reconciliation.SETTLED or order.order_hash not in self.book.open:
            return
        self._figures.count(Counter.RECONCILED)
        state, now_ns = self._journal.get(order.order_hash).state, monotonic_ns()
        if state is OrderState.ABSENT:
            self._tell(self.book.absent(order, now_ns))
        else:
            matched = None if answer is None else read_size_matched(answer)
            over = state is not OrderState.OPEN
            if matched is None:
                # A trade names it and the order query does not: how much of it is not known here.
                matched = order.size if state is OrderState.FILLED else order.filled
            for event in self.book.standing(order, matched, now_ns, over=over):
                self._tell(event)
        self.released.append(order.intent.instrument)

    def _inherit(self, order_hash: bytes) -> Errand:
        """Asks about an order of an earlier life, which no strategy waits to hear of."""
        rule = AbsenceRule(self._limits.absence_s)
        queries = SignedQueries(self.sign, self._writer)
        found = yield from reconciling(self._journal, order_hash, queries, absence=rule)
        if found is Reconciliation.SETTLED:
            self._inherited.discard(order_hash)
            self._figures.count(Counter.RECONCILED)
            if self._journal.get(order_hash).state is OrderState.OPEN:
                self.cancel([order_hash])  # it came after the first one

    # --- what comes back ----------------------------------------------------------------------

    @property
    def under_way(self) -> int:
        """How many requests wait for their answer."""
        return len(self._flights) + len(self._questions) + len(self._again)

    def resting(self) -> list[bytes]:
        """Orders that the venue has, or may have, and that nobody waits for an answer about."""
        flying = self._flying()
        return [order_hash for order_hash in self.book.open if order_hash not in flying]

    def _flying(self) -> set[bytes]:
        return {flight.order.order_hash for flight in self._flights}

    def turn(self) -> None:
        """Takes what has come back; to be called whenever there is no tick, and now and then."""
        self._outlet.pump(0.0)
        if self._flights:
            landed = [flight for flight in self._flights if flight.pending.done]
            if landed:
                self._flights = [flight for flight in self._flights if not flight.pending.done]
                for flight in landed:
                    self._land(flight)
        if self._questions:
            answered = [each for each in self._questions if each.pending.done]
            if answered:
                self._questions = [each for each in self._questions if not each.pending.done]
                for each in answered:
                    self._step(each.errand, answer_of(each.pending))

    def poll(self) -> None:
        """Asks about the orders that rest or are unknown, each when its time has come."""
        now_ns = monotonic_ns()
        if now_ns < self._next_poll_ns:
            return
        self._next_poll_ns = now_ns + _POLL_NS
        ready = [again for due_ns, again in self._again if due_ns <= now_ns]
        self._again = [(due_ns, again) for due_ns, again in self._again if due_ns > now_ns]
        for again in ready:
            again()
        left_alone = self._flying() | self._asking
        for order_hash in self._inherited - left_alone:
            if now_ns - self._asked.get(order_hash, 0) > self._limits.poll_s * 1e9:
                self._asked[order_hash] = now_ns
                self.run(alone(self._asking, order_hash, self._inherit(order_hash)))
        for order_hash, order in list(self.book.open.items()):
            if order_hash in left_alone:
                continue
            state = self._journal.get(order_hash).state
            settled = state in (OrderState.ACCEPTED, OrderState.OPEN)
            patience = self._limits.poll_s if settled else self._limits.settle_s
            if now_ns - self._asked.get(order_hash, 0) < patience * 1e9:
                continue
            self._asked[order_hash] = now_ns
            errand = self._standing(order) if settled else self._reconcile(order)
            self.run(alone(self._asking, order_hash, errand))
        if len(self._asked) > 2 * len(self.book.open) + 64:
            self._asked = {key: at for key, at in self._asked.items() if key in self.book.open}

    def look(self, instrument: int, price: int) -> None:
        """Has the orders asked about soon that a trade at `price` (1e-6) may have filled."""
        for order_hash, order in self.book.open.items():
            intent = order.intent
            if intent.instrument == instrument and (
                price <= intent.price if intent.side == Side.BUY else price >= intent.price
            ):
                self._asked.pop(order_hash, None)

    def _land(self, flight: _Flight) -> None:
        order, signed, now_ns = flight.order, flight.signed, monotonic_ns()
        self._stages[Stage.ANSWER].record(now_ns - flight.begun_ns)
        if flight.pending.relay_ns:
            self._stages[Stage.RELAY].record(flight.pending.relay_ns)
        if flight.pending.upstream_ns:
            self._stages[Stage.UPSTREAM].record(flight.pending.upstream_ns)
        outcome: VenueResponse | HostError
        try:
            outcome = flight.pending.result()
        except (NotSent, OutcomeUnknown, MalformedRequest) as error:
            outcome = error
        (entry,) = record_outcome(self._journal, signed, outcome)
        if entry.state is OrderState.ACCEPTED and isinstance(outcome, VenueResponse):
            self._figures.count(Counter.ACCEPTED)
            matched = read_matched(outcome, order.intent.side)
            for event in self.book.accepted(order, matched, now_ns):
                self._tell(event)
        elif entry.state is OrderState.REJECTED and isinstance(outcome, VenueResponse):
            self._figures.count(Counter.REFUSED)
            self._tell(self.book.refused(order, outcome.status, now_ns))
        elif entry.state is OrderState.UNSENT:
            self._tell(self.book.not_sent(order, now_ns))
        else:
            self._figures.count(Counter.UNKNOWN)
            self._tell(self.book.unknown(order, now_ns))
            return  # the market stays closed to this strategy until it is settled
        self.released.append(order.intent.instrument)

    def _tell(self, event: OrderEvent) -> None:
        if event.filled:
            self._figures.count(Counter.FILLS)
        self.events.append(event)


def _like(decision: Intent) -> tuple[int, ...]:
    """Returns what requests that differ in numbers only have in common."""
    return decision.instrument, decision.side, decision.order_type, decision.post_only
