"""A venue's bad days: what passes is waited for, what lies is a gap, nothing is silently less."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from strongroom_enclave.http import Answer
from strongroom_enclave.record.connectors.rules import (
    Cursor,
    Page,
    Reason,
    Stream,
    VenueFault,
)
from strongroom_enclave.record.events import Trade
from strongroom_host.venues.defaults import Login
from strongroom_host.venues.faults import FaultKind
from strongroom_wire.errors import Refused

from tests.enclave.record_connectors.conftest import DAY_MS, TIMES, VENUES, Line, Site, trades

SPOT = Stream("trades", "BTC/USDT")
PERPETUALS = Stream("contract-executions", "linear")
# A stream of each way to page, and the path it asks.
STREAMS = {
    "by offset": ("kraken", Stream("trades"), "/0/private/TradesHistory"),
    "from an id": ("binance", SPOT, "/api/v3/myTrades"),
    "by cursor": ("bybit", Stream("executions", "spot"), "/v5/execution/list"),
    "below an id": ("bitget", Stream("contract-trades"), "/api/v2/mix/order/fills"),
    "by halves": ("mexc", SPOT, "/api/v3/myTrades"),
    "by times": ("coinbase", Stream("trades"), "/api/v3/brokerage/orders/historical/fills"),
    "after an id": ("alpaca", Stream("trades"), "/v2/account/activities/FILL"),
    "by page": ("mexc", Stream("contract-trades", "BTC/USDT:USDT"), "/api/v1/private/order/list"),
}
PROMPT = [venue for venue in VENUES if venue != "ibkr"]  # which tells of days


def read(site: Site, line: Line, stream: Stream, cursor: Cursor | None = None) -> list[Page]:
    start = cursor or Cursor(site.since(line.venue))
    return list(line.connector.pages(stream, start, site.now_ms))


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (FaultKind.STATUS, {"status": 502}),
        (FaultKind.STATUS, {"status": 503}),
        (FaultKind.STATUS, {"status": 429}),
        (FaultKind.DROP, {}),
        (FaultKind.TRUNCATE, {}),
    ],
)
def test_what_passes_is_waited_for(
    site: Site, way: str, kind: FaultKind, more: dict[str, int]
) -> None:
    venue, stream, path = STREAMS[way]
    line = site.line(venue)
    whole = read(site, line, stream)
    line.slept.clear()
    site.arm(kind, path, count=2, after=0, **more)
    assert read(site, line, stream) == whole
    assert max(line.slept) >= (1000 if more.get("status") == 429 else 500)


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize(
    ("kind", "reason", "more"),
    [
        (FaultKind.STATUS, Reason.UNREACHABLE, {"count": 50}),
        (FaultKind.STATUS, Reason.RATE_LIMIT, {"count": 50, "status": 429}),
        (FaultKind.DROP, Reason.UNREACHABLE, {"count": 50}),
        (FaultKind.TRUNCATE, Reason.UNREACHABLE, {"count": 50}),
        (FaultKind.MALFORMED, Reason.MALFORMED, {}),
        (FaultKind.DOUBLED, Reason.DISCONTINUED, {}),
    ],
)
def test_what_does_not_pass_is_a_gap_and_then_made_up_for(
    site: Site, way: str, kind: FaultKind, reason: Reason, more: dict[str, int]
) -> None:
    venue, stream, path = STREAMS[way]
    if (venue, kind) == ("kraken", FaultKind.DOUBLED):
        pytest.skip("rows by id: a second one takes the place of the first")
    line = site.line(venue)
    whole = trades(read(site, line, stream))
    site.arm(kind, path, **more)
    *pages, last = read(site, line, stream)
    assert (last.gap, last.events) == (reason, ())
    site.server.faults.clear()
    rest = read(site, line, stream, last.cursor)
    assert rest[-1].gap is None
    assert trades([*pages, *rest]) == whole


@pytest.mark.parametrize("way", STREAMS)
def test_times_to_come_are_not_believed(site: Site, way: str) -> None:
    venue, stream, _ = STREAMS[way]
    line = site.line(venue)
    late = str(site.now_ms + DAY_MS)
    line.alter(lambda row: {name: late if name in TIMES else row[name] for name in row})
    gap = read(site, line, stream)[-1].gap
    assert gap is Reason.CLOCK


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("kind", [FaultKind.LOST, FaultKind.FOREIGN])
def test_a_page_that_does_not_hold_what_is_known_is_not_believed(
    site: Site, way: str, kind: FaultKind
) -> None:
    venue, stream, path = STREAMS[way]
    line, since = site.line(venue), site.since(venue)
    known = max(event.time_ms for page in read(site, line, stream) for event in page.events)
    first = list(line.connector.pages(stream, Cursor(since), known))
    site.arm(kind, path)
    [page] = read(site, line, stream, first[-1].cursor)
    assert page.gap is Reason.DISCONTINUED
    assert read(site, line, stream, first[-1].cursor)[-1].gap is None


@pytest.mark.parametrize("way", STREAMS)
def test_a_replayed_page_is_not_believed(site: Site, way: str) -> None:
    venue, stream, _ = STREAMS[way]
    line, since = site.line(venue), site.since(venue)
    answers: list[Answer] = []
    original = line.http.request

    def kept(method: str, url: str, headers: dict[str, str], body: str) -> Answer:
        answers.append(original(method, url, headers, body))
        return answers[-1]

    line.http.request = kept  # type: ignore[method-assign, assignment]
    whole = list(line.connector.pages(stream, Cursor(since), site.now_ms - DAY_MS))
    assert whole[-1].gap is None
    longest = max(answers, key=lambda answer: len(answer.body))
    line.http.request = lambda *_: longest  # type: ignore[method-assign]
    page = read(site, line, stream, whole[-1].cursor)[-1]
    assert page.gap is Reason.DISCONTINUED


def test_pages_that_are_each_in_order_and_not_together_are_not_believed(site: Site) -> None:
    line, pages, rows, stream = site.line("bybit"), 0, 0, Stream("executions", "spot")
    times = Counter(event.time_ms for page in read(site, line, stream) for event in page.events)
    [(burst, _)] = times.most_common(1)  # more of one ms than a page has
    start = burst - DAY_MS

    def older_first(row: dict[str, object]) -> dict[str, object]:
        nonlocal rows
        rows += "execTime" in row
        return {**row, "execTime": str(start + 5)} if pages == 1 and rows > 1 else row

    line.alter(older_first)
    ask = line.session.ask

    def count(call: str, *given: object) -> object:
        nonlocal pages
        pages += 1
        return ask(call, *given)

    line.session.ask = count  # type: ignore[method-assign]
    found = list(line.connector.pages(stream, Cursor(start), burst + DAY_MS))
    assert pages > 1
    assert found[-1].gap is Reason.DISCONTINUED


def test_rows_of_another_symbol_are_not_believed(site: Site) -> None:
    line = site.line("binance")
    ask = line.session.ask

    def other(call: str, *given: dict[str, object]) -> object:
        if call == "privateGetMyTrades":
            given = ({**given[0], "symbol": "ETHUSDT"},)
        return ask(call, *given)

    line.session.ask = other  # type: ignore[method-assign]
    [page] = read(site, line, SPOT)
    assert page.gap is Reason.DISCONTINUED


@pytest.mark.parametrize(
    ("venue", "stream", "field", "value", "reason"),
    [
        ("binance", Stream("income"), "incomeType", "GIFT", Reason.UNKNOWN_KIND),
        (
            "bybit",
            Stream("contract-executions", "linear"),
            "execType",
            "Settle",
            Reason.UNKNOWN_KIND,
        ),
        ("bybit", Stream("transfers"), "toAccountType", "VAULT", Reason.UNKNOWN_KIND),
        (
            "bybit",
            Stream("contract-executions", "linear"),
            "symbol",
            "NEVERUSDT",
            Reason.UNKNOWN_MARKET,
        ),
        ("bybit", Stream("executions", "spot"), "symbol", "BTCXYZ", Reason.UNKNOWN_MARKET),
        ("binance", SPOT, "price", "1e400", Reason.MALFORMED),
        ("binance", SPOT, "price", "NaN", Reason.MALFORMED),
        ("binance", SPOT, "qty", "zero", Reason.MALFORMED),
        ("binance", SPOT, "qty", {"not": "this"}, Reason.MALFORMED),
        ("binance", SPOT, "id", None, Reason.MALFORMED),
        ("binance", SPOT, "time", "yesterday", Reason.MALFORMED),
        ("binance", SPOT, "time", None, Reason.MALFORMED),
        ("binance", SPOT, "isBuyer", "maybe", Reason.MALFORMED),
        ("binance", Stream("deposits"), "amount", "-1", Reason.MALFORMED),
    ],
)
def test_what_nobody_knows_the_meaning_of_is_refused(
    site: Site, venue: str, stream: Stream, field: str, value: object, reason: Reason
) -> None:
    line = site.line(venue)
    line.alter(lambda row: {**row, field: value})
    page = read(site, line, stream)[-1]
    assert page.gap is reason


@pytest.mark.parametrize("answer", [None, 7, "text", {}, [[]], [None], {"rows": {}}, [{}]])
def test_any_other_shape_is_malformed(site: Site, answer: object) -> None:
    line = site.line("binance")
    line.session.ask = lambda *_: answer  # type: ignore[method-assign]
    page = read(site, line, SPOT)[-1]
    assert page.gap is Reason.MALFORMED


def test_money_on_its_way_bounds_what_is_covered(site: Site) -> None:
    line = site.line("binance")
    stream = Stream("deposits")
    whole = read(site, line, stream)
    times = [event.time_ms for page in whole for event in page.events]
    assert len(times) >= 2
    line.alter(lambda row: {**row, "status": 0 if row["id"] == stuck else row["status"]})
    stuck = [event.id for page in whole for event in page.events][-2]
    *pages, last = read(site, line, stream)
    assert (last.cursor.next_ms, last.gap) == (times[-2], Reason.PENDING)
    assert [event.time_ms for page in pages for event in page.events] == times[:-2]
    line.alter(lambda row: {**row, "status": 7 if row["id"] == stuck else row["status"]})
    rest = read(site, line, stream, last.cursor)
    assert [event.time_ms for page in rest for event in page.events] == times[-1:]
    assert rest[-1].gap is None


def test_more_of_one_ms_than_can_be_had_is_a_gap(site: Site) -> None:
    line = site.line("mexc")
    when = site.now_ms - DAY_MS
    row = {
        "symbol": "BTCUSDT",
        "time": when,
        "isBuyer": True,
        "qty": "1",
        "price": "1",
        "commission": "0",
    }

    def ask(call: str, given: dict[str, int]) -> object:
        inside = given["startTime"] <= when <= given["endTime"]
        return [{**row, "id": str(number)} for number in range(100)] if inside else []

    line.session.ask = ask  # type: ignore[method-assign]
    [page] = read(site, line, SPOT)[1:] or read(site, line, SPOT)
    assert page.gap is Reason.OVERFULL


def test_what_was_booked_late_is_told_as_such(site: Site) -> None:
    line, stream = site.line("bybit"), Stream("executions", "spot")
    events = [event for page in read(site, line, stream) for event in page.events]
    pairs = [pair for pair in pairwise(events) if pair[0].time_ms < pair[1].time_ms]
    known, late = min(pairs, key=lambda pair: pair[1].time_ms - pair[0].time_ms)
    page = read(site, line, stream, Cursor(late.time_ms + 5, known.time_ms, f"{known.id} Trade"))[0]
    assert page.events[0] == late
    assert page.cursor.next_ms > late.time_ms + 5


def test_what_a_broker_books_late_by_the_day_is_told_the_next_time(site: Site) -> None:
    line, stream = site.line("alpaca"), Stream("money")
    events = [event for page in read(site, line, stream) for event in page.events]
    pairs = [pair for pair in pairwise(events) if pair[0].time_ms < pair[1].time_ms]
    late, newer = min(pairs, key=lambda pair: pair[1].time_ms - pair[0].time_ms)
    assert newer.time_ms - late.time_ms <= 6 * DAY_MS
    original = line.http.request

    def without(*given: Any) -> Answer:
        answer: Answer = original(*given)
        rows = json.loads(answer.body)
        kept = [row for row in rows if not isinstance(row, dict) or row.get("id") != late.id]
        return Answer(answer.status, answer.headers, json.dumps(kept).encode())

    line.http.request = without  # type: ignore[method-assign, assignment]
    start, until = Cursor(site.since("alpaca")), newer.time_ms + 1
    first = list(line.connector.pages(stream, start, until))[-1]
    assert late not in first.events
    assert (first.gap, first.cursor.last_ms) == (None, newer.time_ms)
    line.http.request = original  # type: ignore[method-assign]
    pages = list(line.connector.pages(stream, first.cursor, site.now_ms))
    assert late in [event for page in pages for event in page.events]


def test_an_option_is_no_share(site: Site) -> None:
    session = site.line("alpaca").session
    assert session.market("BRK.B", False).symbol == "BRK.B STK/USD"
    for name in ("AAPL240119C00100000", "SPXW260620P05000000"):
        with pytest.raises(VenueFault) as caught:
            session.market(name, False)
        assert caught.value.reason is Reason.UNKNOWN_MARKET


@pytest.mark.parametrize("venue", PROMPT)
@pytest.mark.parametrize("skew", [-31_000 - DAY_MS, -40_000, 40_000, DAY_MS])
def test_clocks_too_far_apart_are_believed_neither(site: Site, venue: str, skew: int) -> None:
    line = site.line(venue, checked=False)
    line.skew_ms = skew
    with pytest.raises(VenueFault) as caught:
        line.connector.check()
    assert caught.value.reason is Reason.CLOCK


@pytest.mark.parametrize("venue", PROMPT)
@pytest.mark.parametrize("skew", [-20_000, 20_000])
def test_a_clock_that_is_off_a_little_is_made_up_for(site: Site, venue: str, skew: int) -> None:
    line = site.line(venue, checked=False)
    line.skew_ms = skew
    if venue == "kraken":  # tells whole seconds, and takes no time that is before the last one
        time.sleep(1)
    line.connector.check()
    assert abs(line.connector.time_ms() - time.time_ns() // 10**6) < 2_000
    assert line.connector.balances()


@pytest.mark.parametrize("venue", VENUES)
def test_a_wrong_key_is_named_as_such_and_nothing_of_it_is_said(site: Site, venue: str) -> None:
    login = site.logins[venue]
    for wrong in (Login("wrong-key", login.secret, login.passphrase),
                  Login(login.key, "d3Jvbmc=" * 4, login.passphrase)):  # fmt: skip
        line = site.line(venue, wrong, checked=False)
        with pytest.raises(VenueFault) as caught:
            line.connector.check()
        no_key = Reason.MALFORMED if venue == "coinbase" else Reason.KEY  # not even one in PEM
        assert caught.value.reason in (Reason.KEY, Reason.REFUSED, no_key)
        said = repr(caught.value) + str(caught.value) + repr(line.connector)
        assert wrong.key not in said
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("venue", "answer"),
    [
        ("binance", {"enableReading": True, "enableWithdrawals": True}),
        ("binance", {"enableReading": True, "enableSpotAndMarginTrading": True}),
        ("binance", {"enableReading": True, "enableSomethingNew": True}),
        ("binance", {"enableReading": False}),
        ("binance", {}),
        ("binance", []),
        ("bybit", {"result": {"readOnly": 0}}),
        ("bybit", {"result": {}}),
        ("bybit", {"result": []}),
        ("coinbase", {"can_view": True, "can_trade": True, "can_transfer": False}),
        ("coinbase", {"can_view": False}),
        ("bybit", None),
    ],
)
def test_a_key_that_can_do_more_than_read_is_refused(
    site: Site, venue: str, answer: object
) -> None:
    line = site.line(venue, checked=False)
    access = line.session.venue.access
    assert access is not None
    ask = line.session.ask
    line.session.ask = lambda call, *given: (  # type: ignore[method-assign]
        answer if call == access.call else ask(call, *given)
    )
    with pytest.raises(Refused, match="what the key may"):
        line.connector.check()


def test_digits_of_a_number_survive_quoted_or_not(site: Site) -> None:
    line = site.line("mexc")
    stream = Stream("contract-trades", "BTC/USDT:USDT")
    body = (
        b'{"success":true,"code":0,"data":[{"id":"1","symbol":"BTC_USDT","side":3,"vol":7,'
        b'"price":70123.123456789012345678,"fee":0.000000000000000001,"feeCurrency":"USDT",'
        b'"timestamp":%d}]}' % (site.now_ms - 5)
    )
    line.answer(body)
    [page] = read(site, line, stream, Cursor(site.now_ms - 10))
    [trade] = page.events
    assert isinstance(trade, Trade)
    assert str(trade.price) == "70123.123456789012345678"
    assert format(trade.fee, "f") == "0.000000000000000001"


def test_a_wait_too_long_to_wait_is_a_gap_at_once(site: Site) -> None:
    line = site.line("binance")
    line.answer(b"{}", 429, {"retry-after": "3600"})
    [page] = read(site, line, SPOT)
    assert page.gap is Reason.RATE_LIMIT
    assert all(wait < 10_000 for wait in line.slept)


def test_a_venue_is_waited_for_as_long_as_it_says(site: Site) -> None:
    line = site.line("binance")
    line.slept.clear()
    line.answer(b"{}", 429, {"retry-after": "7"})
    [page] = read(site, line, SPOT)
    assert page.gap is Reason.RATE_LIMIT
    assert [wait for wait in line.slept if wait >= 7_000] == [7_000] * 4


@pytest.mark.parametrize("venue", VENUES)
def test_half_an_answer_is_no_list_of_nothing(site: Site, venue: str) -> None:
    line = site.line(venue, checked=venue != "ibkr")  # which would ask for nothing twice
    symbol = "ETH/USD" if venue in ("kraken", "coinbase", "alpaca") else "ETH/USDT"
    hour = site.now_ms // 3_600_000 * 3_600_000
    for body in (b"", b"[[1700000000000,", b'{"result":', b"\xff", b"[" * 100_000):
        line.answer(body)
        for ask in (
            lambda: list(line.connector.candles(symbol, 3_600_000, hour - DAY_MS, hour)),
            line.connector.balances,
        ):
            with pytest.raises(VenueFault) as caught:
                ask()
            assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("way", ["by cursor", "below an id"])  # windows of a call or two
def test_a_run_that_takes_too_long_ends_and_the_next_one_goes_on(site: Site, way: str) -> None:
    """A venue that is slow, or answers each call late and never wrong, keeps nobody for hours."""
    venue, stream, _ = STREAMS[way]
    whole = [event for page in read(site, site.line(venue), stream) for event in page.events]
    found, cursor, runs = list(whole[:0]), Cursor(site.since(venue)), 0
    while True:
        runs += 1
        line, passed = site.line(venue), [0]
        request, start = line.http.request, time.monotonic()

        def slowly(*given: Any, passed: list[int] = passed, request: Any = request) -> Any:
            passed[0] += 900
            return request(*given)

        # Its clock alone: the server's loop would wait for what all others' said.
        clock = SimpleNamespace(monotonic=lambda at=start, s=passed: at + s[0])
        with patch("strongroom_enclave.record.connectors.session.time", clock):
            line.http.request = slowly  # type: ignore[method-assign, assignment]
            pages = read(site, line, stream, cursor)
        found += [event for page in pages for event in page.events]
        assert passed[0] <= 3_600 + 900
        if pages[-1].gap is None:
            break
        assert pages[-1].gap is Reason.LATE
        assert pages[-1].cursor.next_ms > cursor.next_ms
        cursor = pages[-1].cursor
        assert runs < 99
        line.slept.clear()
        line.connector._end_s = 0
        with pytest.raises(VenueFault) as caught:  # nothing else is asked for in that run either
            line.connector.balances()
        assert caught.value.reason is Reason.LATE
        assert line.slept == []
    assert found == whole
    assert runs > 1


def test_calls_are_paced_as_the_venue_wants(site: Site) -> None:
    line = site.line("kraken")
    line.slept.clear()
    read(site, line, Stream("ledger"))
    assert line.slept


@pytest.mark.parametrize(
    ("stream", "numbers", "times"),
    [
        (Stream("deposits"), [1, 2, 3], [3, 1, 2]),
        (SPOT, range(1001), [5] * 1001),
        (SPOT, [1, 2, 2], [1, 2, 3]),
        (SPOT, [1, 2, 3], [1, 3, 2]),
    ],
    ids=["times", "more than a page", "an id twice", "times by id"],
)
def test_rows_out_of_order_or_too_many_are_not_believed(
    site: Site, stream: Stream, numbers: Iterable[int], times: list[int]
) -> None:
    line = site.line("binance")
    start = site.now_ms - 10_000
    row = {"symbol": "BTCUSDT", "isBuyer": True, "qty": "1", "price": "1", "status": 1}
    row |= {"coin": "BTC", "amount": "1", "commission": "0"}
    rows = [
        {**row, "id": number, "time": start + time, "insertTime": start + time}
        for number, time in zip(numbers, times, strict=True)
    ]
    line.session.ask = lambda *_: rows  # type: ignore[method-assign]
    page = read(site, line, stream, Cursor(start))[-1]
    assert page.gap is Reason.DISCONTINUED


def test_an_answer_of_another_status_is_none(site: Site) -> None:
    line = site.line("binance")
    line.answer(b"[]", 201)
    [page] = read(site, line, SPOT)
    assert page.gap is Reason.MALFORMED


@pytest.mark.parametrize("opened", [[60, 0], [0, 61, 60], [0, 60, 600]])
def test_what_is_no_candle_of_the_grid_is_missing(site: Site, opened: list[int]) -> None:
    line, start = site.line("binance"), site.now_ms // 60_000 * 60_000 - DAY_MS
    rows = [[start + second * 1_000, "1", "1", "1", str(second)] for second in opened]
    line.session.ask = lambda *_: rows  # type: ignore[method-assign]
    found = list(line.connector.candles("BTC/USDT", 60_000, start, start + 600_000))
    assert found == [(start + 60_000, Decimal(0)), (start + 120_000, Decimal(60))]


@pytest.mark.parametrize("row", [[0, "1", "1", "1"], [0, "1", "1", "1", None], [0, 1, 1, 1, "x"]])
def test_a_candle_without_a_close_is_malformed(site: Site, row: list[object]) -> None:
    line, start = site.line("binance"), site.now_ms // 60_000 * 60_000 - DAY_MS
    line.session.ask = lambda *_: [[start, *row[1:]]]  # type: ignore[method-assign]
    with pytest.raises(VenueFault) as caught:
        list(line.connector.candles("BTC/USDT", 60_000, start, start + 600_000))
    assert caught.value.reason is Reason.MALFORMED
