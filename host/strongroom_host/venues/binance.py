"""Binance spot and wallet: api.binance.com under /api/v3 and /sapi/v1.

Paging: trades of one symbol, 1,000 at a time, either from an id onwards or within 24 hours of
start and end; deposits and withdrawals 1,000 at a time within 90 days; transfers by type, 100 at a
time, page by page. Limits are weights per minute and address; 429 names the wait, and who does not
wait is banned with 418.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow, Move
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Instrument, Kind
from strongroom_host.venues.venue import Call, Handler, Reply, by_pair, integer, text
from strongroom_host.venues.world import Account, World

__all__ = ["INTERVALS", "BinanceDesk", "BinanceSpot", "refused"]

_DAY_MS: Final = 24 * HOUR_MS
_MAX_RECV_WINDOW: Final = 60_000
_STRIKES: Final = 10
_BAN_MS: Final = 120_000
INTERVALS: Final = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "1d": _DAY_MS,
}
# What the wallet API calls the account's wallets.
_WALLETS: Final = {"spot": "MAIN", "linear": "UMFUTURE"}


def refused(
    code: int, message: str, status: int = 400, headers: Mapping[str, str] | None = None
) -> Refused:
    """A refusal as Binance words them."""
    return Refused(message, body={"code": code, "msg": message}, status=status, headers=headers)


class BinanceDesk:
    """What Binance's APIs share: who signs, when, and how much they may ask for."""

    name = "binance"

    def __init__(self, world: World, meter: Meter) -> None:
        self._world = world
        self._meter = meter
        self._strikes: dict[str, int] = {}
        self._banned: dict[str, int] = {}

    def weigh(self, call: Call, weight: int) -> dict[str, str]:
        """Counts a call; returns the headers that say what is used up.

        Raises:
            Refused: 429 with Retry-After; 418 for who was told so and went on.
        """
        until = self._banned.get(call.client, 0)
        if until > call.now_ms:
            raise self._too_many(418, until - call.now_ms)
        try:
            used = self._meter.take(call.client, weight, call.now_ms)
        except Exhausted as exhausted:
            strikes = self._strikes[call.client] = self._strikes.get(call.client, 0) + 1
            if strikes > _STRIKES:
                self._strikes[call.client] = 0
                self._banned[call.client] = call.now_ms + _BAN_MS
                raise self._too_many(418, _BAN_MS) from exhausted
            raise self._too_many(429, exhausted.retry_after_ms) from exhausted
        self._strikes[call.client] = 0
        return {"X-MBX-USED-WEIGHT-1M": str(used)}

    def signer(self, call: Call) -> tuple[Account, dict[str, str]]:
        """The account that signed this very request, and the request's parameters.

        Raises:
            Refused: no or unknown key, wrong signature, or a time outside the window.
        """
        key = call.headers.get("X-MBX-APIKEY", "")
        if not key:
            raise refused(-2014, "API-key format invalid.", 401)
        account = self._world.account(self.name, key)
        if account is None:
            raise refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        payload, found, signature = (call.query + call.body.decode("latin-1")).rpartition(
            "&signature="
        )
        if not found:
            raise mandatory("signature")
        secret = account.credentials.secret.encode()
        right = hmac.new(secret, payload.encode("latin-1"), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, signature.lower()):
            raise refused(-1022, "Signature for this request is not valid.")
        given = call.parameters
        if "timestamp" not in given:
            raise mandatory("timestamp")
        sent = number(given, "timestamp", 0)
        window = number(given, "recvWindow", 5_000)
        if window > _MAX_RECV_WINDOW:
            raise refused(-1131, "recvWindow must be less than 60000")
        if sent >= call.now_ms + 1_000:
            raise refused(
                -1021, "Timestamp for this request was 1000ms ahead of the server's time."
            )
        if call.now_ms - sent > window:
            raise refused(-1021, "Timestamp for this request is outside of the recvWindow.")
        return account, given

    def instrument(self, given: Mapping[str, str], known: Mapping[str, Instrument]) -> Instrument:
        """The instrument that a request names.

        Raises:
            Refused: none, or one that never existed.
        """
        if not given.get("symbol"):
            raise mandatory("symbol")
        if given["symbol"] not in known:
            raise refused(-1121, "Invalid symbol.")
        return known[given["symbol"]]

    def klines(
        self, call: Call, known: Mapping[str, Instrument], most: int
    ) -> tuple[list[list[object]], int]:
        """Candles as the API lists them, and how many were asked for."""
        given = call.parameters
        instrument = self.instrument(given, known)
        if given.get("interval") not in INTERVALS:
            raise refused(-1120, "Invalid interval.")
        span = INTERVALS[given["interval"]]
        limit = min(number(given, "limit", 500), most)
        end = min(number(given, "endTime", call.now_ms), call.now_ms)
        start = number(given, "startTime", (end // span - limit + 1) * span)
        candles = self._world.market.candles(instrument, start, end, span, limit)
        rows: list[list[object]] = [
            [
                candle.start_ms,
                text(candle.open),
                text(candle.high),
                text(candle.low),
                text(candle.close),
                text(candle.volume),
                candle.start_ms + span - 1,
                text(candle.volume * candle.close),
                1,
                text(candle.volume / 2),
                text(candle.volume * candle.close / 2),
                "0",
            ]
            for candle in candles
        ]
        return rows, limit

    def unknown(self, call: Call) -> Refused:
        """What Binance says to a path that it does not have: an HTML page."""
        return Refused(
            "no such path",
            body=b"<html><body><h2>404 Not found</h2></body></html>",
            status=404,
            actual=call.path,
        )

    def _too_many(self, status: int, wait_ms: int) -> Refused:
        message = (
            f"Too much request weight used; current limit is {self._meter.limit} request weight "
            "per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return refused(-1003, message, status, {"Retry-After": str(-(-wait_ms // 1_000))})


def mandatory(name: str) -> Refused:
    """The refusal of a request that lacks a parameter."""
    return refused(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def number(given: Mapping[str, str], name: str, otherwise: int) -> int:
    """A parameter as a number.

    Raises:
        Refused: it is not one.
    """
    try:
        return integer(given.get(name), otherwise)
    except ValueError as error:
        raise refused(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
        ) from error


class BinanceSpot(BinanceDesk):
    """The spot account and the wallet."""

    hosts: tuple[str, ...] = ("api.binance.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        super().__init__(world, Meter(6_000, MINUTE_MS, limits))
        # The wallet API counts by itself: a withdrawal history costs a tenth of a second's share.
        self._wallet = BinanceDesk(world, Meter(12_000, MINUTE_MS, limits))
        self._histories = BinanceDesk(world, Meter(10, 1_000, limits))
        self._known = by_pair(world.market, Kind.SPOT)

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            ("GET", "/api/v3/time", self._time),
            ("GET", "/api/v3/exchangeInfo", self._exchange_info),
            ("GET", "/api/v3/klines", self._klines),
            ("GET", "/api/v3/myTrades", self._my_trades),
            ("GET", "/api/v3/account", self._account),
            ("GET", "/sapi/v1/capital/config/getall", self._coins),
            ("GET", "/sapi/v1/capital/deposit/hisrec", self._deposits),
            ("GET", "/sapi/v1/capital/withdraw/history", self._withdrawals),
            ("GET", "/sapi/v1/asset/transfer", self._transfers),
            ("GET", "/sapi/v1/account/apiRestrictions", self._restrictions),
            ("GET", "/sapi/v1/margin/allPairs", self._no_margin),
            ("GET", "/sapi/v1/margin/isolated/allPairs", self._no_margin),
        ]

    def _time(self, call: Call) -> object:
        return Reply({"serverTime": call.now_ms}, self.weigh(call, 1))

    def _exchange_info(self, call: Call) -> object:
        used = self.weigh(call, 20)
        symbols: list[dict[str, object]] = [
            {
                "symbol": name,
                "status": "TRADING" if instrument.trading(call.now_ms) else "BREAK",
                "baseAsset": instrument.base,
                "baseAssetPrecision": 8,
                "quoteAsset": instrument.quote,
                "quotePrecision": 8,
                "quoteAssetPrecision": 8,
                "baseCommissionPrecision": 8,
                "quoteCommissionPrecision": 8,
                "orderTypes": ["LIMIT", "MARKET"],
                "isSpotTradingAllowed": True,
                "isMarginTradingAllowed": False,
                "filters": filters(instrument),
                "permissions": [],
                "permissionSets": [["SPOT"]],
            }
            for name, instrument in self._known.items()
            if instrument.listed_ms <= call.now_ms
        ]
        return Reply(information(call, self._meter.limit, symbols), used)

    def _klines(self, call: Call) -> object:
        used = self.weigh(call, 2)
        return Reply(self.klines(call, self._known, 1_000)[0], used)

    def _my_trades(self, call: Call) -> object:
        used = self.weigh(call, 20)
        account, given = self.signer(call)
        instrument = self.instrument(given, self._known)
        limit = min(number(given, "limit", 500), 1_000)
        history, symbol = account.history, instrument.symbol
        timed = "startTime" in given or "endTime" in given
        if "fromId" in given and timed:
            raise refused(-1128, "Combination of optional parameters invalid.")
        start = number(given, "startTime", 0)
        end = min(number(given, "endTime", call.now_ms), call.now_ms)
        if "startTime" in given and "endTime" in given and end - start > _DAY_MS:
            raise refused(-1127, "More than 24 hours between startTime and endTime.")
        found = history.trades(start, end, symbol=symbol)
        if "fromId" in given:
            first = number(given, "fromId", 0)
            found = [fill for fill in found if int(fill.id) >= first][:limit]
        elif "startTime" in given:
            found = found[:limit]
        else:
            found = found[-limit:]
        rows = call.rows(account, found)
        return Reply([self._trade(fill, given["symbol"]) for fill in rows], used)

    def _trade(self, fill: Fill, symbol: str) -> dict[str, object]:
        return {
            "symbol": symbol,
            "id": int(fill.id),
            "orderId": int(fill.order_id),
            "orderListId": -1,
            "price": text(fill.price, 8),
            "qty": text(fill.amount, 8),
            "quoteQty": text(round(fill.cost, 8), 8),
            "commission": text(fill.fee, 8),
            "commissionAsset": fill.fee_asset,
            "time": fill.time_ms,
            "isBuyer": fill.side > 0,
            "isMaker": fill.maker,
            "isBestMatch": True,
        }

    def _account(self, call: Call) -> object:
        used = self.weigh(call, 20)
        account, given = self.signer(call)
        held = account.history.balances("spot", call.now_ms)
        content = {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "canTrade": False,
            "canWithdraw": False,
            "canDeposit": False,
            "updateTime": call.now_ms,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": exact(amount), "locked": "0.00000000"}
                for asset, amount in sorted(held.items())
                if amount or given.get("omitZeroBalances") != "true"
            ],
            "permissions": ["SPOT"],
            "uid": account.number,
        }
        return Reply(content, used)

    def _coins(self, call: Call) -> object:
        self._wallet.weigh(call, 10)
        self.signer(call)
        instruments = self._world.market.instruments.values()
        assets = {item.base for item in instruments} | {item.quote for item in instruments}
        return [
            {
                "coin": asset,
                "name": asset,
                "depositAllEnable": True,
                "withdrawAllEnable": True,
                "trading": True,
                "isLegalMoney": False,
                "free": "0",
                "locked": "0",
                "networkList": [],
            }
            for asset in sorted(assets)
        ]

    def _deposits(self, call: Call) -> object:
        self._wallet.weigh(call, 1)
        account, given = self.signer(call)
        found = self._money(call, account, given, "DEPOSIT")
        return [
            {
                "id": flow.id,
                "amount": text(flow.amount),
                "coin": flow.asset,
                "network": "ETH",
                "status": 1,
                "address": "0x" + "ab" * 20,
                "addressTag": "",
                "txId": f"0x{int(flow.id):064x}",
                "insertTime": flow.time_ms,
                "completeTime": flow.time_ms,
                "transferType": 0,
                "confirmTimes": "12/12",
                "unlockConfirm": 12,
                "walletType": 0,
            }
            for flow in call.rows(account, found)
        ]

    def _withdrawals(self, call: Call) -> object:
        self._histories.weigh(call, 1)
        account, given = self.signer(call)
        found = self._money(call, account, given, "WITHDRAWAL")
        return [
            {
                "id": flow.id,
                "amount": text(-flow.amount - flow.fee),
                "transactionFee": text(flow.fee),
                "coin": flow.asset,
                "status": 6,
                "address": "0x" + "cd" * 20,
                "txId": f"0x{int(flow.id):064x}",
                "applyTime": _seconds(flow.time_ms),
                "completeTime": _seconds(flow.time_ms),
                "network": "ETH",
                "transferType": 0,
                "confirmNo": 12,
                "walletType": 0,
            }
            for flow in call.rows(account, found)
        ]

    def _money(
        self, call: Call, account: Account, given: Mapping[str, str], kind: str
    ) -> list[Flow]:
        """Newest first, as this API lists money that came and went."""
        end = number(given, "endTime", call.now_ms)
        start = number(given, "startTime", end - 90 * _DAY_MS)
        if end - start > 90 * _DAY_MS:
            raise refused(-1127, "More than 2160 hours between startTime and endTime.")
        limit = min(number(given, "limit", 1_000), 1_000)
        offset = number(given, "offset", 0)
        changes = account.history.changes(start, min(end, call.now_ms), kind)
        coin = given.get("coin")
        found = [flow for flow in reversed(changes) if coin in (None, flow.asset)]
        return found[offset : offset + limit]

    def _transfers(self, call: Call) -> object:
        self._wallet.weigh(call, 1)
        account, given = self.signer(call)
        types = {f"{a}_{b}": (x, y) for x, a in _WALLETS.items() for y, b in _WALLETS.items()}
        if not given.get("type"):
            raise mandatory("type")
        source, target = types.get(given["type"], ("", ""))
        end = min(number(given, "endTime", call.now_ms), call.now_ms)
        start = max(number(given, "startTime", end - 7 * _DAY_MS), call.now_ms - 183 * _DAY_MS)
        size = number(given, "size", 10)
        if size > 100:
            raise refused(-1130, "Data sent for parameter 'size' is not valid.")
        page = max(1, number(given, "current", 1))
        found = [
            move
            for move in reversed(account.history.transfers(start, end))
            if (move.source, move.target) == (source, target)
        ]
        rows = call.rows(account, found[(page - 1) * size : page * size])
        return {"total": len(found), "rows": [_transfer(move, given["type"]) for move in rows]}

    def _no_margin(self, call: Call) -> object:
        self._wallet.weigh(call, 1)
        return []

    def _restrictions(self, call: Call) -> object:
        self._wallet.weigh(call, 1)
        self.signer(call)
        return {
            "ipRestrict": False,
            "createTime": call.now_ms - 400 * _DAY_MS,
            "enableReading": True,
            "enableWithdrawals": False,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableSpotAndMarginTrading": False,
        }


def information(call: Call, limit: int, symbols: list[dict[str, object]]) -> dict[str, object]:
    """An exchangeInfo answer."""
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": limit,
            }
        ],
        "exchangeFilters": [],
        "symbols": symbols,
    }


def filters(instrument: Instrument) -> list[dict[str, object]]:
    """An instrument's filters: ticks, lots and least notional."""
    tick, step = text(instrument.tick, 8), text(instrument.step, 8)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "900000000", "stepSize": step},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000", "notional": "5"},
    ]


def exact(amount: Decimal) -> str:
    """A balance to the 8 places that are shown; more is not what the venue holds."""
    return text(round(amount, 8), 8)


def _transfer(move: Move, kind: str) -> dict[str, object]:
    return {
        "timestamp": move.time_ms,
        "asset": move.asset,
        "amount": text(move.amount),
        "type": kind,
        "status": "CONFIRMED",
        "tranId": int(move.id),
    }


def _seconds(time_ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(time_ms // 1_000, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
