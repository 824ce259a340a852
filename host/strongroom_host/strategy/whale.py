"""Large transfers of a coin, as a hint which way an outcome about it will go.

A large payment is seen in the memory pool before it is in a block. Somebody may be about to sell:
so the token that pays if the coin falls is bought, held for a while, and sold. A large trade on an
exchange says more plainly who wants what. Neither is knowledge, which is why there are thresholds,
a rest between two signals, and a fixed size.

What is not a signal, told apart without a list of anybody's addresses: the same payment again (a
replaced fee, another feed), payments of one size in a row (an exchange tidying up its own coins),
and, if wanted, amounts so round that people rarely owe them.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from strongroom_host.ring.tick import SCALE, Flag, Kind, Side
from strongroom_host.strategy.book import Book
from strongroom_host.strategy.options import PRICE_UNIT, TRANSFERS, Option, instrument, number, read
from strongroom_host.strategy.port import Decision, Intent, OrderType, Reason, TickView
from strongroom_host.strategy.told import NOTHING, Told

__all__ = ["OPTIONS", "Whale"]

OPTIONS: Final = {
    "mempool": Option(None, "the instrument of the coin's transfers", feeds=TRANSFERS),
    "market": Option("", "the token to buy after a large transfer or sale; none if empty"),
    "rising": Option("", "the token to buy after a large purchase of the coin; none if empty"),
    "coin": Option("", "the coin's instrument, for large trades; none if empty"),
    "transfer_btc": Option(200, "a transfer of so many coins is large", 1),
    "trade_btc": Option(50, "so many coins traded by one side within a second are large", 1),
    "round_btc": Option(0, "whole multiples of so many coins are no signal; 0 counts them"),
    "alike_s": Option(60, "transfers of one size within so many seconds count once", 0, 86_400),
    "size": Option(50_000_000, "shares that are bought on a signal, 1e-6", 1),
    "dearest": Option(900_000, "the highest price that is paid, 1e-6 pUSD", 1, 999_999),
    "hold_s": Option(30, "how long they are held", 1, 86_400),
    "rest_s": Option(60, "how long nothing more is bought after a signal", 0, 86_400),
}

_SECOND: Final = 1_000_000_000
_TAKERS: Final = frozenset({int(Side.BUY), int(Side.SELL)})
_ALIKE: Final = 1_000
"""Sizes that differ by less than a part in so many are alike."""
_ASKED_AGAIN: Final = _SECOND


class Whale(Told):
    """See the module. All of it is integers."""

    def __init__(self, options: Mapping[str, str], instruments: Sequence[str]) -> None:
        values = read("whale", OPTIONS, options, instruments)
        super().__init__("whale", values)
        self._mempool = instrument("whale", values, "mempool", instruments)
        self._coin = instrument("whale", values, "coin", instruments)
        falling = instrument("whale", values, "market", instruments)
        rising = instrument("whale", values, "rising", instruments)
        self._tokens = {Side.SELL: falling, Side.BUY: rising}
        self._books = {token: Book() for token in (falling, rising) if token}
        self._large = number(values, "transfer_btc") * SCALE
        self._traded = number(values, "trade_btc") * SCALE
        self._round = number(values, "round_btc") * SCALE
        self._alike_ns = number(values, "alike_s") * _SECOND
        self._size, self._dearest = number(values, "size"), number(values, "dearest")
        self._hold_ns = number(values, "hold_s") * _SECOND
        self._rest_ns = number(values, "rest_s") * _SECOND
        self._seen: deque[tuple[int, int, int]] = deque()
        self._trades: deque[tuple[int, int, int]] = deque()
        self._feeds: dict[int, int] = {}
        self._ready_ns = 0
        self._until_ns = self._asked_ns = 0

    def _decide(self, view: TickView) -> Sequence[Decision]:
        wanted, now_ns, token = Side.NONE, view.received_ns, view.instrument
        if token == self._mempool and view.kind == Kind.TRANSFER:
            wanted = Side.SELL if self._is_signal(view.size, view.detail, now_ns) else Side.NONE
        elif token and token == self._coin and view.kind == Kind.TRADE:
            wanted = self._side_of(view.side, view.size, now_ns)
        elif token in self._books:
            self._feeds[token] = view.feed
            self._books[token].apply(view)
        elif view.kind == Kind.STATUS and not token:
            for market, feed in self._feeds.items():
                if feed == view.feed:
                    self._books[market].apply(view)
        if wanted is not Side.NONE:
            return self._buy(self._tokens[wanted], now_ns)
        if view.flags & Flag.LAST and now_ns >= self._until_ns:
            return self._sell(now_ns)
        return NOTHING

    def _is_signal(self, size: int, detail: int, now_ns: int) -> bool:
        """Returns whether a transfer says anything, and remembers it."""
        while self._seen and self._seen[0][0] < now_ns - self._alike_ns:
            self._seen.popleft()
        if size < self._large or (self._round and size % self._round == 0):
            return False
        before = any(
            identity == detail or abs(other - size) * _ALIKE <= size
            for _, other, identity in self._seen
        )
        self._seen.append((now_ns, size, detail))
        return not before

    def _side_of(self, side: int, size: int, now_ns: int) -> Side:
        """Returns the side that traded much within the last second, once."""
        if side not in _TAKERS:
            return Side.NONE
        self._trades.append((now_ns, side, size))
        while self._trades[0][0] <= now_ns - _SECOND:
            self._trades.popleft()
        if sum(each for _, whose, each in self._trades if whose == side) < self._traded:
            return Side.NONE
        self._trades.clear()
        return Side(side)

    def _buy(self, token: int, now_ns: int) -> Sequence[Decision]:
        book = self._books.get(token)
        if book is None or not book.good or now_ns < self._ready_ns:
            return NOTHING
        price = book.ask // PRICE_UNIT
        if price > self._dearest or self._orders.open:
            return NOTHING
        self._ready_ns = now_ns + self._rest_ns
        self._until_ns = now_ns + self._hold_ns
        terms = (token, Side.BUY, price, self._size, OrderType.FAK, Reason.WHALE)
        return (Intent(*terms, self._inputs.digest()),)

    def _sell(self, now_ns: int) -> Sequence[Decision]:
        """Sells what was held for long enough, again and again until it is gone."""
        if self._orders.open or now_ns - self._asked_ns < _ASKED_AGAIN:
            return NOTHING
        for token, book in self._books.items():
            held = self._orders.holding(token)
            if held > 0 and book.good:
                self._asked_ns = now_ns
                price = book.bid // PRICE_UNIT
                terms = (token, Side.SELL, price, held, OrderType.FAK, Reason.FLATTEN)
                return (Intent(*terms, self._inputs.digest()),)
        return NOTHING

    def _forget(self, feed: int) -> None:
        for token, book in self._books.items():
            if feed in (0, self._feeds.get(token)):
                book.clear()
        # A transfer that was missed is missed; one that comes twice must still count once.
        self._trades.clear()
