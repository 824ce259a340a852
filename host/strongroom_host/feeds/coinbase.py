"""Coinbase (Advanced Trade market data): trades, best prices and, if asked for, books.

Every message of a connection carries the next number, whatever its channel, so a hole shows at
once. Heartbeats come every second and keep quiet products' subscriptions open. Of a trade the venue
names the maker's side; a tick has the taker's. A book has tens of thousands of levels: of a
snapshot the `depth` best of each side are published, of updates all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from strongroom_host.feeds.codes import (
    ASK_BEST,
    BID_BEST,
    BUY,
    LAST,
    LEVEL,
    NO_SIDE,
    SELL,
    SNAPSHOT,
    TRADE,
)
from strongroom_host.feeds.core import Feed, Timing
from strongroom_host.feeds.errors import BadFeed, Reason, Refused
from strongroom_host.feeds.fixed import fixed8, whole
from strongroom_host.ring.sink import TickSink

__all__ = ["Coinbase", "iso_ns"]

_MAKER: Final = {"BUY": SELL, "SELL": BUY}
_BOOK: Final = {"bid": BUY, "offer": SELL}
_OLD: Final = 64
"""So many messages in a row that come before the number awaited are no echo: it counts anew."""
_LAST_SECOND: Final = ((1 << 64) - 1) // 1_000_000_000


class _Trade(msgspec.Struct, gc=False):
    product_id: str
    trade_id: str
    price: str
    size: str
    side: str
    time: str


class _Update(msgspec.Struct, gc=False):
    side: str
    event_time: str
    price_level: str
    new_quantity: str


class _Ticker(msgspec.Struct, gc=False):
    product_id: str
    best_bid: str = ""
    best_bid_quantity: str = ""
    best_ask: str = ""
    best_ask_quantity: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    product_id: str = ""
    trades: list[_Trade] = []
    updates: list[_Update] = []
    tickers: list[_Ticker] = []


class _Message(msgspec.Struct):
    channel: str = ""
    timestamp: str = ""
    sequence_num: int = -1
    events: list[_Event] = []
    type: str = ""
    message: str = ""


_READ: Final = msgspec.json.Decoder(_Message)

_Item = tuple["_Product", int, int, str, str, int, int]
"""Product, kind, side, price and size as texts, venue time, detail."""


@lru_cache(maxsize=64)
def _second(text: str) -> int:
    """Unix seconds of ``YYYY-MM-DDTHH:MM:SS``."""
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise Refused(Reason.MALFORMED, "not a time", actual=text[:40]) from error
    return int(moment.timestamp())


def iso_ns(text: str) -> int:
    """Ns since the epoch of an RFC 3339 time in UTC with at most nine decimals; 0 before 1970.

    Raises:
        Refused: MALFORMED.
    """
    if len(text) < 20 or not text.endswith("Z"):
        raise Refused(Reason.MALFORMED, "not a time", actual=text[:40])
    fraction = text[19:-1]
    if fraction and (fraction[0] != "." or not 2 <= len(fraction) <= 10):
        raise Refused(Reason.MALFORMED, "not a time", actual=text[:40])
    seconds = max(0, min(_second(text[:19]), _LAST_SECOND))
    return seconds * 1_000_000_000 + (whole(fraction[1:].ljust(9, "0")) if fraction else 0)


class _Product:
    __slots__ = (
        "ask",
        "base_from",
        "base_ns",
        "based",
        "bid",
        "first",
        "instrument",
        "name",
        "trade",
    )

    def __init__(self, name: str, instrument: int) -> None:
        self.name, self.instrument = name, instrument
        self.bid = self.ask = (-1, -1)
        self.trade = self.first = -1
        self.based, self.base_from, self.base_ns = False, -1, 0


class Coinbase(Feed[str, _Item]):
    """The channels of some products, such as BTC-USD.

    Args:
        feed: The feed's number in ticks.
        sink: Where ticks go.
        products: As the venue writes them.
        books: Whether to follow whole books (``level2``) as well.
        depth: How many levels of each side of a snapshot are published.
        first_epoch: See `Lane`.
        timing: See `Timing`.

    Raises:
        BadFeed: no product, or one that is none.
    """

    name = "coinbase"

    def __init__(
        self,
        feed: int,
        sink: TickSink,
        products: Sequence[str],
        *,
        first_epoch: int,
        books: bool = False,
        depth: int = 100,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(feed, sink, first_epoch=first_epoch, timing=timing)
        self._products: dict[str, _Product] = {}
        for product in products:
            plain = product.replace("-", "")
            if not (plain.isascii() and plain.isalnum() and len(product) <= 60):
                raise BadFeed("not a product", expected="such as BTC-USD", actual=product[:60])
            upper = product.upper()
            self._products[upper] = _Product(upper, sink.instrument(f"coinbase:{upper}"))
        if not self._products:
            raise BadFeed("a Coinbase feed needs products", expected="such as BTC-USD")
        self._books, self._depth = books, depth
        self._next: dict[int, int] = {}
        self._olds: dict[int, int] = {}
        self._pictured: dict[int, set[str]] = {}

    def _hello(self) -> Iterable[str]:
        channels = ["heartbeats", "market_trades", "ticker", *(["level2"] if self._books else [])]
        for channel in channels:
            asked = {"type": "subscribe", "product_ids": list(self._products), "channel": channel}
            yield msgspec.json.encode(asked).decode()

    def _needs_state(self) -> bool:
        return self._books and not all(item.based for item in self._products.values())

    def _forget(self, connection: int) -> None:
        self._pictured.pop(connection, None)

    def opened(self, connection: int, now_ns: int) -> None:
        """A connection stands; its count of messages begins anew."""
        self._next.pop(connection, None)
        self._olds.pop(connection, None)
        super().opened(connection, now_ns)

    def _unsettle(self) -> None:
        for product in self._products.values():
            product.bid = product.ask = (-1, -1)
            product.based, product.first = False, -1

    # --- reading ------------------------------------------------------------------------------

    def _read(self, connection: int, message: str, received_ns: int) -> None:
        try:
            read = _READ.decode(message)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Refused(Reason.MALFORMED, "not a message of this venue", actual=error) from error
        if read.type == "error":
            raise Refused(Reason.VENUE_ERROR, f"the venue says: {read.message[:120]}")
        if read.sequence_num < 0:
            raise Refused(Reason.MALFORMED, "a message without its number")
        if self._old(connection, read.sequence_num):
            return
        channel = read.channel
        if channel in ("heartbeats", "subscriptions"):
            return
        if channel not in ("market_trades", "ticker", "l2_data"):
            raise Refused(Reason.UNKNOWN_TYPE, f"channel {channel[:40]}")
        if not self._books or channel == "l2_data":
            # With books, a connection is ready when it has shown the first of them.
            self._ready(connection, received_ns)
        if connection not in self.merge:
            return
        for event in read.events:
            if channel == "market_trades":
                self._read_trades(connection, event, received_ns)
            elif channel == "ticker":
                self._read_tickers(connection, event, read.timestamp, received_ns)
            else:
                self._read_book(connection, event, read.timestamp, received_ns)

    def _old(self, connection: int, number: int) -> bool:
        """Whether a message was there before, or comes after its hole has ended an epoch."""
        following = self._next.get(connection)
        if following is not None and number < following:
            self.counters.stale += 1
            self._olds[connection] = olds = self._olds.get(connection, 0) + 1
            if olds == _OLD:
                # Whatever it means, all that the connection brings from here on would be dropped.
                self._skipped(connection, 0)
                self.endings.append((connection, "numbered_anew"))
            return True
        self._olds[connection] = 0
        self._next[connection] = number + 1
        if following is not None and number > following:
            self._skipped(connection, number - following)
        return False

    def _product(self, name: str) -> _Product:
        product = self._products.get(name)
        if product is None:
            raise Refused(Reason.NOT_ASKED_FOR, "an event of another product")
        return product

    def _read_trades(self, connection: int, event: _Event, received_ns: int) -> None:
        if event.type == "snapshot":
            return  # trades of before
        # A message lists its trades with the latest first.
        for trade in reversed(event.trades):
            side = _MAKER.get(trade.side)
            if side is None:
                raise Refused(Reason.MALFORMED, "no such side", actual=trade.side[:20])
            number, at = whole(trade.trade_id), iso_ns(trade.time)
            item = self._product(trade.product_id), TRADE, side, trade.price, trade.size
            key = hash((trade.product_id, "t", number))
            self._offer(connection, key, (*item, at, number), received_ns)

    def _read_tickers(
        self, connection: int, event: _Event, timestamp: str, received_ns: int
    ) -> None:
        at = iso_ns(timestamp)
        for ticker in event.tickers:
            product = self._product(ticker.product_id)
            bid, ask = ticker.best_bid, ticker.best_ask
            if bid and ticker.best_bid_quantity:
                size = ticker.best_bid_quantity
                key = hash((product.name, "b", bid, size, timestamp))
                item = product, BID_BEST, BUY, bid, size, at, 0
                self._offer(connection, key, item, received_ns)
            if ask and ticker.best_ask_quantity:
                size = ticker.best_ask_quantity
                key = hash((product.name, "a", ask, size, timestamp))
                item = product, ASK_BEST, SELL, ask, size, at, 0
                self._offer(connection, key, item, received_ns)

    def _read_book(self, connection: int, event: _Event, timestamp: str, received_ns: int) -> None:
        product = self._product(event.product_id)
        if event.type == "snapshot":
            pictured = self._pictured.setdefault(connection, set())
            if not product.based or product.name in pictured:
                self._base(connection, product, event.updates, iso_ns(timestamp), received_ns)
            pictured.add(product.name)
            return
        for update in event.updates:
            side = _BOOK.get(update.side)
            if side is None:
                raise Refused(Reason.MALFORMED, "no such side", actual=update.side[:20])
            at = iso_ns(update.event_time)
            level = update.price_level, update.new_quantity
            key = hash((product.name, side, *level, update.event_time))
            self._offer(connection, key, (product, LEVEL, side, *level, at, 0), received_ns)

    # --- taking -------------------------------------------------------------------------------

    def _take(self, event: _Item, connection: int, received_ns: int) -> None:
        product, kind, side, price_text, size_text, at, detail = event
        try:
            price, size = fixed8(price_text), fixed8(size_text)
        except Refused as refusal:
            self.refused(connection, refusal.reason, received_ns, refusal)
            return
        if kind == TRADE:
            if detail < product.first:  # of before the epoch
                self.counters.stale += 1
                return
            if product.first < 0:
                product.first = detail
            product.trade = self._count_lost(product.trade, detail)
            self.skew.note(received_ns, at)
        elif kind == LEVEL:
            if product.based and connection != product.base_from and at < product.base_ns:
                return  # the snapshot of another connection has it
        elif kind == BID_BEST:
            if (price, size) == product.bid:
                return
            product.bid = price, size
        else:
            if (price, size) == product.ask:
                return
            product.ask = price, size
        self.lane.emit(kind, side, LAST, product.instrument, price, size, received_ns, at, detail)

    def _base(
        self,
        connection: int,
        product: _Product,
        levels: Sequence[_Update],
        at: int,
        received_ns: int,
    ) -> None:
        halves: dict[int, list[tuple[int, int]]] = {BUY: [], SELL: []}
        for level in levels:
            side = _BOOK.get(level.side)
            if side is None:
                raise Refused(Reason.MALFORMED, "no such side", actual=level.side[:20])
            halves[side].append((fixed8(level.price_level), fixed8(level.new_quantity)))
        shown = [
            (side, price, size)
            for side, half in halves.items()
            for price, size in sorted(half, reverse=side == BUY)[: self._depth]
        ] or [(NO_SIDE, 0, 0)]
        product.based, product.base_from, product.base_ns = True, connection, at
        for position, (side, price, size) in enumerate(shown):
            flags = SNAPSHOT | (LAST if position == len(shown) - 1 else 0)
            self.lane.emit(LEVEL, side, flags, product.instrument, price, size, received_ns, at, 0)
