"""One port, many names: TLS, the operator's switches, and what nobody may do without the token."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx
import pytest
from strongroom_host.testnet.serving import PortBusy
from strongroom_host.venues.app import ADMIN_HEADER, ADMIN_HOST, MAX_BODY
from strongroom_host.venues.defaults import default_venues, make_account, plan_for
from strongroom_host.venues.history import plain
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock, World

from tests.host.venues.conftest import DAY_MS, START_MS, Site
from tests.host.venues.reach import Proxy, client

ADMIN = f"https://{ADMIN_HOST}"


@pytest.fixture(scope="module")
def http(site: Site) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=str(site.server.ca_path))
    with httpx.Client(verify=context, proxy=site.proxy) as client:
        yield client


@pytest.fixture
def token(site: Site) -> dict[str, str]:
    return {ADMIN_HEADER: site.server.admin_token}


def test_nobody_but_the_operator(http: httpx.Client) -> None:
    for method, path in (
        ("POST", "/faults"),
        ("DELETE", "/faults"),
        ("POST", "/clock"),
        ("GET", "/truth/binance/main"),
    ):
        for headers in ({}, {ADMIN_HEADER: "wrong"}):
            assert http.request(method, ADMIN + path, headers=headers).status_code == 401


def test_the_operator_arms_clears_and_turns_the_clock(
    site: Site, http: httpx.Client, token: dict[str, str]
) -> None:
    time_url = "https://api.binance.com/api/v3/time"
    fault = {"kind": "status", "path": "/api/v3/time", "status": 503, "count": 2}
    assert http.post(f"{ADMIN}/faults", json=fault, headers=token).json() == {"armed": "status"}
    assert http.get(time_url).status_code == 503
    assert http.delete(f"{ADMIN}/faults", headers=token).json() == {"armed": None}
    before = http.get(time_url).json()["serverTime"]
    http.post(f"{ADMIN}/clock", json={"advance_ms": 3_600_000}, headers=token)
    try:
        assert http.get(time_url).json()["serverTime"] - before >= 3_600_000
    finally:
        http.post(f"{ADMIN}/clock", json={"advance_ms": -3_600_000}, headers=token)


def test_the_truth_is_told_to_the_operator(
    site: Site, http: httpx.Client, token: dict[str, str]
) -> None:
    told = http.get(f"{ADMIN}/truth/bybit/main", headers=token).json()
    assert told == plain(site.truth("bybit"), site.now_ms)
    assert http.get(f"{ADMIN}/truth/bybit/nobody", headers=token).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", b"{}"),
        ("/faults", b'{"kind": "status", "path": "/", "count": 0}'),
        ("/faults", b'{"kind": "status", "path": "/", "colour": 1}'),
        ("/clock", b'{"advance_ms": "soon"}'),
        ("/clock", b"\xff"),
    ],
)
def test_senseless_switches_are_refused(
    http: httpx.Client, token: dict[str, str], path: str, body: bytes
) -> None:
    assert http.post(ADMIN + path, content=body, headers=token).status_code == 400


def test_names_are_told_apart(http: httpx.Client) -> None:
    assert "serverTime" in http.get("https://api.binance.com/api/v3/time").json()
    assert http.get("https://api.bybit.com/api/v3/time").json()["retCode"] == 10017
    assert http.get("https://api.bitget.com/nowhere").status_code == 404
    assert http.get("https://api.coinbase.com/nowhere").status_code == 404


def test_a_body_is_not_read_without_end(http: httpx.Client) -> None:
    answer = http.post("https://api.kraken.com/0/private/BalanceEx", content=b"x" * (MAX_BODY + 1))
    assert answer.status_code == 413


def test_only_who_trusts_the_ca_connects(site: Site) -> None:
    with httpx.Client(proxy=site.proxy) as stranger, pytest.raises(httpx.ConnectError):
        stranger.get("https://api.binance.com/api/v3/time")


def test_what_has_not_happened_yet_is_not_told(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    market = site.server.world.market
    plan = plan_for("kraken", market, START_MS - 5 * DAY_MS, START_MS + 5 * DAY_MS, orders=60)
    account, login = make_account("kraken", market, plan, "later")
    world, clock, wall = World(market, [account]), VenueClock(START_MS), VenueClock(START_MS)
    folder = tmp_path_factory.mktemp("later")
    server = VenuesServer(world, default_venues(world, limits=False), folder, clock=clock)
    with server, Proxy(server.mapping) as proxy:
        exchange = client("kraken", login, proxy, str(server.ca_path), wall)
        counts = []
        for _ in range(3):
            counts.append(int(exchange.privatePostTradesHistory()["result"]["count"]))
            clock.advance(3 * DAY_MS)
    assert counts == [
        sum(fill.time_ms <= START_MS + days * DAY_MS for fill in account.history.fills)
        for days in (0, 3, 6)
    ]
    assert 0 < counts[0] < counts[1] < counts[2]


def test_a_busy_port_is_said(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    second = VenuesServer(
        site.server.world,
        default_venues(site.server.world),
        tmp_path_factory.mktemp("second"),
        clock=VenueClock(),
        port=site.server.port,
    )
    with pytest.raises(PortBusy):
        second.start()
