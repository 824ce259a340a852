"""Bybit V5, a unified account: api.bybit.com.

Paging: executions of a category, 100 at a time by cursor within 7 days, two years back; deposits,
withdrawals and transfers 50 at a time within 30 days; the transaction log 50 at a time within 7.
Every refusal but an address limit comes with status 200 and a retCode. Limits are calls per second
and account, shown in the X-Bapi-Limit headers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

from strongroom_host.venues.bybit_rows import (
    LOG_TYPES,
    deposit,
    execution,
    funding,
    held_position,
    listing,
    log_row,
    transfer,
    withdrawal,
)
from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow, Move
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Instrument, Kind
from strongroom_host.venues.venue import Call, Handler, Reply, by_pair, integer, text
from strongroom_host.venues.world import Account, World

__all__ = ["Bybit"]

_Event = TypeVar("_Event", bound=Fill | Flow | Move)
_DAY_MS: Final = 24 * HOUR_MS
_INTERVALS: Final = {
    "1": MINUTE_MS,
    "5": 5 * MINUTE_MS,
    "15": 15 * MINUTE_MS,
    "60": HOUR_MS,
    "240": 4 * HOUR_MS,
    "D": _DAY_MS,
}
_KINDS: Final = {"spot": Kind.SPOT, "linear": Kind.LINEAR, "inverse": Kind.INVERSE}
_MAX_RECV_WINDOW: Final = 5_000
_TRADES_BACK_MS: Final = 730 * _DAY_MS


def _refused(
    code: int,
    message: str,
    now_ms: int,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Refused:
    return Refused(
        message,
        body={
            "retCode": code,
            "retMsg": message,
            "result": {},
            "retExtInfo": {},
            "time": now_ms,
        },
        status=status,
        headers=headers,
    )


class Bybit:
    """One unified trading account per key, with a funding wallet beside it."""

    name = "bybit"
    hosts: tuple[str, ...] = ("api.bybit.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._addresses = Meter(600, 5_000, limits)
        self._keys = Meter(50, 1_000, limits)
        self._known = {name: by_pair(world.market, kind) for name, kind in _KINDS.items()}

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            ("GET", "/v5/market/time", self._time),
            ("GET", "/v5/market/instruments-info", self._instruments),
            ("GET", "/v5/market/kline", self._kline),
            ("GET", "/v5/market/mark-price-kline", self._kline),
            ("GET", "/v5/user/query-api", self._key),
            ("GET", "/v5/account/info", self._account_info),
            ("GET", "/v5/account/wallet-balance", self._balance),
            ("GET", "/v5/account/transaction-log", self._log),
            ("GET", "/v5/asset/coin/query-info", self._coins),
            ("GET", "/v5/asset/transfer/query-account-coins-balance", self._funding_wallet),
            ("GET", "/v5/asset/deposit/query-record", self._deposits),
            ("GET", "/v5/asset/withdraw/query-record", self._withdrawals),
            ("GET", "/v5/asset/transfer/query-inter-transfer-list", self._transfers),
            ("GET", "/v5/execution/list", self._executions),
            ("GET", "/v5/position/list", self._positions),
        ]

    def unknown(self, call: Call) -> Refused:
        """What Bybit says to a path that it does not have."""
        return _refused(10017, "Route not found.", call.now_ms, 404)

    # ---------------------------------------------------------- who asks, and how often

    def _open(self, call: Call) -> dict[str, str]:
        """The parameters of a call that anybody may make.

        Raises:
            Refused: 403, the address calls too often.
        """
        try:
            self._addresses.take(call.client, 1, call.now_ms)
        except Exhausted as exhausted:
            message = "access too frequent, please try again in 10 minutes"
            raise _refused(
                403, message, call.now_ms, 403, {"Retry-After": _seconds(exhausted)}
            ) from exhausted
        return call.parameters

    def _signed(self, call: Call) -> tuple[Account, dict[str, str], dict[str, str]]:
        """Whose call it is, its parameters, and the headers of what is left.

        Raises:
            Refused: unknown key, wrong signature, a time outside the window, or too many calls.
        """
        given = self._open(call)
        now, headers = call.now_ms, call.headers
        key, stamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
        account = self._world.account(self.name, key)
        if account is None:
            raise _refused(10003, "API key is invalid.", now)
        window = headers.get("X-BAPI-RECV-WINDOW", "5000")
        if not (stamp.isdigit() and window.isdigit()):
            raise _refused(10001, "Request parameter error.", now)
        covered = f"{stamp}{key}{window}{call.query}".encode("latin-1") + call.body
        secret = account.credentials.secret.encode()
        right = hmac.new(secret, covered, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, headers.get("X-BAPI-SIGN", "").lower()):
            message = "error sign! origin_string[" + covered.decode("latin-1") + "]"
            raise _refused(10004, message, now)
        sent = int(stamp)
        if not now - min(int(window), _MAX_RECV_WINDOW) <= sent < now + 1_000:
            message = (
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{sent}],server_timestamp[{now}],recv_window[{window}]"
            )
            raise _refused(10002, message, now)
        try:
            used = self._keys.take(key + call.path, 1, now)
        except Exhausted as exhausted:
            message = "Too many visits. Exceeded the API Rate Limit."
            limits = self._limit_headers(0, now + exhausted.retry_after_ms)
            raise _refused(10006, message, now, headers=limits) from exhausted
        return account, given, self._limit_headers(self._keys.limit - used, now + 1_000)

    def _limit_headers(self, left: int, reset_ms: int) -> dict[str, str]:
        return {
            "X-Bapi-Limit": str(self._keys.limit),
            "X-Bapi-Limit-Status": str(max(0, left)),
            "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
        }

    def _number(self, call: Call, given: Mapping[str, str], name: str, otherwise: int) -> int:
        try:
            return integer(given.get(name), otherwise)
        except ValueError as error:
            raise _refused(10001, f"Request parameter error: {name}", call.now_ms) from error

    # ------------------------------------------------------------------------- paging

    def _window(self, call: Call, given: Mapping[str, str], days: int) -> tuple[int, int]:
        """Start and end of what is asked for; at most so many days.

        Raises:
            Refused: it is more.
        """
        start = self._number(call, given, "startTime", -1)
        end = self._number(call, given, "endTime", -1)
        span = days * _DAY_MS
        if start < 0:
            end = call.now_ms if end < 0 else end
            start = end - span
        elif end < 0:
            end = start + span
        if end - start > span or end < start:
            message = f"The time range between startTime and endTime cannot exceed {days} days"
            raise _refused(10001, message, call.now_ms)
        return start, min(end, call.now_ms)

    def _page(
        self, call: Call, given: Mapping[str, str], found: Sequence[_Event], most: int, usual: int
    ) -> tuple[Sequence[_Event], str]:
        """One page, newest first, and the cursor of the next; empty where there is none.

        A cursor is a place after an event, so a newer one that appears meanwhile moves nothing.
        """
        limit = self._number(call, given, "limit", usual)
        if not 1 <= limit <= most:
            raise _refused(10001, f"limit must be between 1 and {most}", call.now_ms)
        newest = list(reversed(found))
        cursor = given.get("cursor", "")
        if cursor:
            places = [place for place, event in enumerate(newest) if _mark(event) == cursor]
            if not places:
                raise _refused(10001, "The cursor is invalid.", call.now_ms)
            newest = newest[places[0] + 1 :]
        page = newest[:limit]
        more = len(newest) > limit
        return page, quote(_mark(page[-1]), safe="") if more else ""

    def _answer(self, call: Call, result: object, headers: Mapping[str, str]) -> Reply:
        content = {
            "retCode": 0,
            "retMsg": "OK",
            "result": result,
            "retExtInfo": {},
            "time": call.now_ms,
        }
        return Reply(content, headers)

    # ------------------------------------------------------------------------- market

    def _time(self, call: Call) -> object:
        self._open(call)
        seconds, rest = divmod(call.now_ms, 1_000)
        result = {"timeSecond": str(seconds), "timeNano": f"{seconds}{rest:03d}000000"}
        return self._answer(call, result, {})

    def _category(self, call: Call, given: Mapping[str, str]) -> str:
        category = given.get("category", "")
        if category not in ("spot", "linear", "inverse", "option"):
            raise _refused(10001, "Illegal category", call.now_ms)
        return category

    def _instrument(self, call: Call, category: str, name: str) -> Instrument:
        known = self._known.get(category, {})
        if name not in known:
            raise _refused(10001, "Not supported symbols", call.now_ms)
        return known[name]

    def _instruments(self, call: Call) -> object:
        given = self._open(call)
        category = self._category(call, given)
        listed = [
            listing(name, instrument)
            for name, instrument in self._known.get(category, {}).items()
            # Delisted instruments disappear from this list, unlike from Binance's.
            if instrument.trading(call.now_ms) and given.get("status") in (None, "Trading")
        ]
        result = {"category": category, "list": listed, "nextPageCursor": ""}
        return self._answer(call, result, {})

    def _kline(self, call: Call) -> object:
        given = self._open(call)
        category = self._category(call, given)
        instrument = self._instrument(call, category, given.get("symbol", ""))
        span = _INTERVALS.get(given.get("interval", ""))
        if span is None:
            raise _refused(10001, "Invalid period!", call.now_ms)
        limit = min(self._number(call, given, "limit", 200), 1_000)
        end = min(self._number(call, given, "end", call.now_ms), call.now_ms)
        start = self._number(call, given, "start", (end // span - limit + 1) * span)
        mark = call.path.endswith("mark-price-kline")
        candles = self._world.market.candles(instrument, start, end, span, limit)
        rows = [
            [str(c.start_ms), text(c.open), text(c.high), text(c.low), text(c.close)]
            + ([] if mark else [text(c.volume), text(c.volume * c.close)])
            for c in reversed(candles)
        ]
        result = {"category": category, "symbol": given["symbol"], "list": rows}
        return self._answer(call, result, {})

    # ------------------------------------------------------------------------ account

    def _key(self, call: Call) -> object:
        account, _, left = self._signed(call)
        result = {
            "id": "1",
            "note": account.name,
            "apiKey": account.credentials.key,
            "readOnly": 1,
            "permissions": {"Wallet": [], "Spot": [], "ContractTrade": []},
            "ips": ["*"],
            "type": 1,
            "uta": 1,
            "unified": 0,
            "userID": account.number,
        }
        return self._answer(call, result, left)

    def _account_info(self, call: Call) -> object:
        _, _, left = self._signed(call)
        result = {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 6}
        return self._answer(call, result, left)

    def _balance(self, call: Call) -> object:
        account, given, left = self._signed(call)
        if given.get("accountType") != "UNIFIED":
            raise _refused(10001, "accountType only support UNIFIED.", call.now_ms)
        held = account.history.balances("UNIFIED", call.now_ms)
        coins = [
            {
                "coin": asset,
                "equity": text(amount),
                "walletBalance": text(amount),
                "locked": "0",
                "totalPositionIM": "0",
                "totalOrderIM": "0",
                "borrowAmount": "0",
                "accruedInterest": "0",
            }
            for asset, amount in sorted(held.items())
        ]
        return self._answer(call, {"list": [{"accountType": "UNIFIED", "coin": coins}]}, left)

    def _funding_wallet(self, call: Call) -> object:
        account, given, left = self._signed(call)
        if given.get("accountType") != "FUND":
            raise _refused(10001, "accountType is not supported", call.now_ms)
        held = account.history.balances("FUND", call.now_ms)
        rows = [
            {"coin": asset, "walletBalance": text(amount), "transferBalance": text(amount)}
            for asset, amount in sorted(held.items())
        ]
        return self._answer(call, {"accountType": "FUND", "balance": rows}, left)

    def _coins(self, call: Call) -> object:
        _, _, left = self._signed(call)
        items = self._world.market.instruments.values()
        assets = {item.base for item in items} | {item.quote for item in items}
        rows = [{"name": asset, "coin": asset, "chains": []} for asset in sorted(assets)]
        return self._answer(call, {"rows": rows}, left)

    # ---------------------------------------------------------------------- movements

    def _deposits(self, call: Call) -> object:
        account, given, left = self._signed(call)
        start, end = self._window(call, given, 30)
        changes = account.history.changes(start, end, "DEPOSIT")
        found = [flow for flow in changes if given.get("coin") in (None, flow.asset)]
        page, cursor = self._page(call, given, found, 50, 50)
        rows = [deposit(flow) for flow in call.rows(account, page)]
        return self._answer(call, {"rows": rows, "nextPageCursor": cursor}, left)

    def _withdrawals(self, call: Call) -> object:
        account, given, left = self._signed(call)
        start, end = self._window(call, given, 30)
        changes = account.history.changes(start, end, "WITHDRAWAL")
        found = [flow for flow in changes if given.get("coin") in (None, flow.asset)]
        page, cursor = self._page(call, given, found, 50, 50)
        rows = [withdrawal(flow) for flow in call.rows(account, page)]
        return self._answer(call, {"rows": rows, "nextPageCursor": cursor}, left)

    def _transfers(self, call: Call) -> object:
        account, given, left = self._signed(call)
        start, end = self._window(call, given, 7)
        found = account.history.transfers(start, end)
        page, cursor = self._page(call, given, found, 50, 20)
        rows = [transfer(move) for move in call.rows(account, page)]
        return self._answer(call, {"list": rows, "nextPageCursor": cursor}, left)

    # ------------------------------------------------------------------------- trades

    def _executions(self, call: Call) -> object:
        account, given, left = self._signed(call)
        category = self._category(call, given)
        known = self._known.get(category, {})
        symbol = None
        if given.get("symbol"):
            symbol = self._instrument(call, category, given["symbol"]).symbol
        start, end = self._window(call, given, 7)
        start = max(start, call.now_ms - _TRADES_BACK_MS)
        names = {instrument.symbol: name for name, instrument in known.items()}
        kinds = given.get("execType")
        events: list[Fill | Flow] = []
        if kinds in (None, "", "Trade") and category in _KINDS:
            events += account.history.trades(start, end, symbol=symbol, kind=_KINDS[category])
        if kinds in (None, "", "Funding"):
            events += [
                flow
                for flow in account.history.changes(start, end, "FUNDING")
                if flow.symbol in names and symbol in (None, flow.symbol)
            ]
        events.sort(key=lambda event: event.time_ms)
        page, cursor = self._page(call, given, events, 100, 50)
        told = call.rows(account, page)
        rows = [
            execution(event, names) if isinstance(event, Fill) else funding(event, names)
            for event in told
        ]
        result = {"category": category, "list": rows, "nextPageCursor": cursor}
        return self._answer(call, result, left)

    def _positions(self, call: Call) -> object:
        account, given, left = self._signed(call)
        category = self._category(call, given)
        named = given.get("symbol") or given.get("settleCoin") or given.get("baseCoin")
        if category == "linear" and not named:
            message = "Missing some parameters that must be filled in, symbol or settleCoin"
            raise _refused(10001, message, call.now_ms)
        names = {item.symbol: name for name, item in self._known.get(category, {}).items()}
        held = account.history.positions(call.now_ms, _KINDS.get(category, Kind.SPOT))
        rows = [
            held_position(
                names[instrument.symbol],
                position,
                self._world.market.price(instrument, call.now_ms),
                call.now_ms,
            )
            for instrument, position in held.items()
            if given.get("symbol") in (None, names[instrument.symbol])
            and given.get("settleCoin") in (None, instrument.settle)
            and given.get("baseCoin") in (None, instrument.base)
        ]
        result = {"category": category, "list": rows, "nextPageCursor": ""}
        return self._answer(call, result, left)

    def _log(self, call: Call) -> object:
        """What changed the unified wallet: trades' fees, funding, transfers."""
        account, given, left = self._signed(call)
        start, end = self._window(call, given, 7)
        history = account.history
        events: list[Flow] = list(history.changes(start, end, "FUNDING"))
        for move in history.transfers(start, end):
            if "UNIFIED" in (move.source, move.target):
                inward = move.target == "UNIFIED"
                events.append(
                    Flow(
                        move.time_ms,
                        move.id,
                        move.asset,
                        move.amount if inward else -move.amount,
                        "TRANSFER_IN" if inward else "TRANSFER_OUT",
                        "UNIFIED",
                    )
                )
        for fill in history.trades(start, end):
            if fill.instrument.kind is Kind.SPOT:
                continue
            events.append(
                Flow(
                    fill.time_ms,
                    fill.id,
                    fill.fee_asset,
                    -fill.fee,
                    "TRADE",
                    "UNIFIED",
                    fill.fee,
                    fill.instrument.symbol,
                )
            )
        events.sort(key=lambda event: event.time_ms)
        wanted = given.get("type")
        found = [
            event
            for event in events
            if wanted in (None, LOG_TYPES.get(event.kind, event.kind))
            and given.get("currency") in (None, event.asset)
        ]
        page, cursor = self._page(call, given, found, 50, 20)
        names = {item.symbol: name for name, item in self._known["linear"].items()}
        rows = [log_row(event, names) for event in call.rows(account, page)]
        return self._answer(call, {"list": rows, "nextPageCursor": cursor}, left)


def _mark(event: Fill | Flow | Move) -> str:
    return f"{event.id}:{event.time_ms}"


def _seconds(exhausted: Exhausted) -> str:
    return str(-(-exhausted.retry_after_ms // 1_000))
