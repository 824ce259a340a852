"""The unmodified ccxt pages Alpaca's activities, and gets the truth; what is refused, is."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from strongroom_host.venues.defaults import Login
from strongroom_host.venues.market import HOUR_MS

from tests.host.venues.conftest import DAY_MS, Site
from tests.host.venues.reach import amounts, fills

TYPES = {"DEPOSIT": "CSD", "WITHDRAWAL": "CSW", "DIVIDEND": "DIV", "INTEREST": "INT", "FEE": "FEE"}


@pytest.fixture(scope="module")
def alpaca(site: Site) -> Any:
    exchange = site.client("alpaca")
    exchange.load_markets()
    return exchange


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_every_fill_after_the_id_of_the_last(site: Site, alpaca: Any, direction: str) -> None:
    found: list[dict[str, Any]] = []
    given = {"direction": direction}
    while page := alpaca.fetch_my_trades(None, None, None, given):
        found += page
        ids = sorted(row["id"] for row in page)
        given = {"direction": direction, "page_token": ids[-1] if direction == "asc" else ids[0]}
    # ccxt lists crypto alone, so a share has no market and no quote there.
    assert {"AAPL", "MSFT", "BTC/USD"} == {row["symbol"] for row in found}
    for row in found:
        row["symbol"] = row["symbol"] if "/" in row["symbol"] else f"{row['symbol']}/USD"
    assert fills(found) == amounts(site.truth("alpaca").fills)


def test_money_has_a_day_and_no_time(site: Site, alpaca: Any) -> None:
    rows: list[dict[str, Any]] = []
    given: dict[str, Any] = {"activity_types": ",".join(TYPES.values()), "direction": "asc"}
    while page := alpaca.traderPrivateGetV2AccountActivities(given | {"page_size": 4}):
        rows += page
        given["page_token"] = page[-1]["id"]
    day = datetime.date.fromisoformat
    assert sorted(
        (day(row["date"]), row["id"], row["activity_type"], Decimal(row["net_amount"]))
        for row in rows
    ) == sorted(
        (
            datetime.datetime.fromtimestamp(flow.time_ms // 1_000, datetime.UTC).date(),
            flow.id,
            TYPES[flow.kind],
            flow.amount,
        )
        for flow in site.truth("alpaca").flows
    )
    assert {row["activity_type"] for row in rows} == set(TYPES.values())


def test_after_and_until_are_left_out(site: Site, alpaca: Any) -> None:
    truth = site.truth("alpaca").fills
    first, last = truth[0].time_ms, truth[-1].time_ms
    rows = alpaca.fetch_my_trades(None, first, 100, {"until": last, "direction": "asc"})
    assert all(first < row["timestamp"] < last for row in rows)


def test_cash_and_holdings_are_what_the_history_adds_up_to(site: Site, alpaca: Any) -> None:
    held = site.truth("alpaca").balances("spot", site.now_ms)
    balance = alpaca.fetch_balance()
    assert Decimal(balance["USD"]["free"]) == held["USD"]
    assert Decimal(balance["BTC"]["total"]) == held["BTC"]
    shares = {row["symbol"]: Decimal(row["qty"]) for row in alpaca.traderPrivateGetV2Positions()}
    assert shares["AAPL"] == held["AAPL"]


def test_bars_page_by_token(site: Site, alpaca: Any) -> None:
    start = site.now_ms // HOUR_MS * HOUR_MS - 48 * HOUR_MS
    rows = alpaca.fetch_ohlcv(
        "BTC/USD", "1h", start, None, {"until": site.now_ms, "limit": 7, "paginate": True}
    )
    assert [row[0] for row in rows] == [start + place * HOUR_MS for place in range(49)]
    market = site.server.world.market
    candle = market.candle(market.instruments["BTC/USD"], start, HOUR_MS)
    assert candle is not None
    assert Decimal(str(rows[0][4])) == candle.close


def test_bars_of_two_symbols_share_one_limit(site: Site, alpaca: Any) -> None:
    given = {
        "loc": "us",
        "symbols": "BTC/USD,ETH/USD",
        "timeframe": "1Hour",
        "start": alpaca.iso8601(site.now_ms - 10 * HOUR_MS),
        "limit": 6,
    }
    found: dict[str, list[str]] = {}
    while True:
        answer = alpaca.marketPublicGetV1beta3CryptoLocBars(given)
        assert sum(map(len, answer["bars"].values())) <= 6
        for symbol, bars in answer["bars"].items():
            found.setdefault(symbol, []).extend(bar["t"] for bar in bars)
        if answer["next_page_token"] is None:
            break
        given["page_token"] = answer["next_page_token"]
    assert found["BTC/USD"] == found["ETH/USD"]
    assert len(set(found["BTC/USD"])) == len(found["BTC/USD"]) == 10


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"page_size": 101}, "page_size must be between"),
        ({"page_size": "x"}, "Invalid format for parameter page_size"),
        ({"after": "soon"}, "Invalid format for parameter after"),
    ],
)
def test_what_the_real_one_refuses(alpaca: Any, given: Any, words: str) -> None:
    with pytest.raises(ccxt.BaseError, match=words):
        alpaca.traderPrivateGetV2AccountActivities(given)


def test_only_the_owner_gets_in(site: Site) -> None:
    login = site.logins["alpaca"]
    for wrong in (Login(login.key, "wrong"), Login("wrong", login.secret)):
        with pytest.raises(ccxt.PermissionDenied, match="forbidden"):
            site.client("alpaca", wrong).traderPrivateGetV2Account()


def test_days_are_days(site: Site) -> None:
    assert all(flow.time_ms % DAY_MS == 0 for flow in site.truth("alpaca").flows)
