"""Every venue's whole history is the truth, each page of it proved, in one go or in many."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from strongroom_enclave.record.connectors.rules import Cursor, Page, Reason, Stream, VenueFault
from strongroom_enclave.record.events import Kind
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS

from tests.enclave.record_connectors.conftest import (
    DAY_MS,
    SHARES,
    VENUES,
    Line,
    Site,
    flows,
    trades,
    truth,
)

# MEXC names deposits by their transaction, Kraken's ledger has names of its own.
IDS = {*VENUES} - {"mexc", "kraken"}
LATE = {"alpaca"}
UNSIGNED = {"ibkr"}
# IBKR has no candles; `test_flex.py` has what it has.
CANDLES = [venue for venue in VENUES if venue != "ibkr"]


@pytest.fixture(scope="module")
def lines(site: Site) -> dict[str, Line]:
    return {venue: site.line(venue) for venue in VENUES}


@pytest.mark.parametrize("venue", VENUES)
def test_the_whole_history_is_the_truth(site: Site, lines: dict[str, Line], venue: str) -> None:
    line = lines[venue]
    until = site.until(line)
    since = site.since(venue) - 1
    found = line.everything(since, until)
    pages = [page for stream in found.values() for page in stream]
    assert [page.gap for page in pages if page.gap] == []
    ids = venue in IDS
    trades_made, moved = truth(site.history(venue), until, ids=ids, signed=venue not in UNSIGNED)
    sizes = {name: market.size for name, market in line.connector.markets.items()}
    assert trades(pages, sizes) == trades_made
    assert flows(pages, ids=ids) == moved
    for stream in found.values():
        cursors = [page.cursor.next_ms for page in stream]
        assert cursors == sorted(cursors)
        assert cursors[-1] == until + 1


@pytest.mark.parametrize("venue", VENUES)
def test_in_many_syncs_as_in_one(site: Site, lines: dict[str, Line], venue: str) -> None:
    line, since = lines[venue], site.since(venue) - 1
    streams = line.connector.streams()
    found: list[Page] = []
    cursors = dict.fromkeys(streams, Cursor(since))
    end = site.until(line)
    for until in (since + 9 * DAY_MS + 77, end - 2 * DAY_MS, end - 9, end):
        for stream in streams:
            for page in line.connector.pages(stream, cursors[stream], until):
                assert page.gap is None
                cursors[stream] = page.cursor
                found.append(page)
    sizes = {name: market.size for name, market in line.connector.markets.items()}
    ids = venue in IDS
    trades_made, moved = truth(site.history(venue), end, ids=ids, signed=venue not in UNSIGNED)
    assert trades(found, sizes) == trades_made
    told = flows(found, ids=ids)
    if venue in LATE:  # the last days are told again, the same
        told = sorted({*told})
    assert told == moved


@pytest.mark.parametrize("venue", VENUES)
def test_it_holds_what_its_history_adds_up_to(
    site: Site, lines: dict[str, Line], venue: str
) -> None:
    connector, history = lines[venue].connector, site.history(venue)
    held: dict[str, Decimal] = {}
    for wallet in ("spot", "linear", "UNIFIED", "FUND"):
        for asset, amount in history.balances(wallet, site.until(lines[venue])).items():
            asset = f"{asset} STK" if asset in SHARES else asset
            held[asset] = held.get(asset, Decimal(0)) + amount
    told = connector.balances()
    # Binance shows eight places.
    assert {a: round(n, 8) for a, n in told.items() if n} == {
        a: round(n, 8) for a, n in held.items() if round(n, 8)
    }
    open_now = {i.symbol: p for i, p in history.positions(site.now_ms).items()}
    markets = connector.markets
    found = [each for each in connector.positions() if markets[each[0]].kind is Kind.LINEAR]
    assert {name: held * markets[name].size for name, held, _ in found} == {
        name: position.quantity for name, position in open_now.items()
    }
    for name, _, entry in found:
        assert abs(entry - open_now[name].entry) < Decimal("1e-7")


@pytest.mark.parametrize("venue", CANDLES)
def test_closes_of_hours_and_minutes(site: Site, lines: dict[str, Line], venue: str) -> None:
    market, symbols = site.server.world.market, ["ETH/USDT", "BTC/USDT:USDT"]
    if venue in ("kraken", "coinbase", "alpaca"):
        symbols = ["ETH/USD"]
    if venue == "alpaca":
        symbols.append(lines[venue].session.market("AAPL", False).symbol)
    for symbol in symbols:
        instrument = market.instruments[symbol.replace(" STK", "")]
        # Kraken tells the newest 720 and no others.
        for interval, count, back in ((HOUR_MS, 450, 28 * DAY_MS), (MINUTE_MS, 30, DAY_MS // 3)):
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


def test_a_market_that_is_listed_no_more_is_told_from_its_name(site: Site) -> None:
    connector = site.line("bybit").connector
    assert "OLD/USDT" not in connector.markets
    list(connector.pages(Stream("executions", "spot"), Cursor(site.since("bybit")), site.now_ms))
    assert connector.markets["OLD/USDT"].base == "OLD"


def test_no_market_is_told_from_a_name_that_does_not_end_in_a_quote(site: Site) -> None:
    session = site.line("kraken").session
    assert session.market("XXBTZUSD", False).symbol == "BTC/USD"
    with pytest.raises(VenueFault) as caught:
        session.market("XXRPZUSD", False)
    assert caught.value.reason is Reason.UNKNOWN_MARKET


def test_no_pair_is_told_from_a_name_that_ends_in_what_only_contracts_are_quoted_in(
    site: Site,
) -> None:
    """BTCBUSD was a pair of BTC. Nothing is quoted in BUSD any more, and only contracts in USD."""
    session = site.line("bybit").session
    session.markets = {
        symbol: market
        for symbol, market in session.markets.items()
        if (market.kind, market.quote) != (Kind.SPOT, "USD")
    }
    assert Kind.INVERSE in {each.kind for each in session.markets.values() if each.quote == "USD"}
    with pytest.raises(VenueFault) as caught:
        session.market("BTCBUSD", False)
    assert caught.value.reason is Reason.UNKNOWN_MARKET


def test_markets_are_told_whether_traded_or_not(site: Site, lines: dict[str, Line]) -> None:
    for venue, symbol in (("binance", "BNB/USDT"), ("bybit", "BTC/USD:BTC"), ("kraken", "ETH/USD")):
        market = lines[venue].connector.markets[symbol]
        assert (market.symbol, f"{market.base}/{market.quote}") == (symbol, symbol.split(":")[0])


def test_nothing_is_asked_for_that_is_too_fresh(site: Site, lines: dict[str, Line]) -> None:
    stream = Stream("deposits")
    connector = lines["bybit"].connector
    [page] = connector.pages(stream, Cursor(site.now_ms - 1), site.now_ms + DAY_MS)
    assert page.gap is None
    assert page.cursor.next_ms <= time.time_ns() // 10**6 - 999
    assert page.cursor.next_ms <= connector.settled_ms() + 1
    assert list(connector.pages(stream, page.cursor, site.now_ms)) == []


def test_nothing_is_asked_for_before_a_venue_opened(site: Site) -> None:
    for venue, rule in (("bybit", "transfers"), ("kraken", "trades")):
        line, asked = site.line(venue), 0
        ask = line.session.ask

        def count(call: str, *given: object, ask: Callable[..., object] = ask) -> object:
            nonlocal asked
            asked += 1
            return ask(call, *given)

        line.session.ask = count  # type: ignore[method-assign]
        pages = list(line.connector.pages(Stream(rule), Cursor(0), site.now_ms))
        assert [page.gap for page in pages if page.gap] == []
        assert pages[-1].cursor.next_ms == site.now_ms + 1
        assert asked < 450


@pytest.mark.parametrize(
    ("venue", "stream", "depth"),
    [
        ("mexc", Stream("trades", "BTC/USDT"), 30),
        ("mexc", Stream("deposits"), 90),
        ("bybit", Stream("executions", "spot"), 730),
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
    assert first.gap is Reason.DEPTH
    now_ms = lines[venue].connector.time_ms()
    assert abs(first.cursor.next_ms - now_ms + depth * DAY_MS) < 2 * 60_000
    assert first.cursor == Cursor(first.cursor.next_ms)
    assert rest[-1].gap is None
    assert rest[-1].cursor.next_ms == site.now_ms + 1


@pytest.mark.parametrize("venue", VENUES)
def test_nothing_older_than_what_is_asked_for(
    site: Site, lines: dict[str, Line], venue: str
) -> None:
    middle = (site.since(venue) + site.now_ms) // 2
    found = [
        page for pages in lines[venue].everything(middle, site.now_ms).values() for page in pages
    ]
    sizes = {name: market.size for name, market in lines[venue].connector.markets.items()}
    made = truth(site.history(venue), site.until(lines[venue]))[0]
    assert trades(found, sizes) == [row for row in made if int(str(row[0])) >= middle]
