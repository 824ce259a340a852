"""A spot venue like Binance: numbered trades and best prices of a few symbols, one truth for all
links."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from strongroom_host.feed_venues.server import FeedVenue, Link

__all__ = ["BinanceVenue", "SpotTrade"]

_START: Final = 60_000_00
"""A first price, in hundredths."""


@dataclass(frozen=True, slots=True)
class SpotTrade:
    """One trade as it happened; price in hundredths, size in 1e-5."""

    symbol: str
    number: int
    price: int
    size: int
    buyer_made: bool


class _Request(msgspec.Struct):
    method: str = ""
    params: list[str] = []
    id: int | None = None


class BinanceVenue(FeedVenue):
    """Trades follow a seeded random walk; `trade` makes one happen.

    Args:
        symbols: What is traded.
        seed: Of the walk.
        every_s: Seconds between trades made by itself; 0 for none.
        context: The server's TLS; None for plain text.
    """

    path = "/stream"

    def __init__(
        self,
        symbols: tuple[str, ...] = ("BTCUSDT",),
        *,
        seed: int = 1,
        every_s: float = 0.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(context)
        self._symbols, self._every_s = symbols, every_s
        self._chance = random.Random(seed)  # noqa: S311  # a walk to be repeated, no secret
        self._prices = dict.fromkeys(symbols, _START)
        self._numbers = dict.fromkeys(symbols, 1000)
        self._update = 5000
        self._streams: dict[Link, set[str]] = {}
        self.truth: list[SpotTrade] = []

    def heard(self, link: Link, text: str) -> None:
        """Subscribe, or say what is wrong."""
        try:
            asked = msgspec.json.decode(text, type=_Request)
        except msgspec.MsgspecError:
            link.text('{"error":{"code":3,"msg":"Invalid JSON"},"id":null}')
            return
        if asked.method != "SUBSCRIBE":
            link.text(_text({"error": {"code": 2, "msg": "Invalid request"}, "id": asked.id}))
            return
        self._streams.setdefault(link, set()).update(asked.params)
        link.text(_text({"result": None, "id": asked.id}))

    def trade(self, symbol: str | None = None, *, lost: bool = False) -> SpotTrade:
        """Make a trade happen and tell the links, unless the venue itself loses it."""
        symbol = symbol or self._chance.choice(self._symbols)
        price = self._prices[symbol] = max(1, self._prices[symbol] + self._chance.randint(-50, 50))
        number = self._numbers[symbol] = self._numbers[symbol] + 1
        made = SpotTrade(
            symbol, number, price, self._chance.randint(1, 500_000), self._chance.random() < 0.5
        )
        self.truth.append(made)
        if lost:
            return made
        now_ms = time.time_ns() // 1_000_000
        size = f"{made.size // 100_000}.{made.size % 100_000:05d}000"
        trade = {
            "e": "trade",
            "E": now_ms,
            "s": symbol,
            "t": number,
            "p": _price(price),
            "q": size,
            "T": now_ms,
            "m": made.buyer_made,
            "M": True,
        }
        self._tell(f"{symbol.lower()}@trade", trade)
        self._update += self._chance.randint(1, 5)
        best = {
            "u": self._update,
            "s": symbol,
            "b": _price(price - 1),
            "B": "1.50000000",
            "a": _price(price + 1),
            "A": "2.25000000",
        }
        self._tell(f"{symbol.lower()}@bookTicker", best)
        return made

    def shutdown_soon(self) -> None:
        """Announce the end of every connection."""
        for link in list(self.links):
            event = {"e": "serverShutdown", "E": time.time_ns() // 1_000_000}
            link.text(_text({"stream": "", "data": event}))

    async def beside(self) -> None:
        """Trade by itself."""
        while self._every_s:
            await asyncio.sleep(self._every_s)
            self.trade()

    def _tell(self, stream: str, data: dict[str, object]) -> None:
        text = _text({"stream": stream, "data": data})
        for link in list(self.links):
            if stream in self._streams.get(link, ()):
                link.text(text)


def _price(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}000000"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
