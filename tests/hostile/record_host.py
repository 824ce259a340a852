"""A host that runs a track record and may do anything to it, around real boots.

Database, store port, log folder and proxy are this test's own and outlive each boot, as they would
a restart of the enclave.
"""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import msgspec
from psycopg.rows import class_row
from strongroom_host.contract.openings import record_in
from strongroom_host.contract.receipts import verify_receipt
from strongroom_host.contract.roles import role_keys
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.keeper import Source
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.openings import Openings
from strongroom_host.log.pull import continued_by
from strongroom_host.log.returns import require_follows
from strongroom_host.log.stored import StoredLog
from strongroom_host.record_serving.kept_log import KeptLog
from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.desk import Desk as Jobs
from strongroom_host.record_store.queue import JobQueue, Limits
from strongroom_host.record_store.rows import JobKind
from strongroom_host.venues.defaults import Login
from strongroom_wire import manifest
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.errors import Code
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.record import Credentials, Receipt, ReturnsReceipt, SyncReceipt
from strongroom_wire.statements import ORDER_DOMAIN, Action, OwnerOrder, Permit

from tests.host.record_store.databases import Database
from tests.host.venues.reach import Proxy
from tests.hostile.driver import Desk, Enclave, now_ms, to_proto
from tests.hostile.record_port import LyingPort
from tests.hostile.recording import Exchanges, Tap

__all__ = [
    "COARSE",
    "EXACT",
    "STORE",
    "RecordBoot",
    "RecordHost",
    "Shown",
    "account",
    "recording_desk",
]

STORE = "store.strongroom:1"
EXACT = manifest.Tier(hours=1, least_trades=0, grid=None)
COARSE = manifest.Tier()
_PURPOSE = b"record-credentials"
_FOREVER_S = 10 * 365 * 86_400
_QUICK = Limits(lease_seconds=300.0, attempts=50, first_wait=0.05, longest_wait=0.5)


def account(
    name: str, venue: str, since_ms: int, tier: manifest.Tier = EXACT, user: str = "ada"
) -> manifest.Account:
    """Returns an account of a test venue, kept in USDT."""
    return manifest.Account(name, user, venue, "test", "USDT", since_ms, tier)


def recording_desk(exchanges: Exchanges, *accounts: manifest.Account) -> Desk:
    """Returns owners whose manifest has these accounts, and lets them reach the local venues."""
    plain = Desk()
    names = [name for name in exchanges.server.names if name.split(".")[1] in _venues(accounts)]
    ways = tuple(manifest.Egress(name, 443, (), (exchanges.root,)) for name in names)
    return plain.but(accounts=accounts, egress=(*plain.manifest.egress, *ways))


def _venues(accounts: tuple[manifest.Account, ...]) -> set[str]:
    return {each.venue for each in accounts}


@dataclass(frozen=True)
class Shown:
    """A disclosed period as a reader of the database finds it."""

    start_ms: int
    hours: int
    value: Decimal | None
    closing: Decimal | None
    opening: Decimal | None
    flows: Decimal | None
    pnl: Decimal | None
    realised: Decimal | None
    unrealised: Decimal | None
    fees: Decimal | None
    funding: Decimal | None
    trades: int | None
    flags: int

    @property
    def money(self) -> list[Decimal]:
        """Every amount that is there, and the return."""
        whole = self.value, self.closing, self.opening, self.flows, self.pnl
        parts = self.realised, self.unrealised, self.fees, self.funding
        return [number for number in (*whole, *parts) if number is not None]


class RecordHost:
    """Everything of a host that outlives a boot. A context manager.

    Attributes:
        port: The store port, which a test may make lie.
        dial: Connects to the host's egress proxy.
        said: What an operator would have been told.
    """

    def __init__(self, database: Database, exchanges: Exchanges, folder: Path, desk: Desk) -> None:
        self.desk = desk
        self.database, self.exchanges, self.folder = database, exchanges, folder
        self.said: list[str] = []
        self.boot: RecordBoot | None = None
        self.state = folder / "state"
        self.log_folder = folder / "record-log"
        self._running = ExitStack()
        self.jobs = Jobs(_QUICK, wait_s=0.5, every_s=_FOREVER_S)
        self.log = self._running.enter_context(
            KeptLog(self.log_folder, self.origin, self._vouched, self.said.append)
        )
        self.port = self._running.enter_context(LyingPort(database.enclave, self.jobs, self.log))
        self.mapping = {**exchanges.server.mapping, STORE: self.port.address}
        where = self._running.enter_context(Proxy(self.mapping)).removeprefix("http://")
        proxy = where.partition(":")[0], int(where.partition(":")[2])
        self.dial = lambda: socket.create_connection(proxy, 10)

    def __enter__(self) -> "RecordHost":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._running.close()

    def start(self, desk: Desk | None = None) -> "RecordBoot":
        """Boots another enclave in the place of the one that runs, if one does."""
        self.stop()
        self.boot = RecordBoot(self, Enclave(self.state), desk or self.desk)
        return self.boot

    @property
    def origin(self) -> str:
        """The name of the record's log."""
        found = self.desk.manifest
        return log_origin(found.owner_root, found.account, Role.RECORD)

    def stop(self) -> None:
        """Ends the boot that runs."""
        if self.boot is not None:
            self.boot.stop()
            self.boot = None

    def sql(self, work: Callable[[Connection], object]) -> object:
        """Returns what a function finds out as the superuser."""
        with self.database.as_admin() as admin:
            return work(admin)

    def count(self, table: str, account: str) -> int:
        """Returns how many rows a table has of an account."""
        query = f"SELECT count(*) FROM {table} WHERE account = %s"
        with self.database.as_admin() as admin:
            found = admin.execute(query.encode(), [account]).fetchone()
        assert found is not None
        return int(found[0])

    def rest(self, within: float = 90) -> None:
        """Returns once no synchronisation runs or is due: one asked for while another ran follows
        it, after a test has seen the first one end."""
        until = time.monotonic() + within
        query = b"SELECT account, state::text FROM sync_jobs WHERE state IN ('QUEUED', 'LEASED')"
        while found := self.sql(lambda admin: admin.execute(query).fetchall()):
            assert time.monotonic() < until, found
            time.sleep(0.05)

    def published(self, account: str) -> list[Shown]:
        """Returns what was disclosed of an account, in order, without its salts and receipts."""
        with (
            self.database.as_admin() as admin,
            admin.cursor(row_factory=class_row(Shown)) as cursor,
        ):
            return cursor.execute(
                "SELECT start_ms, hours, value, closing, opening, flows, pnl, realised, unrealised,"
                " fees, funding, trades, flags FROM hourly_returns WHERE account = %s"
                " ORDER BY start_ms",
                [account],
            ).fetchall()

    def leaves(self) -> list[Leaf]:
        """Returns the record's log as it is stored."""
        log = StoredLog(self.log_folder)
        return [Leaf.parse(entry) for entry in log.reader().entries()] if log.size else []

    def receipts(self, account: str) -> list[Receipt]:
        """Returns an account's receipts in order of the log, after proving both of its chains: none
        is missing, doubled or of a fork."""
        found = list[Receipt]()
        newest: dict[type[Receipt], Receipt] = {}
        parsers: dict[Kind, Callable[[bytes], Receipt]] = {
            Kind.SYNC: SyncReceipt.parse,
            Kind.RETURNS: ReturnsReceipt.parse,
        }
        with Openings(self.log_folder) as openings:
            for leaf in self.leaves():
                if leaf.kind not in parsers:
                    continue
                receipt = parsers[leaf.kind](record_in(leaf, openings.get(leaf.index) or b""))
                if receipt.account == account:
                    require_follows(receipt, newest.get(type(receipt)))
                    newest[type(receipt)] = receipt
                    found.append(receipt)
        return found

    def kinds(self) -> list[str]:
        """Returns the names of the log's leaves, in order."""
        return [leaf.kind.name for leaf in self.leaves()]

    def _vouched(self) -> Source:
        assert self.boot is not None
        boot = self.boot.boot
        stored = StoredBoot(
            boot.enclave.evidence().document,
            boot.bundle.serialise(),
            boot.desk.signed.serialise(),
            now_ms(),
        )
        key = VerifierKey(self.origin, role_keys(boot.bundle, Role.RECORD).receipt)
        return Source(lambda _start: b"", key, stored)


class RecordBoot:
    """One boot, its owners, and the tap on its only way out."""

    def __init__(self, host: RecordHost, enclave: Enclave, desk: Desk) -> None:
        self.host, self.enclave = host, enclave
        try:
            self.tap = Tap(enclave.run / "egress.sock", host.dial)
            self.tap.__enter__()
            self.boot = enclave.configure(desk)
        except BaseException as error:
            enclave.stop()
            raise AssertionError(enclave.console.read_text()[-2000:]) from error

    def stop(self) -> None:
        """Ends it."""
        self.enclave.stop()
        self.tap.__exit__()

    def permit(self, serial: int = 1, **changes: object) -> Permit:
        """Returns the permit that honest owners would issue: for the stored log as it is."""
        log, leaves = StoredLog(self.host.log_folder), self.host.leaves()
        roots = [leaf.public for leaf in leaves if leaf.kind in (Kind.SYNC, Kind.RETURNS)]
        found: Mapping[str, object] = {"share": self.share}
        if log.size:
            frontier = continued_by(log, self.boot.bundle.boot_id).serialise()
            found = {**found, "record_log": frontier, "record_root": (roots or [bytes(32)])[-1]}
        return self.boot.permit(serial, **{**found, **changes})

    @property
    def share(self) -> bytes:
        """The owners' unlock share, the same for every boot, sealed to this one."""
        secret = sha256(b"share of these tests").digest()
        return self.boot.seal(secret, Role.INIT, b"unlock-share")

    def permitted(self, serial: int = 1, **changes: object) -> "RecordBoot":
        """Issues that permit; it must be taken."""
        assert self.boot.submit_permit(self.permit(serial, **changes)) is Code.OK
        return self

    def connect(self, name: str, login: Login, **changes: str) -> Code:
        """Has the owners seal credentials to the record; returns what it answered."""
        (found,) = [each for each in self.boot.desk.manifest.accounts if each.name == name]
        credentials = Credentials(
            found.name, found.venue, login.key, login.secret, login.passphrase
        )
        credentials = msgspec.structs.replace(credentials, **changes)
        sealed = self.boot.seal(credentials.serialise(), Role.RECORD, _PURPOSE)
        return self.order(name, sealed)

    def order(self, name: str, sealed: bytes) -> Code:
        """Submits the owners' order to connect an account with whatever is in `sealed`."""
        bundle, owners = self.boot.bundle, self.boot.desk.owners
        order = OwnerOrder(Action.CONNECT, bundle.boot_id, bundle.manifest_digest, name, sealed)
        statement = owners.sign(ORDER_DOMAIN, order.serialise())
        receipt: pb.Receipt = self.boot.control().SubmitOrder(to_proto(statement), timeout=60)
        code = Code(receipt.code)
        if receipt.signature:
            key, request = role_keys(bundle, Role.RECORD).receipt, statement.serialise()
            verify_receipt(key, bundle.boot_id, request, code, receipt.answer, receipt.signature)
        return code

    def connected(self, name: str, login: Login, *, within: float = 90) -> int:
        """Connects an account, which queues its first synchronisation; returns how that ended."""
        since = len(self.host.port.asked)
        assert self.connect(name, login) is Code.OK
        return self.host.port.ended(name, since=since, within=within)

    def sync(self, name: str, *, full: bool = False, within: float = 90) -> int:
        """Queues a synchronisation and returns the code with which it ended."""
        since = len(self.host.port.asked)
        self.queue(name, JobKind.FULL if full else JobKind.INCREMENTAL)
        return self.host.port.ended(name, since=since, within=within)

    def queue(self, name: str, kind: JobKind = JobKind.INCREMENTAL) -> None:
        """Queues a synchronisation, pause or no pause."""
        with self.host.database.as_enclave() as connection:
            queue = JobQueue(connection, "test", _QUICK)
            queue.revive(name)
            queue.enqueue(name, kind)
