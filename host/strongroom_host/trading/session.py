"""One session put together: what must be there is checked before the first tick, and explained."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns

from strongroom_wire.manifest import Key, Manifest

from strongroom_host.cli.trading import ClientFolder, Trader, venue_of
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.errors import BadInput
from strongroom_host.latency.stats import Figures, StatsFile
from strongroom_host.owner.statements import key_index
from strongroom_host.relay import ClientLimits, RelayClient
from strongroom_host.relay.heartbeats import Heartbeats
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.waiting import Wait
from strongroom_host.sequences import Sequences
from strongroom_host.store import Journal
from strongroom_host.strategy.decisions import DecisionWriter, SessionRecord
from strongroom_host.strategy.port import Strategy
from strongroom_host.trading.alive import Alive, AliveLimits
from strongroom_host.trading.gate import Gate, GateLimits
from strongroom_host.trading.intents import IntentWriter
from strongroom_host.trading.keeping import prove_kept
from strongroom_host.trading.loop import Said, TradingLoop
from strongroom_host.trading.markets import TradedMarket, parse_markets
from strongroom_host.trading.outlet import DirectOutlet, Outlet
from strongroom_host.trading.path import OrderPath, PathLimits

__all__ = ["RelayWay", "Session", "SessionOptions", "open_session"]

_NEEDED = ("order", "cancel", "query", "heartbeat")


@dataclass(frozen=True, slots=True)
class RelayWay:
    """The relay's address, and the key that it shares with this host."""

    address: tuple[str, int]
    psk: bytes

    def __repr__(self) -> str:
        return f"RelayWay({self.address})"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session is made of; paths default to those in the client's folder.

    `busy_poll` spins on the fast channel and on the ring, for a core each; `keeper` is the socket
    of a log's keeper, and `journal_only` says to go without one.
    """

    ring: str
    strategy: str
    key: str
    markets: Sequence[str]
    client: Path
    enclave: EnclaveAddress
    name: str = "trade"
    strategy_options: Mapping[str, str] = field(default_factory=dict)
    manifest: Path | None = None
    trust: Path | None = None
    relay: RelayWay | None = None
    venue_address: str | None = None
    keeper: Path | None = None
    journal_only: bool = False
    busy_poll: bool = False
    templates: bool = False
    decisions: Path | None = None
    gate: GateLimits = field(default_factory=GateLimits)
    path: PathLimits = field(default_factory=PathLimits)
    alive: AliveLimits = field(default_factory=AliveLimits)


@dataclass(frozen=True, slots=True)
class Session:
    """What is open: the loop, and what a view shows beside it."""

    loop: TradingLoop
    figures: Figures
    alive: Alive
    markets: dict[int, TradedMarket]
    decisions: Path
    taken_over: int


@contextmanager
def open_session(
    options: SessionOptions,
    load: Callable[[str, Mapping[str, str], Sequence[str], Sequence[str]], Strategy],
    hear: Callable[[Said], None] | None = None,
) -> Iterator[Session]:
    """Yields a session that is ready to run.

    Args:
        options: See there.
        load: Returns the strategy of that name, from its options, the ring's instruments and the
            names of those that may be traded.
        hear: Told of everything that happens, as it happens.

    Raises:
        HostError: what is missing or wrong, and what to do about it.
    """
    with ExitStack() as stack:
        wait = Wait.SPIN if options.busy_poll else Wait.BLOCK
        ring = stack.enter_context(
            RingReader.attach(options.ring, consumer=options.name, wait=wait)
        )
        names = ring.instruments.names()
        folder = ClientFolder(options.client)
        trader = stack.enter_context(
            folder.trader(
                options.enclave, options.manifest, options.trust, busy_poll=options.busy_poll
            )
        )
        key = trader.key(options.key)
        needed = (*_NEEDED, "template") if options.templates else _NEEDED
        _check_calls(trader.manifest, ClientIdentity.load(options.client), needed)
        markets = parse_markets(options.markets, names, key)
        traded = [market.name for market in markets.values()]
        strategy = load(options.strategy, options.strategy_options, ["", *names], traded)
        sequences = stack.enter_context(Sequences.open(options.client / "sequences"))
        outlet = _outlet(options, trader, key, sequences, stack)
        kept = None
        if not options.journal_only:
            kept = stack.enter_context(folder.keeper_client(options.keeper))
        journal = stack.enter_context(Journal(folder.journal(trader.evidence)))
        figures = stack.enter_context(StatsFile(options.name))
        path_of_decisions = options.decisions or _decisions_path(options)
        decisions = stack.enter_context(
            DecisionWriter(path_of_decisions, _record(options, strategy, names, ring.position))
        )
        index = key_index(trader.manifest, options.key)
        writer = IntentWriter(index, strategy.model_sha256)
        if kept is not None:
            prove_kept(trader.channel, writer, kept, named=options.keeper is not None)
        path = OrderPath(
            trader.channel,
            writer,
            journal,
            outlet,
            figures,
            options.path,
            kept,
            templates=options.templates,
        )
        alive = _alive(options, path, writer, outlet, figures, index)
        loop = TradingLoop(
            ring,
            strategy,
            markets,
            Gate(options.gate),
            path,
            figures,
            decisions,
            (alive,),
            hear,
        )
        taken_over = path.take_over()
        yield Session(loop, figures, alive, markets, path_of_decisions, taken_over)


def _outlet(
    options: SessionOptions, trader: Trader, key: Key, sequences: Sequences, stack: ExitStack
) -> Outlet:
    if options.relay is None:
        venue = venue_of(trader.manifest, key, options.venue_address)
        venue.open()
        direct = DirectOutlet(venue, monotonic_ns)
        stack.callback(direct.close)
        return direct
    port = next(venue.port for venue in trader.manifest.egress if venue.host == key.venue)
    frame_key = ClientIdentity.load(options.client).frame_public
    client = RelayClient(
        options.relay.address,
        options.relay.psk,
        sequences.block("relay"),
        host=key.venue,
        port=port,
        client_id=hashlib.sha256(frame_key).digest()[:16],
        limits=ClientLimits(spin=options.busy_poll),
    )
    stack.enter_context(client)
    client.open()
    return client


def _alive(
    options: SessionOptions,
    path: OrderPath,
    writer: IntentWriter,
    outlet: Outlet,
    figures: Figures,
    slot: int,
) -> Alive:
    def beat(heartbeat_id: str) -> bytes:
        return path.sign(writer.heartbeat(heartbeat_id), "heartbeat")

    def cancel() -> bytes:
        return path.sign(writer.cancel_all(), "cancel for the relay to hold")

    relay = outlet if isinstance(outlet, RelayClient) else None
    return Alive(Heartbeats(beat, outlet), relay, cancel, figures, options.alive, slot)


def _check_calls(manifest: Manifest, identity: ClientIdentity, needed: Sequence[str]) -> None:
    """Proves that the manifest lets this client do all that a session has to."""
    ours = identity.frame_public.hex()
    client = next((each for each in manifest.clients if each.frame_key == ours), None)
    if client is None:
        raise BadInput(
            "the manifest does not know this client",
            expected=", ".join(each.name for each in manifest.clients),
            actual=ours,
            remedy="use the folder whose card.json went into the manifest",
        )
    missing = [call for call in needed if call not in client.calls]
    if missing:
        raise BadInput(
            f"the manifest does not let {client.name!r} call {', '.join(missing)}",
            expected=", ".join(needed),
            actual=", ".join(client.calls),
            remedy="the owner gives them in the next manifest: orders that rest could neither be"
            " watched nor taken back otherwise",
        )


def _decisions_path(options: SessionOptions) -> Path:
    folder = options.client / "decisions"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    started = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return folder / f"{started}-{time.monotonic_ns() % 1_000_000:06d}-{options.name}.jsonl"


def _record(
    options: SessionOptions, strategy: Strategy, names: Sequence[str], after: int
) -> SessionRecord:
    return SessionRecord(
        strategy.name,
        strategy.model_sha256.hex(),
        dict(strategy.parameters),
        ("", *names),
        f"ring {options.ring}",
        time.time_ns(),
        after=after,
    )
