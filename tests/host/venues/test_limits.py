"""Who calls too often is told so in the venue's own words, and may go on after the wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ccxt
import httpx
import pytest
from strongroom_host.venues.defaults import default_venues
from strongroom_host.venues.limits import Bucket, Exhausted, Meter
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock

from tests.host.venues.conftest import START_MS, Site
from tests.host.venues.reach import Proxy, client


@pytest.fixture
def strict(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server of its own over the same world, with every limit on."""
    clock = VenueClock(START_MS)
    server = VenuesServer(
        site.server.world,
        default_venues(site.server.world),
        tmp_path_factory.mktemp("strict"),
        clock=clock,
    )
    with server, Proxy(server.mapping) as proxy:
        yield Site(server, proxy, site.logins, START_MS, VenueClock(START_MS))


def exhaust(call: Callable[[], Any], most: int = 1_000) -> ccxt.BaseError:
    """The first refusal."""
    for _ in range(most):
        try:
            call()
        except ccxt.BaseError as error:
            return error
    raise AssertionError("never refused")


CALLS: dict[str, Callable[[Any], Any]] = {
    "binance": lambda c: c.privateGetMyTrades({"symbol": "BTCUSDT"}),
    "bybit": lambda c: c.privateGetV5AccountInfo(),
    "bitget": lambda c: c.privateSpotGetV2SpotAccountAssets(),
    "mexc": lambda c: c.spotPrivateGetAccount(),
    "kraken": lambda c: c.privatePostTradesHistory(),
    "coinbase": lambda c: c.v3PrivateGetBrokerageKeyPermissions(),
    "alpaca": lambda c: c.traderPrivateGetV2Clock(),
}


@pytest.mark.parametrize("venue", CALLS)
def test_too_many_calls_are_refused_until_time_has_passed(strict: Site, venue: str) -> None:
    exchange = strict.client(venue)
    error = exhaust(lambda: CALLS[venue](exchange))
    assert isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded), error
    strict.server.clock.advance(61_000)
    strict.wall.advance(61_000)
    CALLS[venue](exchange)


def test_mexc_contracts_count_by_themselves(strict: Site) -> None:
    exchange = strict.client("mexc")
    error = exhaust(lambda: exchange.contractPrivateGetAccountAssets())
    assert isinstance(error, ccxt.RateLimitExceeded)
    exchange.spotPrivateGetAccount()


def test_binance_names_the_wait_and_bans_who_does_not(strict: Site) -> None:
    context = strict.server.ca_path
    with httpx.Client(verify=_context(str(context)), proxy=strict.proxy) as http:
        url = "https://api.binance.com/api/v3/exchangeInfo"
        statuses = []
        for _ in range(330):
            answer = http.get(url)
            statuses.append(answer.status_code)
            if answer.status_code == 418:
                break
        assert statuses.count(200) == 300
        assert statuses[-1] == 418
        assert 0 < int(answer.headers["Retry-After"]) <= 120
        assert answer.json()["code"] == -1003
        strict.server.clock.advance(61_000)
        assert http.get(url).status_code == 418
        strict.server.clock.advance(61_000)
        answer = http.get(url)
        assert answer.status_code == 200
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "20"


def test_bybit_shows_what_is_left(strict: Site) -> None:
    exchange = strict.client("bybit")
    exchange.privateGetV5AccountInfo()
    left = {k.lower(): v for k, v in exchange.last_response_headers.items()}
    assert 0 <= int(left["x-bapi-limit-status"]) < int(left["x-bapi-limit"])


def test_ibkr_allows_a_token_once_a_second(strict: Site) -> None:
    with httpx.Client(verify=_context(str(strict.server.ca_path)), proxy=strict.proxy) as http:
        url = "https://ndcdyn.interactivebrokers.com/AccountManagement/FlexWebService/SendRequest"
        given = {"t": strict.logins["ibkr"].key, "q": "1", "v": "3"}
        answers = [http.get(url, params=given).text for _ in range(5)]
        assert any("<ErrorCode>1018<" in answer for answer in answers)


def _context(ca: str) -> Any:
    import ssl

    return ssl.create_default_context(cafile=ca)


def test_a_meter_counts_by_key_and_window() -> None:
    meter = Meter(3, 1_000)
    assert [meter.take("a", 1, 5_000), meter.take("a", 2, 5_999)] == [1, 3]
    with pytest.raises(Exhausted) as refused:
        meter.take("a", 1, 5_400)
    assert refused.value.retry_after_ms == 600
    assert meter.take("b", 3, 5_999) == 3
    assert meter.take("a", 3, 6_000) == 3
    meter.enabled = False
    assert meter.take("a", 3, 6_000) == 6


def test_a_bucket_empties_over_time() -> None:
    bucket = Bucket(3, 100)
    assert [bucket.take("a", 2, 0), bucket.take("a", 1, 0)] == [2, 3]
    with pytest.raises(Exhausted) as refused:
        bucket.take("a", 1, 40)
    assert refused.value.retry_after_ms == 60
    assert bucket.take("a", 1, 100) == 3
    assert bucket.take("a", 1, 100_000) == 1


def test_the_client_is_only_a_client(site: Site) -> None:
    exchange = client(
        "binance", site.logins["binance"], site.proxy, str(site.server.ca_path), site.wall
    )
    assert exchange.urls["api"]["public"] == "https://api.binance.com/api/v3"
    assert type(exchange) is ccxt.binance
