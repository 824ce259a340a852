"""A venue's bad days show to ccxt as what they are; a lying one is only seen by who compares."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest
from strongroom_host.venues.errors import ConfigError
from strongroom_host.venues.faults import Fault, FaultKind, Faults

from tests.host.venues.conftest import DAY_MS, Site

TRADES = {
    "binance": "/api/v3/myTrades",
    "bybit": "/v5/execution/list",
    "bitget": "/api/v2/spot/trade/fills",
    "mexc": "/api/v3/myTrades",
    "kraken": "/0/private/TradesHistory",
    "coinbase": "/api/v3/brokerage/orders/historical/fills",
    "alpaca": "/v2/account/activities",
}


def page(site: Site, exchange: Any) -> list[dict[str, Any]]:
    """The newest page of trades, on any venue."""
    needs_symbol = exchange.id in ("binance", "bitget", "mexc")
    symbol = "BTC/USDT" if needs_symbol else None
    given: dict[str, Any] = {"category": "spot"} if exchange.id == "bybit" else {}
    if exchange.id == "bybit":
        given |= {"startTime": site.now_ms - 7 * DAY_MS, "endTime": site.now_ms}
    rows: list[dict[str, Any]] = exchange.fetch_my_trades(symbol, None, None, given)
    return rows


@pytest.fixture(scope="module", params=TRADES)
def venue(request: pytest.FixtureRequest, site: Site) -> Any:
    exchange = site.client(request.param)
    exchange.load_markets()
    assert len(page(site, exchange)) > 2
    return exchange


def arm(site: Site, exchange: Any, kind: FaultKind, **more: Any) -> None:
    site.server.faults.arm(Fault(kind, TRADES[exchange.id], **more))


@pytest.mark.parametrize(
    ("kind", "error", "more"),
    [
        (FaultKind.STATUS, ccxt.ExchangeNotAvailable, {"status": 502}),
        (FaultKind.STATUS, ccxt.ExchangeNotAvailable, {"status": 503}),
        (FaultKind.STATUS, ccxt.NetworkError, {"status": 429}),
        (FaultKind.DROP, ccxt.NetworkError, {}),
        (FaultKind.TRUNCATE, ccxt.NetworkError, {}),
    ],
)
def test_what_breaks_on_the_way_is_an_error_once(
    site: Site, venue: Any, kind: FaultKind, error: type[Exception], more: dict[str, Any]
) -> None:
    whole = page(site, venue)
    arm(site, venue, kind, **more)
    with pytest.raises(error):
        page(site, venue)
    assert page(site, venue) == whole


def test_a_slow_answer_runs_into_the_clients_timeout(site: Site, venue: Any) -> None:
    arm(site, venue, FaultKind.DELAY, seconds=1.0)
    venue.timeout = 200
    try:
        with pytest.raises(ccxt.RequestTimeout):
            page(site, venue)
    finally:
        venue.timeout = 10_000


def test_half_an_answer_that_claims_to_be_all_is_never_rows(site: Site, venue: Any) -> None:
    whole = page(site, venue)
    arm(site, venue, FaultKind.MALFORMED)
    try:
        rows = page(site, venue)
    except (ccxt.BaseError, AttributeError, TypeError):
        return
    # Where the answer should be a list, ccxt takes each letter of such a text for a trade, without
    # an error; elsewhere for an empty page. A client of it has to look at the answer itself.
    assert all(row["id"] is None and row["price"] is None for row in rows)
    assert whole != []


def test_a_replayed_page_is_the_last_one(site: Site, venue: Any) -> None:
    first = page(site, venue)
    arm(site, venue, FaultKind.REPLAY)
    venue_page = venue.fetch_my_trades(
        "ETH/USDT" if venue.id in ("binance", "bitget", "mexc") else None,
        None,
        2,
        {"category": "linear"} if venue.id == "bybit" else {},
    )
    ids = {row["id"] for row in first}
    assert {row["id"] for row in venue_page} <= ids


@pytest.mark.parametrize("kind", [FaultKind.LOST, FaultKind.HOLE])
def test_rows_go_missing_without_a_word(site: Site, venue: Any, kind: FaultKind) -> None:
    whole = page(site, venue)
    arm(site, venue, kind)
    if (venue.id, kind) == ("coinbase", FaultKind.LOST):
        with pytest.raises(IndexError):  # ccxt hangs the cursor onto a row that is not there
            page(site, venue)
        return
    told = page(site, venue)
    assert len(told) == (0 if kind is FaultKind.LOST else len(whole) - 1)
    assert page(site, venue) == whole


def test_a_row_comes_twice(site: Site, venue: Any) -> None:
    whole = page(site, venue)
    arm(site, venue, FaultKind.DOUBLED)
    told = page(site, venue)
    ids = [row["id"] for row in told]
    if venue.id == "kraken":  # keyed by id on the wire, so a second one cannot be told
        assert told == whole
    else:
        assert (len(ids), len(set(ids))) == (len(whole) + 1, len(whole))


def test_rows_from_tomorrow(site: Site, venue: Any) -> None:
    whole = page(site, venue)
    arm(site, venue, FaultKind.FUTURE)
    told = page(site, venue)
    newest = max(row["timestamp"] for row in told)
    assert abs(newest - max(row["timestamp"] for row in whole) - DAY_MS) <= 1


def test_rows_of_a_stranger(site: Site, venue: Any) -> None:
    arm(site, venue, FaultKind.FOREIGN)
    told = page(site, venue)
    assert told
    account = site.account(venue.id)
    assert {row["id"] for row in told} <= {fill.id for fill in account.stranger.fills}
    assert not {row["id"] for row in told} & {fill.id for fill in account.history.fills}


def test_a_fault_waits_its_turn_and_its_host() -> None:
    faults = Faults()
    faults.arm(Fault(FaultKind.DROP, "/v1/a", host="one.test", after=1, count=2))
    assert faults.of_the_way("two.test", "/v1/a") is None
    fired = [faults.of_the_way("one.test", "/v1/ab") for _ in range(4)]
    assert [fault is not None for fault in fired] == [False, True, True, False]
    faults.arm(Fault(FaultKind.LOST, "/v1"))
    assert faults.of_the_way("one.test", "/v1/a") is None
    assert faults.of_the_word("one.test", "/v1/a") is not None


@pytest.mark.parametrize("wrong", [{"count": 0}, {"after": -1}, {"status": 200}, {"seconds": 601}])
def test_senseless_faults_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Fault(FaultKind.STATUS, "/", **wrong)
