"""Bitget V2 with separate spot and USDT-M accounts: api.bitget.com.

Paging: backwards by id (`idLessThan`), 100 at a time; spot trades of one symbol within 90 days and
90 days back, contract trades and bills within 7 and 30 days of each other, deposits, withdrawals
and transfers of one coin within 90. A client signs with a passphrase too. Limits are calls per
second and path.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_plus

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow, Move, Position
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Instrument, Kind
from strongroom_host.venues.venue import (
    Call,
    Event,
    Handler,
    before_id,
    by_pair,
    decimals,
    integer,
    text,
)
from strongroom_host.venues.world import Account, World

__all__ = ["Bitget"]

_DAY_MS: Final = 24 * HOUR_MS
_BACK_MS: Final = 90 * _DAY_MS
_WINDOW_MS: Final = 30_000
_SPOT_SPANS: Final = {
    "1min": MINUTE_MS,
    "5min": 5 * MINUTE_MS,
    "15min": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "1day": _DAY_MS,
}
_MIX_SPANS: Final = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "1H": HOUR_MS,
    "4H": 4 * HOUR_MS,
    "1D": _DAY_MS,
}
_WALLETS: Final = {"spot": "spot", "linear": "usdt_futures"}


def _refused(code: str, message: str, now_ms: int, status: int = 400) -> Refused:
    body = {"code": code, "msg": message, "requestTime": now_ms, "data": None}
    return Refused(message, body=body, status=status)


class Bitget:
    """A classic account: spot and USDT-M futures apart."""

    name = "bitget"
    hosts: tuple[str, ...] = ("api.bitget.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._meter = Meter(10, 1_000, limits)
        self._spot = by_pair(world.market, Kind.SPOT)
        self._linear = by_pair(world.market, Kind.LINEAR)
        self._names = {
            item.symbol: name
            for known in (self._spot, self._linear)
            for name, item in known.items()
        }

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            ("GET", "/api/v2/public/time", self._time),
            ("GET", "/api/v2/spot/public/coins", self._coins),
            ("GET", "/api/v2/spot/public/symbols", self._symbols),
            ("GET", "/api/v2/margin/currencies", self._no_margin),
            ("GET", "/api/v2/mix/market/contracts", self._contracts),
            ("GET", "/api/v2/spot/market/candles", self._spot_candles),
            ("GET", "/api/v2/spot/market/history-candles", self._spot_history),
            ("GET", "/api/v2/mix/market/candles", self._mix_candles),
            ("GET", "/api/v2/mix/market/history-candles", self._mix_history),
            ("GET", "/api/v2/mix/market/history-mark-candles", self._mix_history),
            ("GET", "/api/v3/account/settings", self._settings),
            ("GET", "/api/v2/spot/account/assets", self._assets),
            ("GET", "/api/v2/spot/account/bills", self._spot_bills),
            ("GET", "/api/v2/spot/account/transferRecords", self._transfers),
            ("GET", "/api/v2/spot/wallet/deposit-records", self._deposits),
            ("GET", "/api/v2/spot/wallet/withdrawal-records", self._withdrawals),
            ("GET", "/api/v2/spot/trade/fills", self._spot_fills),
            ("GET", "/api/v2/mix/order/fills", self._mix_fills),
            ("GET", "/api/v2/mix/account/accounts", self._accounts),
            ("GET", "/api/v2/mix/account/bill", self._mix_bills),
            ("GET", "/api/v2/mix/position/all-position", self._positions),
        ]

    def unknown(self, call: Call) -> Refused:
        """What Bitget says to a path that it does not have."""
        return _refused("40404", "Request URL NOT FOUND", call.now_ms, 404)

    # ---------------------------------------------------------- who asks, and how often

    def _open(self, call: Call) -> dict[str, str]:
        try:
            self._meter.take(f"{call.client} {call.path}", 1, call.now_ms)
        except Exhausted as exhausted:
            raise _refused("429", "Too Many Requests", call.now_ms, 429) from exhausted
        return call.parameters

    def _signed(self, call: Call) -> tuple[Account, dict[str, str]]:
        """Whose call it is, and its parameters.

        Raises:
            Refused: a header missing or wrong, a stale time, or a signature not of this request.
        """
        given, headers, now = self._open(call), call.headers, call.now_ms
        key, stamp = headers.get("ACCESS-KEY", ""), headers.get("ACCESS-TIMESTAMP", "")
        if not key:
            raise _refused("40006", "Invalid ACCESS_KEY", now)
        account = self._world.account(self.name, key)
        if account is None:
            raise _refused("40037", "Apikey does not exist", now)
        if not stamp.isdigit():
            raise _refused("40005", "Invalid ACCESS_TIMESTAMP", now)
        if abs(now - int(stamp)) > _WINDOW_MS:
            raise _refused("40008", "Request timestamp expired", now)
        right_phrase = account.credentials.passphrase.encode()
        if not hmac.compare_digest(headers.get("ACCESS-PASSPHRASE", "").encode(), right_phrase):
            raise _refused("40012", "apikey/password is incorrect", now)
        query = f"?{unquote_plus(call.query)}" if call.query else ""
        covered = f"{stamp}{call.method}{call.path}{query}".encode() + call.body
        secret = account.credentials.secret.encode()
        right = base64.b64encode(hmac.digest(secret, covered, hashlib.sha256)).decode()
        if not hmac.compare_digest(right, headers.get("ACCESS-SIGN", "")):
            raise _refused("40009", "sign signature error", now)
        return account, given

    def _number(self, call: Call, given: Mapping[str, str], name: str, otherwise: int) -> int:
        try:
            return integer(given.get(name), otherwise)
        except ValueError as error:
            message = f"Parameter verification failed {name}"
            raise _refused("40017", message, call.now_ms) from error

    def _need(self, call: Call, given: Mapping[str, str], name: str) -> str:
        if not given.get(name):
            raise _refused("400172", f"Parameter {name} cannot be empty", call.now_ms)
        return given[name]

    def _window(self, call: Call, given: Mapping[str, str], days: int) -> tuple[int, int]:
        end = self._number(call, given, "endTime", call.now_ms)
        start = self._number(call, given, "startTime", end - days * _DAY_MS)
        if end - start > days * _DAY_MS:
            message = f"startTime and endTime interval cannot be greater than {days} days"
            raise _refused("00001", message, call.now_ms)
        # What is asked for is let in, but nothing older than 90 days is told.
        return max(start, call.now_ms - _BACK_MS), min(end, call.now_ms)

    def _page(
        self, call: Call, given: Mapping[str, str], found: list[Event], most: int
    ) -> list[Event]:
        limit = self._number(call, given, "limit", 100)
        if not 1 <= limit <= most:
            raise _refused("40017", "Parameter verification failed limit", call.now_ms)
        return before_id(found, self._number(call, given, "idLessThan", 0), limit)

    def _ok(self, call: Call, data: object) -> object:
        return {"code": "00000", "msg": "success", "requestTime": call.now_ms, "data": data}

    # ------------------------------------------------------------------------- market

    def _time(self, call: Call) -> object:
        self._open(call)
        return self._ok(call, {"serverTime": str(call.now_ms)})

    def _coins(self, call: Call) -> object:
        self._open(call)
        items = self._world.market.instruments.values()
        assets = sorted({item.base for item in items} | {item.quote for item in items})
        return self._ok(call, [{"coinId": "1", "coin": a, "chains": []} for a in assets])

    def _symbols(self, call: Call) -> object:
        self._open(call)
        rows = [
            {
                "symbol": name,
                "baseCoin": instrument.base,
                "quoteCoin": instrument.quote,
                "minTradeAmount": "0",
                "maxTradeAmount": "900000000",
                "takerFeeRate": "0.001",
                "makerFeeRate": "0.001",
                "pricePrecision": str(decimals(instrument.tick)),
                "quantityPrecision": str(decimals(instrument.step)),
                "quotePrecision": "8",
                "status": "online" if instrument.trading(call.now_ms) else "offline",
                "minTradeUSDT": "1",
            }
            for name, instrument in self._spot.items()
        ]
        return self._ok(call, rows)

    def _no_margin(self, call: Call) -> object:
        self._open(call)
        return self._ok(call, [])

    def _contracts(self, call: Call) -> object:
        given = self._open(call)
        product = self._need(call, given, "productType")
        known = self._linear if product.upper() == "USDT-FUTURES" else {}
        rows = [
            {
                "symbol": name,
                "baseCoin": instrument.base,
                "quoteCoin": instrument.quote,
                "supportMarginCoins": [instrument.settle],
                "makerFeeRate": "0.0002",
                "takerFeeRate": "0.0005",
                "minTradeNum": text(instrument.step),
                "priceEndStep": "1",
                "volumePlace": str(decimals(instrument.step)),
                "pricePlace": str(decimals(instrument.tick)),
                "sizeMultiplier": text(instrument.step),
                "symbolType": "perpetual",
                "symbolStatus": "normal",
                "minTradeUSDT": "5",
                "fundInterval": "8",
            }
            for name, instrument in known.items()
        ]
        return self._ok(call, rows)

    def _spot_candles(self, call: Call) -> object:
        return self._candles(call, self._spot, _SPOT_SPANS, 1_000)

    def _spot_history(self, call: Call) -> object:
        return self._candles(call, self._spot, _SPOT_SPANS, 200)

    def _mix_candles(self, call: Call) -> object:
        return self._candles(call, self._linear, _MIX_SPANS, 1_000)

    def _mix_history(self, call: Call) -> object:
        return self._candles(call, self._linear, _MIX_SPANS, 200)

    def _candles(
        self, call: Call, known: Mapping[str, Instrument], spans: Mapping[str, int], most: int
    ) -> object:
        given = self._open(call)
        instrument = self._instrument(call, given, known)
        span = spans.get(given.get("granularity", ""))
        if span is None:
            raise _refused("400171", "Parameter verification failed granularity", call.now_ms)
        limit = min(self._number(call, given, "limit", 100), most)
        end = min(self._number(call, given, "endTime", call.now_ms), call.now_ms)
        # The newest candles before the end come, so a start too far back is not reached.
        start = max(self._number(call, given, "startTime", 0), (end // span - limit + 1) * span)
        candles = self._world.market.candles(instrument, start, end, span, limit)
        rows = [
            [
                str(c.start_ms),
                text(c.open),
                text(c.high),
                text(c.low),
                text(c.close),
                text(c.volume),
                text(c.volume * c.close),
                text(c.volume * c.close),
            ]
            for c in candles
        ]
        return self._ok(call, rows)

    def _instrument(
        self, call: Call, given: Mapping[str, str], known: Mapping[str, Instrument]
    ) -> Instrument:
        name = self._need(call, given, "symbol")
        if name not in known:
            raise _refused("40034", f"Parameter {name} does not exist", call.now_ms)
        return known[name]

    # ------------------------------------------------------------------------ account

    def _settings(self, call: Call) -> object:
        """A classic account has no unified settings, which is how clients tell."""
        self._signed(call)
        raise _refused("40084", "You are in Classic Account mode", call.now_ms)

    def _assets(self, call: Call) -> object:
        account, given = self._signed(call)
        held = account.history.balances("spot", call.now_ms)
        rows = [
            {
                "coin": asset,
                "available": text(amount),
                "frozen": "0",
                "locked": "0",
                "limitAvailable": "0",
                "uTime": str(call.now_ms),
            }
            for asset, amount in sorted(held.items())
            if given.get("coin") in (None, asset)
        ]
        return self._ok(call, rows)

    def _accounts(self, call: Call) -> object:
        account, given = self._signed(call)
        self._need(call, given, "productType")
        history, market = account.history, self._world.market
        gain = sum(
            place.quantity * market.price(item, call.now_ms) - place.cost
            for item, place in history.positions(call.now_ms).items()
        )
        rows = [
            {
                "marginCoin": asset,
                "locked": "0",
                "available": text(amount),
                "maxTransferOut": text(amount),
                "accountEquity": text(round(amount + gain, 8)),
                "usdtEquity": text(round(amount + gain, 8)),
                "unrealizedPL": text(round(amount * 0 + gain, 8)),
                "crossedUnrealizedPL": text(round(amount * 0 + gain, 8)),
            }
            for asset, amount in sorted(history.balances("linear", call.now_ms).items())
        ]
        return self._ok(call, rows)

    def _positions(self, call: Call) -> object:
        account, given = self._signed(call)
        self._need(call, given, "productType")
        rows = [
            self._position(instrument, position, call.now_ms)
            for instrument, position in account.history.positions(call.now_ms).items()
        ]
        return self._ok(call, rows)

    def _position(
        self, instrument: Instrument, position: Position, now_ms: int
    ) -> dict[str, object]:
        mark = self._world.market.price(instrument, now_ms)
        return {
            "symbol": self._names[instrument.symbol],
            "marginCoin": instrument.settle,
            "holdSide": "long" if position.quantity > 0 else "short",
            "marginSize": text(round(abs(position.cost) / 10, 8)),
            "available": text(abs(position.quantity)),
            "locked": "0",
            "total": text(abs(position.quantity)),
            "leverage": "10",
            "achievedProfits": "0",
            "openPriceAvg": text(position.entry),
            "marginMode": "crossed",
            "posMode": "one_way_mode",
            "unrealizedPL": text(round(position.quantity * mark - position.cost, 8)),
            "liquidationPrice": "0",
            "keepMarginRate": "0.004",
            "markPrice": text(mark),
            "cTime": str(now_ms),
            "uTime": str(now_ms),
        }

    # ---------------------------------------------------------------------- movements

    def _deposits(self, call: Call) -> object:
        account, given = self._signed(call)
        page = self._money(call, account, given, "DEPOSIT")
        rows = [
            {
                "orderId": flow.id,
                "tradeId": f"0x{int(flow.id):064x}",
                "coin": flow.asset,
                "type": "deposit",
                "size": text(flow.amount),
                "status": "success",
                "toAddress": "0x" + "ab" * 20,
                "dest": "on_chain",
                "chain": "ERC20",
                "fromAddress": "0x" + "cd" * 20,
                "cTime": str(flow.time_ms),
                "uTime": str(flow.time_ms),
            }
            for flow in page
        ]
        return self._ok(call, rows)

    def _withdrawals(self, call: Call) -> object:
        account, given = self._signed(call)
        page = self._money(call, account, given, "WITHDRAWAL")
        rows = [
            {
                "orderId": flow.id,
                "tradeId": f"0x{int(flow.id):064x}",
                "coin": flow.asset,
                "dest": "on_chain",
                "type": "withdraw",
                # Here the size is all that left, the fee within it.
                "size": text(-flow.amount),
                "fee": text(-flow.fee),
                "status": "success",
                "toAddress": "0x" + "cd" * 20,
                "chain": "ERC20",
                "confirm": "12",
                "cTime": str(flow.time_ms),
                "uTime": str(flow.time_ms),
            }
            for flow in page
        ]
        return self._ok(call, rows)

    def _money(
        self, call: Call, account: Account, given: Mapping[str, str], kind: str
    ) -> list[Flow]:
        self._need(call, given, "startTime")
        self._need(call, given, "endTime")
        start, end = self._window(call, given, 90)
        found = [
            flow
            for flow in account.history.changes(start, end, kind)
            if given.get("coin") in (None, flow.asset)
        ]
        return call.rows(account, self._page(call, given, found, 100))

    def _transfers(self, call: Call) -> object:
        account, given = self._signed(call)
        coin = self._need(call, given, "coin")
        start, end = self._window(call, given, 90)
        found = [
            move
            for move in account.history.transfers(start, end)
            if move.asset == coin and given.get("fromType") in (None, "", _WALLETS.get(move.source))
        ]
        rows = [_transfer(move) for move in call.rows(account, self._page(call, given, found, 500))]
        return self._ok(call, rows)

    def _spot_bills(self, call: Call) -> object:
        """Everything that changed the spot wallet: how a client finds the coins it traded."""
        account, given = self._signed(call)
        start, end = self._window(call, given, 90)
        booked: list[Flow] = []
        for fill in account.history.trades(start, end, kind=Kind.SPOT):
            for asset, amount in (
                (fill.instrument.base, fill.side * fill.amount),
                (fill.instrument.quote, -fill.side * fill.cost),
            ):
                fee = fill.fee if fill.fee_asset == asset else fill.fee * 0
                kind = "BUY" if fill.side > 0 else "SELL"
                booked.append(Flow(fill.time_ms, fill.id, asset, amount, kind, "spot", fee))
        for move in account.history.transfers(start, end):
            inward = move.target == "spot"
            amount = move.amount if inward else -move.amount
            kind = "TRANSFER_IN" if inward else "TRANSFER_OUT"
            booked.append(Flow(move.time_ms, move.id, move.asset, amount, kind, "spot"))
        booked += account.history.changes(start, end, "DEPOSIT", "WITHDRAWAL")
        found = [flow for flow in booked if given.get("coin") in (None, flow.asset)]
        found.sort(key=lambda flow: int(flow.id))
        rows = [
            {
                "billId": flow.id,
                "coin": flow.asset,
                "groupType": "transaction" if flow.kind in ("BUY", "SELL") else "transfer",
                "businessType": flow.kind,
                "size": text(flow.amount),
                "balance": "0",
                "fees": text(-flow.fee),
                "cTime": str(flow.time_ms),
            }
            for flow in call.rows(account, self._page(call, given, found, 500))
        ]
        return self._ok(call, rows)

    def _mix_bills(self, call: Call) -> object:
        account, given = self._signed(call)
        self._need(call, given, "productType")
        start, end = self._window(call, given, 30)
        booked = [
            flow
            for flow in account.history.changes(start, end, "FUNDING")
            if given.get("symbol") in (None, self._names[flow.symbol])
            and given.get("businessType") in (None, "contract_settle_fee")
        ]
        rows = [
            {
                "billId": flow.id,
                "symbol": self._names[flow.symbol],
                "amount": text(flow.amount),
                "fee": "0",
                "feeByCoupon": "",
                "businessType": "contract_settle_fee",
                "coin": flow.asset,
                "balance": "0",
                "cTime": str(flow.time_ms),
            }
            for flow in call.rows(account, self._page(call, given, booked, 100))
        ]
        return self._ok(call, {"bills": rows, "endId": rows[-1]["billId"] if rows else ""})

    # ------------------------------------------------------------------------- trades

    def _spot_fills(self, call: Call) -> object:
        account, given = self._signed(call)
        instrument = self._instrument(call, given, self._spot)
        start, end = self._window(call, given, 90)
        found = account.history.trades(start, end, symbol=instrument.symbol)
        page = call.rows(account, self._page(call, given, found, 100))
        rows = [
            {
                "userId": "1",
                "symbol": given["symbol"],
                "orderId": fill.order_id,
                "tradeId": fill.id,
                "orderType": "limit" if fill.maker else "market",
                "side": "buy" if fill.side > 0 else "sell",
                "priceAvg": text(fill.price),
                "size": text(fill.amount),
                "amount": text(fill.cost),
                "feeDetail": _fee(fill),
                "tradeScope": "maker" if fill.maker else "taker",
                "cTime": str(fill.time_ms),
                "uTime": str(fill.time_ms),
            }
            for fill in page
        ]
        return self._ok(call, rows)

    def _mix_fills(self, call: Call) -> object:
        account, given = self._signed(call)
        self._need(call, given, "productType")
        symbol = None
        if given.get("symbol"):
            symbol = self._instrument(call, given, self._linear).symbol
        start, end = self._window(call, given, 7)
        found = account.history.trades(start, end, symbol=symbol, kind=Kind.LINEAR)
        page = call.rows(account, self._page(call, given, found, 100))
        rows = [
            {
                "tradeId": fill.id,
                "symbol": self._names[fill.instrument.symbol],
                "marginCoin": fill.instrument.settle,
                "orderId": fill.order_id,
                "price": text(fill.price),
                "baseVolume": text(fill.amount),
                "feeDetail": [_fee(fill)],
                "side": "buy" if fill.side > 0 else "sell",
                "quoteVolume": text(fill.cost),
                "profit": "0",
                "posMode": "one_way_mode",
                "tradeScope": "maker" if fill.maker else "taker",
                "cTime": str(fill.time_ms),
            }
            for fill in page
        ]
        return self._ok(call, {"fillList": rows, "endId": rows[-1]["tradeId"] if rows else ""})


def _fee(fill: Fill) -> dict[str, object]:
    # Negative is paid.
    return {
        "deduction": "no",
        "feeCoin": fill.fee_asset,
        "totalDeductionFee": "",
        "totalFee": text(-fill.fee),
    }


def _transfer(move: Move) -> dict[str, object]:
    return {
        "transferId": move.id,
        "coin": move.asset,
        "status": "Successful",
        "toType": _WALLETS[move.target],
        "fromType": _WALLETS[move.source],
        "size": text(move.amount),
        "ts": str(move.time_ms),
        "clientOid": move.id,
    }
