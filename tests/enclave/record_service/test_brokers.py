"""Brokers' accounts become hours: real connectors, local brokers over TLS, a host in memory."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from strongroom_enclave.record.connectors.connector import Connector
from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Market, Side, Trade
from strongroom_enclave.record.marks import Candles
from strongroom_enclave.record.returns import HOUR_MS, Basis, Flag
from strongroom_enclave.record.sync import Run
from strongroom_enclave.venues import HOSTS
from strongroom_host.venues.defaults import (
    Login,
    default_market,
    default_venues,
    make_account,
    plan_for,
)
from strongroom_host.venues.history import History as Truth
from strongroom_host.venues.ibkr_flex import IbkrFlex
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock, World
from strongroom_wire.manifest import Account, Egress
from strongroom_wire.record import Credentials, PublishedHour

from tests.enclave.record.oracle import History
from tests.enclave.record_kept.samples import KEYS
from tests.enclave.record_service.test_sync import EXACT, Scene
from tests.host.venues.reach import Proxy

DAYS = 6
SHARES = ("AAPL", "MSFT")


@contextmanager
def broker(venue: str, folder: Path) -> Iterator[tuple[Connector, Truth]]:
    clock = VenueClock()
    now = clock() - 60_000
    market = default_market("brokers", now)
    plan = plan_for(venue, market, now - DAYS * 24 * HOUR_MS, now, orders=60)
    account, login = make_account(venue, market, plan, "brokers")
    world = World(market, [account])
    venues = [each for each in default_venues(world, limits=False) if each.name == venue]
    for each in venues:
        if isinstance(each, IbkrFlex):
            each.ready_ms = 0
    with VenuesServer(world, venues, folder, clock=clock) as server, Proxy(server.mapping) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        root = ssl.PEM_cert_to_DER_cert(server.ca_path.read_text())
        connector = connected(venue, login, root, (host, int(port)))
        yield connector, account.history
        connector.close()


def connected(venue: str, login: Login, root: bytes, proxy: tuple[str, int]) -> Connector:
    return Connector(
        venue,
        "test",
        Credentials("ada", venue, login.key, login.secret, login.passphrase),
        [Egress(name, 443, (), (root,)) for name in HOSTS[venue]],
        lambda: socket.create_connection(proxy),
        lambda: time.time_ns() // 10**6,
        lambda ms: time.sleep(min(ms, 20) / 1000),
    )


def named(asset: str) -> str:
    return f"{asset} STK" if asset in SHARES else asset


def events_of(truth: Truth, until_ms: int) -> list[Event]:
    found: list[Event] = []
    for fill in truth.fills:
        symbol = f"{named(fill.instrument.base)}/USD"
        side, numbers = Side(fill.side), (fill.amount, fill.price, fill.fee)
        found.append(Trade(fill.time_ms, fill.id, symbol, side, *numbers, "USD"))
    for flow in truth.flows:
        kind = FlowKind[flow.kind]
        found.append(Flow(flow.time_ms, flow.id, named(flow.asset), flow.amount, kind))
    return [event for event in found if event.time_ms <= until_ms]


@pytest.mark.parametrize("venue", ["alpaca", "ibkr"])
def test_a_brokers_hours_are_those_of_what_really_happened(venue: str, tmp_path: Path) -> None:
    with broker(venue, tmp_path) as (connector, truth):
        account = Account("ada", "ada", venue, "test", "USD", 0, EXACT)
        scene = Scene(None, account)  # type: ignore[arg-type]
        Run(scene.book, scene.host.store, KEYS, account, "development").run(
            connector, False, lambda ms: time.sleep(ms / 1000)
        )
        sync = scene.state.sync
        assert sync.balanced_ms == sync.until_ms - 1
        [(receipt, _)] = scene.host.published["ada"]
        assert receipt.completeness == "unbroken" if venue == "alpaca" else "since-opening"
        events = events_of(truth, sync.balanced_ms)
        bases = {event.symbol.partition("/")[0] for event in events if isinstance(event, Trade)}
        markets = {
            f"{base}/USD": Market(f"{base}/USD", base, "USD", "USD", Kind.SPOT) for base in bases
        }
        marks = Candles(connector.candles, markets, "USD")
        oracle, hours = History(events, markets, marks), scene.hours()
        assert len(hours) > (DAYS - 1) * 24
        valued = 0
        for hour in hours:
            assert check(hour, oracle, marks)
            valued += hour.value is not None
        assert valued > len(hours) // 2
        if venue == "ibkr":  # days are days, and said to be
            assert sum(bool(hour.flags & Flag.STALE_MARK) for hour in hours) > len(hours) // 2


def check(hour: PublishedHour, oracle: History, marks: Candles) -> bool:
    truth = oracle.hour(hour.start_ms, Basis(marks))
    assert hour.exact is not None
    shown = (hour.value, hour.closing, *hour.exact[:7])
    total = truth.value, truth.closing, truth.opening, truth.flows, truth.pnl
    meant = (*total, truth.realised, truth.unrealised, truth.fees, truth.funding)
    for said, true in zip(shown, meant, strict=True):
        assert (None if said is None else Decimal(said)) == true
    assert (hour.flags, *hour.exact[7:]) == (truth.flags, truth.trades, truth.mark_age_ms)
    return True
