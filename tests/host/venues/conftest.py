"""One world, one server with every venue, one proxy; a client for each account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from strongroom_host.venues.defaults import VENUES, Login, default_venues, make_account, plan_for
from strongroom_host.venues.defaults import default_market as make_market
from strongroom_host.venues.history import History
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import Account, VenueClock, World

from tests.host.venues.reach import Proxy, client

DAY_MS = 86_400_000
# The same day for every run, so that a seed means the same histories.
START_MS = 1_790_000_000_000
DAYS = {"mexc": 25, "binance": 80}
# MEXC cannot tell more than 100 fills of one ms.
BURSTS = {"mexc": 90}


@dataclass
class Site:
    """A running server, and what a test needs to be a client of it."""

    server: VenuesServer
    proxy: str
    logins: dict[str, Login]
    now_ms: int
    wall: VenueClock

    def account(self, venue: str) -> Account:
        return self.server.world.named(venue, "main")

    def truth(self, venue: str) -> History:
        return self.account(venue).history

    @contextmanager
    def shifted(self, by_ms: int) -> Iterator[None]:
        """The venues' clock runs that far ahead meanwhile."""
        self.server.clock.advance(by_ms)
        try:
            yield
        finally:
            self.server.clock.advance(-by_ms)

    def client(self, venue: str, login: Login | None = None, **options: Any) -> Any:
        ca = str(self.server.ca_path)
        return client(venue, login or self.logins[venue], self.proxy, ca, self.wall, **options)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    clock, wall = VenueClock(START_MS), VenueClock(START_MS)
    now = clock()
    market = make_market("tests", now)
    accounts, logins = [], {}
    for venue in VENUES:
        start = now - DAYS.get(venue, 70) * DAY_MS
        plan = plan_for(venue, market, start, now, orders=160, burst=BURSTS.get(venue, 130))
        account, logins[venue] = make_account(venue, market, plan, "tests")
        accounts.append(account)
    world = World(market, accounts)
    server = VenuesServer(
        world,
        default_venues(world, limits=False),
        tmp_path_factory.mktemp("venues"),
        clock=clock,
    )
    with server, Proxy(server.mapping) as proxy:
        yield Site(server, proxy, logins, now, wall)


@pytest.fixture(autouse=True)
def _no_fault_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "site" in request.fixturenames:
        request.getfixturevalue("site").server.faults.clear()
