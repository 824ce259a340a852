"""The messages of Polymarket's market channel, as its server writes them: every number is a
text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

__all__ = [
    "BestBidAsk",
    "Book",
    "Change",
    "Event",
    "LastTrade",
    "Level",
    "MarketResolved",
    "NewMarket",
    "PriceChange",
    "TickSizeChange",
    "Typed",
    "book_hash",
    "read_events",
]


class Level(msgspec.Struct, gc=False):
    """A price level; size 0 in a change removes it."""

    price: str
    size: str


class Book(msgspec.Struct, tag_field="event_type", tag="book"):
    """A whole book. The fields after `hash` come with some messages and are empty in others."""

    asset_id: str
    market: str
    bids: list[Level]
    asks: list[Level]
    timestamp: str = ""
    hash: str = ""
    min_order_size: str | None = None
    tick_size: str | None = None
    neg_risk: bool | None = None
    last_trade_price: str | None = None


class Change(msgspec.Struct, gc=False):
    """One level's new size."""

    asset_id: str
    price: str
    size: str
    side: str
    hash: str = ""
    best_bid: str = ""
    best_ask: str = ""


class PriceChange(msgspec.Struct, tag_field="event_type", tag="price_change"):
    """Levels that changed, perhaps of both tokens of a market."""

    market: str
    price_changes: list[Change]
    timestamp: str = ""


class LastTrade(msgspec.Struct, tag_field="event_type", tag="last_trade_price", gc=False):
    """A trade; `side` is the taker's."""

    asset_id: str
    price: str
    side: str
    size: str = "0"
    market: str = ""
    transaction_hash: str = ""
    timestamp: str = ""


class TickSizeChange(msgspec.Struct, tag_field="event_type", tag="tick_size_change", gc=False):
    """The market's price step changed, as it does near 0 and 1."""

    asset_id: str
    new_tick_size: str
    market: str = ""
    timestamp: str = ""


class BestBidAsk(msgspec.Struct, tag_field="event_type", tag="best_bid_ask", gc=False):
    """Best prices; either may be empty or null where that side is."""

    asset_id: str
    best_bid: str | None = None
    best_ask: str | None = None
    market: str = ""
    timestamp: str = ""


class NewMarket(msgspec.Struct, tag_field="event_type", tag="new_market"):
    """A market was opened; of all markets, not only of those asked for."""

    market: str = ""


class MarketResolved(msgspec.Struct, tag_field="event_type", tag="market_resolved"):
    """A market is decided; its tokens pay 1 or 0 from here on."""

    market: str = ""
    assets_ids: list[str] = []
    asset_ids: list[str] = []
    winning_asset_id: str = ""
    timestamp: str = ""


Event = Book | PriceChange | LastTrade | TickSizeChange | BestBidAsk | NewMarket | MarketResolved


class Typed(msgspec.Struct):
    """Of a message that is not understood, what it calls itself."""

    event_type: str = ""
    type: str = ""
    message: str = ""
    error: str = ""


_EVENTS: Final = msgspec.json.Decoder(list[Event] | Event)


def read_events(message: str) -> Sequence[Event]:
    """The events of a message, which is one object or an array of them.

    Raises:
        msgspec.MsgspecError: some part of it is no event known here.
    """
    read: list[Event] | Event = _EVENTS.decode(message)
    return read if isinstance(read, list) else (read,)


class _Hashed(msgspec.Struct):
    """What the server hashes, in its order of keys, with an empty hash."""

    market: str
    asset_id: str
    timestamp: str
    hash: str
    bids: Sequence[Level]
    asks: Sequence[Level]
    min_order_size: str
    tick_size: str
    neg_risk: bool
    last_trade_price: str


def book_hash(
    market: str,
    asset_id: str,
    timestamp: str,
    bids: Sequence[Level],
    asks: Sequence[Level],
    *,
    min_order_size: str,
    tick_size: str,
    neg_risk: bool,
    last_trade_price: str,
) -> str:
    """The venue's own hash of a book: SHA-1 of its compact JSON, in lower-case hexadecimal.

    Levels in the order in which the venue lists them: both sides towards the best, which is last.
    """
    body = _Hashed(
        market,
        asset_id,
        timestamp,
        "",
        bids,
        asks,
        min_order_size,
        tick_size,
        neg_risk,
        last_trade_price,
    )
    return hashlib.sha1(msgspec.json.encode(body), usedforsecurity=False).hexdigest()
