"""What is known of each order of this session, and what the strategy is told of it.

Amounts: 1e-6 shares and pUSD. Fills come from the venue's answer to the placement, exactly, and for
what rested from the order's own `size_matched`, valued at its limit, which is what a maker gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import msgspec

from strongroom_host.ring.tick import Side
from strongroom_host.strategy.port import Intent, OrderEvent, OrderType, Outcome
from strongroom_host.venue import VenueResponse

__all__ = ["NO_HASH", "Matched", "OrderBook", "TrackedOrder", "read_matched", "read_size_matched"]

NO_HASH = bytes(32)
_LOT = 10_000
_AMOUNT: Final = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_RESTS = (OrderType.GTC, OrderType.GTD)


@dataclass(frozen=True, slots=True)
class Matched:
    """What a placement traded at once: shares and pUSD in millionths, and whether any rests."""

    shares: int
    cash: int
    status: str


class _Answer(msgspec.Struct):
    status: str = ""
    makingAmount: str = ""
    takingAmount: str = ""


class _Order(msgspec.Struct):
    size_matched: str = ""


def read_matched(response: VenueResponse, side: Side) -> Matched:
    """Returns what the answer to an accepted placement says was traded; zeros if nothing."""
    try:
        answer = msgspec.json.decode(response.body, type=_Answer)
    except _UNREADABLE:
        return Matched(0, 0, "")
    making, taking = _millionths(answer.makingAmount), _millionths(answer.takingAmount)
    shares, cash = (taking, making) if side == Side.BUY else (making, taking)
    return Matched(shares, cash, answer.status)


def read_size_matched(response: VenueResponse) -> int | None:
    """Returns how many shares of an order the venue says were traded, or None."""
    try:
        text = msgspec.json.decode(response.body, type=_Order).size_matched
    except _UNREADABLE:
        return None
    return _millionths(text) if _AMOUNT.fullmatch(text) else None


@dataclass(slots=True)
class TrackedOrder:
    """One order, from the decision to its end."""

    number: int
    intent: Intent
    order_hash: bytes = NO_HASH
    filled: int = 0
    cash: int = 0
    state: Outcome | None = None

    @property
    def size(self) -> int:
        """Shares that were ordered: the enclave cuts them to whole lots of 0.01."""
        return self.intent.size - self.intent.size % _LOT

    @property
    def left(self) -> int:
        """Shares that are not traded yet."""
        return max(0, self.size - self.filled)

    @property
    def rests(self) -> bool:
        """Whether what is not traded at once stays in the book."""
        return self.intent.order_type in _RESTS


@dataclass(slots=True)
class OrderBook:
    """Every order that is not over, by hash; and what happened to it, as a strategy is told it."""

    open: dict[bytes, TrackedOrder] = field(default_factory=dict)

    def denied(self, order: TrackedOrder, code: int, now_ns: int) -> OrderEvent:
        """The enclave signed nothing."""
        return self._ended(order, Outcome.DENIED, code, now_ns)

    def not_sent(self, order: TrackedOrder, now_ns: int) -> OrderEvent:
        """It is certainly not at the venue."""
        return self._ended(order, Outcome.NOT_SENT, 0, now_ns)

    def refused(self, order: TrackedOrder, status: int, now_ns: int) -> OrderEvent:
        """The venue refused it."""
        return self._ended(order, Outcome.REFUSED, status, now_ns)

    def signed(self, order: TrackedOrder, order_hash: bytes) -> None:
        """It has a hash now, and may be at the venue from here on."""
        order.order_hash = order_hash
        self.open[order_hash] = order

    def unknown(self, order: TrackedOrder, now_ns: int) -> OrderEvent:
        """It was sent, and nobody knows what became of it."""
        order.state = Outcome.UNKNOWN
        return self._event(order, Outcome.UNKNOWN, now_ns, open_=order.left)

    def accepted(self, order: TrackedOrder, matched: Matched, now_ns: int) -> Iterator[OrderEvent]:
        """The venue has it: traded at once, in part, or not at all."""
        if matched.shares:
            yield self._filled(order, matched.shares, matched.cash, now_ns)
        if not order.left:
            self._forget(order)
        elif order.rests:
            order.state = Outcome.LIVE
            yield self._event(order, Outcome.LIVE, now_ns, open_=order.left)
        else:
            yield self._ended(order, Outcome.CANCELLED, 0, now_ns)

    def standing(
        self, order: TrackedOrder, size_matched: int, now_ns: int, *, over: bool
    ) -> Iterator[OrderEvent]:
        """The venue said how much of it was traded by now, and whether it still rests."""
        fresh = min(size_matched, order.size) - order.filled
        if fresh > 0:
            yield self._filled(order, fresh, fresh * order.intent.price // 1_000_000, now_ns)
        if not order.left:
            self._forget(order)
        elif over:
            yield self._ended(order, Outcome.CANCELLED, 0, now_ns)
        elif order.state is not Outcome.LIVE:
            order.state = Outcome.LIVE
            yield self._event(order, Outcome.LIVE, now_ns, open_=order.left)

    def absent(self, order: TrackedOrder, now_ns: int) -> OrderEvent:
        """It was sent, and the venue never got it."""
        return self._ended(order, Outcome.NOT_SENT, 0, now_ns)

    def cancelled(self, order: TrackedOrder, now_ns: int) -> OrderEvent:
        """What was left of it is off the book."""
        return self._ended(order, Outcome.CANCELLED, 0, now_ns)

    def _filled(self, order: TrackedOrder, shares: int, cash: int, now_ns: int) -> OrderEvent:
        moved = -cash if order.intent.side == Side.BUY else cash
        order.filled += shares
        order.cash += moved
        return self._event(
            order, Outcome.FILLED, now_ns, open_=order.left, filled=shares, cash=moved
        )

    def _ended(self, order: TrackedOrder, outcome: Outcome, code: int, now_ns: int) -> OrderEvent:
        self._forget(order)
        order.state = outcome
        return self._event(order, outcome, now_ns, code=code)

    def _forget(self, order: TrackedOrder) -> None:
        self.open.pop(order.order_hash, None)

    @staticmethod
    def _event(
        order: TrackedOrder,
        outcome: Outcome,
        now_ns: int,
        *,
        open_: int = 0,
        filled: int = 0,
        cash: int = 0,
        code: int = 0,
    ) -> OrderEvent:
        intent = order.intent
        terms = (intent.instrument, intent.side, intent.price, filled, cash, open_, code, now_ns)
        return OrderEvent(order.number, outcome, order.order_hash, *terms)


def _millionths(text: str) -> int:
    # An exponent would be a number of any size in a few characters.
    return int(Decimal(text).scaleb(6)) if _AMOUNT.fullmatch(text) else 0
