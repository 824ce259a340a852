"""The unmodified ccxt pages Binance's whole history, and gets the truth; what is refused, is."""

from __future__ import annotations

from collections.abc import Iterator
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
def binance(site: Site) -> Any:
    exchange = site.client("binance")
    exchange.load_markets()
    return exchange


def by_id(exchange: Any, symbol: str) -> Iterator[dict[str, Any]]:
    after = 0
    while page := exchange.fetch_my_trades(symbol, None, 1_000, {"fromId": after}):
        yield from page
        after = int(page[-1]["id"]) + 1


def test_every_spot_trade_by_id(site: Site, binance: Any) -> None:
    truth = [fill for fill in site.truth("binance").fills if fill.instrument.kind is Kind.SPOT]
    symbols = {fill.instrument.symbol for fill in truth}
    assert "OLD/USDT" in symbols
    found = [row for symbol in symbols for row in by_id(binance, symbol)]
    assert fills(found) == amounts(truth)


def test_spot_trades_within_24_hours_lose_nothing_either(site: Site, binance: Any) -> None:
    truth = [f for f in site.truth("binance").fills if f.instrument.symbol == "BTC/USDT"]
    found: list[dict[str, Any]] = []
    start = truth[0].time_ms
    while start <= site.now_ms:
        until = start + DAY_MS - 1
        found += binance.fetch_my_trades("BTC/USDT", start, 1_000, {"endTime": until})
        start += DAY_MS
    assert fills(found) == amounts(truth)


def test_every_contract_trade_week_by_week(site: Site, binance: Any) -> None:
    truth = [fill for fill in site.truth("binance").fills if fill.instrument.kind is Kind.LINEAR]
    found: list[dict[str, Any]] = []
    for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT"):
        start = truth[0].time_ms
        while start <= site.now_ms:
            found += binance.fetch_my_trades(symbol, start, 1_000)
            start += WEEK_MS + 1
    assert fills(found) == amounts(truth)


def test_funding_and_the_symbols_that_income_tells_of(site: Site, binance: Any) -> None:
    truth = [flow for flow in site.truth("binance").flows if flow.kind == "FUNDING"]
    income: list[dict[str, Any]] = []
    page = 1
    while rows := binance.fapiPrivateGetIncome(
        {"startTime": truth[0].time_ms - DAY_MS, "endTime": site.now_ms, "limit": 100, "page": page}
    ):
        income += rows
        page += 1
    funding = [row for row in income if row["incomeType"] == "FUNDING_FEE"]
    assert [(str(row["tranId"]), Decimal(row["income"])) for row in funding] == [
        (flow.id, flow.amount) for flow in truth
    ]
    assert {row["symbol"] for row in income} == {"", "BTCUSDT", "ETHUSDT"}
    found = binance.fetch_funding_history(None, truth[0].time_ms, 1_000, {"until": site.now_ms})
    assert [row["amount"] for row in found] == [row["income"] for row in funding]


def test_income_explains_the_wallet_to_the_last_digit_shown(site: Site, binance: Any) -> None:
    total = Decimal(0)
    page = 1
    while rows := binance.fapiPrivateGetIncome(
        {"startTime": site.now_ms - 80 * DAY_MS, "limit": 1_000, "page": page}
    ):
        total += sum((Decimal(row["income"]) for row in rows), Decimal(0))
        page += 1
    [wallet] = binance.fapiPrivateV3GetAccount()["assets"]
    # Each realised profit is rounded to 8 places by itself.
    assert abs(total - Decimal(wallet["walletBalance"])) < Decimal("0.00001")


def test_deposits_and_withdrawals_in_windows_of_90_days(site: Site, binance: Any) -> None:
    start = site.truth("binance").flows[0].time_ms
    for kind, fetch in (
        ("DEPOSIT", binance.fetch_deposits),
        ("WITHDRAWAL", binance.fetch_withdrawals),
    ):
        truth = [flow for flow in site.truth("binance").flows if flow.kind == kind]
        assert flows(fetch(None, start, 1_000)) == sorted(
            (flow.time_ms, flow.id, flow.asset, abs(flow.amount) - flow.fee, flow.fee)
            for flow in truth
        )


def test_transfers_by_type_page_by_page(site: Site, binance: Any) -> None:
    truth = site.truth("binance").moves
    found = []
    for source, target in (("spot", "linear"), ("linear", "spot")):
        page = 1
        while rows := binance.fetch_transfers(
            None,
            truth[0].time_ms,
            2,
            {"fromAccount": source, "toAccount": target, "current": page},
        ):
            found += [(row["timestamp"], row["id"], Decimal(row["amount"])) for row in rows]
            page += 1
    assert sorted(found) == [(move.time_ms, move.id, move.amount) for move in truth]


def test_balances_and_positions_are_what_the_history_adds_up_to(site: Site, binance: Any) -> None:
    history = site.truth("binance")
    balance = binance.fetch_balance()
    for asset, amount in history.balances("spot", site.now_ms).items():
        assert Decimal(balance[asset]["total"]) == round(amount, 8)
    held = {
        row["symbol"]: Decimal(row["contracts"]) * (1 if row["side"] == "long" else -1)
        for row in binance.fetch_positions()
    }
    truth = {item.symbol: place.quantity for item, place in history.positions(site.now_ms).items()}
    assert held == truth


def test_candles_of_a_silent_and_of_a_delisted_market(site: Site, binance: Any) -> None:
    market = site.server.world.market
    doge = market.instruments["DOGE/USDT"]
    [(start, end)] = doge.silent
    rows = binance.fetch_ohlcv("DOGE/USDT", "1h", start - HOUR_MS, 5)
    assert [row[0] for row in rows][:2] == [start - HOUR_MS, end]
    candle = market.candle(doge, end, HOUR_MS)
    assert candle is not None
    assert [Decimal(value) for value in rows[1][1:5]] == [
        candle.open,
        candle.high,
        candle.low,
        candle.close,
    ]
    old = market.instruments["OLD/USDT"]
    assert old.delisted_ms is not None
    rows = binance.fetch_ohlcv("OLD/USDT", "1h", old.delisted_ms - 2 * HOUR_MS, 10)
    assert len(rows) == 2
    assert binance.market("OLD/USDT")["active"] is False
    minutes = binance.fetch_ohlcv("BTC/USDT:USDT", "1m", site.now_ms - HOUR_MS, 10)
    assert len(minutes) == 10


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (
            lambda b, now: b.fetch_my_trades("BTC/USDT", now - 2 * DAY_MS, 9, {"endTime": now}),
            -1127,
        ),
        (lambda b, now: b.fetch_my_trades("BTC/USDT", now, 9, {"fromId": 1}), -1128),
        (lambda b, now: b.privateGetMyTrades(), -1102),
        (lambda b, now: b.privateGetMyTrades({"symbol": "NOPE"}), -1121),
        (lambda b, now: b.privateGetMyTrades({"symbol": "BTCUSDT", "limit": "1e3"}), -1100),
        (lambda b, now: b.fapiPrivateGetUserTrades({"symbol": "BTCUSDT", "limit": 1001}), -1130),
        (
            lambda b, now: b.fapiPrivateGetUserTrades(
                {"symbol": "BTCUSDT", "startTime": now - 8 * DAY_MS, "endTime": now}
            ),
            -4165,
        ),
        (
            lambda b, now: b.sapiGetCapitalDepositHisrec(
                {"startTime": now - 91 * DAY_MS, "endTime": now}
            ),
            -1127,
        ),
        (lambda b, now: b.sapiGetAssetTransfer({"type": "MAIN_UMFUTURE", "size": 101}), -1130),
        (lambda b, now: b.sapiGetAssetTransfer({}), -1102),
        (lambda b, now: b.publicGetKlines({"symbol": "BTCUSDT", "interval": "7m"}), -1120),
        (lambda b, now: b.privateGetAccount({"recvWindow": 60_001}), -1131),
    ],
)
def test_what_the_real_one_refuses(site: Site, binance: Any, call: Any, code: int) -> None:
    with pytest.raises(ccxt.ExchangeError, match=f'"code":{code},'):
        call(binance, site.now_ms)


def test_income_is_not_older_than_three_months_nor_trades_than_six(
    site: Site, binance: Any
) -> None:
    late = site.client("binance")
    late.load_markets()
    old = site.now_ms - 70 * DAY_MS
    with site.shifted(120 * DAY_MS):
        late.load_time_difference()
        assert late.fapiPrivateGetIncome({"startTime": old, "limit": 1_000}) == []
        assert late.fapiPrivateGetUserTrades({"symbol": "BTCUSDT", "fromId": 1}) != []
    with site.shifted(185 * DAY_MS):
        late.load_time_difference()
        assert late.fapiPrivateGetUserTrades({"symbol": "BTCUSDT", "fromId": 1}) == []
        assert late.fetch_my_trades("BTC/USDT", None, 10, {"fromId": 1}) != []


def test_only_the_owner_signs(site: Site) -> None:
    login = site.logins["binance"]
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        site.client("binance", Login(login.key, "wrong")).privateGetAccount()
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        site.client("binance", Login("wrong", login.secret)).privateGetAccount()


@pytest.mark.parametrize(("skew_ms", "words"), [(-7_000, "recvWindow"), (3_000, "ahead of")])
def test_a_clock_that_is_off_is_refused_until_it_is_measured(
    site: Site, skew_ms: int, words: str
) -> None:
    exchange = site.client("binance", recvWindow=5_000)
    exchange.load_markets()
    with site.shifted(-skew_ms):
        with pytest.raises(ccxt.InvalidNonce, match=words):
            exchange.fetch_balance()
        exchange.load_time_difference()
        assert exchange.fetch_balance()["USDT"]["total"]


def test_the_key_can_only_read(binance: Any) -> None:
    rights = binance.sapiGetAccountApiRestrictions()
    assert {name for name, value in rights.items() if value is True} == {"enableReading"}
