"""The plain strategy, which others have to beat: quotes at the best prices, leans on the mean.

It joins the best bid while the market is not above its own slow average, and the best ask with what
it holds while the market is not below it. Never more than one order a side, never more shares than
its limit even if everything open is filled, never a sale of what it does not hold.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from strongroom_host.ring.tick import Flag, Kind, Side
from strongroom_host.strategy.book import Book
from strongroom_host.strategy.options import PRICE_UNIT, TOKENS, Option, instrument, number, read
from strongroom_host.strategy.port import Decision, Intent, OrderType, Reason, TickView
from strongroom_host.strategy.told import NOTHING, Told

__all__ = ["OPTIONS", "Baseline"]

OPTIONS: Final = {
    "market": Option(None, "the outcome token's instrument", feeds=TOKENS),
    "size": Option(10_000_000, "shares of one quote, 1e-6", 1),
    "most": Option(100_000_000, "the most shares that it may come to hold, 1e-6"),
    "memory": Option(7, "the average's memory: 2^N quotes of the market", 1, 20),
    "edge": Option(5_000, "how far a quote stands off the average at least, 1e-6 pUSD"),
    "rest_ms": Option(500, "how long a quote rests before it is moved, ms"),
}

_FINE: Final = 20
"""Binary digits after the point of the average: a memory of 2^20 quotes still moves."""
_QUOTES: Final = frozenset({int(Kind.LEVEL), int(Kind.BEST_BID), int(Kind.BEST_ASK)})


class Baseline(Told):
    """See the module. All of it is integers."""

    def __init__(self, options: Mapping[str, str], instruments: Sequence[str]) -> None:
        values = read("baseline", OPTIONS, options, instruments)
        super().__init__("baseline", values)
        self._market = instrument("baseline", values, "market", instruments)
        self._size, self._most = number(values, "size"), number(values, "most")
        self._memory, self._edge = number(values, "memory"), number(values, "edge")
        self._rest_ns = number(values, "rest_ms") * 1_000_000
        self._book = Book()
        self._feed = -1
        self._mean: int | None = None
        self._quoted_ns = {Side.BUY: 0, Side.SELL: 0}

    def _decide(self, view: TickView) -> Sequence[Decision]:
        if view.instrument != self._market:
            if view.instrument or view.feed != self._feed:
                return NOTHING
            self._book.apply(view)
            return NOTHING
        self._feed = view.feed
        self._book.apply(view)
        if view.kind not in _QUOTES or not view.flags & Flag.LAST:
            return NOTHING
        return self._quote(view.received_ns)

    def _quote(self, now_ns: int) -> Sequence[Decision]:
        book = self._book
        if not book.good:
            return self._withdraw()
        mid = book.twice_mid << _FINE
        self._mean = (
            mid if self._mean is None else self._mean + ((mid - self._mean) >> self._memory)
        )
        # Prices of intents: 1e-6, from twice a tick's 1e-8.
        mean = self._mean // (2 * PRICE_UNIT << _FINE)
        bid, ask = book.bid // PRICE_UNIT, book.ask // PRICE_UNIT
        held = self._orders.holding(self._market)
        decisions: list[Decision] = []
        room = self._most - held >= self._size
        wanted = bid if bid <= mean - self._edge and room else 0
        self._side(decisions, Side.BUY, wanted, self._size, now_ns)
        wanted = ask if ask >= mean + self._edge and held > 0 else 0
        self._side(decisions, Side.SELL, wanted, min(self._size, held), now_ns)
        return decisions

    def _side(
        self, decisions: list[Decision], side: Side, price: int, size: int, now_ns: int
    ) -> None:
        """Moves the one quote of a side to a price; 0 is none."""
        order = self._orders.on(self._market, side)
        if order is None:
            if price:
                digest = self._inputs.digest()
                terms = (self._market, side, price, size)
                intent = Intent(*terms, OrderType.GTC, Reason.QUOTE, digest, post_only=True)
                decisions.append(intent)
                self._quoted_ns[side] = now_ns
        elif order.intent.price != price and order.order_hash and not order.cancelling:
            if now_ns - self._quoted_ns[side] >= self._rest_ns:
                decisions.append(self._cancel(order.order_hash, Reason.REQUOTE))

    def _withdraw(self) -> Sequence[Decision]:
        """Takes quotes back while the market cannot be read."""
        return [
            self._cancel(order.order_hash, Reason.BAD_MARKET)
            for order in self._orders.open.values()
            if order.order_hash and not order.cancelling
        ]

    def _forget(self, feed: int) -> None:
        if feed in (0, self._feed):
            self._book.clear()
            self._mean = None
