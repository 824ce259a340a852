"""Every venue's whole history is the truth, each page of it proved, in one go or in many."""

from __future__ import annotations

import time
from decimal import Decimal
from itertools import pairwise

import pytest
from strongroom_enclave.record.connectors.rules import Cursor, Page, Reason, Stream, VenueFault
from strongroom_enclave.record.events import Kind
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS

from tests.enclave.record_connectors.conftest import (
    DAY_MS,
    VENUES,
    Line,
    Site,
    flows,
    trades,
    truth,
)


@pytest.fixture(scope="module")
def lines(site: Site) -> dict[str, Line]:
    return {venue: site.line(venue) for venue in VENUES}


@pytest.mark.parametrize("venue", VENUES)
def test_the_whole_history_is_the_truth(site: Site, lines: dict[str, Line], venue: str) -> None:
    line, until = lines[venue], site.now_ms
    since = site.since(venue) - 1
    found = line.everything(since, until)
    pages = [page for stream in found.values() for page in stream]
    assert [page.gap for page in pages if page.gap] == []
    ids = venue != "mexc"  # it names deposits by their transaction
    sizes = {name: line.connector.market(name).size for name in line.connector.symbols()}
    assert trades(pages, sizes) == truth(site.history(venue))[0]
    assert flows(pages, ids=ids) == truth(site.history(venue), ids=ids)[1]
    for stream in found.values():
        spans = [page.covered for page in stream if page.covered]
        assert (spans[0][0], spans[-1][1]) == (since, until)
        assert all(a[1] + 1 == b[0] for a, b in pairwise(spans))
        assert [page.complete for page in stream] == [False] * (len(stream) - 1) + [True]
    assert sum(page.late for page in pages) == 0


@pytest.mark.parametrize("venue", VENUES)
def test_in_many_syncs_as_in_one(site: Site, lines: dict[str, Line], venue: str) -> None:
    line, since = lines[venue], site.since(venue) - 1
    streams = line.connector.streams(line.connector.symbols())
    found: list[Page] = []
    cursors = dict.fromkeys(streams, Cursor(since))
    for until in (since + 9 * DAY_MS + 77, site.now_ms - 2 * DAY_MS, site.now_ms - 9, site.now_ms):
        for stream in streams:
            for page in line.connector.pages(stream, cursors[stream], until):
                assert page.gap is None
                cursors[stream] = page.cursor
                found.append(page)
    sizes = {name: line.connector.market(name).size for name in line.connector.symbols()}
    ids = venue != "mexc"
    assert trades(found, sizes) == truth(site.history(venue))[0]
    assert flows(found, ids=ids) == truth(site.history(venue), ids=ids)[1]


@pytest.mark.parametrize("venue", VENUES)
def test_it_holds_what_its_history_adds_up_to(
    site: Site, lines: dict[str, Line], venue: str
) -> None:
    connector, history = lines[venue].connector, site.history(venue)
    held: dict[str, Decimal] = {}
    for wallet in ("spot", "linear", "UNIFIED", "FUND"):
        for asset, amount in history.balances(wallet, site.now_ms).items():
            held[asset] = held.get(asset, Decimal(0)) + amount
    told = connector.balances()
    # Binance shows eight places.
    assert {a: round(n, 8) for a, n in told.items() if n} == {
        a: round(n, 8) for a, n in held.items() if round(n, 8)
    }
    open_now = {i.symbol: p for i, p in history.positions(site.now_ms).items()}
    found = {
        name: place
        for name, place in connector.positions().items()
        if connector.market(name).kind is Kind.LINEAR
    }
    assert {name: held * connector.market(name).size for name, (held, _) in found.items()} == {
        name: position.quantity for name, position in open_now.items()
    }
    for name, (_, entry) in found.items():
        assert abs(entry - open_now[name].entry) < Decimal("1e-7")


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("symbol", ["ETH/USDT", "BTC/USDT:USDT"])
def test_closes_of_hours_and_minutes(
    site: Site, lines: dict[str, Line], venue: str, symbol: str
) -> None:
    market = site.server.world.market
    instrument = market.instruments[symbol]
    for interval, count, back in ((HOUR_MS, 450, 40 * DAY_MS), (MINUTE_MS, 30, DAY_MS)):
        start = (site.now_ms - back) // interval * interval
        end = start + count * interval
        found = list(lines[venue].connector.candles(symbol, interval, start, end))
        assert [end for end, _ in found] == list(range(start + interval, end + 1, interval))
        for closed, close in found[:: count // 10]:
            candle = market.candle(instrument, closed - interval, interval)
            assert candle is not None
            assert close == candle.close


def test_missing_candles_are_missing_and_open_ones_left_out(
    site: Site, lines: dict[str, Line]
) -> None:
    [(start, end)] = site.server.world.market.instruments["DOGE/USDT"].silent
    connector = lines["binance"].connector
    found = connector.candles("DOGE/USDT", HOUR_MS, start - 2 * HOUR_MS, end + 2 * HOUR_MS)
    assert [end for end, _ in found] == [start - HOUR_MS, start, end + HOUR_MS, end + 2 * HOUR_MS]
    hour = site.now_ms // HOUR_MS * HOUR_MS
    found = connector.candles("BTC/USDT", HOUR_MS, hour - HOUR_MS, hour + 5 * HOUR_MS)
    assert [end for end, _ in found][:1] == [hour]
    minute = site.now_ms // MINUTE_MS * MINUTE_MS
    found = connector.candles("BTC/USDT", MINUTE_MS, minute, minute + HOUR_MS)
    assert max(end for end, _ in found) <= time.time_ns() // 10**6


def test_a_market_that_is_listed_no_more_is_told_from_its_name(
    site: Site, lines: dict[str, Line]
) -> None:
    connector = lines["bybit"].connector
    assert "OLD/USDT" not in connector.symbols()
    list(connector.pages(Stream("spot-executions"), Cursor(site.since("bybit")), site.now_ms))
    assert connector.market("OLD/USDT").base == "OLD"
    with pytest.raises(VenueFault) as caught:
        connector.market("NEVER/USDT")
    assert caught.value.reason is Reason.UNKNOWN_MARKET


def test_nothing_is_asked_for_that_is_too_fresh(site: Site, lines: dict[str, Line]) -> None:
    stream = Stream("deposits")
    [page] = lines["bybit"].connector.pages(stream, Cursor(site.now_ms - 1), site.now_ms + DAY_MS)
    assert page.complete
    assert page.cursor.next_ms <= time.time_ns() // 10**6 - 9_999
    assert list(lines["bybit"].connector.pages(stream, page.cursor, site.now_ms)) == []


@pytest.mark.parametrize(
    ("venue", "stream", "depth"),
    [
        ("mexc", Stream("trades", "BTC/USDT"), 30),
        ("mexc", Stream("deposits"), 90),
        ("bybit", Stream("spot-executions"), 730),
        ("bitget", Stream("contract-trades"), 90),
        ("binance", Stream("contract-trades", "BTC/USDT:USDT"), 182),
        ("binance", Stream("income"), 90),
    ],
)
def test_what_is_older_than_a_venue_tells_is_a_gap(
    site: Site, lines: dict[str, Line], venue: str, stream: Stream, depth: int
) -> None:
    since = site.now_ms - (depth + 40) * DAY_MS
    first, *rest = lines[venue].connector.pages(stream, Cursor(since), site.now_ms)
    assert first.gap is not None
    assert (first.gap.start_ms, first.gap.reason) == (since, Reason.DEPTH)
    assert abs(first.gap.end_ms - site.now_ms + depth * DAY_MS) < 3 * 60_000
    assert rest[0].covered is not None
    assert rest[0].covered[0] == first.gap.end_ms + 1
    assert rest[-1].complete


@pytest.mark.parametrize("venue", VENUES)
def test_nothing_older_than_what_is_asked_for(
    site: Site, lines: dict[str, Line], venue: str
) -> None:
    middle = (site.since(venue) + site.now_ms) // 2
    found = [
        page for pages in lines[venue].everything(middle, site.now_ms).values() for page in pages
    ]
    sizes = {
        name: lines[venue].connector.market(name).size for name in lines[venue].connector.symbols()
    }
    assert trades(found, sizes) == [
        row for row in truth(site.history(venue))[0] if int(str(row[0])) >= middle
    ]
    assert sum(page.late for page in found) == 0
