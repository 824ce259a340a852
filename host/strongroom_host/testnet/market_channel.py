"""The market channel: books, changes and trades to whoever subscribed, as the real venue has it.

Sans-I/O: a `Session` hears texts and has a way to send texts. Each change of a book is one
``price_change`` per market, whose entries carry the hash that the book has after the whole message;
a trade is a ``last_trade_price`` before it and a whole ``book`` after it, as the venue documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.markets import Market
from strongroom_host.testnet.orders import Side
from strongroom_host.testnet.records import Trade
from strongroom_host.testnet.units import base_text, price_text
from strongroom_host.testnet.views import Json, book_view

__all__ = ["MarketChannel", "Session"]

_MAX_TOKENS: Final = 500

Send = Callable[[str], None]


class _Request(msgspec.Struct):
    assets_ids: list[str] = []
    type: str = ""
    operation: str = ""
    custom_feature_enabled: bool = False
    initial_dump: bool = True


class Session:
    """One client: what it asked for, and how to reach it."""

    def __init__(self, channel: MarketChannel, send: Send) -> None:
        self._channel, self.send = channel, send
        self.tokens: set[int] = set()
        self.custom = False

    def heard(self, text: str) -> None:
        """A text of the client: PING, or a subscription. What is neither is answered so."""
        if text == "PING":
            self.send("PONG")
            return
        try:
            asked = msgspec.json.decode(text, type=_Request)
            tokens = [int(token) for token in asked.assets_ids if len(token) <= 78]
        except (msgspec.MsgspecError, ValueError):
            self.send('{"error":"INVALID OPERATION"}')
            return
        known = [token for token in tokens if token in self._channel.clob.markets]
        if asked.operation == "unsubscribe":
            self.tokens.difference_update(known)
            return
        if asked.operation not in ("", "subscribe") or len(known) > _MAX_TOKENS:
            self.send('{"error":"INVALID OPERATION"}')
            return
        self.custom = asked.custom_feature_enabled
        fresh = [token for token in dict.fromkeys(known) if token not in self.tokens]
        self.tokens.update(fresh)
        if asked.initial_dump and fresh:
            now_ms = self._channel.clob.now_ms
            self.send(_text([self._channel.book(token, now_ms) for token in fresh]))

    def close(self) -> None:
        """The client is gone."""
        self._channel.sessions.discard(self)


class MarketChannel:
    """Every session's news of one `Clob`."""

    def __init__(self, clob: Clob) -> None:
        self.clob = clob
        self.sessions: set[Session] = set()
        self._told = len(clob.trades)
        self._last = {trade.taker.order.token_id: trade.price for trade in clob.trades}
        self._bests: dict[int, tuple[str, str]] = {}
        for book in clob.books.values():
            book.touched.clear()
        clob.on_change = self.changed

    def attach(self, send: Send) -> Session:
        """A new client, reached by `send`."""
        session = Session(self, send)
        self.sessions.add(session)
        return session

    def book(self, token: int, now_ms: int) -> Json:
        """The ``book`` message of a token."""
        view = book_view(
            self.clob.markets[token],
            token,
            self.clob.books[token],
            self._last.get(token),
            now_ms,
        )
        return {"event_type": "book", **view}

    def changed(self) -> None:
        """Tell the sessions what happened since they were told last."""
        now_ms = self.clob.now_ms
        trades = self.clob.trades[self._told :]
        self._told = len(self.clob.trades)
        traded = {}
        for trade in trades:
            token = trade.taker.order.token_id
            self._last[token] = traded[token] = trade.price
            self._tell({token}, _trade_text(trade, now_ms))
        for market in self.clob.config.markets:
            self._tell_changes(market, now_ms)
        for token in traded:
            if any(token in session.tokens for session in self.sessions):
                self._tell({token}, _text(self.book(token, now_ms)))

    def _tell_changes(self, market: Market, now_ms: int) -> None:
        entries: list[Json] = []
        now = str(now_ms)
        moved = []
        heard = any(not session.tokens.isdisjoint(market.tokens) for session in self.sessions)
        for token in market.tokens:
            book = self.clob.books[token]
            touched, book.touched = book.touched, set()
            if not touched or not heard:
                continue
            bests = self._quotes(token)
            said = {
                "best_bid": bests[0],
                "best_ask": bests[1],
                "hash": self.book(token, now_ms)["hash"],
            }
            entries += [
                {
                    "asset_id": str(token),
                    "price": price_text(price),
                    "size": base_text(book.resting(side, price)),
                    "side": side.name,
                    **said,
                }
                for side, price in sorted(touched, key=lambda item: (item[0].name, item[1]))
            ]
            if self._bests.get(token) != bests:
                self._bests[token] = bests
                moved.append((token, bests))
        if entries:
            body = {
                "event_type": "price_change",
                "market": market.condition_id,
                "price_changes": entries,
                "timestamp": now,
            }
            self._tell(set(market.tokens), _text(body))
        for token, (bid, ask) in moved:
            body = {
                "event_type": "best_bid_ask",
                "market": market.condition_id,
                "asset_id": str(token),
                "best_bid": bid,
                "best_ask": ask,
                "spread": _spread(self.clob, token),
                "timestamp": now,
            }
            self._tell({token}, _text(body), custom=True)

    def _tell(self, tokens: set[int], text: str, *, custom: bool = False) -> None:
        for session in list(self.sessions):
            if session.tokens & tokens and (session.custom or not custom):
                session.send(text)

    def _quotes(self, token: int) -> tuple[str, str]:
        book = self.clob.books[token]
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        return price_text(bid or 0), price_text(10_000 if ask is None else ask)


def _trade_text(trade: Trade, now_ms: int) -> str:
    return _text(
        {
            "event_type": "last_trade_price",
            "asset_id": str(trade.taker.order.token_id),
            "market": trade.taker.market.condition_id,
            "price": price_text(trade.price),
            "size": base_text(trade.shares),
            "side": trade.taker.order.side.name,
            "fee_rate_bps": "0",
            "transaction_hash": trade.transaction_hash,
            "timestamp": str(now_ms),
        }
    )


def _spread(clob: Clob, token: int) -> str:
    book = clob.books[token]
    bid, ask = book.best(Side.BUY), book.best(Side.SELL)
    return price_text((10_000 if ask is None else ask) - (bid or 0))


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
