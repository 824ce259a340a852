"""All of it for real: local exchanges, the host's proxy, store port and database, an enclave."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Market, Side, Trade
from strongroom_enclave.record.marks import Candles
from strongroom_host.demo.evidence_chapter import development_trust
from strongroom_host.egress.proxy import EgressProxy
from strongroom_host.enclave_client.bootstrap import (
    BootstrapClient,
    fetch_evidence,
    load_manifest,
)
from strongroom_host.enclave_client.client import EnclaveClient
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.keeper import Source
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.stored import StoredLog
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.manifest_draft import owner_set, parse_client
from strongroom_host.owner.signed import SignedFile
from strongroom_host.owner.statements import RecordHistory, draft_connect, draft_permit
from strongroom_host.record_serving.kept_log import KeptLog
from strongroom_host.record_store.desk import Desk
from strongroom_host.record_store.desk import Event as JobEvent
from strongroom_host.record_store.port_serving import serving
from strongroom_host.record_store.queue import Limits
from strongroom_host.runners.local import LocalRunner
from strongroom_host.trust.record import EvidencePolicy
from strongroom_host.venues.defaults import (
    Login,
)
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Kind as LeafKind
from strongroom_wire.leaves import Leaf
from strongroom_wire.manifest import Account, Egress, Manifest, VerifiedManifest, verify_manifest
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.record import Credentials
from strongroom_wire.statements import OwnerOrder, Permit

from tests.fakes.exchanges import HOUR_MS, LocalExchanges, local_exchanges
from tests.host.record_store.databases import Database

__all__ = ["Exchanges", "Site", "exchanges", "waited"]

STORE = "store.strongroom:1"


class Exchanges(LocalExchanges):
    """Local exchanges, and what really happened there in the record's own words."""

    def egress(self) -> tuple[Egress, ...]:
        names = sorted(name.removesuffix(":443") for name in self.server.mapping)
        real = [name for name in names if name.endswith(("binance.com", "bybit.com"))]
        return tuple(Egress(name, 443, (), (self.root,)) for name in real)

    def events(self, venue: str) -> list[Event]:
        history = self.truth(venue)
        events: list[Event] = [
            Trade(
                fill.time_ms,
                fill.id,
                fill.instrument.symbol,
                Side(fill.side),
                fill.amount,
                fill.price,
                fill.fee,
                fill.fee_asset if fill.fee else "",
            )
            for fill in history.fills
        ]
        for flow in history.flows:
            kind = FlowKind[flow.kind]
            events.append(Flow(flow.time_ms, flow.id, flow.asset, flow.amount, kind))
        return events

    def markets(self) -> dict[str, Market]:
        return {
            item.symbol: Market(
                item.symbol, item.base, item.quote, item.settle, Kind[item.kind.name], item.size
            )
            for item in self.server.world.market.instruments.values()
        }

    def marks(self, venue: str, currency: str) -> Candles:
        """From the market itself, as what the venue lists."""
        market, now_ms = self.server.world.market, time.time_ns() // 10**6
        every = market.instruments.values()
        items = {item.symbol: item for item in every if item.delisted_ms is None}
        listed = {symbol: made for symbol, made in self.markets().items() if symbol in items}

        def candles(
            symbol: str, interval_ms: int, start_ms: int, end_ms: int
        ) -> Iterator[tuple[int, Decimal]]:
            until = min(end_ms, now_ms) - interval_ms
            for each in market.candles(items[symbol], start_ms, until, interval_ms, 10_000):
                yield each.start_ms + interval_ms, each.close

        return Candles(candles, listed, currency)


@contextmanager
def exchanges(folder: Path, *venues: str, days: int = 4, orders: int = 60) -> Iterator[Exchanges]:
    with local_exchanges(
        folder, *venues, days=days, orders=orders, seed="service", quiet_ms=2 * HOUR_MS
    ) as made:
        yield Exchanges(made.server, made.logins, made.since_ms)


@dataclass
class Site:
    """One host and its enclave; `boot` starts another one on the same database and log."""

    folder: Path
    database: Database
    venues: Exchanges
    accounts: tuple[Account, ...]
    version: int = 1
    stack: ExitStack = field(default_factory=ExitStack)
    warned: list[str] = field(default_factory=list)
    heard: list[JobEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.owner = OwnerFolder.create(self.folder / "owner", "ada", None)
        owners = owner_set((self.owner.public_key.hex(),), 1)
        calls = "owner,cancel,query,health,log"
        client = parse_client(f"{self.owner.client_path / 'card.json'}={calls}")
        self.manifest = Manifest(
            format="strongroom-manifest/1",
            version=self.version,
            mode="development",
            account="fund",
            genesis=owners,
            owner_changes=(),
            clients=(client,),
            keys=(),
            egress=self.venues.egress(),
            accounts=self.accounts,
            witnesses=(),
            witness_quorum=0,
        )
        unsigned = SignedFile.unsigned(self.manifest.serialise())
        signed = unsigned.signed_by(self.owner.key(lambda: b""), self.manifest.owners())
        self.statement = signed.statement
        self.verified: VerifiedManifest = verify_manifest(self.statement)
        self.origin = log_origin(self.verified.manifest.owner_root, "fund", Role.RECORD)
        self.evidence: VerifiedEvidence | None = None
        self.runner: LocalRunner | None = None

    def __enter__(self) -> Site:
        self.log = KeptLog(self.folder / "log", self.origin, self._vouched, self.warned.append)
        self.stack.enter_context(self.log)
        limits = Limits(lease_seconds=30.0, first_wait=0.2, longest_wait=1.0)
        self.desk = Desk(limits, wait_s=1.0, heard=self.heard.append)
        port = self.stack.enter_context(
            serving(self.database.enclave, desk=self.desk, log=self.log)
        )
        self.mapping = {**self.venues.server.mapping, STORE: port}
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.stack.close()

    def boot(self, number: int) -> None:
        """Starts an enclave, and has it configured; its proxy goes on with it."""
        self.stop()
        self.boots = ExitStack()
        run = self.folder / f"run-{number}"
        self.runner = self.boots.enter_context(LocalRunner(run, self.folder / "state"))
        self.boots.enter_context(_proxying(run / "egress.sock", self.mapping))
        trust = development_trust(Path(self.runner.root_certificate)).pinned_to(self.verified)
        self.policy = EvidencePolicy.pinned(trust)
        with BootstrapClient(self.runner.address.bootstrap) as client:
            load_manifest(client, self.statement, self.policy)
            self.evidence = fetch_evidence(client, self.policy)

    def stop(self) -> None:
        if self.runner is not None:
            self.runner = None
            self.boots.close()

    def permit(self, *, share: bool = True, seconds: int = 3600, serial: int = 1) -> None:
        """Lets the boot go on where the host's log ends."""
        log, root = Frontier(), bytes(32)
        if (self.folder / "log").exists():
            stored = StoredLog(self.folder / "log")
            for index in range(stored.size):
                data = stored.leaf(index)
                log.append(leaf_hash(data))
                leaf = Leaf.parse(data)
                root = leaf.public if leaf.kind in (LeafKind.SYNC, LeafKind.RETURNS) else root
        permit = draft_permit(
            self._evidence(),
            (),
            serial=serial,
            not_after=time.time_ns() // 10**6 + seconds * 1000,
            share=self.owner.share() if share else None,
            record=RecordHistory(log, root=root),
        )
        with self.control() as control:
            control.submit_permit(self.agreed(permit))

    def connect(self, account: str, login: Login | None = None, venue: str = "") -> bytes:
        """Hands in the credentials of an account."""
        venue = venue or next(each.venue for each in self.accounts if each.name == account)
        login = login or self.venues.logins[venue]
        credentials = Credentials(account, venue, login.key, login.secret, login.passphrase)
        with self.control() as control:
            order = draft_connect(self._evidence(), credentials)
            return control.submit_order(self.agreed(order))

    def agreed(self, document: Permit | OwnerOrder):  # type: ignore[no-untyped-def]
        file = SignedFile.unsigned(document.serialise())
        owners = self.verified.owners
        return file.signed_by(self.owner.key(lambda: b""), owners).require_quorum(owners)

    def control(self) -> EnclaveClient:
        assert self.runner is not None
        return EnclaveClient(self._evidence(), self.owner.client(), self.runner.address.control)

    def _evidence(self) -> VerifiedEvidence:
        assert self.evidence is not None
        return self.evidence

    def _vouched(self) -> Source:
        evidence = self._evidence()
        key = VerifierKey(self.origin, evidence.keys(Role.RECORD).receipt)
        parts = evidence.document, evidence.bundle.serialise(), self.statement.serialise()
        return Source(lambda _: b"", key, StoredBoot(*parts, time.time_ns() // 10**6))


@contextmanager
def _proxying(path: Path, mapping: Mapping[str, tuple[str, int]]) -> Iterator[None]:
    proxy = EgressProxy([*mapping], unix_path=path, mapping=mapping)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(10)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def waited(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it came true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return True
        except WireError:
            pass
        time.sleep(0.1)
    return False
