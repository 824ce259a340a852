"""Coinbase Advanced Trade (/api/v3/brokerage) and the wallet API beside it (/v2): api.coinbase.com.

Paging: fills by cursor, newest first, 100 at a time unless more is asked for; wallet histories per
account 25 to 100 at a time, each page after the id of the last. Each request carries a token signed
for it. Limits are calls per second and key.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from strongroom_host.venues.coinbase_token import TokenRefused, key_named_by, verify
from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Kind
from strongroom_host.venues.venue import Call, Handler, integer, text
from strongroom_host.venues.world import Account, World

__all__ = ["Coinbase"]

_DAY_MS: Final = 24 * HOUR_MS
_SPANS: Final = {
    "ONE_MINUTE": MINUTE_MS,
    "FIVE_MINUTE": 5 * MINUTE_MS,
    "FIFTEEN_MINUTE": 15 * MINUTE_MS,
    "ONE_HOUR": HOUR_MS,
    "SIX_HOUR": 6 * HOUR_MS,
    "ONE_DAY": _DAY_MS,
}
_LISTED: Final = ("BTC", "ETH", "BNB", "DOGE")
_CANDLES: Final = 350
_FILLS: Final = 3_000


def _refused(name: str, message: str, status: int = 400) -> Refused:
    body = {"error": name, "error_details": message, "message": message}
    return Refused(message, body=body, status=status)


def _refused_wallet(name: str, message: str, status: int) -> Refused:
    return Refused(message, body={"errors": [{"id": name, "message": message}]}, status=status)


def _instant(time_ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(time_ms // 1_000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1_000:03d}Z"


def _ms(value: str | None, otherwise: int) -> int:
    if not value:
        return otherwise
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError as error:
        raise _refused("INVALID_ARGUMENT", f"invalid timestamp {value}") from error
    if moment.tzinfo is None:
        raise _refused("INVALID_ARGUMENT", f"no zone in {value}")
    epoch = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return (moment - epoch) // datetime.timedelta(milliseconds=1)


class Coinbase:
    """A spot portfolio, with one wallet account per asset."""

    name = "coinbase"
    hosts: tuple[str, ...] = ("api.coinbase.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._keys = Meter(30, 1_000, limits)
        self._addresses = Meter(10, 1_000, limits)
        self._products = {
            f"{item.base}-{item.quote}": item
            for item in world.market.instruments.values()
            if item.kind is Kind.SPOT and item.quote == "USD" and item.base in _LISTED
        }

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        market, mine = "/api/v3/brokerage/market", "/api/v3/brokerage"
        return [
            ("GET", "/v2/time", self._wallet_time),
            ("GET", "/v2/currencies", self._fiat),
            ("GET", "/v2/currencies/crypto", self._crypto),
            ("GET", "/v2/exchange-rates", self._rates),
            ("GET", f"{mine}/time", self._time),
            ("GET", f"{market}/products", self._list),
            ("GET", f"{market}/products/{{product}}/candles", self._candles),
            ("GET", f"{mine}/products", self._own_list),
            ("GET", f"{mine}/transaction_summary", self._summary),
            ("GET", f"{mine}/key_permissions", self._permissions),
            ("GET", f"{mine}/accounts", self._accounts),
            ("GET", f"{mine}/orders/historical/fills", self._fills),
            ("GET", "/v2/accounts", self._wallets),
            ("GET", "/v2/accounts/{account}/deposits", self._deposits),
            ("GET", "/v2/accounts/{account}/withdrawals", self._withdrawals),
            ("GET", "/v2/accounts/{account}/transactions", self._transactions),
        ]

    def unknown(self, call: Call) -> Refused:
        """What Coinbase says to a path that it does not have."""
        return _refused("unknown", f"{call.path} not found", 404)

    # ---------------------------------------------------------- who asks, and how often

    def _open(self, call: Call) -> dict[str, str]:
        self._count(self._addresses, call.client, call)
        return call.parameters

    def _count(self, meter: Meter, key: str, call: Call) -> None:
        try:
            meter.take(key, 1, call.now_ms)
        except Exhausted as exhausted:
            if call.path.startswith("/v2"):
                raise _refused_wallet(
                    "rate_limit_exceeded", "Too many requests", 429
                ) from exhausted
            raise _refused("rate_limit_exceeded", "Too many requests", 429) from exhausted

    def _signed(self, call: Call) -> tuple[Account, dict[str, str]]:
        """Whose call it is, and its parameters.

        Raises:
            Refused: 401, for whatever is wrong with the token; or too many calls.
        """
        scheme, _, token = call.headers.get("Authorization", "").partition(" ")
        try:
            if scheme != "Bearer":
                raise TokenRefused("no token")
            key = key_named_by(token)
            account = self._world.account(self.name, key)
            if account is None:
                raise TokenRefused("unknown key")
            request = f"{call.method} {call.host}{call.path}"
            verify(token, account.credentials.secret, request, call.now_ms // 1_000)
        except TokenRefused as error:
            # The venue does not say which check it was.
            raise Refused(
                "Unauthorized", body=b"Unauthorized\n", status=401, actual=str(error)
            ) from error
        self._count(self._keys, key, call)
        return account, call.parameters

    def _number(self, given: Mapping[str, str], name: str, otherwise: int) -> int:
        try:
            return integer(given.get(name), otherwise)
        except ValueError as error:
            raise _refused("INVALID_ARGUMENT", f"invalid {name}") from error

    # ------------------------------------------------------------------------- market

    def _wallet_time(self, call: Call) -> object:
        self._open(call)
        return {"data": {"iso": _instant(call.now_ms), "epoch": call.now_ms // 1_000}}

    def _time(self, call: Call) -> object:
        self._open(call)
        return {
            "iso": _instant(call.now_ms),
            "epochSeconds": str(call.now_ms // 1_000),
            "epochMillis": str(call.now_ms),
        }

    def _fiat(self, call: Call) -> object:
        self._open(call)
        return {"data": [{"id": "USD", "name": "US Dollar", "min_size": "0.01"}]}

    def _crypto(self, call: Call) -> object:
        self._open(call)
        assets = sorted({item.base for item in self._products.values()})
        return {"data": [{"asset_id": _id("asset", a), "code": a, "name": a} for a in assets]}

    def _rates(self, call: Call) -> object:
        self._open(call)
        return {"data": {"currency": "USD", "rates": {"USD": "1"}}}

    def _list(self, call: Call) -> object:
        return self._products_of(self._open(call), call)

    def _own_list(self, call: Call) -> object:
        return self._products_of(self._signed(call)[1], call)

    def _products_of(self, given: Mapping[str, str], call: Call) -> object:
        spot = given.get("product_type", "SPOT") == "SPOT"
        products = [
            {
                "product_id": name,
                "price": text(self._world.market.price(item, call.now_ms)),
                "base_increment": text(item.step),
                "quote_increment": text(item.tick),
                "price_increment": text(item.tick),
                "quote_min_size": "1",
                "quote_max_size": "50000000",
                "base_min_size": text(item.step),
                "base_max_size": "3400",
                "base_name": item.base,
                "quote_name": item.quote,
                "base_currency_id": item.base,
                "quote_currency_id": item.quote,
                "status": "online",
                "trading_disabled": not item.trading(call.now_ms),
                "is_disabled": False,
                "product_type": "SPOT",
                "alias": "",
                "alias_to": [],
            }
            for name, item in self._products.items()
            if spot
        ]
        return {"products": products, "num_products": len(products)}

    def _candles(self, call: Call) -> object:
        given = self._open(call)
        name = call.places["product"]
        if name not in self._products:
            raise _refused("INVALID_ARGUMENT", "ProductID is invalid")
        span = _SPANS.get(given.get("granularity", ""))
        start = self._number(given, "start", -1) * 1_000
        end = self._number(given, "end", -1) * 1_000
        if span is None or start < 0 or end < 0:
            raise _refused("INVALID_ARGUMENT", "start, end and granularity are required")
        if (end - start) // span > _CANDLES:
            message = f"number of candles requested should be less than {_CANDLES}"
            raise _refused("INVALID_ARGUMENT", message)
        found = self._world.market.candles(
            self._products[name], start, min(end, call.now_ms), span, _CANDLES
        )
        candles = [
            {
                "start": str(c.start_ms // 1_000),
                "low": text(c.low),
                "high": text(c.high),
                "open": text(c.open),
                "close": text(c.close),
                "volume": text(c.volume),
            }
            for c in reversed(found)
        ]
        return {"candles": candles}

    # ------------------------------------------------------------------------ account

    def _summary(self, call: Call) -> object:
        self._signed(call)
        tier = {"pricing_tier": "Intro", "taker_fee_rate": "0.001", "maker_fee_rate": "0.001"}
        return {"total_volume": 0, "total_fees": 0, "fee_tier": tier}

    def _permissions(self, call: Call) -> object:
        account, _ = self._signed(call)
        return {
            "can_view": True,
            "can_trade": False,
            "can_transfer": False,
            "portfolio_uuid": _id("portfolio", account.name),
            "portfolio_type": "DEFAULT",
        }

    def _accounts(self, call: Call) -> object:
        account, given = self._signed(call)
        limit = self._number(given, "limit", 49)
        if not 1 <= limit <= 250:
            raise _refused("INVALID_ARGUMENT", "limit must be between 1 and 250")
        held = sorted(account.history.balances("spot", call.now_ms).items())
        first = self._number(given, "cursor", 0)
        accounts = [
            {
                "uuid": _id(account.name, asset),
                "name": f"{asset} Wallet",
                "currency": asset,
                "available_balance": {"value": text(amount), "currency": asset},
                "default": True,
                "active": True,
                "type": "ACCOUNT_TYPE_FIAT" if asset == "USD" else "ACCOUNT_TYPE_CRYPTO",
                "ready": True,
                "hold": {"value": "0", "currency": asset},
            }
            for asset, amount in held[first : first + limit]
        ]
        more = first + limit < len(held)
        return {
            "accounts": accounts,
            "has_next": more,
            "cursor": str(first + limit) if more else "",
            "size": len(accounts),
        }

    def _fills(self, call: Call) -> object:
        account, given = self._signed(call)
        limit = self._number(given, "limit", 100)
        if not 1 <= limit <= _FILLS:
            raise _refused("INVALID_ARGUMENT", f"limit must be between 1 and {_FILLS}")
        start = _ms(given.get("start_sequence_timestamp"), 0)
        end = min(_ms(given.get("end_sequence_timestamp"), call.now_ms), call.now_ms)
        product = given.get("product_ids", given.get("product_id"))
        if product is not None and product not in self._products:
            raise _refused("INVALID_ARGUMENT", "ProductID is invalid")
        symbol = self._products[product].symbol if product else None
        newest = account.history.trades(start, end, symbol=symbol)[::-1]
        newest = self._after(newest, given.get("cursor", ""))
        page = newest[:limit]
        names = {item.symbol: name for name, item in self._products.items()}
        rows = [_fill(account, fill, names) for fill in call.rows(account, page)]
        more = len(newest) > limit
        return {"fills": rows, "cursor": page[-1].id if more else ""}

    def _after(self, newest: list[Fill], cursor: str) -> list[Fill]:
        if not cursor:
            return newest
        for place, fill in enumerate(newest):
            if fill.id == cursor:
                return newest[place + 1 :]
        raise _refused("INVALID_ARGUMENT", "invalid cursor")

    # ------------------------------------------------------------------------- wallet

    def _wallets(self, call: Call) -> object:
        account, given = self._signed(call)
        limit = min(self._number(given, "limit", 25), 300)
        held = account.history.balances("spot", call.now_ms)
        rows: list[dict[str, object]] = [
            {
                "id": _id(account.name, asset),
                "name": f"{asset} Wallet",
                "type": "fiat" if asset == "USD" else "wallet",
                "currency": {"code": asset, "name": asset},
                "balance": {"amount": text(amount), "currency": asset},
                "resource": "account",
            }
            for asset, amount in sorted(held.items())
        ]
        return _paged(rows, given.get("starting_after"), limit)

    def _deposits(self, call: Call) -> object:
        return self._money(call, ("DEPOSIT",), "deposit")

    def _withdrawals(self, call: Call) -> object:
        return self._money(call, ("WITHDRAWAL",), "withdrawal")

    def _transactions(self, call: Call) -> object:
        return self._money(call, ("DEPOSIT", "WITHDRAWAL"), "transaction")

    def _money(self, call: Call, kinds: tuple[str, ...], resource: str) -> object:
        account, given = self._signed(call)
        limit = self._number(given, "limit", 25)
        if not 1 <= limit <= 100:
            raise _refused_wallet("invalid_request", "limit must be between 1 and 100", 400)
        place = call.places["account"]
        found = [
            flow
            for flow in reversed(account.history.changes(0, call.now_ms, *kinds))
            if _id(account.name, flow.asset) == place
        ]
        rows = [_movement(flow, resource) for flow in call.rows(account, found)]
        return _paged(rows, given.get("starting_after"), limit)


def _paged(rows: list[dict[str, object]], after: str | None, limit: int) -> dict[str, object]:
    """The rows after an id, and where the next page begins."""
    if after:
        ids = [row["id"] for row in rows]
        if after not in ids:
            raise _refused_wallet("not_found", "Not found", 404)
        rows = rows[ids.index(after) + 1 :]
    page = rows[:limit]
    return {
        "pagination": {
            "ending_before": None,
            "starting_after": after,
            "limit": limit,
            "order": "desc",
            "next_starting_after": page[-1]["id"] if len(rows) > limit else None,
        },
        "data": page,
    }


def _id(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(parts)))


def _fill(account: Account, fill: Fill, names: Mapping[str, str]) -> dict[str, object]:
    return {
        "entry_id": fill.id.replace("-", "") * 2,
        "trade_id": fill.id,
        "order_id": fill.order_id,
        "trade_time": _instant(fill.time_ms),
        "trade_type": "FILL",
        "price": text(fill.price),
        "size": text(fill.amount),
        "commission": text(fill.fee),
        "product_id": names[fill.instrument.symbol],
        "sequence_timestamp": _instant(fill.time_ms),
        "liquidity_indicator": "MAKER" if fill.maker else "TAKER",
        "size_in_quote": False,
        "user_id": "u",
        "side": "BUY" if fill.side > 0 else "SELL",
        "retail_portfolio_id": _id("portfolio", account.name),
    }


def _movement(flow: Flow, resource: str) -> dict[str, object]:
    came = flow.amount > 0
    gross = {"amount": text(abs(flow.amount)), "currency": flow.asset}
    net = {"amount": text(abs(flow.amount) - flow.fee), "currency": flow.asset}
    row: dict[str, object] = {
        "id": flow.id,
        "status": "completed",
        "amount": gross,
        "created_at": _instant(flow.time_ms),
        "updated_at": _instant(flow.time_ms),
        "resource": resource,
        "committed": True,
    }
    if resource == "transaction":
        row["type"] = "fiat_deposit" if came else "fiat_withdrawal"
        row["amount"] = {"amount": text(flow.amount), "currency": flow.asset}
    else:
        row["subtotal"] = net
        row["fee"] = {"amount": text(flow.fee), "currency": flow.asset}
    return row
