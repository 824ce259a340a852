"""The JSON that the API shows: numbers as decimal strings, as the real venue writes them."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

import msgspec

from strongroom_host.testnet.book import Book
from strongroom_host.testnet.contracts import Deployment
from strongroom_host.testnet.errors import ApiError
from strongroom_host.testnet.markets import Market
from strongroom_host.testnet.orders import Side
from strongroom_host.testnet.records import OrderStatus, Placement, StoredOrder, Trade
from strongroom_host.testnet.units import base_text, price_text

__all__ = [
    "Json",
    "book_view",
    "clob_market_view",
    "market_view",
    "open_order_view",
    "page",
    "placement_view",
    "refusal_view",
    "trade_view",
]

Json = dict[str, object]

END_CURSOR: Final = base64.b64encode(b"-1").decode()
PAGE: Final = 100


def page(items: list[Json], cursor: str) -> Json:
    """One page of `items` from `cursor` (base64 of a decimal offset; empty is the start).

    Raises:
        ApiError: the cursor is none that this server hands out.
    """
    try:
        start = int(base64.b64decode(cursor, validate=True)) if cursor else 0
    except ValueError as error:
        raise ApiError("invalid next_cursor", actual=cursor) from error
    if start < 0:
        raise ApiError("invalid next_cursor", actual=cursor)
    end = start + PAGE
    more = end < len(items)
    return {
        "data": items[start:end],
        "next_cursor": base64.b64encode(str(end).encode()).decode() if more else END_CURSOR,
        "limit": PAGE,
        "count": len(items[start:end]),
    }


def placement_view(placement: Placement) -> Json:
    """The answer to an order that was taken in; a resting one shows empty amounts."""
    matched = placement.status is OrderStatus.MATCHED
    body: Json = {
        "errorMsg": "",
        "orderID": "0x" + placement.order_id.hex(),
        "takingAmount": base_text(placement.taking) if matched else "",
        "makingAmount": base_text(placement.making) if matched else "",
        "status": "matched" if matched else "live",
        "success": True,
    }
    if matched:
        body["tradeIDs"] = [trade.trade_id for trade in placement.trades]
        body["transactionsHashes"] = [trade.transaction_hash for trade in placement.trades]
    return body


def refusal_view(error: ApiError) -> Json:
    """A refused order inside the array that answers a batch."""
    return {
        "errorMsg": error.what,
        "orderID": "",
        "takingAmount": "",
        "makingAmount": "",
        "status": "",
        "success": False,
    }


def open_order_view(stored: StoredOrder) -> Json:
    """An order as ``/data/order`` and ``/data/orders`` show it."""
    return {
        "id": "0x" + stored.order_id.hex(),
        "status": stored.status.value,
        "owner": stored.owner,
        "maker_address": stored.order.maker,
        "market": stored.market.condition_id,
        "asset_id": str(stored.order.token_id),
        "side": stored.order.side.name,
        "original_size": base_text(stored.terms.shares),
        "size_matched": base_text(stored.matched),
        "price": price_text(stored.terms.price),
        "outcome": stored.market.outcome_of(stored.order.token_id),
        "expiration": str(stored.expiration_s),
        "order_type": stored.order_type.value,
        "associate_trades": list(stored.trades),
        "created_at": stored.created_s,
    }


def trade_view(trade: Trade, *, as_taker: bool) -> Json:
    """A trade as ``/data/trades`` shows it to one of its two sides."""
    own = trade.taker if as_taker else trade.maker
    maker = trade.maker
    token = str(maker.order.token_id)
    return {
        "id": trade.trade_id,
        "taker_order_id": "0x" + trade.taker.order_id.hex(),
        "market": maker.market.condition_id,
        "asset_id": token,
        "side": trade.taker.order.side.name,
        "size": base_text(trade.shares),
        "fee_rate_bps": "0",
        "price": price_text(trade.price),
        "status": "CONFIRMED",
        "match_time": str(trade.matched_s),
        "last_update": str(trade.matched_s),
        "outcome": maker.market.outcome_of(maker.order.token_id),
        "bucket_index": 0,
        "owner": own.owner,
        "maker_address": own.order.maker,
        "transaction_hash": trade.transaction_hash,
        "trader_side": "TAKER" if as_taker else "MAKER",
        "maker_orders": [
            {
                "order_id": "0x" + maker.order_id.hex(),
                "owner": maker.owner,
                "maker_address": maker.order.maker,
                "matched_amount": base_text(trade.shares),
                "price": price_text(trade.price),
                "fee_rate_bps": "0",
                "asset_id": token,
                "outcome": maker.market.outcome_of(maker.order.token_id),
                "side": maker.order.side.name,
            }
        ],
    }


def book_view(market: Market, token: int, book: Book, last_price: int | None, now_ms: int) -> Json:
    """An order book summary: bids rise and asks fall towards the best, which comes last.

    `hash` is the SHA-1 of the compact JSON with an empty hash, in the client's key order.
    """
    bids, asks = (
        [
            {"price": price_text(price), "size": base_text(shares)}
            for price, shares in reversed(book.levels(side))
        ]
        for side in (Side.BUY, Side.SELL)
    )
    body: Json = {
        "market": market.condition_id,
        "asset_id": str(token),
        "timestamp": str(now_ms),
        "hash": "",
        "bids": bids,
        "asks": asks,
        "min_order_size": base_text(market.min_shares),
        "tick_size": market.tick_size,
        "neg_risk": market.neg_risk,
        "last_trade_price": "" if last_price is None else price_text(last_price),
    }
    body["hash"] = hashlib.sha1(msgspec.json.encode(body), usedforsecurity=False).hexdigest()
    return body


def clob_market_view(market: Market) -> Json:
    """A market in the short form of ``/clob-markets``; tick and minimum are JSON numbers."""
    return {
        "c": market.condition_id,
        "t": [
            {"t": str(token), "o": outcome}
            for token, outcome in zip(market.tokens, market.outcomes, strict=True)
        ],
        "mts": msgspec.Raw(market.tick_size.encode()),
        "mos": msgspec.Raw(base_text(market.min_shares).encode()),
        "nr": market.neg_risk,
        "mbf": 0,
        "tbf": 0,
        "fd": {"r": 0, "e": 0, "to": True},
        "ao": True,
    }


def market_view(market: Market, contracts: Deployment) -> Json:
    """A market in the long form of ``/markets``, with the exchange that settles it."""
    exchange = contracts.exchange_for(market.tokens[0], neg_risk=market.neg_risk)
    return {
        "condition_id": market.condition_id,
        "tokens": [
            {"token_id": str(token), "outcome": outcome}
            for token, outcome in zip(market.tokens, market.outcomes, strict=True)
        ],
        "minimum_tick_size": msgspec.Raw(market.tick_size.encode()),
        "minimum_order_size": msgspec.Raw(base_text(market.min_shares).encode()),
        "neg_risk": market.neg_risk,
        "active": True,
        "closed": False,
        "accepting_orders": True,
        "exchange": exchange.contract,
        "exchange_version": exchange.version,
    }
