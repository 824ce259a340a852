"""The unmodified ccxt pages Coinbase's whole history, and gets the truth; what is refused, is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from strongroom_host.venues.coinbase_token import TokenRefused, key_named_by, verify
from strongroom_host.venues.defaults import Login
from strongroom_host.venues.market import HOUR_MS

from tests.host.venues.conftest import DAY_MS, Site
from tests.host.venues.reach import amounts, fills, flows


@pytest.fixture(scope="module")
def coinbase(site: Site) -> Any:
    exchange = site.client("coinbase")
    exchange.load_markets()
    return exchange


@pytest.mark.parametrize("limit", [50, 3_000])
def test_every_fill_by_cursor(site: Site, coinbase: Any, limit: int) -> None:
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = coinbase.fetch_my_trades(None, site.now_ms - 90 * DAY_MS, limit, more)
        found += page
        # ccxt leaves the cursor in the raw first row, and sorts the page afterwards.
        cursors = [row["info"]["cursor"] for row in page if "cursor" in row["info"]]
        if not cursors:
            break
        more = {"cursor": cursors[0]}
    assert fills(found) == amounts(site.truth("coinbase").fills)


@pytest.mark.parametrize("kind", ["DEPOSIT", "WITHDRAWAL"])
def test_deposits_and_withdrawals_page_after_page(site: Site, coinbase: Any, kind: str) -> None:
    truth = [flow for flow in site.truth("coinbase").flows if flow.kind == kind]
    fetch = coinbase.fetch_deposits if kind == "DEPOSIT" else coinbase.fetch_withdrawals
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while page := fetch("USD", None, 2, more):
        found += page
        oldest = min(page, key=lambda row: row["timestamp"])
        more = {"starting_after": oldest["id"]}
    assert flows(found) == sorted(
        (flow.time_ms, flow.id, flow.asset, abs(flow.amount) - flow.fee, flow.fee) for flow in truth
    )


def test_the_wallet_ledger_has_both(site: Site, coinbase: Any) -> None:
    rows = coinbase.fetch_ledger("USD", None, 100)
    assert len(rows) == len(site.truth("coinbase").flows)


def test_balances_are_what_the_history_adds_up_to(site: Site, coinbase: Any) -> None:
    held = site.truth("coinbase").balances("spot", site.now_ms)
    balance = coinbase.fetch_balance()
    assert {asset: Decimal(balance[asset]["total"]) for asset in held} == held
    first = coinbase.v3PrivateGetBrokerageAccounts({"limit": 1})
    assert first["has_next"] is True


def test_candles(site: Site, coinbase: Any) -> None:
    start = site.now_ms // HOUR_MS * HOUR_MS - 200 * HOUR_MS
    rows = coinbase.fetch_ohlcv("ETH/USD", "1h", start, 100)
    assert [row[0] for row in rows][:99] == [start + place * HOUR_MS for place in range(99)]
    market = site.server.world.market
    candle = market.candle(market.instruments["ETH/USD"], start, HOUR_MS)
    assert candle is not None
    assert Decimal(rows[0][4]) == candle.close


def test_the_key_can_only_view(coinbase: Any) -> None:
    rights = coinbase.v3PrivateGetBrokerageKeyPermissions()
    assert (rights["can_view"], rights["can_trade"], rights["can_transfer"]) == (True, False, False)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.v3PrivateGetBrokerageOrdersHistoricalFills({"limit": 3_001}),
        lambda c: c.v3PrivateGetBrokerageOrdersHistoricalFills({"cursor": "made-up"}),
        lambda c: c.v3PrivateGetBrokerageOrdersHistoricalFills({"product_ids": "NOPE"}),
        lambda c: c.v3PrivateGetBrokerageOrdersHistoricalFills(
            {"start_sequence_timestamp": "2020-01-01T00:00:00"}
        ),
        lambda c: c.v3PrivateGetBrokerageAccounts({"limit": 251}),
        lambda c: c.v3PublicGetBrokerageMarketProductsProductIdCandles(
            {"product_id": "BTC-USD", "granularity": "ONE_MINUTE", "start": 0, "end": 60 * 351}
        ),
    ],
)
def test_what_the_real_one_refuses(coinbase: Any, call: Callable[[Any], Any]) -> None:
    with pytest.raises(ccxt.BadRequest, match="INVALID_ARGUMENT"):
        call(coinbase)


def test_only_the_owner_signs(site: Site) -> None:
    login = site.logins["coinbase"]
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    for wrong in (Login(login.key, other.decode()), Login(login.key + "x", login.secret)):
        with pytest.raises(ccxt.AuthenticationError, match="401"):
            site.client("coinbase", wrong).v3PrivateGetBrokerageAccounts()


def test_a_clock_that_is_off_is_refused(site: Site, coinbase: Any) -> None:
    for skew in (-130_000, 130_000):
        with site.shifted(skew), pytest.raises(ccxt.AuthenticationError, match="401"):
            coinbase.v3PrivateGetBrokerageAccounts()


REQUEST = "GET api.coinbase.com/api/v3/brokerage/accounts"


def test_a_token_proves_one_request_for_two_minutes(site: Site, coinbase: Any) -> None:
    pem = site.account("coinbase").credentials.secret
    now = site.now_ms // 1_000
    url = "https://" + REQUEST.removeprefix("GET ")
    token = coinbase.create_auth_token(now, "GET", url)
    assert key_named_by(token) == site.logins["coinbase"].key
    verify(token, pem, REQUEST, now)
    for request, at in ((REQUEST + "x", now), (REQUEST, now - 60), (REQUEST, now + 130)):
        with pytest.raises(TokenRefused):
            verify(token, pem, request, at)


CHANGES = [
    (0, {"alg": "none"}),
    (0, {"alg": "HS256"}),
    (0, {"kid": "other"}),
    (1, {"sub": "other"}),
    (1, {"iss": "other"}),
    (1, {"exp": 1 << 40}),
    (1, {"uri": REQUEST + "x"}),
]


def changed_token(site: Site, exchange: Any, part: int, change: dict[str, Any]) -> list[str]:
    now = site.now_ms // 1_000
    token = exchange.create_auth_token(now, "GET", "https://" + REQUEST.removeprefix("GET "))
    parts: list[str] = token.split(".")
    found = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = _encoded(json.dumps(found | change).encode())
    return parts


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


@pytest.mark.parametrize(("part", "change"), CHANGES)
def test_a_changed_token_proves_nothing(
    site: Site, coinbase: Any, part: int, change: dict[str, Any]
) -> None:
    token = ".".join(changed_token(site, coinbase, part, change))
    pem = site.account("coinbase").credentials.secret
    with pytest.raises(TokenRefused):
        verify(token, pem, REQUEST, site.now_ms // 1_000)


@pytest.mark.parametrize(("part", "change"), [(0, {}), *CHANGES])
def test_nor_does_one_that_the_owner_signed_for_something_else(
    site: Site, coinbase: Any, part: int, change: dict[str, Any]
) -> None:
    head, claims, _ = changed_token(site, coinbase, part, change)
    key = serialization.load_pem_private_key(site.logins["coinbase"].secret.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    made = key.sign(f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(made)
    signature = _encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    token, pem = f"{head}.{claims}.{signature}", site.account("coinbase").credentials.secret
    if not change:
        verify(token, pem, REQUEST, site.now_ms // 1_000)
        return
    with pytest.raises(TokenRefused):
        verify(token, pem, REQUEST, site.now_ms // 1_000)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "..", "e30.e30.e30", "\xff.\xff.\xff"])
def test_rubbish_is_no_token(site: Site, token: str) -> None:
    with pytest.raises(TokenRefused):
        verify(token, site.account("coinbase").credentials.secret, REQUEST, 0)
