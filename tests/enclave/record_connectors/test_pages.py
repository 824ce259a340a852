"""Pages and rows by hand, where no market of ours happens to have what a rule is there for."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from strongroom_enclave.record.connectors import session as sessions
from strongroom_enclave.record.connectors.rules import (
    Cursor,
    Page,
    Reason,
    Stream,
    VenueFault,
    inside,
    listed,
    time_ms,
)
from strongroom_enclave.record.events import Event, Trade
from strongroom_host.venues.market import HOUR_MS

from tests.enclave.record_connectors.conftest import DAY_MS, Line, Site

SPOT = Stream("trades", "BTC/USDT")
PERPETUALS = Stream("contract-executions", "linear")
TRADE = {"symbol": "BTCUSDT", "isBuyer": True, "qty": "1", "price": "1", "commission": "0"}
Answer = Callable[[dict[str, Any]], object]


def read(site: Site, line: Line, stream: Stream, cursor: Cursor | None = None) -> list[Page]:
    start = cursor or Cursor(site.since(line.venue))
    return list(line.connector.pages(stream, start, site.now_ms))


def told(line: Line, answer: Answer) -> list[dict[str, Any]]:
    """Has every question answered so; what is asked is noted."""
    asked = list[dict[str, Any]]()

    def ask(_: str, given: dict[str, Any]) -> object:
        asked.append(given)
        return answer(given)

    line.session.ask = ask  # type: ignore[method-assign, assignment]
    return asked


def ids(pages: list[Page]) -> list[str]:
    return [event.id for page in pages for event in page.events]


# ------------------------------------------------------------------------------------ from an id on


@pytest.mark.parametrize("known", [0, 7])
def test_more_trades_than_a_page_holds_are_asked_for_from_the_next_id_on(
    site: Site, known: int
) -> None:
    line, start, there = site.line("binance"), site.now_ms - 10_000, range(7, 2_500)

    def answer(given: dict[str, Any]) -> object:
        page = [number for number in there if number >= int(given["fromId"])][:1_000]
        return [{**TRADE, "id": number, "time": start + number} for number in page]

    asked = told(line, answer)
    cursor = Cursor(start + known + 1, start + known, str(known)) if known else Cursor(start)
    pages = read(site, line, SPOT, cursor)
    assert pages[-1].gap is None
    assert ids(pages) == [str(number) for number in there if number > known]
    assert [int(given["fromId"]) for given in asked] == [known, 1_007, 2_007]
    # Where the first page ends before what is asked for, the others follow all the same.
    assert len(ids(read(site, line, SPOT, Cursor(start + 1_500)))) == 1_000


def test_ids_before_the_one_that_is_asked_for_are_not_believed(site: Site) -> None:
    line, start = site.line("binance"), site.now_ms - 10_000
    told(line, lambda _: [{**TRADE, "id": number, "time": start + number} for number in (3, 7, 9)])
    [page] = read(site, line, SPOT, Cursor(start + 8, start + 7, "7"))
    assert page.gap is Reason.DISCONTINUED


# ------------------------------------------------------------------------------------- by times


def deposit(time_ms: int) -> dict[str, object]:
    return {"id": f"d{time_ms}", "insertTime": time_ms, "coin": "BTC", "amount": "1", "status": 1}


@pytest.mark.parametrize(("off_ms", "gap"), [(-2_000, None), (-2_001, Reason.DISCONTINUED)])
@pytest.mark.parametrize("end", ["start", "end"])
def test_rows_that_were_not_asked_for_are_not_believed(
    site: Site, end: str, off_ms: int, gap: Reason | None
) -> None:
    """But for some seconds, since venues round the ends of a span; those are not told either."""
    line, start, until = site.line("binance"), site.now_ms - DAY_MS, site.now_ms - HOUR_MS
    other = start + off_ms if end == "start" else until - off_ms
    told(line, lambda _: [deposit(time_ms) for time_ms in sorted((start + 5, other))])
    [page] = line.connector.pages(Stream("deposits"), Cursor(start), until)
    assert page.gap is gap
    assert ids([page]) == ([] if gap else [f"d{start + 5}"])


def test_a_page_of_rows_from_just_before_a_span_does_not_end_it(site: Site) -> None:
    """Times of seconds begin one early, so a whole page may lie before what is asked for."""
    line, start = site.line("alpaca"), site.now_ms // 1_000 * 1_000 - DAY_MS + 900
    row = {"symbol": "AAPL", "side": "buy", "qty": "1", "price": "1"}
    early = [{**row, "id": f"a{n:03}", "transaction_time": str(start - 500)} for n in range(100)]
    late = [{**row, "id": f"b{n}", "transaction_time": str(start + n)} for n in range(3)]
    told(line, lambda given: late if given.get("page_token") else early)
    pages = read(site, line, Stream("trades"), Cursor(start))
    assert pages[-1].gap is None
    assert ids(pages) == ["b0", "b1", "b2"]


@pytest.mark.parametrize("empty", [False, True])
def test_a_short_page_is_the_last_only_where_it_names_no_next_one(site: Site, empty: bool) -> None:
    """Bybit fills pages as it likes; and some name a page after the last one, which is empty."""
    line, start = site.line("bybit"), site.now_ms - DAY_MS
    row = {"execType": "Trade", "symbol": "BTCUSDT", "side": "Buy", "execQty": "1"}
    row |= {"execPrice": "1", "execFee": "0", "feeCurrency": "BTC"}

    def answer(given: dict[str, Any]) -> object:
        at = int(given.get("cursor") or 0)
        rows = [{**row, "execId": f"e{at}", "execTime": str(start + at)}] if at < 3 else []
        return {"result": {"list": rows, "nextPageCursor": str(at + 1) if at < 2 or empty else ""}}

    asked = told(line, answer)
    pages = read(site, line, Stream("executions", "spot"), Cursor(start))
    assert pages[-1].gap is None
    assert ids(pages) == ["e0", "e1", "e2"]
    assert len(asked) == 3 + empty


def test_newest_first_is_read_back_to_where_it_is_known_and_no_further(site: Site) -> None:
    """A row an hour, and the last seven days are read again."""
    line, start = site.line("alpaca"), site.now_ms - 451 * HOUR_MS
    row = {"activity_type": "CFEE", "symbol": "BTC", "qty": "-1"}
    hours = [(f"f{hour}", start + hour * HOUR_MS) for hour in range(450, 0, -1)]
    there = [{**row, "id": name, "transaction_time": str(when)} for name, when in hours]

    def answer(given: dict[str, Any]) -> object:
        token = given.get("page_token")
        first = next((at + 1 for at, each in enumerate(there) if each["id"] == token), 0)
        return there[first : first + 100]

    asked, known = told(line, answer), dict(hours)["f430"]
    assert len(ids(read(site, line, Stream("crypto-fees"), Cursor(start)))) == 450
    assert len(asked) == 5
    asked.clear()
    pages = read(site, line, Stream("crypto-fees"), Cursor(known + 1, known, "f430"))
    assert pages[-1].gap is None
    assert len(asked) == 2


def test_rows_of_one_time_are_read_to_their_last_however_many_pages_they_fill(site: Site) -> None:
    """What a broker books by days has the same time as all else of that day."""
    line, start = site.line("alpaca"), site.now_ms - 20 * DAY_MS
    row = {"activity_type": "CFEE", "symbol": "BTC", "qty": "-1", "transaction_time": str(start)}
    there = [{**row, "id": f"f{number}"} for number in range(250, 0, -1)]

    def answer(given: dict[str, Any]) -> object:
        token = given.get("page_token")
        first = next((at + 1 for at, each in enumerate(there) if each["id"] == token), 0)
        return there[first : first + 100]

    told(line, answer)
    pages = read(site, line, Stream("crypto-fees"), Cursor(start + 7 * DAY_MS))
    assert pages[-1].gap is None
    assert len(ids(pages)) == 250


def test_a_span_of_one_ms_is_asked_for(site: Site) -> None:
    line, until = site.line("binance"), site.now_ms - HOUR_MS
    told(line, lambda _: [deposit(until)])
    [page] = line.connector.pages(Stream("deposits"), Cursor(until), until)
    assert (ids([page]), page.cursor.next_ms) == ([f"d{until}"], until + 1)


# --------------------------------------------------------------------------------------- one row


@pytest.mark.parametrize(
    ("venue", "stream", "field"),
    [
        ("binance", SPOT, "commissionAsset"),
        ("bybit", Stream("executions", "spot"), "feeCurrency"),
        ("mexc", SPOT, "commissionAsset"),
    ],
)
def test_a_spot_fee_in_no_asset_is_refused_where_the_venue_names_it(
    site: Site, venue: str, stream: Stream, field: str
) -> None:
    """It may be in base, quote or a third one, so a guess would be wrong money."""
    line = site.line(venue)
    line.alter(lambda row: {**row, field: ""})
    assert read(site, line, stream)[-1].gap is Reason.MALFORMED


def test_a_contracts_fee_in_no_asset_is_in_what_it_settles_in(site: Site) -> None:
    line = site.line("bybit")
    whole = read(site, line, PERPETUALS)
    line.alter(lambda row: {**row, "feeCurrency": ""})
    assert read(site, line, PERPETUALS) == whole


def test_no_list_is_a_list_of_nothing_only_where_a_total_says_so() -> None:
    assert listed({"total": 0}, "rows") == listed({"total": "0"}, "rows") == []
    assert listed({"rows": {"a": 1}}, "rows") == [{"key": "a", "row": 1}]
    for answer, path in (
        ({}, "rows"),
        ({"total": 1}, "rows"),
        ({"total": 0, "rows": "none"}, "rows"),
        ({"a": 1}, ""),
    ):
        with pytest.raises(VenueFault) as caught:
            listed(answer, path)
        assert caught.value.reason is Reason.MALFORMED


def test_a_contracts_fee_is_in_the_asset_that_is_named(site: Site) -> None:
    line, stream = site.line("binance"), Stream("contract-trades", "BTC/USDT:USDT")
    line.alter(lambda row: {**row, "commissionAsset": "BNB"})
    events: list[Event] = [event for page in read(site, line, stream) for event in page.events]
    assert {event.fee_asset for event in events if isinstance(event, Trade)} == {"BNB"}


def test_money_in_no_asset_is_refused(site: Site) -> None:
    line = site.line("binance")
    line.alter(lambda row: {**row, "coin": ""})
    assert read(site, line, Stream("deposits"))[-1].gap is Reason.MALFORMED


def test_a_name_leads_nowhere_in_a_list_nor_a_number_beyond_it() -> None:
    assert inside([5, 6], "1") == 6
    assert inside({"a": [{"b": 7}]}, "a.0.b") == 7
    for path in ("2", "x", "-1", "0.x"):
        assert inside([5, 6], path) is None


def test_a_time_with_a_zone_is_of_that_zone() -> None:
    assert time_ms("2026-01-02T02:00:00.5+02:00") == time_ms("2026-01-02T00:00:00.500")
    assert time_ms("99999999999.5") == 99_999_999_999_500
    assert time_ms("2026-01-02T00:00:00Z") == time_ms("2026-01-02") == 1_767_312_000_000


# ---------------------------------------------------------------------------- what a venue lists


def test_options_are_no_market(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """They settle as contracts do, and are none that a ledger here knows."""
    monkeypatch.setattr(sessions, "_LISTED", {})
    line = site.line("bybit", checked=False)
    ask = line.session.ask

    def with_an_option(call: str, *given: object) -> object:
        answer = ask(call, *given)
        if call == "load_markets":
            there = line.session._exchange.markets
            named = {"symbol": "BTC/USDT:USDT-261225-90000-C", "id": "BTC-25DEC26-90000-C"}
            there[named["symbol"]] = {**there["BTC/USDT:USDT"], **named, "option": True}
        return answer

    line.session.ask = with_an_option  # type: ignore[method-assign]
    line.session.begin()
    assert "BTC/USDT:USDT" in line.connector.markets
    assert not [symbol for symbol in line.connector.markets if symbol.endswith("-C")]


def test_a_pair_that_is_not_listed_any_more_is_no_share(site: Site) -> None:
    assert site.line("alpaca").session.market("LTC/USD", False).symbol == "LTC/USD"


def test_positions_of_nothing_are_none(site: Site) -> None:
    line = site.line("binance")
    row = {"symbol": "BTC/USDT:USDT", "side": "short", "contracts": "2", "entryPrice": "3"}
    line.session.ask = lambda *_: [row, {**row, "contracts": "0"}]  # type: ignore[method-assign]
    assert line.connector.positions() == [("BTC/USDT:USDT", Decimal(-2), Decimal(3))]


@pytest.mark.parametrize("bars", [None, [], {}, {"MSFT": []}])
def test_shares_without_bars_have_no_closes(site: Site, bars: object) -> None:
    line = site.line("alpaca")
    symbol, hour = line.session.market("AAPL", False).symbol, site.now_ms // HOUR_MS * HOUR_MS
    line.session.ask = lambda *_: {"bars": bars}  # type: ignore[method-assign]
    assert list(line.connector.candles(symbol, HOUR_MS, hour - DAY_MS, hour)) == []


@pytest.mark.parametrize("offset_ms", [-20_000, 20_000])
def test_by_either_clock_nothing_is_too_fresh(site: Site, offset_ms: int) -> None:
    session = site.line("binance").session
    session._now, session._offset = lambda: 10**12, offset_ms
    assert session.settled_ms() == 10**12 + min(offset_ms, 0) - 1_000


@pytest.mark.parametrize("after", ["9" * 5_000, "-5", "soon", "\u0661"])
def test_a_wait_that_is_no_number_is_none(site: Site, after: str) -> None:
    line = site.line("binance")
    line.slept.clear()
    line.answer(b"{}", 429, {"retry-after": after})
    [page] = read(site, line, SPOT)
    assert page.gap is Reason.RATE_LIMIT
    assert max(line.slept) < 10_000
