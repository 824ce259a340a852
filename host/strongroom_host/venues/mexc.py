"""MEXC spot and contracts: api.mexc.com under /api/v3 and /api/v1.

Paging: spot trades of one symbol by time alone, newest 100 of at most 30 days, and nothing older
than 30 days ever; so more than 100 fills of one ms cannot be had. Deposits and withdrawals 7 days
at a time, 90 days back. Contract deals and funding page by page. The contract API writes amounts as
JSON numbers, counts contracts, and has four sides: 1 open long, 2 close short, 3 open short,
4 close long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Flow
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Instrument, Kind
from strongroom_host.venues.mexc_contracts import MexcContracts, fits
from strongroom_host.venues.venue import (
    Call,
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
_WALLETS: Final = {"spot": "SPOT", "linear": "FUTURES"}


def _refused(code: int, message: str, status: int = 400) -> Refused:
    return Refused(message, body={"code": code, "msg": message}, status=status)


class Mexc:
    """Spot and contract accounts under one key."""

    name = "mexc"
    hosts: tuple[str, ...] = ("api.mexc.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._spot_meter = Meter(500, 10_000, limits)
        self._contracts = MexcContracts(world, limits=limits)
        self._spot = by_pair(world.market, Kind.SPOT)

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints of both APIs."""
        return [
            *self._contracts.routes(),
            ("GET", "/api/v3/time", self._time),
            ("GET", "/api/v3/exchangeInfo", self._exchange_info),
            ("GET", "/api/v3/klines", self._klines),
            ("GET", "/api/v3/capital/config/getall", self._coins),
            ("GET", "/api/v3/account", self._account),
            ("GET", "/api/v3/uid", self._uid),
            ("GET", "/api/v3/myTrades", self._my_trades),
            ("GET", "/api/v3/capital/deposit/hisrec", self._deposits),
            ("GET", "/api/v3/capital/withdraw/history", self._withdrawals),
            ("GET", "/api/v3/capital/transfer", self._transfers),
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
        if not fits(account, payload, signature):
            raise _refused(700002, "Signature for this request is not valid.")
        sent, window = _number(given, "timestamp", 0), _number(given, "recvWindow", 5_000)
        if window > 60_000 or not call.now_ms - window <= sent < call.now_ms + 1_000:
            raise _refused(700003, "Timestamp for this request is outside of the recvWindow.")
        return account, given

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

    # --------------------------------------------------------------------------- spot

    def _uid(self, call: Call) -> object:
        return {"uid": str(self._signed(call)[0].number)}

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
