"""A venue like Coinbase's market data: channels in numbered envelopes, books, trades,
heartbeats."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from strongroom_host.feed_venues.server import FeedVenue, Link

__all__ = ["CoinbaseVenue", "Match"]

_START: Final = 60_000_00


@dataclass(frozen=True, slots=True)
class Match:
    """One trade as it happened; price in hundredths, size in 1e-8, `maker_buys` the maker's
    side."""

    product: str
    number: int
    price: int
    size: int
    maker_buys: bool


class _Request(msgspec.Struct):
    type: str = ""
    product_ids: list[str] = []
    channel: str = ""


class CoinbaseVenue(FeedVenue):
    """Trades and books follow a seeded random walk; `trade` and `change` make things happen.

    Args:
        products: What is traded.
        seed: Of the walk.
        every_s: Seconds between trades made by itself; 0 for none.
        beats_s: Seconds between heartbeats; 0 for none.
        context: The server's TLS; None for plain text.
    """

    def __init__(
        self,
        products: tuple[str, ...] = ("BTC-USD",),
        *,
        seed: int = 1,
        every_s: float = 0.0,
        beats_s: float = 1.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(context)
        self._products, self._every_s, self._beats_s = products, every_s, beats_s
        self._chance = random.Random(seed)  # noqa: S311  # a walk to be repeated, no secret
        self._prices = dict.fromkeys(products, _START)
        self._number = 7000
        self._channels: dict[Link, set[tuple[str, str]]] = {}
        self._sequences: dict[Link, int] = {}
        self._beat = 0
        self.truth: list[Match] = []
        self.books: dict[str, dict[tuple[str, int], int]] = {
            product: {
                (side, _START + sign * step * 100): 100_000_000 * step
                for step in range(1, 6)
                for side, sign in (("bid", -1), ("offer", 1))
            }
            for product in products
        }

    def heard(self, link: Link, text: str) -> None:
        """Subscribe or unsubscribe, or say what is wrong."""
        try:
            asked = msgspec.json.decode(text, type=_Request)
        except msgspec.MsgspecError:
            link.text('{"type":"error","message":"failure to decode"}')
            return
        products = [name for name in asked.product_ids if name in self.books]
        pairs = {(asked.channel, product) for product in products}
        mine = self._channels.setdefault(link, set())
        if asked.type == "unsubscribe":
            mine -= pairs
            return
        mine |= pairs
        if asked.channel == "level2":
            for product in products:
                self._send(link, "l2_data", [self._picture(product)])
        elif asked.channel == "market_trades":
            self._send(link, "market_trades", [{"type": "snapshot", "trades": []}])
        self._send(link, "subscriptions", [{"subscriptions": {asked.channel: products}}])

    def trade(self, product: str | None = None) -> Match:
        """Make a trade happen and tell the links."""
        product = product or self._chance.choice(self._products)
        price = self._prices[product] + self._chance.randint(-50, 50)
        self._prices[product] = max(1, price)
        self._number += 1
        made = Match(
            product,
            self._number,
            self._prices[product],
            self._chance.randint(1, 10**9),
            self._chance.random() < 0.5,
        )
        self.truth.append(made)
        trade = {
            "trade_id": str(made.number),
            "product_id": product,
            "price": _price(made.price),
            "size": _size(made.size),
            "side": "BUY" if made.maker_buys else "SELL",
            "time": _now(),
        }
        self._tell("market_trades", product, {"type": "update", "trades": [trade]}, "market_trades")
        ticker = {
            "type": "ticker",
            "product_id": product,
            "price": _price(made.price),
            "best_bid": _price(made.price - 1),
            "best_bid_quantity": "0.5",
            "best_ask": _price(made.price + 1),
            "best_ask_quantity": "0.25",
        }
        self._tell("ticker", product, {"type": "update", "tickers": [ticker]}, "ticker")
        return made

    def change(self, product: str | None = None) -> tuple[str, str, int, int]:
        """Change one level of a book and tell the links; product, side, price and new size."""
        product = product or self._chance.choice(self._products)
        side = self._chance.choice(("bid", "offer"))
        step = self._chance.randint(1, 9)
        price = _START + (-step if side == "bid" else step) * 100
        size = self._chance.choice((0, self._chance.randint(1, 10**9)))
        book = self.books[product]
        if size:
            book[side, price] = size
        else:
            book.pop((side, price), None)
        update = {
            "side": side,
            "event_time": _now(),
            "price_level": _price(price),
            "new_quantity": _size(size),
        }
        event = {"type": "update", "product_id": product, "updates": [update]}
        self._tell("level2", product, event, "l2_data")
        return product, side, price, size

    async def beside(self) -> None:
        """Beat, and trade by itself."""
        tasks = [asyncio.create_task(self._beats())] if self._beats_s else []
        try:
            while True:
                await asyncio.sleep(self._every_s or 3600)
                self.trade()
                self.change()
        finally:
            for task in tasks:
                task.cancel()

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(self._beats_s)
            self._beat += 1
            event = {"current_time": _now(), "heartbeat_counter": str(self._beat)}
            for link in list(self.links):
                if any(channel == "heartbeats" for channel, _ in self._channels.get(link, ())):
                    self._send(link, "heartbeats", [event])

    def _picture(self, product: str) -> dict[str, object]:
        updates = [
            {
                "side": side,
                "event_time": "1970-01-01T00:00:00Z",
                "price_level": _price(price),
                "new_quantity": _size(size),
            }
            for (side, price), size in self.books[product].items()
        ]
        return {"type": "snapshot", "product_id": product, "updates": updates}

    def _tell(self, channel: str, product: str, event: Mapping[str, object], shown: str) -> None:
        for link in list(self.links):
            if (channel, product) in self._channels.get(link, ()):
                self._send(link, shown, [event])

    def _send(self, link: Link, channel: str, events: Sequence[Mapping[str, object]]) -> None:
        number = self._sequences.get(link, 0)
        self._sequences[link] = number + 1
        message = {
            "channel": channel,
            "client_id": "",
            "timestamp": _now(),
            "sequence_num": number,
            "events": events,
        }
        link.text(msgspec.json.encode(message).decode())


def _price(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _size(units: int) -> str:
    return f"{units // 10**8}.{units % 10**8:08d}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
