"""IBKR's statements: what they tell, what is refused of them, what a record makes of days."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from ccxt.base import errors as said
from strongroom_enclave.http import Answer, Http
from strongroom_enclave.record.connectors import flex
from strongroom_enclave.record.connectors.rules import (
    VENUES,
    Cursor,
    Reason,
    Stream,
    VenueFault,
    time_ms,
)
from strongroom_enclave.record.events import Trade
from strongroom_enclave.record.marks import Candles
from strongroom_host.venues.faults import FaultKind
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS

from tests.enclave.record_connectors.conftest import DAY_MS, Line, Site

NEW_YORK = ZoneInfo("America/New_York")
SERVICE = "/AccountManagement/FlexWebService"
TRADES = Stream("trades")
Change = Callable[[bytes], bytes]


@pytest.fixture
def line(site: Site) -> Line:
    return site.line("ibkr")


def read(site: Site, line: Line, stream: Stream = TRADES) -> Reason | None:
    """Why a stream goes no further, if it does not."""
    start = Cursor(site.since("ibkr"))
    return list(line.connector.pages(stream, start, site.until(line)))[-1].gap


def told_otherwise(line: Line, change: Change) -> None:
    """Every statement comes changed, from here on."""
    original = Http.request.__get__(line.http)

    def request(method: str, url: str, headers: dict[str, str], body: str) -> Answer:
        answer: Answer = original(method, url, headers, body)
        content = change(answer.body) if "GetStatement" in url else answer.body
        return Answer(answer.status, answer.headers, content)

    line.http.request = request  # type: ignore[method-assign, assignment]


# ------------------------------------------------------------------------------------ what is read


def test_all_recorded_samples_are_read(
    vectors: Path, record_vector_case: Callable[[str, str], None]
) -> None:
    cases = json.loads((vectors / "exchanges/ibflex_samples.json").read_text())
    samples = [sample for case in cases.values() for sample in case]
    assert len(samples) == 33
    for sample in samples:
        found = flex.rows(sample.encode())
        [(name, [attributes])] = found.items()
        assert sample.startswith(f"<{name} ")
        assert len(attributes) == sample.count('="')
        record_vector_case("exchanges/ibflex", f"{name} {len(attributes)}")
    [trade] = flex.rows(cases["TradeTestCase"][0].encode())["Trade"]
    [cash] = flex.rows(cases["CashTransactionTestCase"][0].encode())["CashTransaction"]
    [forex] = flex.rows(cases["TradeAutoFXTestCase"][0].encode())["Trade"]
    day = {"accountId": "U123456", "fromDate": "20110812", "toDate": "20110812"}
    parts = {part: [dict[str, str]()] for part in VENUES["ibkr"].options["parts"]}
    made = {"FlexStatement": [day], **parts, "CashTransaction": [cash], "Trade": [trade, forex]}
    told = client()._checked(made)
    assert [row["market"] for row in told["Trade"]] == ["", "USD/EUR"]  # an option has none
    assert [row["time"] for row in told["Trade"]] == ["1313094000000", "1722540645000"]
    assert told["CashTransaction"][0]["time"] == "1444104000000"


def client() -> flex.ibkr:
    return flex.ibkr({"options": VENUES["ibkr"].options})


def test_times_are_new_yorks_in_summer_and_in_winter() -> None:
    moment = datetime(2024, 1, 1)  # noqa: DTZ001
    for _ in range(3 * 366 * 24):
        moment += timedelta(hours=1)
        meant = moment.replace(tzinfo=NEW_YORK)
        skipped = meant.astimezone(ZoneInfo("UTC")).astimezone(NEW_YORK) != meant
        if not skipped:
            row = {"dateTime": f"{moment:%Y%m%d;%H%M%S}"}
            assert flex.utc_ms(row) == int(meant.timestamp()) * 1000, moment


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"dateTime": "20240801;153045"}, (2024, 8, 1, 15, 30, 45)),
        ({"dateTime": "2021-02-03 10:01:50", "tradeDate": "2021-02-03"}, (2021, 2, 3, 10, 1, 50)),
        ({"tradeDate": "2011-08-11", "tradeTime": "162000"}, (2011, 8, 11, 16, 20)),
        ({"dateTime": "", "reportDate": "20150106"}, (2015, 1, 6)),
    ],
)
def test_times_are_read_as_statements_write_them(
    given: dict[str, str], meant: tuple[int, ...]
) -> None:
    moment = datetime(*meant, tzinfo=NEW_YORK)  # type: ignore[arg-type, misc]
    assert flex.utc_ms(given) == int(moment.timestamp()) * 1000


@pytest.mark.parametrize("when", ["12/31/2024", "31/12/24", "today", "2024"])
def test_times_in_another_order_are_refused(when: str) -> None:
    with pytest.raises(ValueError, match="data"):
        flex.utc_ms({"dateTime": when})


def test_marks_are_what_was_paid_last_and_what_a_day_closed_at(site: Site, line: Line) -> None:
    market = site.server.world.market
    fills = [fill for fill in site.history("ibkr").fills if fill.instrument.base == "AAPL"]
    symbol = "AAPL STK/USD"
    candles = line.connector.candles
    # Not of the hour at whose end the exchange closes: that one has another mark.
    last = next(
        fill
        for fill in fills[len(fills) // 2 :]
        if datetime.fromtimestamp(fill.time_ms / 1000, NEW_YORK).hour != 15
    )
    hour = last.time_ms // HOUR_MS * HOUR_MS
    paid = [fill for fill in fills if hour < fill.time_ms <= hour + HOUR_MS]
    latest = {fill.price for fill in paid if fill.time_ms == paid[-1].time_ms}
    assert dict(candles(symbol, HOUR_MS, hour, hour + HOUR_MS))[hour + HOUR_MS] in latest
    minute = last.time_ms // MINUTE_MS * MINUTE_MS
    assert list(candles(symbol, MINUTE_MS, minute, minute + MINUTE_MS))
    day = datetime.fromtimestamp(line.connector.time_ms() // 1000, NEW_YORK).replace(
        hour=16, minute=0, second=0
    )
    for back in range(20):
        close = int((day - timedelta(back)).timestamp()) * 1000
        [(end, price)] = list(candles(symbol, HOUR_MS, close - HOUR_MS, close))
        assert end == close
        held = site.history("ibkr").balances("spot", close).get("AAPL")
        if held:
            assert price == market.price(market.instruments["AAPL/USD"], close)
    list(line.connector.pages(TRADES, Cursor(site.since("ibkr")), site.until(line)))
    marks = Candles(candles, line.connector.markets, "USD")
    mark = marks.at("AAPL STK", int(day.timestamp()) * 1000 + 3 * HOUR_MS)
    assert mark is not None
    assert mark.age_ms <= 3 * HOUR_MS


def test_time_stands_at_the_end_of_the_newest_day(site: Site, line: Line) -> None:
    midnight = datetime.fromtimestamp(site.server.clock() // 1000, NEW_YORK).replace(
        hour=0, minute=0, second=0
    )
    assert line.connector.time_ms() == int(midnight.timestamp()) * 1000 - 1
    assert line.connector.settled_ms() == line.connector.time_ms() + 1
    time.sleep(0.01)
    assert line.connector.time_ms() == int(midnight.timestamp()) * 1000 - 1


@pytest.mark.parametrize("skew", [-2 * DAY_MS, 8 * DAY_MS])
def test_days_to_come_and_days_long_past_are_not_believed(site: Site, skew: int) -> None:
    line = site.line("ibkr", checked=False)
    line.skew_ms = skew
    with pytest.raises(VenueFault) as caught:
        line.connector.check()
    assert caught.value.reason is Reason.CLOCK


def test_a_statement_is_ordered_once(line: Line, site: Site) -> None:
    urls, request = list[str](), line.http.request

    def noted(method: str, url: str, *rest: object) -> Answer:
        urls.append(url)
        return request(method, url, *rest)  # type: ignore[arg-type]

    line.http.request = noted  # type: ignore[method-assign, assignment]
    for _ in range(3):
        line.everything(site.since("ibkr"), site.until(line))
        line.connector.balances()
    assert len(urls) == len({*urls}) <= 4


@pytest.mark.parametrize(
    ("since", "until", "spans"),
    [
        (
            "2024-03-05",
            "2026-02-03",
            ["20240101-20241231", "20250101-20251231", "20260101-20260204"],
        ),
        ("2024-03-05", "2025-06-07", ["20240101-20241231", "20250101-20251231"]),
        ("2026-01-05", "2027-01-09", ["20260101-20260204"]),  # no statement has days to come
        ("2026-01-01", "2026-01-09", ["20250101-20251231", "20260101-20260204"]),  # in New York
    ],
)
def test_years_are_asked_for_whole_and_none_that_is_not_needed(
    since: str, until: str, spans: list[str]
) -> None:
    told, asked = {"FlexStatement": [{"toDate": "2026-02-04"}]}, list[str]()

    def statement(span: str = "") -> dict[str, list[dict[str, str]]]:
        asked.append(span.replace("&fd=", "").replace("&td=", "-"))
        return {} if span else told

    ours = client()
    ours.statement = statement  # type: ignore[method-assign]
    ours.between({"since": time_ms(since), "until": time_ms(until)})
    assert [span for span in asked if span] == spans


# --------------------------------------------------------------------------------- what is refused

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (98 + place, b"&%c;" % (97 + place) * 10) for place in range(9)
    )
    + b"]><FlexQueryResponse><a>&j;</a></FlexQueryResponse>"
)
OUTSIDE = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a b="&x;">&x;</a>'
LOADED = b'<!DOCTYPE a SYSTEM "http://elsewhere/a.dtd"><a />'


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE a><a />",
        LOADED,
        OUTSIDE,
        BOMB,
        b"",
        b"<a>",
        b"<a></b>",
        b"<a />rest",
        b"<a b='1' b='2' />",
        b"<a>&nothing;</a>",
        b"\xff\xfe<",
        b"{}",
        b'<?xml version="1.0" encoding="nonsense"?><a />',
    ],
)
def test_what_is_no_plain_xml_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"XML|document type"):
        flex.rows(body)


def test_depth_costs_no_stack() -> None:
    assert len(flex.rows(b"<a>" * 100_000 + b"</a>" * 100_000)["a"]) == 100_000


def dropped(body: bytes) -> bytes:
    days = body.split(b"<FlexStatement ")
    return b"<FlexStatement ".join([*days[:-2], days[-1]]) if len(days) > 3 else body


def doubled(body: bytes) -> bytes:
    days = body.split(b"<FlexStatement ")
    return b"<FlexStatement ".join([*days[:2], *days[1:]])


def reordered(body: bytes) -> bytes:
    days = body.split(b"<FlexStatement ")
    if len(days) < 4:
        return body
    return b"<FlexStatement ".join([days[0], days[2], days[1], *days[3:]])


def joined(body: bytes) -> bytes:
    return body.replace(b'fromDate="2026', b'fromDate="2025')


def another(body: bytes) -> bytes:
    return body.replace(b'accountId="U', b'accountId="V', 1)


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


@pytest.mark.parametrize("part", VENUES["ibkr"].options["parts"])
def test_a_query_that_leaves_a_part_out_is_refused(site: Site, part: str) -> None:
    line = site.line("ibkr", checked=False)
    told_otherwise(line, lambda body: body.replace(part.encode(), b"Elsewhere"))
    with pytest.raises(VenueFault) as caught:
        line.connector.check()
    assert caught.value.reason is Reason.MALFORMED


def elsewhere(_: bytes) -> bytes:
    """A page for people that happens to be XML, of no days: as rows it would be a quiet year."""
    return b"<html><body>We will be back soon.</body></html>"


@pytest.mark.parametrize("change", [doubled, reordered, joined, cut, elsewhere, lambda _: BOMB])
def test_a_statement_that_is_not_what_was_asked_for_is_refused(
    site: Site, line: Line, change: Change
) -> None:
    told_otherwise(line, change)
    assert read(site, line) is Reason.MALFORMED


def test_a_statement_of_two_accounts_is_refused(site: Site, line: Line) -> None:
    told_otherwise(line, another)
    assert read(site, line) is Reason.MALFORMED


def test_statements_of_two_accounts_are_refused(site: Site) -> None:
    """The owner chooses the query's accounts at IBKR, also between two statements of a run."""
    line, told = site.line("ibkr", checked=False), list[bytes]()

    def switched(body: bytes) -> bytes:
        told.append(body)
        return body if len(told) == 1 else body.replace(b'accountId="U', b'accountId="V')

    told_otherwise(line, switched)
    line.connector.check()
    assert read(site, line) is Reason.MALFORMED
    assert len(told) == 2


def test_a_document_of_errors_is_their_reason(site: Site) -> None:
    for code, reason in (
        ("1012", Reason.KEY),
        ("1014", Reason.KEY),
        ("1015", Reason.KEY),
        ("1018", Reason.RATE_LIMIT),
        ("1020", Reason.REFUSED),
        ("1001", Reason.UNREACHABLE),
    ):
        line = site.line("ibkr", checked=False)
        line.answer(
            b"<FlexStatementResponse><Status>Fail</Status><ErrorCode>%s</ErrorCode>"
            b"</FlexStatementResponse>" % code.encode()
        )
        with pytest.raises(VenueFault) as caught:
            line.connector.check()
        assert caught.value.reason is reason, code


def test_what_is_not_ready_is_waited_for(site: Site) -> None:
    line, asked = site.line("ibkr", checked=False), list[str]()
    request = line.http.request

    def slow(method: str, url: str, *rest: object) -> Answer:
        asked.append(url)
        if sum("GetStatement" in each for each in asked) < 9 and "GetStatement" in url:
            code = b"<a><ErrorCode>1019</ErrorCode></a>"
            return Answer(200, {}, code)
        return request(method, url, *rest)  # type: ignore[arg-type]

    line.http.request = slow  # type: ignore[method-assign, assignment]
    line.connector.check()
    assert sum("SendRequest" in url for url in asked) == 1
    assert line.slept.count(5_000) >= 9


def test_what_is_never_ready_is_given_up(site: Site) -> None:
    line = site.line("ibkr", checked=False)
    request = line.http.request

    def never(method: str, url: str, *rest: object) -> Answer:
        if "GetStatement" in url:
            return Answer(200, {}, b"<a><ErrorCode>1019</ErrorCode></a>")
        return request(method, url, *rest)  # type: ignore[arg-type]

    line.http.request = never  # type: ignore[method-assign, assignment]
    with pytest.raises(VenueFault) as caught:
        line.connector.check()
    assert caught.value.reason is Reason.UNREACHABLE


def test_the_token_goes_where_it_always_goes(site: Site) -> None:
    """An answer says where a statement is to be fetched: whoever wrote that would get the token."""
    line, hosts = site.line("ibkr", checked=False), set[str]()
    original = line.http.request

    def request(method: str, url: str, *rest: object) -> Answer:
        hosts.add(url.split("/")[2])
        answer: Answer = original(method, url, *rest)  # type: ignore[arg-type]
        content = answer.body.replace(b"gdcdyn.interactivebrokers.com", b"elsewhere.example")
        return Answer(answer.status, answer.headers, content)

    line.http.request = request  # type: ignore[method-assign, assignment]
    line.connector.check()
    assert hosts == {"ndcdyn.interactivebrokers.com", "gdcdyn.interactivebrokers.com"}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (FaultKind.STATUS, {"status": 502}),
        (FaultKind.STATUS, {"status": 429}),
        (FaultKind.DROP, {}),
        (FaultKind.TRUNCATE, {}),
    ],
)
@pytest.mark.parametrize("call", ["SendRequest", "GetStatement"])
def test_what_passes_is_waited_for(
    site: Site, kind: FaultKind, more: dict[str, int], call: str
) -> None:
    line = site.line("ibkr", checked=False)
    site.arm(kind, f"{SERVICE}/{call}", count=2, **more)
    line.connector.check()
    assert read(site, line) is None


@pytest.mark.parametrize(
    ("change", "stream", "reason"),
    [
        ((b'assetCategory="STK"', b'assetCategory="OPT"'), TRADES, Reason.UNKNOWN_MARKET),
        ((b'buySell="BUY"', b'buySell="BUY (Ca.)"'), TRADES, Reason.MALFORMED),
        ((b'type="Dividends"', b'type="Gift"'), Stream("cash"), Reason.UNKNOWN_KIND),
        ((b"<Transfers />", b'<Transfers><Transfer date="20261101" type="ACATS" symbol="AAPL" '
          b'quantity="5" assetCategory="STK" currency="USD" /></Transfers>'),
         Stream("transfers"), Reason.UNKNOWN_KIND),
        ((b"<CorporateActions />", b'<CorporateActions><CorporateAction date="20261101" type="FS" '
          b'symbol="AAPL" quantity="5" assetCategory="STK" currency="USD" /></CorporateActions>'),
         Stream("corporate-actions"), Reason.UNKNOWN_KIND),
    ],
)  # fmt: skip
def test_what_is_not_known_is_a_gap(
    site: Site, line: Line, change: tuple[bytes, bytes], stream: Stream, reason: Reason
) -> None:
    told_otherwise(line, lambda body: body.replace(*change))
    assert read(site, line, stream) is reason


def test_what_sums_executions_up_is_not_counted_beside_them(site: Site, line: Line) -> None:
    def as_trades(body: bytes) -> bytes:
        """Older statements have orders as trades of another level of detail."""
        return body.replace(b"<Order ", b"<Trade ").replace(b"</Order>", b"</Trade>")

    told_otherwise(line, as_trades)
    [page] = line.connector.pages(TRADES, Cursor(site.since("ibkr")), site.until(line))
    assert page.gap is None
    fills = [fill for fill in site.history("ibkr").fills if fill.time_ms <= site.until(line)]
    assert len(page.events) == len(fills)


@pytest.mark.parametrize("level", [{}, {"levelOfDetail": "BaseCurrency"}], ids=["none", "level"])
def test_what_sums_currencies_up_is_no_currency_beside_them(level: dict[str, str]) -> None:
    """Newer statements give the sum a level of detail of its own, older ones only its name."""
    named = {"levelOfDetail": "Currency"} if level else {}
    day = {"accountId": "U1", "fromDate": "20260102", "toDate": "20260102"}
    cash = [
        {"currency": "BASE_SUMMARY", "toDate": "20260102", "endingCash": "12", **level},
        {"currency": "EUR", "toDate": "20260102", "endingCash": "10", **named},
    ]
    parts = {part: [dict[str, str]()] for part in VENUES["ibkr"].options["parts"]}
    told = client()._checked({"FlexStatement": [day], **parts, "CashReportCurrency": cash})
    assert [row["currency"] for row in told["CashReportCurrency"]] == ["EUR"]


def test_taxes_are_paid_beside_the_commission(site: Site, line: Line) -> None:
    told_otherwise(line, lambda body: body.replace(b'taxes="0"', b'taxes="-0.347098"'))
    start = Cursor(site.since("ibkr"))
    [page] = line.connector.pages(TRADES, start, site.until(line))
    fills = [fill for fill in site.history("ibkr").fills if fill.time_ms <= site.until(line)]
    paid = sum(fill.fee + Decimal("0.347098") for fill in fills)
    assert sum(event.fee for event in page.events if isinstance(event, Trade)) == paid


def test_another_layout_is_ccxts_own_kind_of_bad_answer() -> None:
    day = {"accountId": "U1", "fromDate": "20260101", "toDate": "20260102"}
    with pytest.raises(said.BadResponse):
        client()._checked({"FlexStatement": [day]})
    assert client()._checked({"FlexStatements": [{}]})["Trade"] == []
