"""A Flex statement holds the truth, to the second and in New York's time; orders come beside it."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import httpx
import pytest
from strongroom_host.venues.defaults import make_account, plan_for
from strongroom_host.venues.ibkr_flex import ACTIVITY, CONFIRMATIONS, IbkrFlex
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock, World

from tests.host.venues.conftest import DAY_MS, START_MS, Site
from tests.host.venues.reach import Proxy

SERVICE = "/AccountManagement/FlexWebService"
HOST = "https://ndcdyn.interactivebrokers.com"
ZONE = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def http(site: Site) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=str(site.server.ca_path))
    with httpx.Client(verify=context, proxy=site.proxy) as client:
        yield client


class Flex:
    """A client that waits by turning the venue's clock."""

    def __init__(self, site: Site, http: httpx.Client) -> None:
        self.site, self.http, self.turned_ms = site, http, 0

    def turn(self, by_ms: int) -> None:
        self.site.server.clock.advance(by_ms)
        self.turned_ms += by_ms

    def get(self, path: str, **given: Any) -> ElementTree.Element:
        self.turn(1_000)
        answer = self.http.get(f"{HOST}{SERVICE}/{path}", params={"v": "3", **given})
        assert answer.status_code == 200
        return ElementTree.fromstring(answer.content)  # noqa: S314

    def order(self, query: str, **span: str) -> str:
        answer = self.get("SendRequest", t=self.site.logins["ibkr"].key, q=query, **span)
        assert answer.findtext("Status") == "Success", answer.findtext("ErrorCode")
        assert str(answer.findtext("Url")).endswith(
            "interactivebrokers.com" + SERVICE + "/GetStatement"
        )
        return str(answer.findtext("ReferenceCode"))

    def statement(self, query: str, **span: str) -> ElementTree.Element:
        reference = self.order(query, **span)
        early = self.get("GetStatement", t=self.site.logins["ibkr"].key, q=reference)
        assert early.findtext("ErrorCode") == "1019"
        self.turn(3_000)
        found = self.get("GetStatement", t=self.site.logins["ibkr"].key, q=reference)
        statement = found.find("FlexStatements/FlexStatement")
        assert statement is not None
        return statement


@pytest.fixture
def flex(site: Site, http: httpx.Client) -> Iterator[Flex]:
    made = Flex(site, http)
    yield made
    made.turn(-made.turned_ms)


def utc_ms(local: str) -> int:
    moment = datetime.datetime.strptime(local, "%Y%m%d;%H%M%S").replace(tzinfo=ZONE)
    return int(moment.timestamp()) * 1_000


def last_midnight_ms(now_ms: int) -> int:
    moment = datetime.datetime.fromtimestamp(now_ms // 1_000, ZONE)
    return int(moment.replace(hour=0, minute=0, second=0).timestamp()) * 1_000


def trades_of(site: Site, before_ms: int) -> list[Any]:
    return sorted(
        (f.time_ms, f.id, f.instrument.base, f.side * f.amount, f.price, -f.fee)
        for f in site.truth("ibkr").fills
        if f.time_ms < before_ms
    )


def test_activity_has_every_execution_up_to_yesterday(site: Site, flex: Flex) -> None:
    statement = flex.statement(ACTIVITY)
    rows = [row for row in statement.findall("Trades/*") if row.get("levelOfDetail") == "EXECUTION"]
    found = sorted(
        (
            utc_ms(row.attrib["dateTime"]),
            row.attrib["tradeID"],
            row.attrib["symbol"],
            Decimal(row.attrib["quantity"]),
            Decimal(row.attrib["tradePrice"]),
            Decimal(row.attrib["ibCommission"]),
        )
        for row in rows
    )
    truth = trades_of(site, last_midnight_ms(site.now_ms))
    assert found == truth
    assert len(truth) < len(site.truth("ibkr").fills)


def test_orders_stand_beside_their_executions(flex: Flex) -> None:
    statement = flex.statement(ACTIVITY)
    orders = statement.findall("Trades/Order")
    executions = statement.findall("Trades/Trade")
    assert 0 < len(orders) < len(executions)
    assert sum(Decimal(row.attrib["quantity"]) for row in orders) == sum(
        Decimal(row.attrib["quantity"]) for row in executions
    )


def test_confirmations_lag_ten_minutes(site: Site, flex: Flex) -> None:
    newest = max(site.truth("ibkr").fills, key=lambda fill: fill.time_ms)
    for minutes, told in ((9, False), (11, True)):
        flex.turn(newest.time_ms + minutes * 60_000 - site.server.clock() - 1_000)
        statement = flex.statement(CONFIRMATIONS)
        rows = statement.findall("TradeConfirms/TradeConfirm")
        found = {row.attrib["tradeID"] for row in rows}
        truth = {row[1] for row in trades_of(site, newest.time_ms + told)}
        assert found == truth
        assert (newest.id in found) is told


def test_cash_adds_up_with_trades_to_the_days_equity(site: Site, flex: Flex) -> None:
    statement = flex.statement(ACTIVITY)
    rows = statement.findall("CashTransactions/CashTransaction")
    found = sorted(
        (utc_ms(row.attrib["dateTime"]), row.attrib["transactionID"], Decimal(row.attrib["amount"]))
        for row in rows
    )
    before = last_midnight_ms(site.now_ms)
    assert found == sorted(
        (flow.time_ms, flow.id, flow.amount)
        for flow in site.truth("ibkr").flows
        if flow.time_ms < before
    )
    cash = sum(Decimal(row.attrib["amount"]) for row in rows) + sum(
        Decimal(row.attrib["netCash"]) for row in statement.findall("Trades/Trade")
    )
    days = statement.findall("EquitySummaryInBase/EquitySummaryByReportDateInBase")
    assert Decimal(days[-1].attrib["cash"]) == cash
    assert len({row.attrib["reportDate"] for row in days}) == len(days) >= 60


def test_open_positions_are_what_was_bought_and_not_sold(site: Site, flex: Flex) -> None:
    statement = flex.statement(ACTIVITY)
    held = site.truth("ibkr").balances("spot", last_midnight_ms(site.now_ms) - 1)
    assert {
        row.attrib["symbol"]: Decimal(row.attrib["position"])
        for row in statement.findall("OpenPositions/OpenPosition")
    } == {asset: amount for asset, amount in held.items() if asset != "USD" and amount}


def test_two_spans_make_the_whole(site: Site, flex: Flex) -> None:
    def day(ms: int) -> str:
        return datetime.datetime.fromtimestamp(ms // 1_000, ZONE).strftime("%Y%m%d")

    middle = site.now_ms - 30 * DAY_MS
    spans = [
        {"fd": day(site.now_ms - 90 * DAY_MS), "td": day(middle)},
        {"fd": day(middle + DAY_MS), "td": day(site.now_ms)},
    ]
    found = [
        row.attrib["tradeID"]
        for span in spans
        for row in flex.statement(ACTIVITY, **span).findall("Trades/Trade")
    ]
    assert sorted(found) == sorted(row[1] for row in trades_of(site, last_midnight_ms(site.now_ms)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"t": "wrong"}, "1015"),
        ({"q": "9"}, "1014"),
        ({"v": "2"}, "1020"),
        ({"fd": "20260230"}, "1020"),
        ({"fd": "20240101", "td": "20260101"}, "1020"),
    ],
)
def test_what_the_real_one_refuses(
    site: Site, flex: Flex, change: dict[str, str], code: str
) -> None:
    given = {"t": site.logins["ibkr"].key, "q": ACTIVITY} | change
    assert flex.get("SendRequest", **given).findtext("ErrorCode") == code


def test_a_reference_is_its_accounts_own(
    site: Site, flex: Flex, tmp_path_factory: pytest.TempPathFactory
) -> None:
    token = site.logins["ibkr"].key
    assert flex.get("GetStatement", t=token, q="1").findtext("ErrorCode") == "1017"
    market = site.server.world.market
    plan = plan_for("ibkr", market, START_MS - 5 * DAY_MS, START_MS, orders=3)
    made = [make_account("ibkr", market, plan, seed) for seed in ("one", "two")]
    world = World(market, [account for account, _ in made])
    folder, clock = tmp_path_factory.mktemp("two"), VenueClock(START_MS)
    server = VenuesServer(world, [IbkrFlex(world, limits=False)], folder, clock=clock)
    context = ssl.create_default_context(cafile=str(server.ca_path))
    with (
        server,
        Proxy(server.mapping) as proxy,
        httpx.Client(verify=context, proxy=proxy) as http,
    ):

        def asked(path: str, token: str, q: str) -> ElementTree.Element:
            given = {"t": token, "q": q, "v": "3"}
            return ElementTree.fromstring(http.get(f"{HOST}{SERVICE}/{path}", params=given).content)  # noqa: S314

        one, two = (login.key for _, login in made)
        reference = str(asked("SendRequest", one, ACTIVITY).findtext("ReferenceCode"))
        clock.advance(5_000)
        assert asked("GetStatement", two, reference).findtext("ErrorCode") == "1017"
        assert asked("GetStatement", one, reference).tag == "FlexQueryResponse"


def test_no_user_agent_no_answer(http: httpx.Client) -> None:
    answer = http.get(f"{HOST}{SERVICE}/SendRequest", headers={"User-Agent": ""})
    assert answer.status_code == 403
