"""Alpaca: api.alpaca.markets and paper-api.alpaca.markets; market data on data.alpaca.markets.

Everything that happened is an activity. A trade has its time to the ms, all else only a day; both
have ids that begin with it. Paging: 100 at a time, after the id of the last one, in either
direction. Crypto and shares are in one list, but clients list crypto markets only. Limits are calls
per minute and key.
"""

from __future__ import annotations

import datetime
import hmac
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Instrument, Kind
from strongroom_host.venues.venue import Call, Handler, Reply, integer, text
from strongroom_host.venues.world import Account, World

__all__ = ["Alpaca"]

_DAY_MS: Final = 24 * HOUR_MS
_SPANS: Final = {
    "1min": MINUTE_MS,
    "5min": 5 * MINUTE_MS,
    "15min": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "1hour": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "1d": _DAY_MS,
    "1day": _DAY_MS,
}
_CRYPTO: Final = ("BTC", "ETH", "DOGE")
_TYPES: Final = {
    "DEPOSIT": "CSD",
    "WITHDRAWAL": "CSW",
    "DIVIDEND": "DIV",
    "INTEREST": "INT",
    "FEE": "FEE",
}
_PAGE: Final = 100
_BARS: Final = 10_000


def _refused(code: int, message: str, status: int) -> Refused:
    return Refused(message, body={"code": code, "message": message}, status=status)


def _instant(time_ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(time_ms // 1_000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1_000:03d}Z"


def _ms(name: str, value: str | None, otherwise: int) -> int:
    if not value:
        return otherwise
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError as error:
        message = f"Invalid format for parameter {name}: error parsing '{value}' as RFC3339"
        raise _refused(40010001, message, 422) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    epoch = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return (moment - epoch) // datetime.timedelta(milliseconds=1)


def _raw(number: Decimal) -> msgspec.Raw:
    return msgspec.Raw(text(number).encode())


class Alpaca:
    """A brokerage account with shares and crypto."""

    name = "alpaca"
    hosts: tuple[str, ...] = (
        "api.alpaca.markets",
        "paper-api.alpaca.markets",
        "data.alpaca.markets",
    )

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._meter = Meter(200, MINUTE_MS, limits)
        listed = [
            item
            for item in world.market.instruments.values()
            if item.kind is Kind.SPOT and item.quote == "USD"
        ]
        self._crypto = {item.symbol: item for item in listed if item.base in _CRYPTO}
        shares = [item for item in listed if item.symbol not in self._crypto]
        self._shares = {item.base: item for item in shares}

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            ("GET", "/v2/clock", self._clock),
            ("GET", "/v2/assets", self._assets),
            ("GET", "/v2/account", self._account),
            ("GET", "/v2/positions", self._positions),
            ("GET", "/v2/account/activities", self._activities),
            ("GET", "/v2/account/activities/{kind}", self._activities),
            ("GET", "/v2/wallets/transfers", self._no_transfers),
            ("GET", "/v1beta3/crypto/{place}/bars", self._crypto_bars),
            ("GET", "/v2/stocks/bars", self._share_bars),
        ]

    def unknown(self, call: Call) -> Refused:
        """What Alpaca says to a path that it does not have."""
        return _refused(40410000, f"endpoint not found: {call.path}", 404)

    def _signed(self, call: Call) -> tuple[Account, dict[str, str], dict[str, str]]:
        """Whose call it is, its parameters, and the headers of what is left.

        Raises:
            Refused: unknown key or wrong secret, or too many calls.
        """
        key = call.headers.get("APCA-API-KEY-ID", "")
        account = self._world.account(self.name, key)
        given = call.headers.get("APCA-API-SECRET-KEY", "").encode("latin-1", "replace")
        right = account.credentials.secret.encode() if account else b"-"
        if account is None or not hmac.compare_digest(given, right):
            raise Refused("forbidden.", body={"message": "forbidden."}, status=403)
        try:
            used = self._meter.take(key, 1, call.now_ms)
        except Exhausted as exhausted:
            refusal = _refused(42910000, "rate limit exceeded", 429)
            refusal.headers |= self._limits(0, call.now_ms + exhausted.retry_after_ms)
            raise refusal from exhausted
        reset = (call.now_ms // MINUTE_MS + 1) * MINUTE_MS
        return account, call.parameters, self._limits(self._meter.limit - used, reset)

    def _limits(self, left: int, reset_ms: int) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self._meter.limit),
            "X-RateLimit-Remaining": str(max(0, left)),
            "X-RateLimit-Reset": str(-(-reset_ms // 1_000)),
        }

    # ------------------------------------------------------------------------- market

    def _clock(self, call: Call) -> object:
        _, _, left = self._signed(call)
        return Reply({"timestamp": _instant(call.now_ms), "is_open": True}, left)

    def _assets(self, call: Call) -> object:
        _, given, left = self._signed(call)
        crypto = given.get("asset_class", "us_equity") == "crypto"
        rows = [
            {
                "id": name,
                "class": "crypto" if crypto else "us_equity",
                "exchange": "CRYPTO" if crypto else "NASDAQ",
                "symbol": name,
                "name": name,
                "status": "active",
                "tradable": True,
                "fractionable": True,
                "min_order_size": text(item.step),
                "min_trade_increment": text(item.step),
                "price_increment": text(item.tick),
            }
            for name, item in (self._crypto if crypto else self._shares).items()
        ]
        return Reply(rows, left)

    def _crypto_bars(self, call: Call) -> object:
        return self._bars(call, self._crypto)

    def _share_bars(self, call: Call) -> object:
        self._signed(call)
        return self._bars(call, self._shares)

    def _bars(self, call: Call, known: Mapping[str, Instrument]) -> object:
        """Bars of the symbols one after another, up to a limit over all of them."""
        given = call.parameters
        names = given.get("symbols", "").split(",")
        strange = [name for name in names if name not in known]
        if strange:
            raise _refused(40010001, f"Invalid symbol(s): {','.join(strange)}", 400)
        span = _SPANS.get(given.get("timeframe", "").lower())
        if span is None:
            raise _refused(40010001, "Invalid format for parameter timeframe", 400)
        limit = self._number(given, "limit", 1_000, _BARS)
        today = call.now_ms // _DAY_MS * _DAY_MS
        start = _ms("start", given.get("start"), today)
        end = min(_ms("end", given.get("end"), call.now_ms), call.now_ms)
        name, _, time_ms = given.get("page_token", "").partition("|")
        if name and (name not in names or not time_ms.isdigit()):
            raise _refused(40010001, "Invalid format for parameter page_token", 400)
        bars: dict[str, list[dict[str, object]]] = {}
        token = None
        for symbol in names[names.index(name) :] if name else names:
            first = int(time_ms) + 1 if symbol == name else start
            room = limit - sum(map(len, bars.values()))
            found = self._world.market.candles(known[symbol], first, end, span, room + 1)
            if len(found) > room:
                token = f"{symbol}|{found[room - 1].start_ms if room else first - 1}"
                found = found[:room]
            bars[symbol] = [
                {
                    "t": _instant(c.start_ms),
                    "o": _raw(c.open),
                    "h": _raw(c.high),
                    "l": _raw(c.low),
                    "c": _raw(c.close),
                    "v": _raw(c.volume),
                    "n": 1,
                    "vw": _raw(c.close),
                }
                for c in found
            ]
            if token is not None:
                break
        return {"bars": bars, "next_page_token": token}

    def _number(self, given: Mapping[str, str], name: str, otherwise: int, most: int) -> int:
        try:
            number = integer(given.get(name), otherwise)
        except ValueError as error:
            raise _refused(40010001, f"Invalid format for parameter {name}", 422) from error
        if not 1 <= number <= most:
            raise _refused(40010001, f"{name} must be between 1 and {most}", 422)
        return number

    # ------------------------------------------------------------------------ account

    def _instrument(self, asset: str) -> Instrument:
        return self._shares.get(asset) or self._crypto[f"{asset}/USD"]

    def _account(self, call: Call) -> object:
        account, _, left = self._signed(call)
        held = account.history.balances("spot", call.now_ms)
        market = self._world.market
        value = sum(
            (
                amount * market.price(self._instrument(asset), call.now_ms)
                for asset, amount in held.items()
                if asset != "USD"
            ),
            Decimal(0),
        )
        content = {
            "id": str(uuid.UUID(int=account.number)),
            "account_number": str(account.number),
            "status": "ACTIVE",
            "currency": "USD",
            "cash": text(held.get("USD", Decimal(0))),
            "equity": text(held.get("USD", Decimal(0)) + value),
            "position_market_value": text(value),
            "portfolio_value": text(held.get("USD", Decimal(0)) + value),
        }
        return Reply(content, left)

    def _positions(self, call: Call) -> object:
        account, _, left = self._signed(call)
        held = account.history.balances("spot", call.now_ms)
        rows = [
            {
                "asset_id": asset,
                # Without the slash that activities have.
                "symbol": asset if asset in self._shares else f"{asset}USD",
                "asset_class": "us_equity" if asset in self._shares else "crypto",
                "qty": text(amount),
                "qty_available": text(amount),
                "side": "long",
            }
            for asset, amount in sorted(held.items())
            if asset != "USD" and amount
        ]
        return Reply(rows, left)

    def _no_transfers(self, call: Call) -> object:
        return Reply([], self._signed(call)[2])

    def _activities(self, call: Call) -> object:
        account, given, left = self._signed(call)
        wanted = call.places.get("kind") or given.get("activity_types", "")
        kinds = set(filter(None, wanted.split(",")))
        if given.get("category") == "non_trade_activity":
            kinds = set(_TYPES.values())
        size = self._number(given, "page_size", _PAGE, _PAGE)
        upwards = given.get("direction", "desc") == "asc"
        after = _ms("after", given.get("after"), -1)
        until = min(_ms("until", given.get("until"), call.now_ms + 1), call.now_ms + 1)
        # After and until are both excluded.
        span = after + 1, until - 1
        events: list[Fill | Flow] = list(account.history.changes(*span, *_TYPES))
        events += account.history.trades(*span)
        found = sorted(
            (event for event in events if not kinds or _type(event) in kinds),
            key=lambda event: event.id,
            reverse=not upwards,
        )
        token = given.get("page_token", "")
        if token:
            found = [e for e in found if (e.id > token if upwards else e.id < token)]
        rows = [self._row(event) for event in call.rows(account, found[:size])]
        return Reply(rows, left)

    def _row(self, event: Fill | Flow) -> dict[str, object]:
        if isinstance(event, Fill):
            item = event.instrument
            return {
                "id": event.id,
                "activity_type": "FILL",
                "transaction_time": _instant(event.time_ms),
                "type": "fill",
                "price": text(event.price),
                "qty": text(event.amount),
                "side": "buy" if event.side > 0 else "sell",
                "symbol": item.base if item.base in self._shares else item.symbol,
                "leaves_qty": "0",
                "order_id": event.order_id,
                "cum_qty": text(event.amount),
                "order_status": "filled",
            }
        return {
            "id": event.id,
            "activity_type": _type(event),
            "date": _instant(event.time_ms)[:10],
            "net_amount": text(event.amount),
            "description": "",
            "status": "executed",
        }


def _type(event: Fill | Flow) -> str:
    return "FILL" if isinstance(event, Fill) else _TYPES[event.kind]
