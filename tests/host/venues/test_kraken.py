"""The unmodified ccxt pages Kraken's whole history, and gets the truth; what is refused, is."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from strongroom_host.venues.defaults import Login
from strongroom_host.venues.market import HOUR_MS

from tests.host.venues.conftest import DAY_MS, Site
from tests.host.venues.reach import amounts, fills, flows


@pytest.fixture(scope="module")
def kraken(site: Site) -> Any:
    exchange = site.client("kraken")
    exchange.load_markets()
    return exchange


def test_every_trade_by_offset_with_the_time_that_the_venue_wrote(site: Site, kraken: Any) -> None:
    truth = site.truth("kraken").fills
    found: list[dict[str, Any]] = []
    while page := kraken.fetch_my_trades(None, None, None, {"ofs": len(found)}):
        assert len(page) <= 50
        found += page
    # The venue writes seconds as a JSON number; the client multiplies a float by 1,000.
    assert max(abs(row["timestamp"] - _ms(row)) for row in found) <= 1
    for row in found:
        row["timestamp"] = _ms(row)
    assert fills(found) == amounts(truth)
    assert {row["symbol"] for row in found} == {"BTC/USD", "ETH/USD", "DOGE/USD"}


def _ms(row: dict[str, Any]) -> int:
    return int(Decimal(str(row["info"]["time"])) * 1_000)


def test_the_start_itself_is_left_out(site: Site, kraken: Any) -> None:
    deposit = site.truth("kraken").flows[0]
    assert deposit.time_ms % 1_000 == 0
    rows = kraken.fetch_deposits(None, deposit.time_ms)
    assert deposit.id not in [row["id"] for row in rows]
    rows = kraken.fetch_deposits(None, deposit.time_ms - 1)
    assert deposit.id in [row["id"] for row in rows]


@pytest.mark.parametrize("kind", ["DEPOSIT", "WITHDRAWAL"])
def test_deposits_and_withdrawals(site: Site, kraken: Any, kind: str) -> None:
    truth = [flow for flow in site.truth("kraken").flows if flow.kind == kind]
    fetch = kraken.fetch_deposits if kind == "DEPOSIT" else kraken.fetch_withdrawals
    assert flows(fetch()) == sorted(
        (flow.time_ms, flow.id, flow.asset, abs(flow.amount) - flow.fee, flow.fee) for flow in truth
    )


def test_the_ledger_adds_up_to_the_balance(site: Site, kraken: Any) -> None:
    total: dict[str, Decimal] = {}
    entries: dict[str, Any] = {}
    while page := kraken.privatePostLedgers({"ofs": len(entries)})["result"]["ledger"]:
        entries |= page
    for entry in entries.values():
        asset = entry["asset"]
        change = Decimal(entry["amount"]) - Decimal(entry["fee"])
        total[asset] = total.get(asset, Decimal(0)) + change
    balance = kraken.privatePostBalanceEx()["result"]
    assert total == {asset: Decimal(row["balance"]) for asset, row in balance.items()}
    held = site.truth("kraken").balances("spot", site.now_ms)
    unified = kraken.fetch_balance()
    assert {asset: Decimal(unified[asset]["total"]) for asset in held} == held


def test_only_the_newest_720_candles_exist(site: Site, kraken: Any) -> None:
    rows = kraken.fetch_ohlcv("BTC/USD", "1h", site.now_ms - 60 * DAY_MS)
    assert len(rows) == 720
    assert rows[0][0] >= site.now_ms - 720 * HOUR_MS
    market = site.server.world.market
    candle = market.candle(market.instruments["BTC/USD"], rows[0][0], HOUR_MS)
    assert candle is not None
    assert Decimal(rows[0][4]) == candle.close


def test_no_positions_without_leverage(kraken: Any) -> None:
    assert kraken.fetch_positions() == []


@pytest.mark.parametrize(
    ("path", "given", "error"),
    [
        ("TradesHistory", {"ofs": "x"}, "EGeneral:Invalid arguments"),
        ("TradesHistory", {"ofs": -1}, "EGeneral:Invalid arguments:ofs"),
        ("Ledgers", {"start": "soon"}, "EGeneral:Invalid arguments:start"),
    ],
)
def test_what_the_real_one_refuses(kraken: Any, path: str, given: Any, error: str) -> None:
    with pytest.raises(ccxt.BaseError, match=error):
        getattr(kraken, f"privatePost{path}")(given)


def test_unknown_paths_and_pairs(kraken: Any) -> None:
    with pytest.raises(ccxt.BaseError, match="EQuery:Unknown asset pair"):
        kraken.publicGetOHLC({"pair": "NOPE"})
    with pytest.raises(ccxt.BaseError, match="EGeneral:Unknown method"):
        kraken.publicGetTicker()


def test_only_the_owner_signs(site: Site) -> None:
    login = site.logins["kraken"]
    wrong = base64.b64encode(bytes(64)).decode()
    with pytest.raises(ccxt.BaseError, match="EAPI:Invalid signature"):
        site.client("kraken", Login(login.key, wrong)).privatePostBalanceEx()
    with pytest.raises(ccxt.AuthenticationError, match="EAPI:Invalid key"):
        site.client("kraken", Login("wrong", login.secret)).privatePostBalanceEx()


def test_a_nonce_counts_once(site: Site, kraken: Any) -> None:
    replayed = site.client("kraken")
    nonce = kraken.milliseconds() + 1_000_000_000
    replayed.incrementing_nonce = lambda: nonce
    account = site.account("kraken")
    venue = next(venue for venue in site.server.venues if venue.name == "kraken")
    before = venue._nonces[account.credentials.key]  # type: ignore[attr-defined]
    try:
        assert replayed.privatePostBalanceEx()["error"] == []
        with pytest.raises(ccxt.InvalidNonce):
            replayed.privatePostBalanceEx()
    finally:
        venue._nonces[account.credentials.key] = before  # type: ignore[attr-defined]
