"""`strongroom feed doctor`: would the configured feeds run here, and if not, what is in the way."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from strongroom_host.cli._feed_options import (
    BinanceOption,
    BitcoinLeastOption,
    BitcoinOption,
    CoinbaseOption,
    ConfigOption,
    FeedOptions,
    MetricsOption,
    PolymarketCaOption,
    PolymarketOption,
    PolymarketUrlOption,
    RingOption,
    SlotsOption,
)
from strongroom_host.cli.feed_pins import shown_chain
from strongroom_host.cli.output import print_json, table
from strongroom_host.errors import HostError
from strongroom_host.feeds.config import FeedsConfig, SocketConfig, parse_address
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.feeds.service import make_feeds
from strongroom_host.pins import check
from strongroom_host.ring.errors import RingAbsent
from strongroom_host.ring.layout import check_shape
from strongroom_host.ring.listing import look_at

__all__ = ["Finding", "doctor", "findings"]

_TIMEOUT_S = 5.0
_SKEW_S = 2.0
_PACKAGES = {"picows": True, "uvloop": False, "pyzmq": False}
"""Whether feeds cannot do without it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `state` is ok, note or FAILED; `remedy` says what to do."""

    what: str
    state: str
    detail: str
    remedy: str = ""


class _Nowhere:
    """Takes ticks for none: feeds are made to see whether they can be, not to run."""

    def publish(self, *_fields: int) -> int:
        return 0

    def instrument(self, _name: str, /) -> int:
        return 1


def doctor(
    ring: RingOption = "",
    config: ConfigOption = None,
    polymarket: PolymarketOption = None,
    polymarket_url: PolymarketUrlOption = "",
    polymarket_ca: PolymarketCaOption = "",
    binance: BinanceOption = None,
    coinbase: CoinbaseOption = None,
    bitcoin: BitcoinOption = None,
    bitcoin_least: BitcoinLeastOption = "",
    slots: SlotsOption = 0,
    metrics: MetricsOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Look at what would be in the way of `feed run` with the same options: packages, names,
    connections, certificates, pins, clock, ring. Exit status 5 on a failure.
    """
    chosen = FeedOptions(
        ring,
        polymarket or [],
        polymarket_url,
        polymarket_ca,
        binance or [],
        coinbase or [],
        bitcoin or [],
        bitcoin_least,
        slots,
        metrics,
    ).over(config)
    found = list(findings(chosen))
    if as_json:
        keys = ("what", "state", "detail", "remedy")
        print_json([{key: getattr(item, key) for key in keys} for item in found])
    else:
        rows = [(item.what, item.state, item.detail, item.remedy) for item in found]
        table("feeds", ["what", "", "found", "do"], rows)
    if any(item.state == "FAILED" for item in found):
        raise typer.Exit(5)


def findings(config: FeedsConfig) -> Iterator[Finding]:
    """What there is to say, one thing after another; looks at the network as it goes."""
    for package, needed in _PACKAGES.items():
        try:
            yield Finding(f"package {package}", "ok", version(package))
        except PackageNotFoundError:
            state = "FAILED" if needed else "note"
            yield Finding(f"package {package}", state, "missing", "install the extra `trading`")
    sections = (config.polymarket, config.binance, config.coinbase, config.bitcoin)
    if any(section is not None for section in sections):
        yield _guarded("configuration", lambda: _configured(config))
    if config.ring:
        yield _guarded(f"ring {config.ring}", lambda: _ring(config.ring, config.slots))
    if config.metrics:
        yield _guarded("metrics", lambda: _metrics(config.metrics))
    for name in ("polymarket", "binance", "coinbase"):
        section: SocketConfig | None = getattr(config, name)
        if section is not None:
            yield from _socket_findings(name, section)
    if config.bitcoin is not None:
        for address in config.bitcoin.addresses:
            yield _guarded(f"bitcoin {address}", partial(_node, address))


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except HostError as error:
        detail = f"{error.what}{f': {error.actual}' if error.actual is not None else ''}"
        return Finding(what, "FAILED", detail, error.remedy)
    except OSError as error:
        return Finding(what, "FAILED", str(error), "check name, network and firewall")


def _configured(config: FeedsConfig) -> Finding:
    made = make_feeds(config, _Nowhere(), 0)
    return Finding("configuration", "ok", ", ".join(item.feed.name for item in made))


def _ring(name: str, slots: int) -> Finding:
    what = f"ring {name}"
    check_shape(slots, 1)
    try:
        facts = look_at(name)
    except RingAbsent:
        return Finding(what, "ok", "the name is free")
    if facts.alive:
        pid = facts.producer.pid
        remedy = "stop it, or give another --ring: a ring has one producer"
        return Finding(what, "FAILED", f"process {pid} writes to it", remedy)
    if facts.shape.slots != slots:
        remedy = f"`strongroom ring remove {name}`, or --slots {facts.shape.slots}"
        return Finding(what, "FAILED", f"one of {facts.shape.slots} slots was left", remedy)
    return Finding(what, "ok", "one that was left will be taken over")


def _metrics(address: str) -> Finding:
    where = parse_address(address)
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    with socket.create_server(where, family=family):
        return Finding("metrics", "ok", f"{address} can be listened on")


def _socket_findings(name: str, section: SocketConfig) -> Iterator[Finding]:
    try:
        endpoint = section.endpoint()
    except HostError as error:
        yield Finding(name, "FAILED", error.what, error.remedy or f"expected {error.expected}")
        return
    if not endpoint.secure:
        yield _guarded(f"{name} connection", lambda: _plain(f"{name} connection", endpoint))
        return
    yield _guarded(f"{name} certificate", lambda: _certificate(name, endpoint))
    if endpoint.pins is None:
        remedy = f"`strongroom feed pins {endpoint.host}`"
        yield Finding(f"{name} pins", "note", "none: any trusted authority will do", remedy)
    elif len(endpoint.pins.pins) == 1:
        yield Finding(f"{name} pins", "note", "one: a rotation of its key will stop the feed")
    yield _guarded(f"{name} clock", lambda: _clock(name, endpoint))


def _plain(what: str, endpoint: Endpoint) -> Finding:
    place = endpoint.address or (endpoint.host, endpoint.port)
    with socket.create_connection(place, timeout=_TIMEOUT_S):
        return Finding(what, "ok", "connects, without TLS")


def _certificate(name: str, endpoint: Endpoint) -> Finding:
    chain = shown_chain(endpoint.host, endpoint.port, endpoint.cafile, endpoint.address)
    detail = f"{len(chain.certificates)} certificates verified"
    if endpoint.pins is not None:
        check(endpoint.pins, chain.certificates)
        detail += ", one of them pinned"
    return Finding(f"{name} certificate", "ok", detail)


def _clock(name: str, endpoint: Endpoint) -> Finding:
    """The host's Date header, which is to the second, against this machine's clock."""
    place = endpoint.address or (endpoint.host, endpoint.port)
    context = endpoint.context()
    if context is None:
        return Finding(f"{name} clock", "note", "no TLS, no time")
    asked = f"HEAD / HTTP/1.1\r\nHost: {endpoint.host}\r\nConnection: close\r\n\r\n"
    with (
        socket.create_connection(place, timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=endpoint.host) as tls,
    ):
        before = time.time()
        tls.sendall(asked.encode())
        head = tls.recv(16 * 1024).decode("latin-1")
    dates = [line[5:] for line in head.splitlines() if line.lower().startswith("date:")]
    try:
        said = parsedate_to_datetime(dates[0]).timestamp()
    except (IndexError, ValueError, TypeError):
        return Finding(f"{name} clock", "note", "the host tells no time")
    apart = said - before
    if -_SKEW_S <= apart <= _SKEW_S:
        return Finding(f"{name} clock", "ok", "agrees with the host's to the second")
    remedy = "run a time service (chrony, systemd-timesyncd)"
    return Finding(f"{name} clock", "FAILED", f"the host's is {apart:+.0f} s from it", remedy)


def _node(address: str) -> Finding:
    what = f"bitcoin {address}"
    if address.startswith("ipc://"):
        path = Path(address.removeprefix("ipc://"))
        state = "ok" if path.exists() else "FAILED"
        return Finding(what, state, "is there" if path.exists() else "no such socket")
    host, port = parse_address(address.removeprefix("tcp://"))
    with socket.create_connection((host, port), timeout=_TIMEOUT_S) as node:
        node.settimeout(_TIMEOUT_S)
        greeting = node.recv(10)
    if greeting[:1] != b"\xff" or greeting[9:10] != b"\x7f":
        return Finding(what, "FAILED", "something else answers", "see the node's zmqpubrawtx")
    return Finding(what, "ok", "speaks ZMTP")
