"""Kraken spot: api.kraken.com.

Paging: trades and ledger entries 50 at a time by offset, newest first, between two times of which
the first is excluded; deposits and withdrawals in one list of the newest 500. Only the newest 720
candles of an interval exist. A request is signed with SHA-512 over its path and nonce, and every
nonce must be above the key's last. Limits are a counter per key that falls over time; refusals come
with status 200 and a list of errors.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow
from strongroom_host.venues.limits import Bucket, Exhausted
from strongroom_host.venues.market import MINUTE_MS, Instrument, Kind
from strongroom_host.venues.venue import Call, Event, Handler, decimals, integer, text
from strongroom_host.venues.world import Account, World

__all__ = ["Kraken"]

_PAGE: Final = 50
_CANDLES: Final = 720
_STATUSES: Final = 500
_INTERVALS: Final = (1, 5, 15, 30, 60, 240, 1_440)
# Kraken's old names: X for what is no state's money, Z for what is.
_ASSETS: Final = {
    "BTC": ("XXBT", "XBT"),
    "ETH": ("XETH", "ETH"),
    "DOGE": ("XXDG", "XDG"),
    "USD": ("ZUSD", "USD"),
}

_LISTED: Final = ("BTC", "ETH", "BNB", "DOGE")


def _refused(error: str, actual: object = None) -> Refused:
    return Refused(error, body={"error": [error]}, status=200, actual=actual)


def _asset(name: str) -> str:
    return _ASSETS.get(name, (name, name))[0]


def _alternative(name: str) -> str:
    return _ASSETS.get(name, (name, name))[1]


def _seconds(time_ms: int) -> msgspec.Raw:
    """A time as Kraken's JSON has it: seconds, a number with four decimals."""
    return msgspec.Raw(f"{time_ms // 1_000}.{time_ms % 1_000:03d}0".encode())


class Kraken:
    """A spot account without leverage."""

    name = "kraken"
    hosts: tuple[str, ...] = ("api.kraken.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._bucket = Bucket(20, 2_000, limits)
        self._nonces: dict[str, int] = {}
        self._pairs = {
            self._pair(item): item
            for item in world.market.instruments.values()
            if item.kind is Kind.SPOT and item.quote == "USD" and item.base in _LISTED
        }

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            ("GET", "/0/public/Time", self._time),
            ("GET", "/0/public/Assets", self._assets),
            ("GET", "/0/public/AssetPairs", self._asset_pairs),
            ("GET", "/0/public/OHLC", self._ohlc),
            ("POST", "/0/private/GetApiKeyInfo", self._key),
            ("POST", "/0/private/BalanceEx", self._balance),
            ("POST", "/0/private/TradesHistory", self._trades),
            ("POST", "/0/private/Ledgers", self._ledgers),
            ("POST", "/0/private/DepositStatus", self._deposits),
            ("POST", "/0/private/WithdrawStatus", self._withdrawals),
            ("POST", "/0/private/OpenPositions", self._positions),
        ]

    def unknown(self, call: Call) -> Refused:
        """What Kraken says to a path that it does not have."""
        return _refused("EGeneral:Unknown method", call.path)

    def _pair(self, item: Instrument) -> str:
        if item.base == "DOGE":
            return "XDGUSD"
        return _asset(item.base) + _asset(item.quote) if item.base in _ASSETS else self._alt(item)

    def _alt(self, item: Instrument) -> str:
        return _alternative(item.base) + _alternative(item.quote)

    def _signed(self, call: Call, cost: int = 1) -> tuple[Account, dict[str, str]]:
        """Whose call it is, and the parameters in its body.

        Raises:
            Refused: unknown key, a signature not of this request, a nonce that is not above the
                last one, or too many calls.
        """
        key = call.headers.get("API-Key", "")
        account = self._world.account(self.name, key)
        if account is None:
            raise _refused("EAPI:Invalid key")
        given = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        nonce = given.get("nonce", "")
        digest = hashlib.sha256(nonce.encode() + call.body).digest()
        secret = base64.b64decode(account.credentials.secret)
        right = hmac.digest(secret, call.path.encode() + digest, hashlib.sha512)
        sign = call.headers.get("API-Sign", "").encode("latin-1")
        if not hmac.compare_digest(base64.b64encode(right), sign):
            raise _refused("EAPI:Invalid signature")
        if not nonce.isdigit() or int(nonce) <= self._nonces.get(key, -1):
            raise _refused("EAPI:Invalid nonce", nonce)
        self._nonces[key] = int(nonce)
        try:
            self._bucket.take(key, cost, call.now_ms)
        except Exhausted as exhausted:
            raise _refused("EAPI:Rate limit exceeded") from exhausted
        return account, given

    def _number(self, given: Mapping[str, str], name: str, otherwise: int) -> int:
        try:
            return integer(given.get(name), otherwise)
        except ValueError as error:
            raise _refused("EGeneral:Invalid arguments", name) from error

    def _between(self, call: Call, given: Mapping[str, str]) -> tuple[int, int]:
        """The first and last ms that is asked for; the start itself is not."""
        try:
            start = int(Decimal(given["start"]) * 1_000) + 1 if given.get("start") else 0
            end = int(Decimal(given["end"]) * 1_000) if given.get("end") else call.now_ms
        except ArithmeticError as error:
            raise _refused("EGeneral:Invalid arguments:start") from error
        return start, min(end, call.now_ms)

    def _page(self, given: Mapping[str, str], found: Sequence[Event]) -> Sequence[Event]:
        offset = self._number(given, "ofs", 0)
        if offset < 0:
            raise _refused("EGeneral:Invalid arguments:ofs")
        return found[::-1][offset : offset + _PAGE]

    # ------------------------------------------------------------------------- market

    def _time(self, call: Call) -> object:
        return {"error": [], "result": {"unixtime": call.now_ms // 1_000, "rfc1123": ""}}

    def _assets(self, _call: Call) -> object:
        items = self._pairs.values()
        assets = sorted({item.base for item in items} | {item.quote for item in items})
        result = {
            _asset(asset): {
                "aclass": "currency",
                "altname": _alternative(asset),
                "decimals": 10,
                "display_decimals": 5,
                "status": "enabled",
            }
            for asset in assets
        }
        return {"error": [], "result": result}

    def _asset_pairs(self, call: Call) -> object:
        result = {
            pair: {
                "altname": self._alt(item),
                "wsname": f"{_alternative(item.base)}/{_alternative(item.quote)}",
                "aclass_base": "currency",
                "base": _asset(item.base),
                "aclass_quote": "currency",
                "quote": _asset(item.quote),
                "lot": "unit",
                "pair_decimals": decimals(item.tick),
                "cost_decimals": 5,
                "lot_decimals": 8,
                "lot_multiplier": 1,
                "leverage_buy": [],
                "leverage_sell": [],
                "fees": [[0, 0.1]],
                "fees_maker": [[0, 0.1]],
                "fee_volume_currency": "ZUSD",
                "ordermin": text(item.step),
                "costmin": "0.5",
                "tick_size": text(item.tick),
                "status": "online",
            }
            for pair, item in self._pairs.items()
            if item.trading(call.now_ms)
        }
        return {"error": [], "result": result}

    def _ohlc(self, call: Call) -> object:
        given = call.parameters
        names = {self._alt(item): pair for pair, item in self._pairs.items()}
        pair = names.get(given.get("pair", ""), given.get("pair", ""))
        if pair not in self._pairs:
            raise _refused("EQuery:Unknown asset pair")
        minutes = self._number(given, "interval", 1)
        if minutes not in _INTERVALS:
            raise _refused("EGeneral:Invalid arguments")
        span = minutes * MINUTE_MS
        newest = call.now_ms // span * span
        since = self._number(given, "since", 0) * 1_000
        start = max(newest - (_CANDLES - 1) * span, since + 1)
        candles = self._world.market.candles(self._pairs[pair], start, call.now_ms, span, _CANDLES)
        rows = [
            [
                c.start_ms // 1_000,
                text(c.open),
                text(c.high),
                text(c.low),
                text(c.close),
                text(c.close),
                text(c.volume),
                1,
            ]
            for c in candles
        ]
        return {"error": [], "result": {pair: rows, "last": newest // 1_000 - minutes * 60}}

    # ------------------------------------------------------------------------ account

    def _key(self, call: Call) -> object:
        account, _ = self._signed(call)
        result = {
            "api_key_name": account.name,
            "api_key": account.credentials.key,
            "permissions": ["query-funds", "query-closed-trades", "query-ledger"],
            "iban": f"AA00 {account.number}",
        }
        return {"error": [], "result": result}

    def _balance(self, call: Call) -> object:
        account, _ = self._signed(call)
        held = account.history.balances("spot", call.now_ms)
        result = {
            _asset(asset): {"balance": text(amount), "hold_trade": "0.0000"}
            for asset, amount in sorted(held.items())
        }
        return {"error": [], "result": result}

    def _trades(self, call: Call) -> object:
        account, given = self._signed(call, 2)
        found = account.history.trades(*self._between(call, given))
        names = {item.symbol: pair for pair, item in self._pairs.items()}
        rows = {
            fill.id: {
                "ordertxid": fill.order_id,
                "postxid": "TKH2SE-M7IF5-CFI7LT",
                "pair": names[fill.instrument.symbol],
                "time": _seconds(fill.time_ms),
                "type": "buy" if fill.side > 0 else "sell",
                "ordertype": "limit" if fill.maker else "market",
                "price": text(fill.price, 5),
                "cost": text(fill.cost),
                "fee": text(fill.fee, 5),
                "vol": text(fill.amount, 8),
                "margin": "0.00000",
                "leverage": "0",
                "misc": "",
                "trade_id": 1,
                "maker": fill.maker,
            }
            for fill in call.rows(account, self._page(given, found))
        }
        return {"error": [], "result": {"count": len(found), "trades": rows}}

    def _ledgers(self, call: Call) -> object:
        """Two entries of each trade, one of each deposit and withdrawal."""
        account, given = self._signed(call, 2)
        start, end = self._between(call, given)
        history = account.history
        entries: list[Flow] = list(history.changes(start, end, "DEPOSIT", "WITHDRAWAL"))
        for fill in history.trades(start, end):
            entries += _booked(fill)
        entries.sort(key=lambda entry: entry.time_ms)
        wanted = given.get("type", "all")
        found = [
            entry
            for entry in entries
            if given.get("asset") in (None, "all", _asset(entry.asset))
            and wanted in ("all", entry.kind.lower())
        ]
        rows = {
            f"L{entry.id}{'B' if entry.asset != 'USD' else 'Q'}": {
                "refid": entry.id,
                "time": _seconds(entry.time_ms),
                "type": entry.kind.lower(),
                "subtype": "",
                "aclass": "currency",
                "asset": _asset(entry.asset),
                "amount": text(entry.amount + entry.fee),
                "fee": text(entry.fee),
                "balance": "0",
            }
            for entry in call.rows(account, self._page(given, found))
        }
        return {"error": [], "result": {"count": len(found), "ledger": rows}}

    def _deposits(self, call: Call) -> object:
        account, given = self._signed(call)
        rows = [
            {
                "method": "Wire",
                "aclass": "currency",
                "asset": _asset(flow.asset),
                "refid": flow.id,
                "txid": flow.id,
                "info": "",
                "amount": text(flow.amount),
                "fee": "0.00000",
                "time": flow.time_ms // 1_000,
                "status": "Success",
            }
            for flow in self._money(call, account, given, "DEPOSIT")
        ]
        return {"error": [], "result": rows}

    def _withdrawals(self, call: Call) -> object:
        account, given = self._signed(call)
        rows = [
            {
                "method": "Wire",
                "aclass": "currency",
                "asset": _asset(flow.asset),
                "refid": flow.id,
                "txid": flow.id,
                "info": "",
                "amount": text(-flow.amount - flow.fee),
                "fee": text(flow.fee),
                "time": flow.time_ms // 1_000,
                "status": "Success",
                "key": "bank",
            }
            for flow in self._money(call, account, given, "WITHDRAWAL")
        ]
        return {"error": [], "result": rows}

    def _money(
        self, call: Call, account: Account, given: Mapping[str, str], kind: str
    ) -> list[Flow]:
        start, end = self._between(call, given)
        found = [
            flow
            for flow in account.history.changes(start, end, kind)
            if given.get("asset") in (None, _asset(flow.asset))
        ]
        return call.rows(account, found[::-1][:_STATUSES])

    def _positions(self, call: Call) -> object:
        self._signed(call)
        return {"error": [], "result": []}


def _booked(fill: Fill) -> list[Flow]:
    """What one trade did to its two balances; the fee is the quote's."""
    base, quote = fill.instrument.base, fill.instrument.quote
    gained, paid = fill.side * fill.amount, -fill.side * fill.cost - fill.fee
    return [
        Flow(fill.time_ms, fill.id, base, gained, "TRADE", "spot"),
        Flow(fill.time_ms, fill.id, quote, paid, "TRADE", "spot", fill.fee),
    ]
