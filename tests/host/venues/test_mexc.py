"""The unmodified ccxt pages what MEXC still tells, and gets the truth; what is refused, is."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from strongroom_host.venues.defaults import Login
from strongroom_host.venues.market import HOUR_MS, Kind

from tests.host.venues.conftest import DAY_MS, Site
from tests.host.venues.reach import amounts, fills, flows


@pytest.fixture(scope="module")
def mexc(site: Site) -> Any:
    exchange = site.client("mexc")
    exchange.load_markets()
    return exchange


def by_time(exchange: Any, symbol: str, start: int, until: int) -> list[dict[str, Any]]:
    """A window, newest page first; a full page hides what is older, so the window shrinks."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        page = exchange.fetch_my_trades(symbol, start, 100, {"until": until})
        found |= {row["id"]: row for row in page}
        if len(page) < 100:
            return [*found.values()]
        until = min(row["timestamp"] for row in page)
        assert until < max(row["timestamp"] for row in page), "more fills of one ms than a page"


def test_every_spot_trade_of_30_days(site: Site, mexc: Any) -> None:
    truth = [fill for fill in site.truth("mexc").fills if fill.instrument.kind is Kind.SPOT]
    found = [
        row
        for symbol in {fill.instrument.symbol for fill in truth}
        for row in by_time(mexc, symbol, truth[0].time_ms, site.now_ms)
    ]
    assert fills(found) == amounts(truth)


def test_what_is_older_than_30_days_is_lost(site: Site) -> None:
    late = site.client("mexc")
    late.load_markets()
    with site.shifted(31 * DAY_MS):
        late.load_time_difference()
        assert late.fetch_my_trades("BTC/USDT", site.now_ms - 20 * DAY_MS, 100) == []


def test_every_contract_deal_page_by_page_with_its_own_sides(site: Site, mexc: Any) -> None:
    truth = [fill for fill in site.truth("mexc").fills if fill.instrument.kind is Kind.LINEAR]
    found: list[dict[str, Any]] = []
    for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT"):
        size = Decimal(mexc.market(symbol)["contractSize"])
        page = 1
        while rows := mexc.fetch_my_trades(symbol, truth[0].time_ms, 7, {"page_num": page}):
            for row in rows:
                row["amount"] = Decimal(row["amount"]) * size
                # ccxt takes 2 (close short, a purchase) for a sale, and knows no 3 and 4.
                row["side"] = {"1": "buy", "2": "buy"}.get(str(row["info"]["side"]), "sell")
            found += rows
            page += 1
    assert fills(found) == amounts(truth)
    assert {str(row["info"]["side"]) for row in found} == {"1", "2", "3", "4"}


def test_funding_page_by_page(site: Site, mexc: Any) -> None:
    truth = [flow for flow in site.truth("mexc").flows if flow.kind == "FUNDING"]
    found: list[dict[str, Any]] = []
    page = 1
    while rows := mexc.fetch_funding_history(None, None, 100, {"page_num": page}):
        found += rows
        page += 1
    assert sorted(
        (row["timestamp"], str(row["info"]["id"]), Decimal(row["amount"])) for row in found
    ) == sorted((flow.time_ms, flow.id, flow.amount) for flow in truth)


@pytest.mark.parametrize("kind", ["DEPOSIT", "WITHDRAWAL"])
def test_deposits_and_withdrawals_week_by_week(site: Site, mexc: Any, kind: str) -> None:
    truth = [flow for flow in site.truth("mexc").flows if flow.kind == kind]
    fetch = mexc.fetch_deposits if kind == "DEPOSIT" else mexc.fetch_withdrawals
    found: list[dict[str, Any]] = []
    start = truth[0].time_ms
    while start <= site.now_ms:
        found += fetch(None, start, 1_000, {"endTime": start + 7 * DAY_MS - 1})
        start += 7 * DAY_MS
    # A deposit has no id of its own: the transaction stands for it.
    for row in found:
        row["id"] = row["id"] or row["txid"].removeprefix("0x")
    assert flows(found) == sorted(
        (flow.time_ms, flow.id, flow.asset, abs(flow.amount) - flow.fee, flow.fee) for flow in truth
    )


def test_transfers_each_way(site: Site, mexc: Any) -> None:
    truth = site.truth("mexc").moves
    found: list[Any] = []
    for ways in (("spot", "swap"), ("swap", "spot")):
        start = truth[0].time_ms
        while start <= site.now_ms:
            page = 1
            given = {"fromAccountType": ways[0], "toAccountType": ways[1]}
            while rows := mexc.fetch_transfers(None, start, 1, given | {"page": page}):
                found += [(row["timestamp"], row["id"], Decimal(row["amount"])) for row in rows]
                page += 1
            start += 7 * DAY_MS + 1
    assert sorted(found) == sorted((move.time_ms, move.id, move.amount) for move in truth)


def test_balances_and_positions_are_what_the_history_adds_up_to(site: Site, mexc: Any) -> None:
    history = site.truth("mexc")
    balance = mexc.fetch_balance()
    for asset, amount in history.balances("spot", site.now_ms).items():
        if amount:
            assert Decimal(balance[asset]["total"]) == amount
    size = {
        symbol: Decimal(mexc.market(symbol)["contractSize"])
        for symbol in mexc.symbols
        if mexc.market(symbol)["swap"]
    }
    held = {
        row["symbol"]: Decimal(row["contracts"])
        * size[row["symbol"]]
        * (1 if row["side"] == "long" else -1)
        for row in mexc.fetch_positions()
    }
    truth = {item.symbol: place.quantity for item, place in history.positions(site.now_ms).items()}
    assert held == truth
    careful = site.client("mexc")
    careful.on_json_response = lambda body: json.loads(body, parse_float=str)
    [wallet] = careful.contractPrivateGetAccountAssets()["data"]
    cash = history.balances("linear", site.now_ms)["USDT"]
    assert Decimal(wallet["availableBalance"]) == cash
    assert Decimal(wallet["equity"]) - Decimal(wallet["unrealized"]) == cash


@pytest.mark.parametrize("symbol", ["ETH/USDT", "ETH/USDT:USDT"])
def test_candles(site: Site, mexc: Any, symbol: str) -> None:
    start = site.now_ms // HOUR_MS * HOUR_MS - 20 * HOUR_MS
    rows = mexc.fetch_ohlcv(symbol, "1h", start, 10)
    assert [row[0] for row in rows] == [start + place * HOUR_MS for place in range(10)]
    market = site.server.world.market
    candle = market.candle(market.instruments[symbol], start, HOUR_MS)
    assert candle is not None
    assert Decimal(str(rows[0][4])) == candle.close


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (
            lambda m, now: m.fetch_my_trades("BTC/USDT", now - 31 * DAY_MS, 9, {"until": now}),
            700004,
        ),
        (lambda m, now: m.fetch_my_trades("BTC/USDT", now - DAY_MS, 101), 700004),
        (lambda m, now: m.spotPrivateGetMyTrades({}), 700004),
        (lambda m, now: m.spotPrivateGetMyTrades({"symbol": "NOPE"}), -1121),
        (lambda m, now: m.fetch_deposits(None, now - 8 * DAY_MS, 9, {"endTime": now}), 700004),
        (lambda m, now: m.fetch_my_trades("BTC/USDT:USDT", now - DAY_MS, 101), 600),
        (lambda m, now: m.contractPrivateGetOrderListOrderDeals({"symbol": "NOPE"}), 1001),
    ],
)
def test_what_the_real_one_refuses(site: Site, mexc: Any, call: Any, code: int) -> None:
    with pytest.raises(ccxt.BaseError, match=f'"code":{code},'):
        call(mexc, site.now_ms)


def test_only_the_owner_signs(site: Site) -> None:
    login = site.logins["mexc"]
    wrong = site.client("mexc", Login(login.key, "wrong"))
    with pytest.raises(ccxt.AuthenticationError, match="700002"):
        wrong.spotPrivateGetAccount()
    with pytest.raises(ccxt.AuthenticationError, match="602"):
        wrong.contractPrivateGetAccountAssets()
    with pytest.raises(ccxt.BadRequest, match="10072"):
        site.client("mexc", Login("wrong", login.secret)).spotPrivateGetAccount()


def test_a_stale_request_is_refused(site: Site, mexc: Any) -> None:
    with site.shifted(11_000):
        with pytest.raises(ccxt.InvalidNonce, match="700003"):
            mexc.spotPrivateGetAccount()
        with pytest.raises(ccxt.BaseError, match="513"):
            mexc.contractPrivateGetAccountAssets()
