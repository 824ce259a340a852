"""IBKR's Flex Web Service, version 3, on two hosts of interactivebrokers.com.

A statement is ordered with a token and a query, and fetched under a reference some seconds later.
The activity query (1) knows everything up to the end of the last day in New York, and so does the
daily one (3), which tells each day by itself, and without a span the newest; the confirmation query
(2) knows trades, ten minutes late. What is held is priced at what it cost when exchanges closed, at
four. Times are New York's, to the second. Each order stands in
the trades beside its executions, so only rows of level EXECUTION count. A client without a
User-Agent is turned away, and so is a token used more than once a second.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow
from strongroom_host.venues.limits import Exhausted, Meter
from strongroom_host.venues.market import HOUR_MS
from strongroom_host.venues.venue import Call, Handler, Reply, text
from strongroom_host.venues.world import Account, World

__all__ = ["ACTIVITY", "CONFIRMATIONS", "DAILY", "IbkrFlex"]

ACTIVITY: Final = "1"
CONFIRMATIONS: Final = "2"
DAILY: Final = "3"
_ZONE: Final = ZoneInfo("America/New_York")
_DAY_MS: Final = 24 * HOUR_MS
_READY_MS: Final = 3_000
_LATE_MS: Final = 600_000
_CASH: Final = {
    "DEPOSIT": "Deposits/Withdrawals",
    "WITHDRAWAL": "Deposits/Withdrawals",
    "DIVIDEND": "Dividends",
    "INTEREST": "Broker Interest Received",
    "FEE": "Other Fees",
}
_ERRORS: Final = {
    1014: "Query is invalid.",
    1015: "Token is invalid.",
    1017: "Reference code is invalid.",
    1018: "Too many requests have been made from this token. Please try again shortly.",
    1019: "Statement generation in progress. Please try again shortly.",
    1020: "Invalid request or unable to validate request.",
}


@dataclass(frozen=True, slots=True)
class _Order:
    account: Account
    query: str
    at_ms: int
    start: datetime.date | None
    end: datetime.date | None


def _element(name: str, attributes: Mapping[str, object], inside: str = "") -> str:
    written = "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written} />"


def _local(time_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_ms // 1_000, _ZONE)


def _status(call: Call, inside: str) -> Reply:
    stamp = _local(call.now_ms).strftime("%d %B, %Y %I:%M %p %Z")
    body = _element("FlexStatementResponse", {"timestamp": stamp}, inside)
    return Reply(body.encode(), media_type="text/xml")


def _failed(call: Call, code: int) -> Reply:
    return _status(
        call,
        f"<Status>Fail</Status><ErrorCode>{code}</ErrorCode>"
        f"<ErrorMessage>{_ERRORS[code]}</ErrorMessage>",
    )


class IbkrFlex:
    """Statements of one brokerage account per token; the token is the account's key.

    Attributes:
        ready_ms: How long it takes to make one.
    """

    name = "ibkr"
    hosts: tuple[str, ...] = ("ndcdyn.interactivebrokers.com", "gdcdyn.interactivebrokers.com")

    def __init__(self, world: World, *, limits: bool = True) -> None:
        self._world = world
        self._meter = Meter(1, 1_000, limits)
        self.ready_ms = _READY_MS
        self._orders: dict[str, _Order] = {}

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        service = "/AccountManagement/FlexWebService"
        return [
            ("GET", f"{service}/SendRequest", self._send),
            ("GET", f"{service}/GetStatement", self._statement),
        ]

    def unknown(self, call: Call) -> Refused:
        """What the service says to a path that it does not have."""
        return Refused("not found", body=b"<html>404</html>", status=404, actual=call.path)

    def _asked(self, call: Call) -> tuple[Account, dict[str, str]] | int:
        """Whose call it is, and its parameters; or the number of what is wrong with it.

        Raises:
            Refused: 403, no User-Agent.
        """
        if not call.headers.get("User-Agent"):
            raise Refused("no User-Agent", body=b"<html>403</html>", status=403)
        given = call.parameters
        if given.get("v") != "3" or "q" not in given:
            return 1020
        account = self._world.account(self.name, given.get("t", ""))
        if account is None:
            return 1015
        try:
            self._meter.take(given["t"], 1, call.now_ms)
        except Exhausted:
            return 1018
        return account, given

    def _send(self, call: Call) -> object:
        asked = self._asked(call)
        if isinstance(asked, int):
            return _failed(call, asked)
        account, given = asked
        if given["q"] not in (ACTIVITY, CONFIRMATIONS, DAILY):
            return _failed(call, 1014)
        try:
            start, end = (_date(given.get(name)) for name in ("fd", "td"))
        except ValueError:
            return _failed(call, 1020)
        if start and end and not 0 <= (end - start).days <= 365:
            return _failed(call, 1020)
        reference = str(1_000_000_000 + len(self._orders))
        self._orders[reference] = _Order(account, given["q"], call.now_ms, start, end)
        url = f"https://{self.hosts[1]}/AccountManagement/FlexWebService/GetStatement"
        return _status(
            call,
            f"<Status>Success</Status><ReferenceCode>{reference}</ReferenceCode><Url>{url}</Url>",
        )

    def _statement(self, call: Call) -> object:
        asked = self._asked(call)
        if isinstance(asked, int):
            return _failed(call, asked)
        account, given = asked
        order = self._orders.get(given["q"])
        if order is None or order.account is not account:
            return _failed(call, 1017)
        if call.now_ms - order.at_ms < self.ready_ms:
            return _failed(call, 1019)
        return Reply(self._written(call, order).encode(), media_type="text/xml")

    def _written(self, call: Call, order: _Order) -> str:
        midnight = _local(order.at_ms).replace(hour=0, minute=0, second=0)
        known = int(midnight.timestamp()) * 1_000 - 1
        if order.query == CONFIRMATIONS:
            known = order.at_ms - _LATE_MS
        newest = _local(known).date()
        last = order.end or newest
        usual = 0 if order.query == DAILY else 365
        first = order.start or last - datetime.timedelta(days=usual)
        spans = [(first, last)]
        if order.query == DAILY:
            count = (min(last, newest) - first).days + 1
            days = [first + datetime.timedelta(days=place) for place in range(count)]
            spans = [(day, day) for day in days]
        statements = [self._statement_of(call, order, known, *span) for span in spans]
        kind = "TCF" if order.query == CONFIRMATIONS else "AF"
        return _element(
            "FlexQueryResponse",
            {"queryName": "strongroom", "type": kind},
            _element("FlexStatements", {"count": len(spans)}, "".join(statements)),
        )

    def _statement_of(
        self, call: Call, order: _Order, known: int, first: datetime.date, last: datetime.date
    ) -> str:
        start, end = _midnight_ms(first), _midnight_ms(last + datetime.timedelta(days=1)) - 1
        span = start, min(end, known)
        account = order.account
        trades = call.rows(account, account.history.trades(*span))
        if order.query == CONFIRMATIONS:
            confirms = [_confirm(account, fill) for fill in trades]
            inside = _element("TradeConfirms", {}, "".join(confirms)) if confirms else ""
        else:
            inside = self._activity(call, account, trades, span)
        return _element(
            "FlexStatement",
            {
                "accountId": f"U{account.number}",
                "fromDate": first.strftime("%Y%m%d"),
                "toDate": last.strftime("%Y%m%d"),
                "period": "",
                "whenGenerated": _local(order.at_ms).strftime("%Y%m%d;%H%M%S"),
            },
            inside,
        )

    def _activity(
        self, call: Call, account: Account, trades: list[Fill], span: tuple[int, int]
    ) -> str:
        orders: dict[str, list[Fill]] = {}
        for fill in trades:
            orders.setdefault(fill.order_id, []).append(fill)
        rows = []
        for fills in orders.values():
            rows += [_ordered(account, fills), *(_execution(account, fill) for fill in fills)]
        flows = call.rows(account, account.history.changes(*span, *_CASH))
        cash = [_transaction(account, flow) for flow in flows]
        return (
            _element("EquitySummaryInBase", {}, self._equity(account, span))
            + _element("Trades", {}, "".join(rows))
            + _element("CashTransactions", {}, "".join(cash))
            + _element("OpenPositions", {}, self._positions(account, span[1]))
            + _element("CashReport", {}, _cash(account, span))
            + _element("Transfers", {})
            + _element("CorporateActions", {})
        )

    def _equity(self, account: Account, span: tuple[int, int]) -> str:
        rows = []
        day = _local(max(span[0], account.history.flows[0].time_ms)).date()
        while (end := _midnight_ms(day + datetime.timedelta(days=1)) - 1) <= span[1]:
            held = account.history.balances("spot", end)
            cash = held.pop("USD", Decimal(0))
            stock = sum(
                (self._value(a, amount, _close_ms(end)) for a, amount in held.items()), Decimal(0)
            )
            rows.append(
                _element(
                    "EquitySummaryByReportDateInBase",
                    {
                        "accountId": f"U{account.number}",
                        "reportDate": day.strftime("%Y%m%d"),
                        "cash": text(cash),
                        "stock": text(stock),
                        "total": text(cash + stock),
                    },
                )
            )
            day += datetime.timedelta(days=1)
        return "".join(rows)

    def _positions(self, account: Account, at_ms: int) -> str:
        held = account.history.balances("spot", at_ms)
        return "".join(
            _element(
                "OpenPosition",
                {
                    "accountId": f"U{account.number}",
                    "currency": "USD",
                    "assetCategory": "STK",
                    "symbol": asset,
                    "multiplier": 1,
                    "reportDate": _local(at_ms).strftime("%Y%m%d"),
                    "position": text(amount),
                    "markPrice": text(self._value(asset, Decimal(1), _close_ms(at_ms))),
                    "levelOfDetail": "SUMMARY",
                },
            )
            for asset, amount in sorted(held.items())
            if asset != "USD" and amount
        )

    def _value(self, asset: str, amount: Decimal, at_ms: int) -> Decimal:
        market = self._world.market
        return amount * market.price(market.instruments[f"{asset}/USD"], at_ms)


def _date(value: str | None) -> datetime.date | None:
    return datetime.datetime.strptime(value, "%Y%m%d").date() if value else None  # noqa: DTZ007  a day


def _close_ms(at_ms: int) -> int:
    """When exchanges closed on that day."""
    return int(_local(at_ms).replace(hour=16, minute=0, second=0).timestamp()) * 1_000


def _cash(account: Account, span: tuple[int, int]) -> str:
    before = account.history.balances("spot", span[0] - 1).get("USD", Decimal(0))
    after = account.history.balances("spot", span[1]).get("USD", Decimal(0))
    told = {"startingCash": text(before), "endingCash": text(after)}
    dates = {"fromDate": span[0], "toDate": span[1]}
    dated = {name: _local(at_ms).strftime("%Y%m%d") for name, at_ms in dates.items()}
    return "".join(
        _element(
            "CashReportCurrency",
            {"accountId": f"U{account.number}", "currency": currency, **dated, **told},
        )
        for currency in ("BASE_SUMMARY", "USD")
    )


def _midnight_ms(day: datetime.date) -> int:
    moment = datetime.datetime(day.year, day.month, day.day, tzinfo=_ZONE)
    return int(moment.timestamp()) * 1_000


def _described(account: Account, fill: Fill) -> dict[str, object]:
    moment = _local(fill.time_ms)
    return {
        "accountId": f"U{account.number}",
        "currency": fill.instrument.quote,
        "fxRateToBase": "1",
        "assetCategory": "STK",
        "symbol": fill.instrument.base,
        "multiplier": "1",
        "dateTime": moment.strftime("%Y%m%d;%H%M%S"),
        "tradeDate": moment.strftime("%Y%m%d"),
        "buySell": "BUY" if fill.side > 0 else "SELL",
        "ibOrderID": fill.order_id,
    }


def _execution(account: Account, fill: Fill) -> str:
    sign = fill.side
    return _element(
        "Trade",
        {
            **_described(account, fill),
            "tradeID": fill.id,
            "ibExecID": f"0000e215.{int(fill.id):08x}.01.01",
            "transactionType": "ExchTrade",
            "exchange": "IEX",
            "quantity": text(sign * fill.amount),
            "tradePrice": text(fill.price),
            "proceeds": text(-sign * fill.cost),
            # Negative is paid.
            "ibCommission": text(-fill.fee),
            "taxes": "0",
            "ibCommissionCurrency": fill.fee_asset,
            "netCash": text(-sign * fill.cost - fill.fee),
            "levelOfDetail": "EXECUTION",
        },
    )


def _ordered(account: Account, fills: list[Fill]) -> str:
    amount = sum((fill.amount for fill in fills), Decimal(0))
    cost = sum((fill.cost for fill in fills), Decimal(0))
    fee = sum((fill.fee for fill in fills), Decimal(0))
    first = fills[0]
    return _element(
        "Order",
        {
            **_described(account, first),
            "tradeID": "",
            "ibExecID": "",
            "quantity": text(first.side * amount),
            "tradePrice": text(round(cost / amount, 8)),
            "proceeds": text(-first.side * cost),
            "ibCommission": text(-fee),
            "ibCommissionCurrency": first.fee_asset,
            "levelOfDetail": "ORDER",
        },
    )


def _confirm(account: Account, fill: Fill) -> str:
    return _element(
        "TradeConfirm",
        {
            **_described(account, fill),
            "tradeID": fill.id,
            "execID": f"0000e215.{int(fill.id):08x}.01.01",
            "quantity": text(fill.side * fill.amount),
            "price": text(fill.price),
            "amount": text(fill.side * fill.cost),
            "commission": text(-fill.fee),
            "commissionCurrency": fill.fee_asset,
            "levelOfDetail": "EXECUTION",
        },
    )


def _transaction(account: Account, flow: Flow) -> str:
    return _element(
        "CashTransaction",
        {
            "accountId": f"U{account.number}",
            "currency": flow.asset,
            "fxRateToBase": "1",
            "dateTime": _local(flow.time_ms).strftime("%Y%m%d;%H%M%S"),
            "amount": text(flow.amount),
            "type": _CASH[flow.kind],
            "transactionID": flow.id,
            "levelOfDetail": "DETAIL",
        },
    )
