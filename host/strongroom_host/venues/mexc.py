"""MEXC spot and contracts: api.mexc.com under /api/v3 and /api/v1.

Paging: spot trades of one symbol by time alone, newest 100 of at most 30 days, and nothing older
than 30 days ever; so more than 100 fills of one ms cannot be had. Deposits and withdrawals 7 days
at a time, 90 days back. Contract deals and funding page by page. The contract API writes amounts as
JSON numbers, counts contracts, and has four sides: 1 open long, 2 close short, 3 open short,
4 close long.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow, Position
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Instrument, Kind
from strongroom_host.venues.venue import (
    Call,
    Event,
    Handler,
    by_pair,
    decimals,
    integer,
    text,
)
from strongroom_host.venues.world import Account, World

__all__ = ["Mexc"]

_DAY_MS: Final = 24 * HOUR_MS
_SPANS: Final = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "60m": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "1d": _DAY_MS,
}
_CONTRACT_SPANS: Final = {
    "Min1": MINUTE_MS,
    "Min5": 5 * MINUTE_MS,
    "Min15": 15 * MINUTE_MS,
    "Min60": HOUR_MS,
    "Hour4": 4 * HOUR_MS,
    "Day1": _DAY_MS,
}
_WALLETS: Final = {"spot": "SPOT", "linear": "FUTURES"}


def _refused(code: int, message: str, status: int = 400) -> Refused:
    return Refused(message, body={"code": code, "msg": message}, status=status)


def _refused_contract(code: int, message: str) -> Refused:
    # The contract API refuses with status 200.
    body = {"success": False, "code": code, "message": message}
    return Refused(message, body=body, status=200)


def _raw(number: Decimal) -> msgspec.Raw:
    """A number as JSON has it: not quoted, every digit."""
    return msgspec.Raw(text(number).encode())


class Mexc:
    """Spot and contract accounts under one key."""

    name = "mexc"
    hosts: tuple[str, ...] = ("api.mexc.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._spot_meter = Meter(500, 10_000, limits)
        self._contract_meter = Meter(20, 2_000, limits)
        self._spot = by_pair(world.market, Kind.SPOT)
        self._linear = {
            f"{item.base}_{item.quote}": item
            for item in world.market.instruments.values()
            if item.kind is Kind.LINEAR
        }
        self._names = {item.symbol: name for name, item in self._linear.items()}

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            ("GET", "/api/v3/time", self._time),
            ("GET", "/api/v3/exchangeInfo", self._exchange_info),
            ("GET", "/api/v3/klines", self._klines),
            ("GET", "/api/v3/capital/config/getall", self._coins),
            ("GET", "/api/v3/account", self._account),
            ("GET", "/api/v3/myTrades", self._my_trades),
            ("GET", "/api/v3/capital/deposit/hisrec", self._deposits),
            ("GET", "/api/v3/capital/withdraw/history", self._withdrawals),
            ("GET", "/api/v3/capital/transfer", self._transfers),
            ("GET", "/api/v1/contract/ping", self._ping),
            ("GET", "/api/v1/contract/detail", self._detail),
            ("GET", "/api/v1/contract/kline/{symbol}", self._contract_kline),
            ("GET", "/api/v1/contract/kline/fair_price/{symbol}", self._contract_kline),
            ("GET", "/api/v1/private/account/assets", self._assets),
            ("GET", "/api/v1/private/order/list/order_deals", self._deals),
            ("GET", "/api/v1/private/position/funding_records", self._funding),
            ("GET", "/api/v1/private/position/open_positions", self._positions),
        ]

    def unknown(self, call: Call) -> Refused:
        """What MEXC says to a path that it does not have."""
        return _refused(404, f"not found {call.path}", 404)

    # ---------------------------------------------------------- who asks, and how often

    def _open(self, call: Call) -> dict[str, str]:
        try:
            self._spot_meter.take(f"{call.client} {call.path}", 10, call.now_ms)
        except Exhausted as exhausted:
            raise Refused(
                "Too many requests",
                body={"code": 429, "msg": "Too Many Requests"},
                status=429,
                headers={"Retry-After": str(-(-exhausted.retry_after_ms // 1_000))},
            ) from exhausted
        return call.parameters

    def _signed(self, call: Call) -> tuple[Account, dict[str, str]]:
        """Whose call to the spot API it is, and its parameters.

        Raises:
            Refused: unknown key, a signature not of this request, or a stale time.
        """
        given = self._open(call)
        account = self._world.account(self.name, call.headers.get("X-MEXC-APIKEY", ""))
        if account is None:
            raise _refused(10072, "Api key info invalid")
        payload, _, signature = call.query.rpartition("&signature=")
        if not self._fits(account, payload, signature):
            raise _refused(700002, "Signature for this request is not valid.")
        sent, window = _number(given, "timestamp", 0), _number(given, "recvWindow", 5_000)
        if window > 60_000 or not call.now_ms - window <= sent < call.now_ms + 1_000:
            raise _refused(700003, "Timestamp for this request is outside of the recvWindow.")
        return account, given

    def _signed_contract(self, call: Call) -> tuple[Account, dict[str, str]]:
        """Whose call to the contract API it is, and its parameters.

        Raises:
            Refused: as above, in this API's words.
        """
        self._open_contract(call)
        key, stamp = call.headers.get("ApiKey", ""), call.headers.get("Request-Time", "")
        account = self._world.account(self.name, key)
        if account is None:
            raise _refused_contract(402, "API Key expired!")
        payload = key + stamp + call.query
        if not self._fits(account, payload, call.headers.get("Signature", "")):
            raise _refused_contract(602, "Confirming signature failed!")
        if not stamp.isdigit() or abs(call.now_ms - int(stamp)) > 10_000:
            raise _refused_contract(513, "Request-Time is invalid")
        return account, call.parameters

    def _open_contract(self, call: Call) -> None:
        try:
            self._contract_meter.take(f"{call.client} {call.path}", 1, call.now_ms)
        except Exhausted as exhausted:
            message = "Requests are too frequent, please try again later!"
            raise _refused_contract(510, message) from exhausted

    def _fits(self, account: Account, payload: str, signature: str) -> bool:
        secret = account.credentials.secret.encode()
        right = hmac.new(secret, payload.encode("latin-1"), hashlib.sha256).hexdigest()
        return hmac.compare_digest(right, signature.lower())

    # ------------------------------------------------------------------------- market

    def _time(self, call: Call) -> object:
        self._open(call)
        return {"serverTime": call.now_ms}

    def _exchange_info(self, call: Call) -> object:
        self._open(call)
        symbols = [
            {
                "symbol": name,
                "status": "1" if instrument.trading(call.now_ms) else "2",
                "baseAsset": instrument.base,
                "baseAssetPrecision": decimals(instrument.step),
                "quoteAsset": instrument.quote,
                "quotePrecision": decimals(instrument.tick),
                "quoteAssetPrecision": decimals(instrument.tick),
                "baseCommissionPrecision": 8,
                "quoteCommissionPrecision": 8,
                "isSpotTradingAllowed": instrument.trading(call.now_ms),
                "isMarginTradingAllowed": False,
                "quoteAmountPrecision": "1",
                "baseSizePrecision": text(instrument.step),
                "maxQuoteAmount": "4000000",
                "makerCommission": "0",
                "takerCommission": "0.001",
            }
            for name, instrument in self._spot.items()
        ]
        return {"timezone": "CST", "serverTime": call.now_ms, "symbols": symbols}

    def _coins(self, call: Call) -> object:
        self._signed(call)
        items = self._world.market.instruments.values()
        assets = sorted({item.base for item in items} | {item.quote for item in items})
        return [{"coin": asset, "name": asset, "networkList": []} for asset in assets]

    def _klines(self, call: Call) -> object:
        given = self._open(call)
        instrument = self._instrument(given)
        span = _SPANS.get(given.get("interval", ""))
        if span is None:
            raise _refused(-1120, "Invalid interval.")
        limit = min(_number(given, "limit", 500), 500)
        end = min(_number(given, "endTime", call.now_ms), call.now_ms)
        start = _number(given, "startTime", (end // span - limit + 1) * span)
        return [
            [
                c.start_ms,
                text(c.open),
                text(c.high),
                text(c.low),
                text(c.close),
                text(c.volume),
                c.start_ms + span,
                text(c.volume * c.close),
            ]
            for c in self._world.market.candles(instrument, start, end, span, limit)
        ]

    def _instrument(self, given: Mapping[str, str]) -> Instrument:
        name = given.get("symbol", "")
        if not name:
            message = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            raise _refused(700004, message)
        if name not in self._spot:
            raise _refused(-1121, "Invalid symbol.")
        return self._spot[name]

    def _ping(self, call: Call) -> object:
        self._open_contract(call)
        return {"success": True, "code": 0, "data": call.now_ms}

    def _detail(self, call: Call) -> object:
        self._open_contract(call)
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
        self._open_contract(call)
        given = call.parameters
        instrument = self._contract(call.places["symbol"])
        span = _CONTRACT_SPANS.get(given.get("interval", "Min1"))
        if span is None:
            raise _refused_contract(600, "Parameter error!")
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
            raise _refused_contract(1001, "Contract does not exist!")
        return self._linear[name]

    # --------------------------------------------------------------------------- spot

    def _account(self, call: Call) -> object:
        account, _ = self._signed(call)
        held = account.history.balances("spot", call.now_ms)
        balances = [
            {"asset": asset, "free": text(amount), "locked": "0", "available": text(amount)}
            for asset, amount in sorted(held.items())
            if amount
        ]
        return {
            "canTrade": False,
            "canWithdraw": False,
            "canDeposit": False,
            "updateTime": None,
            "accountType": "SPOT",
            "balances": balances,
            "permissions": ["SPOT"],
        }

    def _my_trades(self, call: Call) -> object:
        account, given = self._signed(call)
        instrument = self._instrument(given)
        start, end = _window(call, given, days=30, back=30)
        limit = _number(given, "limit", 100)
        if not 1 <= limit <= 100:
            raise _refused(700004, "Parameter 'limit' must be between 1 and 100.")
        found = account.history.trades(start, end, symbol=instrument.symbol)
        return [
            {
                "symbol": given["symbol"],
                "id": fill.id,
                "orderId": f"C02__{fill.order_id}",
                "orderListId": -1,
                "price": text(fill.price),
                "qty": text(fill.amount),
                "quoteQty": text(fill.cost),
                "commission": text(fill.fee),
                "commissionAsset": fill.fee_asset,
                "time": fill.time_ms,
                "isBuyer": fill.side > 0,
                "isMaker": fill.maker,
                "isBestMatch": True,
                "isSelfTrade": False,
                "clientOrderId": None,
            }
            for fill in call.rows(account, found[::-1][:limit])
        ]

    def _deposits(self, call: Call) -> object:
        account, given = self._signed(call)
        return [
            {
                "amount": text(flow.amount),
                "coin": f"{flow.asset}-ETH",
                "network": "ETH",
                "status": 5,
                "address": "0x" + "ab" * 20,
                "txId": f"0x{flow.id}:0",
                "insertTime": flow.time_ms,
                "unlockConfirm": "12",
                "confirmTimes": "12",
                "memo": None,
                "transHash": f"0x{flow.id}",
                "updateTime": flow.time_ms,
            }
            for flow in self._money(call, account, given, "DEPOSIT")
        ]

    def _withdrawals(self, call: Call) -> object:
        account, given = self._signed(call)
        return [
            {
                "id": flow.id,
                "txId": f"0x{flow.id}",
                "coin": f"{flow.asset}-ETH",
                "network": "ETH",
                "address": "0x" + "cd" * 20,
                # Here the amount is all that left, the fee within it.
                "amount": text(-flow.amount),
                "transferType": 0,
                "status": 7,
                "transactionFee": text(flow.fee),
                "confirmNo": None,
                "applyTime": flow.time_ms,
                "remark": "",
                "memo": None,
                "transHash": f"0x{flow.id}",
                "updateTime": flow.time_ms,
            }
            for flow in self._money(call, account, given, "WITHDRAWAL")
        ]

    def _money(
        self, call: Call, account: Account, given: Mapping[str, str], kind: str
    ) -> list[Flow]:
        start, end = _window(call, given, days=7, back=90)
        limit = _number(given, "limit", 1_000)
        if not 1 <= limit <= 1_000:
            raise _refused(700004, "Parameter 'limit' must be between 1 and 1000.")
        coin = given.get("coin")
        found = [
            flow for flow in account.history.changes(start, end, kind) if coin in (None, flow.asset)
        ]
        return call.rows(account, found[::-1][:limit])

    def _transfers(self, call: Call) -> object:
        account, given = self._signed(call)
        ways = given.get("fromAccountType"), given.get("toAccountType")
        if None in ways:
            raise _refused(700004, "Parameter 'fromAccountType' must be sent.")
        start, end = _window(call, given, days=7, back=183)
        size = _number(given, "size", 10)
        if not 1 <= size <= 100:
            raise _refused(700004, "Parameter 'size' must be between 1 and 100.")
        found = [
            move
            for move in reversed(account.history.transfers(start, end))
            if (_WALLETS[move.source], _WALLETS[move.target]) == ways
        ]
        page = max(1, _number(given, "page", 1))
        rows = [
            {
                "tranId": move.id,
                "clientTranId": None,
                "asset": move.asset,
                "amount": text(move.amount),
                "fromAccountType": ways[0],
                "toAccountType": ways[1],
                "fromSymbol": move.asset,
                "toSymbol": move.asset,
                "status": "SUCCESS",
                "timestamp": move.time_ms,
            }
            for move in call.rows(account, found[(page - 1) * size : page * size])
        ]
        return {"rows": rows, "total": len(found)}

    # ---------------------------------------------------------------------- contracts

    def _assets(self, call: Call) -> object:
        account, _ = self._signed_contract(call)
        held = account.history.balances("linear", call.now_ms)
        data = [
            {
                "currency": asset,
                "positionMargin": 0,
                "availableBalance": _raw(amount),
                "cashBalance": _raw(amount),
                "frozenBalance": 0,
                "equity": _raw(amount),
                "unrealized": 0,
                "bonus": 0,
            }
            for asset, amount in sorted(held.items())
        ]
        return {"success": True, "code": 0, "data": data}

    def _deals(self, call: Call) -> object:
        account, given = self._signed_contract(call)
        instrument = self._contract(given.get("symbol", ""))
        end = min(_number(given, "end_time", call.now_ms), call.now_ms)
        start = _number(given, "start_time", end - 7 * _DAY_MS)
        # Two whole numbers of ms apart by 90 days less one is what clients ask for.
        if _number(given, "end_time", end) - start > 90 * _DAY_MS:
            raise _refused_contract(600, "Parameter error!")
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
        account, given = self._signed_contract(call)
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
            raise _refused_contract(600, "Parameter error!")
        return found[(page - 1) * size : page * size]

    def _positions(self, call: Call) -> object:
        account, _ = self._signed_contract(call)
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
        raise _refused(700004, f"Illegal characters found in parameter '{name}'.") from error


def _window(call: Call, given: Mapping[str, str], *, days: int, back: int) -> tuple[int, int]:
    span = days * _DAY_MS
    start, end = _number(given, "startTime", -1), _number(given, "endTime", -1)
    if start < 0:
        end = call.now_ms if end < 0 else end
        start = end - span
    elif end < 0:
        end = start + span
    if end - start > span:
        raise _refused(700004, f"The time range must not exceed {days} days.")
    return max(start, call.now_ms - back * _DAY_MS), min(end, call.now_ms)


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
