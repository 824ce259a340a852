"""Connectors: how long a venue's history takes, over TLS and the house's own proxy.

The venues are the local ones on the same machine, without their limits: what is measured is what
there is to do, not what a venue allows. Goals: a thousand trades in 0.25 s from Binance, and in
0.5 s from venues that tell a hundred at a time.
"""

import socket
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from strongroom_enclave.record.connectors import session
from strongroom_enclave.record.connectors.connector import Connector
from strongroom_enclave.record.connectors.rules import Cursor, Stream
from strongroom_enclave.record.events import Trade
from strongroom_enclave.venues import HOSTS
from strongroom_host.venues.binance import BinanceDesk
from strongroom_host.venues.defaults import (
    Login,
    default_market,
    default_venues,
    make_account,
    plan_for,
)
from strongroom_host.venues.market import Instrument, Kind, Market
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock, World
from strongroom_wire.manifest import Egress
from strongroom_wire.record import Credentials

from tests.host.venues.reach import Proxy

__all__ = ["rows"]

GOALS = {"binance": 0.25, "bybit": 0.5, "bitget": 0.5, "mexc": 0.5, "kraken": 1.0, "coinbase": 0.5}
DAY_MS = 86_400_000
TRADES = 1_000
SYMBOLS, CONTRACTS = 2_000, 402
"""How many markets Binance lists where its account is synchronised as a whole."""


@contextmanager
def _served(
    market: Market, venues_asked: Iterable[str], now_ms: int, clock: VenueClock
) -> Iterator[tuple[VenuesServer, tuple[str, int], dict[str, Login]]]:
    accounts, logins = [], {}
    for venue in venues_asked:
        plan = plan_for(venue, market, now_ms - 25 * DAY_MS, now_ms, orders=TRADES, burst=80)
        account, logins[venue] = make_account(venue, market, plan, "bench")
        accounts.append(account)
    world = World(market, accounts)
    with tempfile.TemporaryDirectory() as folder:
        venues = default_venues(world, limits=False)
        server = VenuesServer(world, venues, Path(folder), clock=clock)
        with server, Proxy(server.mapping) as url:
            host, _, port = url.removeprefix("http://").partition(":")
            yield server, (host, int(port)), logins


def _measured(
    venue: str, connector: Connector, since_ms: int, until_ms: int
) -> Iterator[dict[str, Any]]:
    asked = Counter[str]()
    ask = connector.ask

    def counted(call: str, *given: Any) -> Any:
        asked[call] += 1
        return ask(call, *given)

    connector.ask = counted  # type: ignore[method-assign]
    # The stream that has most trades, as far as a thousand of them go.
    streams = [each for each in connector.streams() if "trades" in each.rule or "exec" in each.rule]
    told = {each: _trades(connector, each, since_ms, until_ms) for each in streams}
    busiest = max(told, key=lambda each: len(told[each]))
    asked.clear()
    start = time.perf_counter()
    count = len(_trades(connector, busiest, since_ms, until_ms))
    seconds = (time.perf_counter() - start) * TRADES / count
    name = f"{venue}: a thousand trades ({asked.total()} requests for {count})"
    peer = {"peer": "goal", "peer_value": GOALS[venue], "ratio": GOALS[venue] / seconds}
    yield {"name": name, "unit": "s", "value": seconds, **peer}
    asked.clear()
    start = time.perf_counter()
    for stream in connector.streams():
        list(connector.pages(stream, Cursor(since_ms), until_ms))
    name = (
        f"{venue}: a whole account ({len(connector.streams())} streams, {asked.total()} requests)"
    )
    yield {"name": name, "unit": "s", "value": time.perf_counter() - start}


def _trades(connector: Connector, stream: Stream, since_ms: int, until_ms: int) -> list[Trade]:
    pages = list(connector.pages(stream, Cursor(since_ms), until_ms))
    if any(page.gap for page in pages):
        raise RuntimeError(f"the benchmark's own venue has a gap: {pages[-1].gap}")
    return [event for page in pages for event in page.events if isinstance(event, Trade)]


def _connector(
    venue: str,
    server: VenuesServer,
    proxy: tuple[str, int],
    login: Login,
    slept: list[int] | None = None,
) -> Connector:
    root = ssl.PEM_cert_to_DER_cert(server.ca_path.read_text())
    return Connector(
        venue,
        "test",
        Credentials(account="bench", venue=venue, **asdict(login)),
        [Egress(host, 443, (), (root,)) for host in HOSTS[venue]],
        lambda: socket.create_connection(proxy),
        lambda: time.time_ns() // 10**6,
        (slept if slept is not None else list[int]()).append,
    )


def _many_symbols(market: Market) -> Market:
    """The market with as many more symbols, which nobody trades, as Binance may list."""
    found = [*market.instruments.values()]
    for kind, count in ((Kind.SPOT, SYMBOLS), (Kind.LINEAR, CONTRACTS)):
        there = sum(each.kind is kind for each in found)
        found += [
            Instrument(f"A{number:04}", "USDT", Decimal(2), Decimal("0.01"), Decimal("0.1"), kind)
            for number in range(count - there)
        ]
    return Market(market.seed, found)


def _whole_synchronisation(clock: VenueClock, now_ms: int) -> Iterator[dict[str, Any]]:
    """What a second synchronisation asks of Binance, where each symbol is a stream of its own."""
    market, weights, slept = default_market("bench", now_ms), Counter[str](), list[int]()
    requests, weigh = 0, BinanceDesk.weigh

    def counted(desk: BinanceDesk, call: Any, weight: int) -> dict[str, str]:
        nonlocal requests
        requests += 1
        weights[type(desk).__name__] += weight
        return weigh(desk, call, weight)

    BinanceDesk.weigh = counted  # type: ignore[method-assign, assignment]
    try:
        with _served(_many_symbols(market), ["binance"], now_ms, clock) as (server, proxy, logins):
            session._LISTED.pop("binance", None)  # what another venue of that name had listed
            connector = _connector("binance", server, proxy, logins["binance"], slept)
            connector.check()
            streams = connector.streams()
            if len(streams) < SYMBOLS + CONTRACTS:
                raise RuntimeError(f"only {len(streams)} streams: not all markets were listed")
            cursors = dict.fromkeys(streams, Cursor(now_ms - 25 * DAY_MS))
            for until_ms in (now_ms - 3_600_000, now_ms):
                requests, start = 0, time.perf_counter()
                weights.clear()
                slept.clear()
                for _ in range(2):
                    connector.balances(), connector.positions()
                for stream in streams:
                    for page in connector.pages(stream, cursors[stream], until_ms):
                        cursors[stream] = page.cursor
            seconds = time.perf_counter() - start
            connector.close()
    finally:
        BinanceDesk.weigh = weigh  # type: ignore[method-assign]
    name = f"binance: an hour later, all {SYMBOLS} symbols and {CONTRACTS} contracts"
    yield {"name": f"{name}: requests", "unit": "", "value": requests}
    yield {"name": f"{name}: weight, spot", "unit": "", "value": weights["BinanceSpot"]}
    yield {"name": f"{name}: weight, contracts", "unit": "", "value": weights["BinanceUsdM"]}
    yield {"name": f"{name}: waiting, at ccxt's pace", "unit": "s", "value": sum(slept) / 1_000}
    yield {"name": f"{name}: without waiting", "unit": "s", "value": seconds}


def rows() -> list[dict[str, Any]]:
    """Return two rows per venue: a thousand trades of one stream, and everything of an account.

    And what a synchronisation costs where every symbol has to be asked for.
    """
    clock = VenueClock()
    now, found = clock() - 60_000, list[dict[str, Any]]()
    with _served(default_market("bench", now), GOALS, now, clock) as (server, proxy, logins):
        for venue in GOALS:
            connector = _connector(venue, server, proxy, logins[venue])
            connector.check()
            found += _measured(venue, connector, now - 25 * DAY_MS, now)
            connector.close()
    return [*found, *_whole_synchronisation(clock, now)]
