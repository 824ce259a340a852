"""Placing orders so that none is lost and none is doubled, whatever breaks.

`place`: journal, have the log keep what it says of it, mark as sent, send once, record what the
answer proves. `reconcile`: settle what
is unknown by asking the venue about the order's hash. There is no retry anywhere: the only order
that may be sent again is one of which no byte ever left.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from strongroom_wire.pages import Entry

from strongroom_host.errors import BadInput, HostError
from strongroom_host.store.journal import Journal, JournalEntry
from strongroom_host.store.states import UNRESOLVED, OrderState
from strongroom_host.venue.connection import VenueResponse
from strongroom_host.venue.errors import MalformedRequest, NotSent, OutcomeUnknown
from strongroom_host.venue.replies import (
    Standing,
    Verdict,
    read_order,
    read_placement,
    read_trades,
)
from strongroom_host.venue.requests import SignedRequest

__all__ = [
    "AbsenceRule",
    "NoOrders",
    "OwnQueries",
    "Reconciliation",
    "Venue",
    "place",
    "reconcile",
    "reconciling",
    "record_outcome",
]

_BATCH_LINE = b"POST /orders "
_STATES = {
    Verdict.ACCEPTED: OrderState.ACCEPTED,
    Verdict.REJECTED: OrderState.REJECTED,
    Verdict.UNKNOWN: OrderState.UNKNOWN,
}
_SETTLED = {
    Standing.OPEN: OrderState.OPEN,
    Standing.FILLED: OrderState.FILLED,
    Standing.CLOSED: OrderState.CLOSED,
}


class NoOrders(BadInput):
    """Only requests with orders in them are placed; cancels need no journal."""


class Venue(Protocol):
    """What a desk needs of a venue; `VenueConnection` is one."""

    def exchange(self, request: bytes) -> VenueResponse:
        """Send once and return the whole answer (see `VenueConnection.exchange`)."""


class OwnQueries(Protocol):
    """Signed own-order queries, made by the enclave."""

    def order(self, order_hash: bytes) -> bytes:
        """A complete ``GET /data/order/{hash}`` request."""

    def trades(self) -> bytes:
        """A complete ``GET /data/trades`` request for the newest page."""


def place(
    journal: Journal,
    venue: Venue,
    signed: SignedRequest,
    kept: Callable[[Sequence[Entry]], object] | None = None,
) -> tuple[JournalEntry, ...]:
    """Send `signed` once and return where its orders stand.

    An entry that comes back `UNKNOWN` is for `reconcile`; one that is `UNSENT` may be placed
    again with the same bytes. Whatever is raised, the journal knows the orders first.

    Args:
        journal: Knows the orders, and what the enclave's log says of them, before anything else.
        venue: Where they go.
        signed: As the enclave handed it out.
        kept: Returns once the log durably has these entries (`KeeperClient.kept`), or raises; then
            nothing is sent. Without it the orders go out whether or not anybody keeps the log.

    Raises:
        NoOrders: the request carries none.
        AlreadyJournalled: it may have been sent before.
        SequenceReused: its sequence number belongs to other bytes.
        MalformedRequest: the bytes are no request to this venue; the orders are `UNSENT`.
        JournalBroken: nothing was sent, unless the orders are found `UNKNOWN` at the next start.
        HostError: `kept` raised it; the orders are `UNSENT`.
    """
    if not signed.order_hashes:
        raise NoOrders("a request without orders is not placed")
    journal.prepare(signed, sending=kept is None)
    if kept is not None:
        try:
            kept([signed.entry])
        except HostError as error:
            detail = f"not kept in the log: {error}"
            _unsent(journal, signed, detail)
            raise
        journal.mark_sent(signed)
    outcome: VenueResponse | HostError
    try:
        outcome = venue.exchange(signed.request)
    except (NotSent, MalformedRequest, OutcomeUnknown) as error:
        outcome = error
    entries = record_outcome(journal, signed, outcome)
    if isinstance(outcome, MalformedRequest):
        raise outcome
    return entries


def record_outcome(
    journal: Journal, signed: SignedRequest, outcome: VenueResponse | HostError
) -> tuple[JournalEntry, ...]:
    """Record what came of sending `signed` once, and return where its orders stand.

    Args:
        journal: Has them as `SENT`.
        signed: What was sent.
        outcome: The venue's answer, or why there is none: only `NotSent` and `MalformedRequest`
            say that no byte left.

    Raises:
        JournalBroken: it could not be stored; the orders are found `UNKNOWN` at the next start.
    """
    if isinstance(outcome, NotSent | MalformedRequest):
        _unsent(journal, signed, str(outcome))
    elif isinstance(outcome, HostError):
        journal.record((item, OrderState.UNKNOWN, str(outcome)) for item in signed.order_hashes)
    else:
        batch = signed.request.startswith(_BATCH_LINE)
        fates = read_placement(outcome, signed.order_hashes, batch=batch)
        journal.record((fate.order_hash, _STATES[fate.verdict], fate.detail) for fate in fates)
    return tuple(journal.get(item) for item in signed.order_hashes)


class Reconciliation(enum.Enum):
    """What asking the venue about one order achieved."""

    SETTLED = "settled"
    """Its state changed to what the venue says."""
    UNCHANGED = "unchanged"
    """The venue confirmed the state it is in."""
    TOO_EARLY = "too early"
    """The venue does not know it, but it may still be on its way."""
    INCONCLUSIVE = "inconclusive"
    """No answer that proves anything."""


@dataclass(frozen=True, slots=True)
class AbsenceRule:
    """When the venue's "no such order" is believed, in seconds since it was sent.

    A request can linger in proxies and queues after its connection broke. The signed timestamp
    bounds how long a venue takes an order in, so waiting that long makes absence final.
    """

    after_s: float = 300.0


def reconcile(
    journal: Journal,
    venue: Venue,
    order_hash: bytes,
    queries: OwnQueries,
    *,
    absence: AbsenceRule | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> Reconciliation:
    """Settle one order by asking the venue.

    "Absent" needs three things: the venue says it has no such order, no trade names it (venues
    forget filled orders), and enough time has passed since it was sent.

    Raises:
        UnknownOrder: it was never journalled.
        BadInput: nothing to ask: it was never sent, or its state is final.
    """
    steps = reconciling(journal, order_hash, queries, absence=absence, now_ns=now_ns)
    try:
        request = next(steps)
        while True:
            request = steps.send(_ask(venue, request))
    except StopIteration as done:
        result: Reconciliation = done.value
        return result


def reconciling(
    journal: Journal,
    order_hash: bytes,
    queries: OwnQueries,
    *,
    absence: AbsenceRule | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> Generator[bytes, VenueResponse | None, Reconciliation]:
    """`reconcile` for somebody who must not wait: yields each request that is to be sent.

    It is to be given the answer, or None if there is none; a query may fail without harm.

    Raises:
        UnknownOrder, BadInput: as `reconcile`, before the first request.
    """
    entry = journal.get(order_hash)
    if entry.state not in UNRESOLVED | {OrderState.ACCEPTED, OrderState.OPEN}:
        raise BadInput("the order needs no reconciling", actual=entry.state.value)
    if entry.state is OrderState.SENT:
        # Nobody is sending any more: who reconciles is who sends, and the journal has one owner.
        journal.record([(order_hash, OrderState.UNKNOWN, "reconciling")])
    response = yield queries.order(order_hash)
    standing = Standing.UNKNOWN if response is None else read_order(response, order_hash)
    if standing is Standing.UNKNOWN:
        return Reconciliation.INCONCLUSIVE
    if standing is not Standing.ABSENT:
        return _settle(journal, order_hash, _SETTLED[standing], "by own-order query")
    trades = yield queries.trades()
    traded = None if trades is None else read_trades(trades, order_hash)
    if traded is None:
        return Reconciliation.INCONCLUSIVE
    if traded:
        return _settle(journal, order_hash, OrderState.FILLED, "by own trades")
    if entry.state not in UNRESOLVED:
        # It was there and is gone without a trace: not a question that absence answers.
        return Reconciliation.INCONCLUSIVE
    rule = absence or AbsenceRule()
    if entry.sent_ns is None or now_ns() - entry.sent_ns < rule.after_s * 1e9:
        return Reconciliation.TOO_EARLY
    return _settle(journal, order_hash, OrderState.ABSENT, "no order, no trade")


def _unsent(journal: Journal, signed: SignedRequest, detail: str) -> None:
    """Records that no byte left. An order that an earlier attempt left unsent is so already."""
    journal.record(
        (item, OrderState.UNSENT, detail)
        for item in signed.order_hashes
        if journal.get(item).state is not OrderState.UNSENT
    )


def _ask(venue: Venue, request: bytes) -> VenueResponse | None:
    """A query may fail without harm: it changes nothing at the venue."""
    try:
        return venue.exchange(request)
    except (NotSent, OutcomeUnknown):
        return None


def _settle(journal: Journal, order_hash: bytes, state: OrderState, detail: str) -> Reconciliation:
    if journal.get(order_hash).state is state:
        return Reconciliation.UNCHANGED
    journal.record([(order_hash, state, detail)])
    return Reconciliation.SETTLED
