"""What Bitget's accounts share: signatures, windows, pages backwards by id; and the market data."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from strongroom_host.venues.errors import Refused
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

__all__ = ["BitgetDesk", "refused"]

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


def refused(code: str, message: str, now_ms: int, status: int = 400) -> Refused:
    """A refusal as Bitget words them."""
    body = {"code": code, "msg": message, "requestTime": now_ms, "data": None}
    return Refused(message, body=body, status=status)


class BitgetDesk:
    """Who signs and what may be asked; every endpoint that needs no account."""

    name = "bitget"
    hosts: tuple[str, ...] = ("api.bitget.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self.world = world
        self._meter = Meter(10, 1_000, limits)
        self.spot = by_pair(world.market, Kind.SPOT)
        self.linear = by_pair(world.market, Kind.LINEAR)
        self.names = {
            item.symbol: name for known in (self.spot, self.linear) for name, item in known.items()
        }

    def market_routes(self) -> list[tuple[str, str, Handler]]:
        """The endpoints of the market."""
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
        ]

    def unknown(self, call: Call) -> Refused:
        """What Bitget says to a path that it does not have."""
        return refused("40404", "Request URL NOT FOUND", call.now_ms, 404)

    # ---------------------------------------------------------- who asks, and how often

    def open(self, call: Call) -> dict[str, str]:
        """The parameters of a call that anybody may make, counted."""
        try:
            self._meter.take(f"{call.client} {call.path}", 1, call.now_ms)
        except Exhausted as exhausted:
            raise refused("429", "Too Many Requests", call.now_ms, 429) from exhausted
        return call.parameters

    def signed(self, call: Call) -> tuple[Account, dict[str, str]]:
        """Whose call it is, and its parameters.

        Raises:
            Refused: a header missing or wrong, a stale time, or a signature not of this request.
        """
        given, headers, now = self.open(call), call.headers, call.now_ms
        key, stamp = headers.get("ACCESS-KEY", ""), headers.get("ACCESS-TIMESTAMP", "")
        if not key:
            raise refused("40006", "Invalid ACCESS_KEY", now)
        account = self.world.account(self.name, key)
        if account is None:
            raise refused("40037", "Apikey does not exist", now)
        if not stamp.isdigit():
            raise refused("40005", "Invalid ACCESS_TIMESTAMP", now)
        if abs(now - int(stamp)) > _WINDOW_MS:
            raise refused("40008", "Request timestamp expired", now)
        right_phrase = account.credentials.passphrase.encode()
        if not hmac.compare_digest(headers.get("ACCESS-PASSPHRASE", "").encode(), right_phrase):
            raise refused("40012", "apikey/password is incorrect", now)
        query = f"?{unquote_plus(call.query)}" if call.query else ""
        covered = f"{stamp}{call.method}{call.path}{query}".encode() + call.body
        secret = account.credentials.secret.encode()
        right = base64.b64encode(hmac.digest(secret, covered, hashlib.sha256)).decode()
        if not hmac.compare_digest(right, headers.get("ACCESS-SIGN", "")):
            raise refused("40009", "sign signature error", now)
        return account, given

    def number(self, call: Call, given: Mapping[str, str], name: str, otherwise: int) -> int:
        """A parameter as a number."""
        try:
            return integer(given.get(name), otherwise)
        except ValueError as error:
            message = f"Parameter verification failed {name}"
            raise refused("40017", message, call.now_ms) from error

    def need(self, call: Call, given: Mapping[str, str], name: str) -> str:
        """A parameter that has to be there."""
        if not given.get(name):
            raise refused("400172", f"Parameter {name} cannot be empty", call.now_ms)
        return given[name]

    def window(self, call: Call, given: Mapping[str, str], days: int) -> tuple[int, int]:
        """Start and end of what is asked for; at most so many days, and 90 back."""
        end = self.number(call, given, "endTime", call.now_ms)
        start = self.number(call, given, "startTime", end - days * _DAY_MS)
        if end - start > days * _DAY_MS:
            message = f"startTime and endTime interval cannot be greater than {days} days"
            raise refused("00001", message, call.now_ms)
        # What is asked for is let in, but nothing older than 90 days is told.
        return max(start, call.now_ms - _BACK_MS), min(end, call.now_ms)

    def page(
        self, call: Call, given: Mapping[str, str], found: list[Event], most: int
    ) -> list[Event]:
        """One page, newest first, below `idLessThan`."""
        limit = self.number(call, given, "limit", 100)
        if not 1 <= limit <= most:
            raise refused("40017", "Parameter verification failed limit", call.now_ms)
        return before_id(found, self.number(call, given, "idLessThan", 0), limit)

    def ok(self, call: Call, data: object) -> object:
        """An answer."""
        return {"code": "00000", "msg": "success", "requestTime": call.now_ms, "data": data}

    # ------------------------------------------------------------------------- market

    def _time(self, call: Call) -> object:
        self.open(call)
        return self.ok(call, {"serverTime": str(call.now_ms)})

    def _coins(self, call: Call) -> object:
        self.open(call)
        items = self.world.market.instruments.values()
        assets = sorted({item.base for item in items} | {item.quote for item in items})
        return self.ok(call, [{"coinId": "1", "coin": a, "chains": []} for a in assets])

    def _symbols(self, call: Call) -> object:
        self.open(call)
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
            for name, instrument in self.spot.items()
        ]
        return self.ok(call, rows)

    def _no_margin(self, call: Call) -> object:
        self.open(call)
        return self.ok(call, [])

    def _contracts(self, call: Call) -> object:
        given = self.open(call)
        product = self.need(call, given, "productType")
        known = self.linear if product.upper() == "USDT-FUTURES" else {}
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
        return self.ok(call, rows)

    def _spot_candles(self, call: Call) -> object:
        return self._candles(call, self.spot, _SPOT_SPANS, 1_000)

    def _spot_history(self, call: Call) -> object:
        return self._candles(call, self.spot, _SPOT_SPANS, 200)

    def _mix_candles(self, call: Call) -> object:
        return self._candles(call, self.linear, _MIX_SPANS, 1_000)

    def _mix_history(self, call: Call) -> object:
        return self._candles(call, self.linear, _MIX_SPANS, 200)

    def _candles(
        self, call: Call, known: Mapping[str, Instrument], spans: Mapping[str, int], most: int
    ) -> object:
        given = self.open(call)
        instrument = self.instrument(call, given, known)
        span = spans.get(given.get("granularity", ""))
        if span is None:
            raise refused("400171", "Parameter verification failed granularity", call.now_ms)
        limit = min(self.number(call, given, "limit", 100), most)
        end = min(self.number(call, given, "endTime", call.now_ms), call.now_ms)
        # The newest candles before the end come, so a start too far back is not reached.
        start = max(self.number(call, given, "startTime", 0), (end // span - limit + 1) * span)
        candles = self.world.market.candles(instrument, start, end, span, limit)
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
        return self.ok(call, rows)

    def instrument(
        self, call: Call, given: Mapping[str, str], known: Mapping[str, Instrument]
    ) -> Instrument:
        """The instrument that a request names."""
        name = self.need(call, given, "symbol")
        if name not in known:
            raise refused("40034", f"Parameter {name} does not exist", call.now_ms)
        return known[name]
