"""Binance spot: trades, or aggregate trades, and best prices, from the combined stream.

Trades are numbered without a hole per symbol, so what a connection skipped shows at its next trade.
A ``bookTicker`` replaces the one before and is only sent when something changed, so none is missed
for longer than until the next one; its update number tells an old one from a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from strongroom_host.feeds.codes import (
    ASK_BEST,
    BID_BEST,
    BUY,
    LAST,
    SELL,
    TRADE,
)
from strongroom_host.feeds.core import Feed, Timing
from strongroom_host.feeds.errors import BadFeed, Reason, Refused
from strongroom_host.feeds.fixed import fixed8
from strongroom_host.ring.sink import TickSink

__all__ = ["Binance"]

_MAX_U64: Final = (1 << 64) - 1
_MAX_MILLIS: Final = _MAX_U64 // 1_000_000
_STREAMS: Final = ("trade", "aggTrade")


class _Data(msgspec.Struct, gc=False):
    """Any payload; which fields are there depends on `e`, and ``bookTicker`` has no `e`."""

    e: str = ""
    s: str = ""
    t: int = -1
    a: int | str = ""
    T: int = 0
    p: str = ""
    q: str = ""
    m: bool | None = None
    u: int = -1
    b: int | str = ""
    A: str = ""
    B: str = ""


class _Error(msgspec.Struct, gc=False):
    msg: str = ""


class _Message(msgspec.Struct):
    """An event of a combined stream, or the answer to a request."""

    stream: str = ""
    data: _Data | None = None
    id: int | None = None
    error: _Error | None = None
    code: int = 0


_READ: Final = msgspec.json.Decoder(_Message)


class _Symbol:
    __slots__ = ("ask", "bid", "first", "instrument", "trade", "update")

    def __init__(self, instrument: int) -> None:
        self.instrument = instrument
        self.update = self.trade = self.first = -1
        self.bid = self.ask = (-1, -1)


class Binance(Feed[str, _Data]):
    """The streams of some symbols, such as BTCUSDT.

    Args:
        feed: The feed's number in ticks.
        sink: Where ticks go.
        symbols: As the venue writes them.
        trades: ``trade`` for every match, ``aggTrade`` for a taker's matches at one price as one.
        first_epoch: See `Lane`.
        timing: See `Timing`.

    Raises:
        BadFeed: no symbol, one that is none, or another kind of trades.
    """

    name = "binance"

    def __init__(
        self,
        feed: int,
        sink: TickSink,
        symbols: Sequence[str],
        *,
        first_epoch: int,
        trades: str = "trade",
        timing: Timing | None = None,
    ) -> None:
        super().__init__(feed, sink, first_epoch=first_epoch, timing=timing)
        if trades not in _STREAMS:
            raise BadFeed("no such stream", expected=" or ".join(_STREAMS), actual=trades[:40])
        self._trades = trades
        self._symbols: dict[str, _Symbol] = {}
        for symbol in symbols:
            if not (symbol.isascii() and symbol.isalnum() and len(symbol) <= 40):
                raise BadFeed("not a symbol", expected="such as BTCUSDT", actual=symbol[:40])
            upper = symbol.upper()
            self._symbols[upper] = _Symbol(sink.instrument(f"binance:{upper}"))
        if not self._symbols:
            raise BadFeed("a Binance feed needs symbols", expected="such as BTCUSDT")
        self._last: dict[int, dict[str, int]] = {}

    def _hello(self) -> Iterable[str]:
        streams = [
            f"{symbol.lower()}@{kind}"
            for symbol in self._symbols
            for kind in (self._trades, "bookTicker")
        ]
        asked = {"method": "SUBSCRIBE", "params": streams, "id": 1}
        yield msgspec.json.encode(asked).decode()

    def _forget(self, connection: int) -> None:
        self._last.pop(connection, None)

    def _unsettle(self) -> None:
        for symbol in self._symbols.values():
            symbol.bid = symbol.ask = (-1, -1)
            symbol.first = -1

    def _read(self, connection: int, message: str, received_ns: int) -> None:
        try:
            read = _READ.decode(message)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Refused(Reason.MALFORMED, "not a message of this venue", actual=error) from error
        data = read.data
        if data is None:
            if read.error is not None or read.code:
                words = "" if read.error is None else read.error.msg[:120]
                raise Refused(Reason.VENUE_ERROR, f"the venue refuses a request: {words}")
            if read.id is None:
                raise Refused(Reason.UNKNOWN_TYPE, "neither an event nor an answer")
            self._ready(connection, received_ns)
            return
        if data.e == "serverShutdown":
            self.endings.append((connection, "venue_shutdown"))
            return
        symbol = self._symbols.get(data.s)
        if symbol is None:
            raise Refused(Reason.NOT_ASKED_FOR, "an event of another symbol")
        if data.e == self._trades:
            self._read_trade(connection, data, received_ns)
        elif not data.e and data.u >= 0:
            self._ready(connection, received_ns)
            self._offer(connection, hash((data.s, "b", data.u)), data, received_ns)
        elif data.e:
            raise Refused(Reason.UNKNOWN_TYPE, f"an event of type {data.e[:40]}")
        else:
            raise Refused(Reason.MALFORMED, "an event without a type")

    def _read_trade(self, connection: int, data: _Data, received_ns: int) -> None:
        # Old servers fill `a` of a plain trade with an order's number.
        number = data.t if data.e == "trade" else data.a
        if not isinstance(number, int) or not 0 <= number <= _MAX_U64:
            raise Refused(Reason.MALFORMED, "a trade without a number")
        self._ready(connection, received_ns)
        last = self._last.setdefault(connection, {})
        before = last.get(data.s)
        if before is None or number > before:
            last[data.s] = number
            if before is not None and number > before + 1:
                self._skipped(connection, number - before - 1)
        self._offer(connection, hash((data.s, "t", number)), data, received_ns)

    def _take(self, event: _Data, connection: int, received_ns: int) -> None:
        try:
            if event.e:
                self._take_trade(event, received_ns)
            else:
                self._take_best(event, received_ns)
        except Refused as refusal:
            self.refused(connection, refusal.reason, received_ns, refusal)

    def _take_trade(self, event: _Data, received_ns: int) -> None:
        if event.m is None or not 0 <= event.T <= _MAX_MILLIS:
            raise Refused(Reason.MALFORMED, "a trade without side or time")
        venue_ns = event.T * 1_000_000
        number = event.t if event.e == "trade" else int(event.a)
        price, size = fixed8(event.p), fixed8(event.q)
        symbol = self._symbols[event.s]
        if number < symbol.first:  # of before the epoch, which began for what is missing there
            self.counters.stale += 1
            return
        if symbol.first < 0:
            symbol.first = number
        symbol.trade = self._count_lost(symbol.trade, number)
        self.skew.note(received_ns, venue_ns)
        self.lane.emit(
            TRADE,
            SELL if event.m else BUY,  # who made the market did not take it
            LAST,
            symbol.instrument,
            price,
            size,
            received_ns,
            venue_ns,
            number,
        )

    def _take_best(self, event: _Data, received_ns: int) -> None:
        symbol = self._symbols[event.s]
        if event.u <= symbol.update:
            self.counters.stale += 1
            return
        if not isinstance(event.b, str) or not isinstance(event.a, str):
            raise Refused(Reason.MALFORMED, "best prices are texts")
        bid, ask = (fixed8(event.b), fixed8(event.B)), (fixed8(event.a), fixed8(event.A))
        symbol.update = event.u
        number = event.u & _MAX_U64
        emit, instrument = self.lane.emit, symbol.instrument
        asks = ask != symbol.ask
        if bid != symbol.bid:
            flags = 0 if asks else LAST
            emit(BID_BEST, BUY, flags, instrument, *bid, received_ns, 0, number)
        if asks:
            emit(ASK_BEST, SELL, LAST, instrument, *ask, received_ns, 0, number)
        symbol.bid, symbol.ask = bid, ask
