"""Endpoints without authentication: time, version, books, prices, market facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.endpoints import Call, Handler, json_response, route
from strongroom_host.testnet.errors import ApiError, NotFound, UnknownToken
from strongroom_host.testnet.orders import Side
from strongroom_host.testnet.units import fixed_text, price_text
from strongroom_host.testnet.views import (
    Json,
    book_view,
    clob_market_view,
    market_view,
    page,
)

__all__ = ["PublicApi"]

_MAX_TOKENS: Final = 500


class _TokenRequest(msgspec.Struct):
    token_id: str
    side: str = ""


class PublicApi:
    """What anybody may ask. Prices are decimal strings; a missing quote reads as "0"."""

    def __init__(self, clob: Clob) -> None:
        self._clob = clob

    def routes(self) -> list[Route]:
        """The routes of this group."""
        gets: dict[str, Handler] = {
            "/": self._ok,
            "/ok": self._ok,
            "/time": self._time,
            "/version": self._version,
            "/tick-size": self._tick_size,
            "/neg-risk": self._neg_risk,
            "/fee-rate": self._fee_rate,
            "/markets": self._markets,
            "/markets/{condition}": self._market,
            "/clob-markets/{condition}": self._clob_market,
            "/markets-by-token/{token}": self._by_token,
            "/fees/builder-fees/{code}": self._builder_fees,
            "/book": self._single(self._book),
            "/price": self._single(lambda item: {"price": self._price(item)}),
            "/midpoint": self._single(lambda item: {"mid": self._midpoint(item)}),
            "/spread": self._single(lambda item: {"spread": self._spread(item)}),
            "/last-trade-price": self._single(self._last_trade),
        }
        posts: dict[str, Handler] = {
            "/books": self._listed(self._book),
            "/prices": self._prices,
            "/midpoints": self._keyed(self._midpoint),
            "/spreads": self._keyed(self._spread),
            "/last-trades-prices": self._listed(
                lambda item: {"token_id": item.token_id, **self._last_trade(item)}
            ),
        }
        return [
            *(route(self._clob, "GET", path, handler) for path, handler in gets.items()),
            *(route(self._clob, "POST", path, handler) for path, handler in posts.items()),
        ]

    async def _ok(self, _call: Call) -> Response:
        return json_response("OK")

    async def _time(self, _call: Call) -> Response:
        return json_response(self._clob.now_s)

    async def _version(self, _call: Call) -> Response:
        return json_response({"version": 2})

    # --- per token ----------------------------------------------------------------------------

    def _token(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 78):
            raise ApiError("Invalid token id", actual=text)
        if int(text) not in self._clob.markets:
            raise UnknownToken(text)
        return int(text)

    def _single(self, view: Callable[[_TokenRequest], Json]) -> Handler:
        async def handler(call: Call) -> Response:
            item = _TokenRequest(call.query.get("token_id", ""), call.query.get("side", ""))
            return json_response(view(item))

        return handler

    def _items(self, call: Call) -> list[_TokenRequest]:
        try:
            items = msgspec.json.decode(call.body, type=list[_TokenRequest])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ApiError("Invalid payload", actual=str(error)) from error
        if len(items) > _MAX_TOKENS:
            raise ApiError("Payload exceeds the limit", expected=_MAX_TOKENS, actual=len(items))
        return items

    def _listed(self, view: Callable[[_TokenRequest], Json]) -> Handler:
        async def handler(call: Call) -> Response:
            return json_response([view(item) for item in self._items(call)])

        return handler

    def _keyed(self, value: Callable[[_TokenRequest], str]) -> Handler:
        async def handler(call: Call) -> Response:
            return json_response({item.token_id: value(item) for item in self._items(call)})

        return handler

    def _book(self, item: _TokenRequest) -> Json:
        token = self._token(item.token_id)
        return book_view(
            self._clob.markets[token],
            token,
            self._clob.books[token],
            self._last_price(token),
            self._clob.now_ms,
        )

    def _last_price(self, token: int) -> int | None:
        for trade in reversed(self._clob.trades):
            if trade.taker.order.token_id == token:
                return trade.price
        return None

    def _price(self, item: _TokenRequest) -> str:
        """The best price resting on `side`: what a taker of the other side would get."""
        token = self._token(item.token_id)
        if item.side not in ("BUY", "SELL"):
            raise ApiError("Invalid side", expected="BUY or SELL", actual=item.side)
        return price_text(self._clob.books[token].best(Side[item.side]) or 0)

    def _quotes(self, item: _TokenRequest) -> tuple[int, int]:
        book = self._clob.books[self._token(item.token_id)]
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        if bid is None or ask is None:
            raise UnknownToken(item.token_id)
        return bid, ask

    def _midpoint(self, item: _TokenRequest) -> str:
        # Half of a sum of price units has one decimal place more than a price.
        return fixed_text(sum(self._quotes(item)) * 5, 5)

    def _spread(self, item: _TokenRequest) -> str:
        bid, ask = self._quotes(item)
        return price_text(ask - bid)

    def _last_trade(self, item: _TokenRequest) -> Json:
        token = self._token(item.token_id)
        for trade in reversed(self._clob.trades):
            if trade.taker.order.token_id == token:
                return {"price": price_text(trade.price), "side": trade.taker.order.side.name}
        return {"price": "0.5", "side": ""}

    async def _prices(self, call: Call) -> Response:
        found: dict[str, dict[str, str]] = {}
        for item in self._items(call):
            found.setdefault(item.token_id, {})[item.side] = self._price(item)
        return json_response(found)

    async def _tick_size(self, call: Call) -> Response:
        market = self._clob.markets[self._token(call.query.get("token_id", ""))]
        # A JSON number, written from its decimal text: no float is involved.
        return json_response({"minimum_tick_size": msgspec.Raw(market.tick_size.encode())})

    async def _neg_risk(self, call: Call) -> Response:
        market = self._clob.markets[self._token(call.query.get("token_id", ""))]
        return json_response({"neg_risk": market.neg_risk})

    async def _fee_rate(self, call: Call) -> Response:
        self._token(call.query.get("token_id", ""))
        return json_response({"base_fee": 0})

    # --- markets ------------------------------------------------------------------------------

    async def _markets(self, call: Call) -> Response:
        views = [market_view(item, self._clob.contracts) for item in self._clob.config.markets]
        return json_response(page(views, call.query.get("next_cursor", "")))

    async def _market(self, call: Call) -> Response:
        for market in self._clob.config.markets:
            if market.condition_id == call.parameters["condition"]:
                return json_response(market_view(market, self._clob.contracts))
        raise NotFound("market not found")

    async def _clob_market(self, call: Call) -> Response:
        for market in self._clob.config.markets:
            if market.condition_id == call.parameters["condition"]:
                return json_response(clob_market_view(market))
        raise NotFound("market not found")

    async def _by_token(self, call: Call) -> Response:
        market = self._clob.markets[self._token(call.parameters["token"])]
        first, second = (str(token) for token in market.tokens)
        return json_response(
            {
                "condition_id": market.condition_id,
                "primary_token_id": first,
                "secondary_token_id": second,
            }
        )

    async def _builder_fees(self, call: Call) -> Response:
        raise NotFound("builder not found", actual=call.parameters["code"])
