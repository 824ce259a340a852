"""The unmodified ccxt pages Bybit's whole history, and gets the truth; what is refused, is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from strongroom_host.venues.defaults import Login
from strongroom_host.venues.market import HOUR_MS, Kind

from tests.host.venues.conftest import DAY_MS, Site
from tests.host.venues.reach import amounts, fills, flows

WEEK_MS = 7 * DAY_MS


@pytest.fixture(scope="module")
def bybit(site: Site) -> Any:
    exchange = site.client("bybit")
    exchange.load_markets()
    return exchange


def windows(
    fetch: Callable[..., list[dict[str, Any]]], start: int, end: int, span: int, limit: int
) -> list[dict[str, Any]]:
    """Every window from start to end, each to its last page."""
    found: list[dict[str, Any]] = []
    while start <= end:
        cursor = None
        while True:
            given = {"until": min(start + span - 1, end)} | ({"cursor": cursor} if cursor else {})
            page = fetch(None, start, limit, given)
            found += page
            # ccxt leaves the cursor in the raw first row, and sorts the page afterwards.
            cursors = [row["info"].get("nextPageCursor") for row in page]
            cursor = next((found for found in cursors if found), None)
            if cursor is None:
                break
        start += span
    return found


@pytest.mark.parametrize("kind", [*Kind])
def test_every_trade_by_cursor_week_by_week(site: Site, bybit: Any, kind: Kind) -> None:
    truth = [fill for fill in site.truth("bybit").fills if fill.instrument.kind is kind]

    def fetch(symbol: None, since: int, limit: int, given: dict[str, Any]) -> Any:
        kinds = {"type": "spot"} if kind is Kind.SPOT else {"type": "swap", "subType": kind.value}
        return bybit.fetch_my_trades(symbol, since, limit, given | kinds)

    found = windows(fetch, truth[0].time_ms, site.now_ms, WEEK_MS, 100)
    # OLD was delisted, and Bybit does not list it any more: ccxt cannot know its name or its fee.
    strange = [row for row in found if row["symbol"] == "OLDUSDT"]
    assert bool(strange) is (kind is Kind.SPOT)
    for row in strange:
        row["symbol"] = "OLD/USDT"
        row["fee"]["currency"] = row["info"]["feeCurrency"]
    assert fills(found) == amounts(truth)
    # 130 fills of one ms: more than a page holds, so only the cursor gets past them.
    assert kind is not Kind.SPOT or max(map(len, _same_ms(found).values())) > 100


def _same_ms(rows: list[dict[str, Any]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(row["timestamp"], []).append(row["id"])
    return found


@pytest.mark.parametrize("kind", [Kind.LINEAR, Kind.INVERSE])
def test_funding_is_what_was_paid_so_its_sign_is_turned(site: Site, bybit: Any, kind: Kind) -> None:
    listed = site.server.world.market.instruments
    funding = [flow for flow in site.truth("bybit").flows if flow.kind == "FUNDING"]
    truth = [flow for flow in funding if listed[flow.symbol].kind is kind]

    def fetch(symbol: None, since: int, limit: int, given: dict[str, Any]) -> Any:
        kinds = {"limit": limit, "subType": kind.value}
        return bybit.fetch_funding_history(symbol, since, limit, given | kinds)

    found = windows(fetch, truth[0].time_ms, site.now_ms, WEEK_MS, 100)
    assert sorted(
        (row["timestamp"], row["id"], -Decimal(row["amount"])) for row in found
    ) == sorted((flow.time_ms, flow.id, flow.amount) for flow in truth)
    # Of an inverse contract ccxt names the quote, though it is paid in base.
    assert {row["code"] for row in found} == {"USDT" if kind is Kind.LINEAR else "USD"}
    assert {flow.asset for flow in truth} == {"USDT" if kind is Kind.LINEAR else "BTC"}


@pytest.mark.parametrize("kind", ["DEPOSIT", "WITHDRAWAL"])
def test_deposits_and_withdrawals_by_cursor_month_by_month(
    site: Site, bybit: Any, kind: str
) -> None:
    truth = [flow for flow in site.truth("bybit").flows if flow.kind == kind]
    fetch = bybit.fetch_deposits if kind == "DEPOSIT" else bybit.fetch_withdrawals
    for limit in (50, 2):
        found = windows(fetch, truth[0].time_ms, site.now_ms, 30 * DAY_MS, limit)
        assert flows(found) == sorted(
            (flow.time_ms, flow.id, flow.asset, abs(flow.amount) - flow.fee, flow.fee)
            for flow in truth
        )


def test_transfers_between_the_two_wallets(site: Site, bybit: Any) -> None:
    truth = site.truth("bybit").moves
    found = windows(bybit.fetch_transfers, truth[0].time_ms, site.now_ms, WEEK_MS, 3)
    assert sorted((row["timestamp"], row["id"], Decimal(row["amount"])) for row in found) == sorted(
        (move.time_ms, move.id, move.amount) for move in truth
    )


def test_balances_and_positions_are_what_the_history_adds_up_to(site: Site, bybit: Any) -> None:
    history = site.truth("bybit")
    balance = bybit.fetch_balance()
    for asset, amount in history.balances("UNIFIED", site.now_ms).items():
        assert Decimal(balance[asset]["total"]) == amount
    funding = bybit.fetch_balance({"type": "funding"})
    for asset, amount in history.balances("FUND", site.now_ms).items():
        assert Decimal(funding[asset]["free"]) == amount
    for kind in (Kind.LINEAR, Kind.INVERSE):
        held = {
            row["symbol"]: Decimal(row["contracts"]) * (1 if row["side"] == "long" else -1)
            for row in bybit.fetch_positions(None, {"subType": kind.value})
        }
        positions = history.positions(site.now_ms, kind)
        assert held == {item.symbol: place.quantity for item, place in positions.items()}


def test_positions_are_those_of_the_coin_that_was_asked_for(site: Site, bybit: Any) -> None:
    held = site.truth("bybit").positions(site.now_ms, Kind.LINEAR)
    assert held
    assert {item.settle for item in held} == {"USDT"}
    for coin, count in (("USDT", len(held)), ("USDC", 0)):
        assert len(bybit.fetch_positions(None, {"settleCoin": coin})) == count
    found = bybit.privateGetV5PositionList({"category": "linear", "baseCoin": "ETH"})
    assert {row["symbol"] for row in found["result"]["list"]} == {"ETHUSDT"}


def test_candles_newest_first_on_the_wire_in_order_from_ccxt(site: Site, bybit: Any) -> None:
    start = site.now_ms // HOUR_MS * HOUR_MS - 20 * HOUR_MS
    rows = bybit.fetch_ohlcv("ETH/USDT:USDT", "1h", start, 10)
    assert [row[0] for row in rows] == [start + place * HOUR_MS for place in range(10)]
    market = site.server.world.market
    candle = market.candle(market.instruments["ETH/USDT:USDT"], start, HOUR_MS)
    assert candle is not None
    assert Decimal(rows[0][4]) == candle.close


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda b, now: b.fetch_my_trades(None, now - 8 * DAY_MS, 9, {"until": now}), 10001),
        (lambda b, now: b.fetch_my_trades(None, now - DAY_MS, 101), 10001),
        (lambda b, now: b.fetch_my_trades(None, now - DAY_MS, 9, {"cursor": "made-up"}), 10001),
        (lambda b, now: b.fetch_deposits(None, now - 31 * DAY_MS, 9, {"until": now}), 10001),
        (lambda b, now: b.fetch_transfers(None, now - 8 * DAY_MS, 9, {"until": now}), 10001),
        (lambda b, now: b.privateGetV5ExecutionList({}), 10001),
        (lambda b, now: b.privateGetV5PositionList({"category": "linear"}), 10001),
        (lambda b, now: b.privateGetV5ExecutionList({"category": "spot", "limit": "x"}), 10001),
        (lambda b, now: b.privateGetV5AccountWalletBalance({"accountType": "SPOT"}), 10001),
    ],
)
def test_what_the_real_one_refuses(site: Site, bybit: Any, call: Any, code: int) -> None:
    with pytest.raises(ccxt.BadRequest, match=f'"retCode":{code},'):
        call(bybit, site.now_ms)


def test_executions_are_told_for_two_years(site: Site, bybit: Any) -> None:
    late = site.client("bybit")
    late.load_markets()
    start = site.truth("bybit").fills[0].time_ms
    given = {"category": "spot", "startTime": start, "endTime": start + WEEK_MS}
    assert late.privateGetV5ExecutionList(given)["result"]["list"] != []
    with site.shifted(731 * DAY_MS):
        late.load_time_difference()
        assert late.privateGetV5ExecutionList(given)["result"]["list"] == []


def test_only_the_owner_signs(site: Site) -> None:
    login = site.logins["bybit"]
    with pytest.raises(ccxt.AuthenticationError, match='"retCode":10004'):
        site.client("bybit", Login(login.key, "wrong")).privateGetV5UserQueryApi()
    with pytest.raises(ccxt.AuthenticationError, match='"retCode":10003'):
        site.client("bybit", Login("wrong", login.secret)).privateGetV5UserQueryApi()


@pytest.mark.parametrize("skew_ms", [-7_000, 3_000])
def test_a_clock_that_is_off_is_refused_until_it_is_measured(site: Site, skew_ms: int) -> None:
    exchange = site.client("bybit")
    exchange.load_markets()
    with site.shifted(-skew_ms):
        with pytest.raises(ccxt.InvalidNonce, match='"retCode":10002'):
            exchange.fetch_balance()
        exchange.load_time_difference()
        assert exchange.fetch_balance()["USDT"]["total"]


def test_the_key_can_only_read(bybit: Any) -> None:
    assert bybit.privateGetV5UserQueryApi()["result"]["readOnly"] in (1, "1")
