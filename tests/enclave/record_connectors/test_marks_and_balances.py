"""Marks and balancing by what real connectors tell, over TLS and ccxt, of a known market."""

from __future__ import annotations

from decimal import Decimal

import pytest
from strongroom_enclave.record.balancing import differences, openings
from strongroom_enclave.record.connectors.rules import Reason, VenueFault
from strongroom_enclave.record.events import Event, canonical
from strongroom_enclave.record.exact import exactly
from strongroom_enclave.record.ledger import Ledger
from strongroom_enclave.record.marks import Candles
from strongroom_host.venues.faults import FaultKind
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Kind

from tests.enclave.record_connectors.conftest import DAY_MS, Line, Site

CONTRACTS = (Kind.LINEAR, Kind.INVERSE)
SOME = ("binance", "bybit", "bitget", "mexc")


@pytest.fixture(scope="module")
def lines(site: Site) -> dict[str, Line]:
    return {venue: site.line(venue) for venue in SOME}


def close(site: Site, symbol: str, end_ms: int, interval_ms: int) -> Decimal:
    market = site.server.world.market
    candle = market.candle(market.instruments[symbol], end_ms - interval_ms, interval_ms)
    assert candle is not None
    return candle.close


@pytest.mark.parametrize("venue", SOME)
def test_marks_are_the_closes_of_the_market(site: Site, lines: dict[str, Line], venue: str) -> None:
    connector = lines[venue].connector
    marks = Candles(connector.candles, connector.markets, "USDT")
    hour = (site.now_ms - 3 * DAY_MS) // HOUR_MS * HOUR_MS
    for time_ms, end_ms, interval_ms, name in (
        (hour, hour, HOUR_MS, "1h"),
        (hour + 100 * HOUR_MS - 3 * DAY_MS, hour + 28 * HOUR_MS, HOUR_MS, "1h"),
        (hour + 7 * MINUTE_MS + 5, hour + 7 * MINUTE_MS, MINUTE_MS, "1m"),
        (hour + 59_999, hour, HOUR_MS, "1h"),
    ):
        for asked, symbol in (("BTC", "BTC/USDT"), ("BTC/USDT:USDT", "BTC/USDT:USDT")):
            with exactly():  # as hours ask for them
                mark = marks.at(asked, time_ms)
            assert mark is not None
            assert mark.price == close(site, symbol, end_ms, interval_ms)
            assert (mark.source, mark.age_ms) == (f"{symbol} {name}", time_ms - end_ms)
    inverse = Candles(connector.candles, connector.markets, "BTC").at("USDT", hour)
    assert inverse is not None
    assert abs(inverse.price * close(site, "BTC/USDT", hour, HOUR_MS) - 1) < Decimal("1e-20")
    assert marks.at("NEVER", hour) is None


def test_a_venue_in_trouble_is_no_missing_mark(site: Site, lines: dict[str, Line]) -> None:
    connector = lines["binance"].connector
    marks = Candles(connector.candles, connector.markets, "USDT")
    hour = (site.now_ms - 5 * DAY_MS) // HOUR_MS * HOUR_MS
    site.arm(FaultKind.MALFORMED, "/api/v3/klines", count=50)
    with pytest.raises(VenueFault) as caught:
        marks.at("BTC", hour)
    assert caught.value.reason is Reason.MALFORMED
    site.server.faults.clear()
    assert marks.at("BTC", hour) is not None


def told(line: Line, since_ms: int, until_ms: int) -> list[Event]:
    pages = [page for stream in line.everything(since_ms, until_ms).values() for page in stream]
    return [event for page in pages for event in page.events]


@pytest.mark.parametrize("venue", SOME)
def test_what_a_venue_holds_is_its_history(site: Site, lines: dict[str, Line], venue: str) -> None:
    """All of it from its beginning on. From any later time on it is what openings say was there."""
    connector, first = lines[venue].connector, site.since(venue) - 1
    whole = told(lines[venue], first, site.now_ms)
    balances, positions = connector.balances(), connector.positions()
    legs = [site.history(venue).positions(site.now_ms, kind) for kind in CONTRACTS]
    assert bool(positions) is any(legs)
    assert differences(whole, connector.markets, balances, positions) == ({}, {})
    marks = Candles(connector.candles, connector.markets, "USDT")
    for part in (2, 3):
        since = (first + (site.now_ms - first) * part // 4) // HOUR_MS * HOUR_MS
        later = told(lines[venue], since, site.now_ms)
        rest = differences(later, connector.markets, balances, positions)
        opened = openings(rest, connector.markets, marks, since)
        joined = [*opened, *later]
        assert not any(differences(joined, connector.markets, balances, positions))
        ledger, again = Ledger(connector.markets), Ledger(connector.markets)
        with exactly():
            ledger.fold(canonical(event for event in whole if event.time_ms < since))
            again.fold(opened)
        held = {name: quantity for name, quantity in ledger.contracts.items() if quantity}
        assert again.contracts == held
        for asset, amount in ledger.cash.items():
            assert abs(again.cash[asset] - amount) < Decimal("1e-4")
