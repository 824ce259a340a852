"""MEXC's contract API: api.mexc.com under /api/v1.

Deals and funding come page by page, at most 100 to a page. Amounts are JSON numbers and count
contracts, and there are four sides: 1 open long, 2 close short, 3 open short, 4 close long.
Refusals come with status 200.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Position
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Instrument, Kind
from strongroom_host.venues.venue import Call, Event, Handler, decimals, integer, text
from strongroom_host.venues.world import Account, World

__all__ = ["MexcContracts", "fits"]

_DAY_MS: Final = 24 * HOUR_MS
_CONTRACT_SPANS: Final = {
    "Min1": MINUTE_MS,
    "Min5": 5 * MINUTE_MS,
    "Min15": 15 * MINUTE_MS,
    "Min60": HOUR_MS,
    "Hour4": 4 * HOUR_MS,
    "Day1": _DAY_MS,
}


def _refused(code: int, message: str) -> Refused:
    # The contract API refuses with status 200.
    body = {"success": False, "code": code, "message": message}
    return Refused(message, body=body, status=200)


def _raw(number: Decimal) -> msgspec.Raw:
    """A number as JSON has it: not quoted, every digit."""
    return msgspec.Raw(text(number).encode())


def fits(account: Account, payload: str, signature: str) -> bool:
    """Whether the account's secret made this signature over the payload."""
    secret = account.credentials.secret.encode()
    right = hmac.new(secret, payload.encode("latin-1"), hashlib.sha256).hexdigest()
    return hmac.compare_digest(right, signature.lower())


class MexcContracts:
    """The contract account of a key."""

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._meter = Meter(20, 2_000, limits)
        self._linear = {
            f"{item.base}_{item.quote}": item
            for item in world.market.instruments.values()
            if item.kind is Kind.LINEAR
        }
        self._names = {item.symbol: name for name, item in self._linear.items()}

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            ("GET", "/api/v1/contract/ping", self._ping),
            ("GET", "/api/v1/contract/detail", self._detail),
            ("GET", "/api/v1/contract/kline/{symbol}", self._contract_kline),
            ("GET", "/api/v1/contract/kline/fair_price/{symbol}", self._contract_kline),
            ("GET", "/api/v1/private/account/assets", self._assets),
            ("GET", "/api/v1/private/order/list/order_deals", self._deals),
            ("GET", "/api/v1/private/position/funding_records", self._funding),
            ("GET", "/api/v1/private/position/open_positions", self._positions),
        ]

    def _signed(self, call: Call) -> tuple[Account, dict[str, str]]:
        """Whose call to the contract API it is, and its parameters.

        Raises:
            Refused: as above, in this API's words.
        """
        self._open(call)
        key, stamp = call.headers.get("ApiKey", ""), call.headers.get("Request-Time", "")
        account = self._world.account("mexc", key)
        if account is None:
            raise _refused(402, "API Key expired!")
        payload = key + stamp + call.query
        if not fits(account, payload, call.headers.get("Signature", "")):
            raise _refused(602, "Confirming signature failed!")
        if not stamp.isdigit() or abs(call.now_ms - int(stamp)) > 10_000:
            raise _refused(513, "Request-Time is invalid")
        return account, call.parameters

    def _open(self, call: Call) -> None:
        try:
            self._meter.take(f"{call.client} {call.path}", 1, call.now_ms)
        except Exhausted as exhausted:
            message = "Requests are too frequent, please try again later!"
            raise _refused(510, message) from exhausted

    def _ping(self, call: Call) -> object:
        self._open(call)
        return {"success": True, "code": 0, "data": call.now_ms}

    def _detail(self, call: Call) -> object:
        self._open(call)
        data = [
            {
                "symbol": name,
                "displayNameEn": f"{name} PERPETUAL",
                "baseCoin": instrument.base,
                "quoteCoin": instrument.quote,
                "settleCoin": instrument.settle,
                "contractSize": _raw(instrument.step),
                "minLeverage": 1,
                "maxLeverage": 125,
                "priceScale": decimals(instrument.tick),
                "volScale": 0,
                "priceUnit": _raw(instrument.tick),
                "volUnit": 1,
                "minVol": 1,
                "maxVol": 1_000_000,
                "takerFeeRate": 0.0005,
                "makerFeeRate": 0.0002,
                "state": 0,
                "apiAllowed": False,
            }
            for name, instrument in self._linear.items()
        ]
        return {"success": True, "code": 0, "data": data}

    def _contract_kline(self, call: Call) -> object:
        self._open(call)
        given = call.parameters
        instrument = self._contract(call.places["symbol"])
        span = _CONTRACT_SPANS.get(given.get("interval", "Min1"))
        if span is None:
            raise _refused(600, "Parameter error!")
        end = min(_number(given, "end", call.now_ms // 1_000) * 1_000, call.now_ms)
        start = _number(given, "start", 0) * 1_000 or (end // span - 1_999) * span
        candles = self._world.market.candles(instrument, start, end, span, 2_000)
        data = {
            "time": [c.start_ms // 1_000 for c in candles],
            "open": [_raw(c.open) for c in candles],
            "high": [_raw(c.high) for c in candles],
            "low": [_raw(c.low) for c in candles],
            "close": [_raw(c.close) for c in candles],
            "vol": [_raw(c.volume) for c in candles],
            "amount": [_raw(c.volume * c.close) for c in candles],
        }
        return {"success": True, "code": 0, "data": data}

    def _contract(self, name: str) -> Instrument:
        if name not in self._linear:
            raise _refused(1001, "Contract does not exist!")
        return self._linear[name]

    def _assets(self, call: Call) -> object:
        account, _ = self._signed(call)
        history, market = account.history, self._world.market
        gain: dict[str, Decimal] = {}
        for item, place in history.positions(call.now_ms).items():
            profit = place.gain(market.price(item, call.now_ms))
            gain[item.settle] = gain.get(item.settle, Decimal(0)) + profit
        held = history.balances("linear", call.now_ms)
        data = [
            {
                "currency": asset,
                "positionMargin": 0,
                "availableBalance": _raw(amount),
                "cashBalance": _raw(amount),
                "frozenBalance": 0,
                "equity": _raw(amount + gain.get(asset, Decimal(0))),
                "unrealized": _raw(gain.get(asset, Decimal(0))),
                "bonus": 0,
            }
            for asset, amount in sorted(held.items())
        ]
        return {"success": True, "code": 0, "data": data}

    def _deals(self, call: Call) -> object:
        account, given = self._signed(call)
        instrument = self._contract(given.get("symbol", ""))
        end = min(_number(given, "end_time", call.now_ms), call.now_ms)
        start = _number(given, "start_time", end - 7 * _DAY_MS)
        # Two whole numbers of ms apart by 90 days less one is what clients ask for.
        if _number(given, "end_time", end) - start > 90 * _DAY_MS:
            raise _refused(600, "Parameter error!")
        start = max(start, call.now_ms - 90 * _DAY_MS)
        sides = _sides(account.history.trades(0, end, symbol=instrument.symbol))
        found = account.history.trades(start, end, symbol=instrument.symbol)[::-1]
        page = self._page(given, found)
        data = [
            {
                "id": fill.id,
                "symbol": given["symbol"],
                "side": sides.get(fill.id, 1),
                "vol": int(fill.amount / instrument.step),
                "price": _raw(fill.price),
                "fee": _raw(fill.fee),
                "feeCurrency": fill.fee_asset,
                "profit": 0,
                "category": 1,
                "orderId": fill.order_id,
                "timestamp": fill.time_ms,
                "positionMode": 2,
                "taker": not fill.maker,
            }
            for fill in call.rows(account, page)
        ]
        return {"success": True, "code": 0, "data": data}

    def _funding(self, call: Call) -> object:
        account, given = self._signed(call)
        changes = account.history.changes(0, call.now_ms, "FUNDING")
        found = [
            flow
            for flow in reversed(changes)
            if given.get("symbol") in (None, self._names[flow.symbol])
        ]
        page = self._page(given, found)
        size = _number(given, "page_size", 20)
        rows = [
            {
                "id": int(flow.id),
                "symbol": self._names[flow.symbol],
                "positionType": 1 if flow.held > 0 else 2,
                "positionValue": 0,
                "funding": _raw(flow.amount),
                "rate": 0.0001,
                "settleTime": flow.time_ms,
            }
            for flow in call.rows(account, page)
        ]
        data = {
            "pageSize": size,
            "totalCount": len(found),
            "totalPage": -(-len(found) // size),
            "currentPage": _number(given, "page_num", 1),
            "resultList": rows,
        }
        return {"success": True, "code": 0, "data": data}

    def _page(self, given: Mapping[str, str], found: Sequence[Event]) -> Sequence[Event]:
        size, page = _number(given, "page_size", 20), max(1, _number(given, "page_num", 1))
        if not 1 <= size <= 100:
            raise _refused(600, "Parameter error!")
        return found[(page - 1) * size : page * size]

    def _positions(self, call: Call) -> object:
        account, _ = self._signed(call)
        data = [
            self._position(instrument, position, call.now_ms)
            for instrument, position in account.history.positions(call.now_ms).items()
        ]
        return {"success": True, "code": 0, "data": data}

    def _position(
        self, instrument: Instrument, position: Position, now_ms: int
    ) -> dict[str, object]:
        return {
            "positionId": 1,
            "symbol": self._names[instrument.symbol],
            "positionType": 1 if position.quantity > 0 else 2,
            "openType": 2,
            "state": 1,
            "holdVol": int(abs(position.quantity) / instrument.step),
            "frozenVol": 0,
            "openAvgPrice": _raw(position.entry),
            "holdAvgPrice": _raw(position.entry),
            "liquidatePrice": 0,
            "im": _raw(round(abs(position.cost) / 10, 8)),
            "oim": 0,
            "leverage": 10,
            "realised": 0,
            "createTime": now_ms,
            "updateTime": now_ms,
        }


def _number(given: Mapping[str, str], name: str, otherwise: int) -> int:
    try:
        return integer(given.get(name), otherwise)
    except ValueError as error:
        raise _refused(600, "Parameter error!") from error


def _sides(fills: Iterable[Fill]) -> dict[str, int]:
    """MEXC's four sides, by what each fill left behind."""
    held, found = Decimal(0), {}
    for fill in fills:
        held += fill.side * fill.amount
        if fill.side > 0:
            found[fill.id] = 1 if held > 0 else 2
        else:
            found[fill.id] = 3 if held < 0 else 4
    return found
