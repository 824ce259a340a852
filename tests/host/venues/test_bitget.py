"""The unmodified ccxt pages Bitget's whole history, and gets the truth; what is refused, is."""

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


@pytest.fixture(scope="module")
def bitget(site: Site) -> Any:
    exchange = site.client("bitget")
    exchange.load_markets()
    return exchange


def backwards(fetch: Callable[..., list[dict[str, Any]]], *given: Any, **more: Any) -> Any:
    """Every page from the newest id downwards."""
    found: list[dict[str, Any]] = []
    while page := fetch(*given, more):
        found += page
        more["idLessThan"] = min(int(row["id"]) for row in page)
    return found


def test_every_spot_trade_by_falling_id(site: Site, bitget: Any) -> None:
    truth = [fill for fill in site.truth("bitget").fills if fill.instrument.kind is Kind.SPOT]
    found = []
    for symbol in {fill.instrument.symbol for fill in truth}:
        found += backwards(bitget.fetch_my_trades, symbol, truth[0].time_ms, 100)
    assert fills(found) == amounts(truth)


def windows(
    fetch: Callable[..., list[dict[str, Any]]], start: int, end: int, days: int
) -> list[dict[str, Any]]:
    found = []
    for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT"):
        for since in range(start, end + 1, days * DAY_MS):
            found += backwards(fetch, symbol, since, 100, until=since + days * DAY_MS - 1)
    return found


def test_every_contract_trade_by_falling_id_week_by_week(site: Site, bitget: Any) -> None:
    truth = [fill for fill in site.truth("bitget").fills if fill.instrument.kind is Kind.LINEAR]
    found = windows(bitget.fetch_my_trades, truth[0].time_ms, site.now_ms, 7)
    assert fills(found) == amounts(truth)


def test_funding_month_by_month(site: Site, bitget: Any) -> None:
    truth = [flow for flow in site.truth("bitget").flows if flow.kind == "FUNDING"]
    found = windows(bitget.fetch_funding_history, truth[0].time_ms, site.now_ms, 30)
    assert sorted((row["timestamp"], row["id"], Decimal(row["amount"])) for row in found) == sorted(
        (flow.time_ms, flow.id, flow.amount) for flow in truth
    )


@pytest.mark.parametrize("kind", ["DEPOSIT", "WITHDRAWAL"])
def test_deposits_and_withdrawals(site: Site, bitget: Any, kind: str) -> None:
    truth = [flow for flow in site.truth("bitget").flows if flow.kind == kind]
    fetch = bitget.fetch_deposits if kind == "DEPOSIT" else bitget.fetch_withdrawals
    found = backwards(fetch, None, truth[0].time_ms, 2)
    assert flows(found) == sorted(
        (flow.time_ms, flow.id, flow.asset, abs(flow.amount) - flow.fee, flow.fee) for flow in truth
    )


def test_transfers_of_a_coin(site: Site, bitget: Any) -> None:
    truth = site.truth("bitget").moves
    found = []
    for source in ("spot", "swap"):
        fetch = bitget.fetch_transfers
        found += backwards(fetch, "USDT", truth[0].time_ms, 3, fromAccount=source)
    assert sorted((row["timestamp"], row["id"], Decimal(row["amount"])) for row in found) == sorted(
        (move.time_ms, move.id, move.amount) for move in truth
    )


def test_bills_tell_which_coins_were_traded(site: Site, bitget: Any) -> None:
    found = backwards(bitget.fetch_ledger, None, None, 500, type="spot")
    traded = {fill.instrument.base for fill in site.truth("bitget").fills}
    assert traded <= {row["currency"] for row in found}


def test_balances_and_positions_are_what_the_history_adds_up_to(site: Site, bitget: Any) -> None:
    history = site.truth("bitget")
    balance = bitget.fetch_balance()
    for asset, amount in history.balances("spot", site.now_ms).items():
        assert Decimal(balance[asset]["total"]) == amount
    contracts = bitget.fetch_balance({"type": "swap"})
    assert Decimal(contracts["USDT"]["free"]) == history.balances("linear", site.now_ms)["USDT"]
    held = {
        row["symbol"]: Decimal(row["contracts"]) * (1 if row["side"] == "long" else -1)
        for row in bitget.fetch_positions()
    }
    truth = {item.symbol: place.quantity for item, place in history.positions(site.now_ms).items()}
    assert held == truth


@pytest.mark.parametrize("symbol", ["ETH/USDT", "ETH/USDT:USDT"])
@pytest.mark.parametrize("days", [2, 60])
def test_candles_near_and_far(site: Site, bitget: Any, symbol: str, days: int) -> None:
    start = site.now_ms // HOUR_MS * HOUR_MS - days * DAY_MS
    rows = bitget.fetch_ohlcv(symbol, "1h", start, 10)
    assert {start + place * HOUR_MS for place in range(1, 9)} <= {row[0] for row in rows}
    market = site.server.world.market
    for row in rows:
        candle = market.candle(market.instruments[symbol], row[0], HOUR_MS)
        assert candle is not None
        assert Decimal(row[4]) == candle.close


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (
            lambda b, now: b.fetch_my_trades("BTC/USDT", now - 91 * DAY_MS, 9, {"until": now}),
            "00001",
        ),
        (
            lambda b, now: b.fetch_my_trades("BTC/USDT:USDT", now - 8 * DAY_MS, 9, {"until": now}),
            "00001",
        ),
        (lambda b, now: b.fetch_my_trades("BTC/USDT", now - DAY_MS, 101), "40017"),
        (lambda b, now: b.privateSpotGetV2SpotTradeFills({}), "400172"),
        (lambda b, now: b.privateSpotGetV2SpotTradeFills({"symbol": "NOPE"}), "40034"),
        (lambda b, now: b.privateSpotGetV2SpotWalletDepositRecords({}), "400172"),
        (lambda b, now: b.privateMixGetV2MixOrderFills({}), "400172"),
        (lambda b, now: b.privateUtaGetV3AccountSettings(), "40084"),
    ],
)
def test_what_the_real_one_refuses(site: Site, bitget: Any, call: Any, code: str) -> None:
    with pytest.raises(ccxt.BaseError, match=f'"code":"{code}"'):
        call(bitget, site.now_ms)


@pytest.mark.parametrize(
    ("place", "code"), [("key", "40037"), ("secret", "40009"), ("passphrase", "40012")]
)
def test_only_the_owner_signs(site: Site, place: str, code: str) -> None:
    login = site.logins["bitget"]
    parts = {"key": login.key, "secret": login.secret, "passphrase": login.passphrase}
    stranger = Login(**(parts | {place: "wrong"}))
    with pytest.raises(ccxt.AuthenticationError, match=f'"code":"{code}"'):
        site.client("bitget", stranger).privateSpotGetV2SpotAccountAssets()


def test_a_stale_request_is_refused(site: Site, bitget: Any) -> None:
    with site.shifted(31_000), pytest.raises(ccxt.InvalidNonce, match="40008"):
        bitget.privateSpotGetV2SpotAccountAssets()


def test_nothing_older_than_90_days_is_told(site: Site, bitget: Any) -> None:
    late = site.client("bitget")
    late.load_markets()
    with site.shifted(60 * DAY_MS):
        late.load_time_difference()
        rows = late.privateSpotGetV2SpotTradeFills(
            {
                "symbol": "BTCUSDT",
                "startTime": site.now_ms - 70 * DAY_MS,
                "endTime": site.now_ms - 30 * DAY_MS,
            }
        )["data"]
        assert all(int(row["cTime"]) >= site.now_ms - 30 * DAY_MS for row in rows)
