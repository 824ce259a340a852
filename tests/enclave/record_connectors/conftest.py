"""One world with a server of every venue; a connector for each account, over TLS and the proxy."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from strongroom_enclave.http import Answer, Http
from strongroom_enclave.record.connectors.connector import Connector
from strongroom_enclave.record.connectors.rules import Cursor, Page, Stream
from strongroom_enclave.record.connectors.session import Session
from strongroom_enclave.record.events import Flow, Trade
from strongroom_enclave.venues import HOSTS
from strongroom_host.venues.defaults import (
    Login,
    default_market,
    default_venues,
    make_account,
    plan_for,
)
from strongroom_host.venues.faults import Fault, FaultKind
from strongroom_host.venues.history import History
from strongroom_host.venues.ibkr_flex import IbkrFlex
from strongroom_host.venues.market import Instrument
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock, World
from strongroom_wire.manifest import Egress
from strongroom_wire.record import Credentials

from tests.host.venues.reach import Proxy

DAY_MS = 86_400_000
VENUES = ("binance", "bybit", "bitget", "mexc", "kraken", "coinbase", "alpaca", "ibkr")
# MEXC tells 30 days, and no more than 100 fills of one ms.
DAYS = {"mexc": 25}
BURSTS = {"mexc": 90}
SHARES = {"AAPL", "MSFT"}
Row = tuple[object, ...]
Json = dict[str, Any]
TIMES = {"time", "execTime", "cTime", "timestamp", "insertTime", "applyTime"}
TIMES |= {"trade_time", "transaction_time"}


def changed(value: Any, change: Callable[[Json], Json]) -> Any:
    """The answer with everything changed that has a time, so every row."""
    if isinstance(value, list):
        return [changed(item, change) for item in value]
    if isinstance(value, dict):
        value = {name: changed(item, change) for name, item in value.items()}
        return change(value) if TIMES & value.keys() else value
    return value


@dataclass
class Line:
    """A connector with what a test may see and change around it."""

    venue: str
    connector: Connector
    slept: list[int] = field(default_factory=list)
    skew_ms: int = 0

    @property
    def session(self) -> Session:
        return self.connector

    @property
    def http(self) -> Http:
        return self.connector.http

    def alter(self, change: Callable[[Json], Json]) -> None:
        """Every row of every answer comes changed, as from a venue that writes it so."""
        original = Http.request.__get__(self.http)

        def request(method: str, url: str, headers: dict[str, str], body: str) -> Answer:
            answer: Answer = original(method, url, headers, body)
            content = changed(json.loads(answer.body), change)
            return Answer(answer.status, answer.headers, json.dumps(content).encode())

        self.http.request = request  # type: ignore[method-assign, assignment]

    def answer(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Every request is answered with just this."""
        found = Answer(status, headers or {}, body)
        self.http.request = lambda *_: found  # type: ignore[method-assign]

    def everything(self, since_ms: int, until_ms: int) -> dict[Stream, list[Page]]:
        found = {}
        for stream in self.connector.streams():
            found[stream] = list(self.connector.pages(stream, Cursor(since_ms), until_ms))
        return found


@dataclass
class Site:
    """A running server and the way to it. With `rotated` logins come other keys of the same
    accounts, with `others` those of other accounts."""

    server: VenuesServer
    proxy: tuple[str, int]
    root: bytes
    logins: dict[str, Login]
    now_ms: int
    rotated: dict[str, Login]
    others: dict[str, Login]
    opened: list[Connector] = field(default_factory=list)

    def line(self, venue: str, login: Login | None = None, *, checked: bool = True) -> Line:
        login = login or self.logins[venue]
        line = Line(venue, None)  # type: ignore[arg-type]
        line.connector = Connector(
            venue,
            "test",
            Credentials(account="a", venue=venue, **asdict(login)),
            [Egress(host, 443, (), (self.root,)) for host in HOSTS[venue]],
            lambda: socket.create_connection(self.proxy),
            lambda: time.time_ns() // 10**6 + line.skew_ms,
            line.slept.append,
        )
        self.opened.append(line.connector)
        if checked:
            line.connector.check()
        return line

    def history(self, venue: str) -> History:
        return self.server.world.named(venue, "main").history

    def until(self, line: Line) -> int:
        """Up to when a venue tells by now."""
        return min(self.now_ms, line.connector.time_ms())

    def since(self, venue: str) -> int:
        return self.history(venue).flows[0].time_ms

    def arm(self, kind: FaultKind, path: str, **more: int) -> None:
        self.server.faults.arm(Fault(kind, path, **more))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    clock = VenueClock()
    now = clock() - 60_000  # before what counts as too fresh
    market = default_market("connectors", now)
    accounts, logins = [], dict[str, Login]()
    rotated, others = dict[str, Login](), dict[str, Login]()
    for venue in VENUES:
        start = now - DAYS.get(venue, 60) * DAY_MS
        plan = plan_for(venue, market, start, now, orders=160, burst=BURSTS.get(venue, 130))
        account, logins[venue] = make_account(venue, market, plan, "connectors")
        few = plan_for(venue, market, start, now, orders=5)
        other, others[venue] = make_account(venue, market, few, "others")
        again, rotated[venue] = make_account(venue, market, few, "rotated")
        accounts += [account, replace(other, name="other")]
        accounts.append(replace(account, credentials=again.credentials))
    world = World(market, accounts)
    venues = default_venues(world, limits=False)
    for each in venues:
        if isinstance(each, IbkrFlex):
            each.ready_ms = 0  # nobody sleeps here
    server = VenuesServer(
        world,
        venues,
        tmp_path_factory.mktemp("venues"),
        clock=clock,
    )
    with server, Proxy(server.mapping) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        root = ssl.PEM_cert_to_DER_cert(server.ca_path.read_text())
        site = Site(server, (host, int(port)), root, logins, now, rotated, others)
        yield site
        for connector in site.opened:
            connector.close()


@pytest.fixture(autouse=True)
def _nothing_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "site" in request.fixturenames:
        site = request.getfixturevalue("site")
        site.server.faults.clear()
        for connector in site.opened:  # whoever asks again connects again
            connector.close()


def trades(pages: list[Page], sizes: dict[str, Decimal] | None = None) -> list[Row]:
    """Trades as the truth has them, sorted; amounts in base units."""
    return sorted(
        (
            event.time_ms,
            event.id,
            event.symbol,
            int(event.side),
            event.amount * (sizes or {}).get(event.symbol, Decimal(1)),
            event.price,
            event.fee,
            event.fee_asset,
        )
        for page in pages
        for event in page.events
        if isinstance(event, Trade)
    )


def flows(pages: list[Page], *, ids: bool = True) -> list[Row]:
    """Flows as the truth has them, sorted."""
    return sorted(
        (event.time_ms, event.id if ids else "", event.asset, event.amount, event.kind.name)
        for page in pages
        for event in page.events
        if isinstance(event, Flow)
    )


def named(instrument: Instrument) -> str:
    """The symbol as a record has it, where a share is told from a coin of that name."""
    base = instrument.base
    return instrument.symbol.replace(base, f"{base} STK") if base in SHARES else instrument.symbol


def truth(
    history: History, until_ms: int, *, ids: bool = True, signed: bool = True
) -> tuple[list[Row], list[Row]]:
    """The trades and flows that really were up to then; where a venue does not name what its sign
    says, deposits and withdrawals are transfers."""
    kinds = {} if signed else dict.fromkeys(("DEPOSIT", "WITHDRAWAL"), "TRANSFER")
    return (
        sorted(
            (f.time_ms, f.id, named(f.instrument), f.side, f.amount, f.price, f.fee, f.fee_asset)
            for f in history.fills
            if f.time_ms <= until_ms
        ),
        sorted(
            (f.time_ms, f.id if ids else "", f.asset, f.amount, kinds.get(f.kind, f.kind))
            for f in history.flows
            if f.time_ms <= until_ms
        ),
    )
