"""Local exchanges with an account at each, whose truth is known: the one way in which tests build
the venues' world."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from strongroom_host.venues.defaults import (
    Login,
    default_market,
    default_venues,
    make_account,
    plan_for,
)
from strongroom_host.venues.history import History
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock, World

__all__ = ["DAY_MS", "HOUR_MS", "LocalExchanges", "local_exchanges"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class LocalExchanges:
    """A running server of venues whose truth is known, and how to log in."""

    server: VenuesServer
    logins: Mapping[str, Login]
    since_ms: int
    """A full hour before anything happened."""

    @property
    def root(self) -> bytes:
        """The CA's certificate, DER."""
        return ssl.PEM_cert_to_DER_cert(self.server.ca_path.read_text())

    def truth(self, venue: str) -> History:
        """What really happened in the account at that venue."""
        return self.server.world.named(venue, "main").history


@contextmanager
def local_exchanges(
    folder: Path,
    *venues: str,
    days: int = 4,
    orders: int = 40,
    seed: str = "tests",
    quiet_ms: int = 60_000,
) -> Iterator[LocalExchanges]:
    """Serves these venues, each with one account that traded for some days up to a while ago.

    That while is `quiet_ms`, so that nothing of it counts as too fresh to have been booked.
    """
    clock = VenueClock()
    now = clock() - quiet_ms
    market = default_market(seed, now)
    accounts, logins = [], {}
    start = now - days * DAY_MS
    for venue in venues:
        plan = plan_for(venue, market, start, now, orders=orders)
        account, logins[venue] = make_account(venue, market, plan, seed)
        accounts.append(account)
    world = World(market, accounts)
    with VenuesServer(world, default_venues(world, limits=False), folder, clock=clock) as server:
        yield LocalExchanges(server, logins, start // HOUR_MS * HOUR_MS)
