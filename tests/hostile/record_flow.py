"""The record without processes: its own service, the host's own port and database, and bad luck.

Everything between a job and its end is the shipped code. What a test puts around it: connections
that break before or after a request was obeyed, a process that is killed there, a venue in trouble,
owners who connect the account anew, boots that go on with the stored log.
"""

import random
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from io import BufferedRWPair
from itertools import count
from socket import socket
from typing import cast
from unittest.mock import patch

import msgspec
from strongroom_enclave.datakeys import Keys
from strongroom_enclave.messages import Kind as Said
from strongroom_enclave.platform.links import Link, Message
from strongroom_enclave.record import service as service_module
from strongroom_enclave.record.events import Event
from strongroom_enclave.record.service import PURPOSE, Service
from strongroom_enclave.record.state import FLOWS, TRADES, AccountState, Chain, Store
from strongroom_host.contract import sealing
from strongroom_host.contract.roles import role_keys
from strongroom_host.record_store import port as honest
from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.desk import Desk as Jobs
from strongroom_host.record_store.leaves import get_leaves
from strongroom_host.record_store.port import StorePort
from strongroom_host.record_store.queue import JobQueue, Limits
from strongroom_host.record_store.rows import JobKind
from strongroom_host.record_store.staging import settle
from strongroom_wire import manifest
from strongroom_wire.bundle import EMPTY_LOG, Bundle, Role, RoleKeys, hpke_info
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.owners import Statement
from strongroom_wire.pages import LogPage
from strongroom_wire.record import Credentials
from strongroom_wire.statements import Action, OwnerOrder, Permit

from tests.hostile.driver import Desk
from tests.hostile.record_exchange import Exchange, Told
from tests.wire.samples import byte

__all__ = ["Flow", "Killed", "Wire"]

SEALING = byte(0x5E)
_LIMITS = Limits(lease_seconds=3600.0, attempts=1 << 30, first_wait=0.0, longest_wait=0.0)
_DESK = Desk()
_numbers = count()
_WHOLE = 1 << 40


class Killed(BaseException):
    """The process is gone, at this very point. Nothing that it runs may catch this."""


class _Init:
    """Init's end of the link: it tells the record what it is, once."""

    def __init__(self, document: manifest.Manifest, number: int) -> None:
        self.manifest, self._number = document, number
        self.bundle: Bundle | None = None

    def send(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        if kind == Said.REGISTER:
            keys = RoleKeys(Role.RECORD, payload[:32], payload[32:])
            roles = (RoleKeys(Role.INIT, byte(1), byte(2)), keys)
            boot, owners = byte(self._number % 251 + 1), self.manifest.owner_root
            self.bundle = Bundle(boot, owners, byte(3), b"certificate", roles)

    def receive(self, timeout: float | None = None) -> Message:
        assert self.bundle is not None
        document = msgspec.msgpack.encode(self.manifest)
        payload = pack(b"configure", self.bundle.serialise(), document)
        return Message(Said.CONFIGURE, 0, payload)


@dataclass
class Wire:
    """A connection to the store port; what `flow` decides may break it."""

    flow: "Flow"
    port: StorePort
    sent: bytearray = field(default_factory=bytearray)
    answer: bytes = b""
    closed: bool = False

    def write(self, data: bytes) -> None:
        if self.closed:
            raise BrokenPipeError
        self.sent += data

    def flush(self) -> None:
        request, self.sent = bytes(self.sent[4:]), bytearray()
        verb, *fields = unpack(honest._ASK, request, limit=honest.MAX_MESSAGE)
        self.flow.happens(self, verb.decode())
        answer = self.port.answer(request)
        self.answer = len(answer).to_bytes(4) + answer
        if verb == b"ended":
            self.flow.ends.append(int.from_bytes(fields[1]))
        self.flow.happens(self, verb.decode())

    def read(self, size: int) -> bytes:
        data, self.answer = self.answer[:size], self.answer[size:]
        return data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.port.close()  # the host notices, and gives the job back

    def broken(self) -> None:
        """Ends here, as connections do."""
        self.close()
        raise BrokenPipeError


class _Recording(Service):
    """The record's service: its threads are the test's to run, its venue is an `Exchange`."""

    def __init__(self, flow: "Flow", init: _Init) -> None:
        self._flow = flow
        super().__init__(cast(Link, init), cast(socket, None))
        self._workers = []

    def now_ms(self) -> int:
        return self._flow.exchange.now_ms

    def _store(self) -> Store:
        return self._flow.opened()

    def _synchronise(self, store: Store, account: manifest.Account, full: bool) -> None:
        told = Told(self._flow.exchange, self._flow.trouble)
        with (
            patch.object(service_module, "Connector", lambda *_: told),
            patch.object(service_module, "_sleep", lambda _ms: None),
        ):
            super()._synchronise(store, account, full)


class Flow:
    """One account's life: boots, connections, synchronisations, and what `luck` does to them.

    Attributes:
        trouble: What goes wrong at the venue; None is nothing.
        happens: Is called before and after each request of the record is obeyed.
        ends: The codes with which jobs ended.
    """

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        number = next(_numbers)
        self.name, self.exchange, self._connection = f"account-{number}", exchange, connection
        self.trouble: random.Random | None = None
        self.happens: Callable[[Wire, str], None] = lambda _wire, _verb: None
        self.ends: list[int] = []
        self.boots = 0
        self._wires: list[Wire] = []
        spec = manifest.Account(
            *(self.name, f"user-{number}", "binance", "test", "USDT", exchange.since_ms),
            manifest.Tier(hours=1, grid=None),
        )
        changes = {"account": f"flow-{number}", "accounts": (spec,)}
        self.manifest = msgspec.structs.replace(_DESK.manifest, **changes)
        self.origin = log_origin(self.manifest.owner_root, self.manifest.account, Role.RECORD)
        self._jobs = Jobs(_LIMITS, wait_s=0.0, every_s=1 << 30)
        self.service = self.boot()

    # --------------------------------------------------------------- boots

    def boot(self) -> _Recording:
        """Starts the record anew, permitted to go on with what the log ends with."""
        self.boots += 1
        while self._wires:
            self._wires.pop().close()
        init = _Init(self.manifest, self.boots)
        self.service = _Recording(self, init)
        assert init.bundle is not None
        tree, root = Frontier(), bytes(32)
        for data in get_leaves(self._connection, self.origin, 0, 1 << 20):
            tree.append(leaf_hash(data))
            leaf = Leaf.parse(data)
            root = leaf.public if leaf.kind in (Kind.SYNC, Kind.RETURNS) else root
        names = init.bundle.owner_root, byte(3), init.bundle.keys_digest
        permit = Permit(
            *(*names, 1, 0, _WHOLE * 4, Frontier().serialise(), EMPTY_LOG, b"", ()),
            record_log=tree.serialise(),
            record_root=root,
        )
        statement = Statement(permit.serialise(), ()).serialise()
        self.service._permit(pack(b"permit", statement, SEALING))
        return self.service

    def connect(self) -> bool:
        """Has the owners connect the account; returns whether the record took it."""
        bundle = self.service.identity.boot
        sealed = sealing.seal(
            Credentials(self.name, "binance", "key", "secret", "").serialise(),
            role_keys(bundle, Role.RECORD).hpke,
            hpke_info(bundle, Role.RECORD, PURPOSE),
        )
        order = OwnerOrder(Action.CONNECT, bundle.boot_id, byte(3), self.name, sealed)
        try:
            return bool(self.service._connect(order))
        except WireError:
            return False

    def sync(self, kind: JobKind = JobKind.INCREMENTAL) -> int | None:
        """Queues a job and has the record do what it is given; returns the code at its end, None
        where there was none."""
        queue = JobQueue(self._connection, "test", _LIMITS)
        queue.revive(self.name)
        queue.enqueue(self.name, kind)
        before = len(self.ends)
        with suppress(WireError), closing(self.opened()) as store:
            self.service._book.resume(store)
            with patch.object(service_module, "_PAUSE_S", 0):
                self.service._serve(store)
        return self.ends[-1] if len(self.ends) > before else None

    # --------------------------------------------------------- what there is

    def opened(self) -> Store:
        """Returns a new connection of the record to the host."""
        wire = Wire(self, StorePort(self._connection, self._jobs, self, "flow"))
        self._wires.append(wire)
        return Store(cast(BufferedRWPair, wire))

    def keep(self, connection: Connection, page: bytes) -> None:
        """Is the host's log: a leaf is kept with what it makes visible, or not at all."""
        settle(connection, self.origin, LogPage.parse(page).entries)

    @property
    def connected(self) -> bool:
        """Whether the log says that the account was ever connected."""
        leaves = map(Leaf.parse, get_leaves(self._connection, self.origin, 0, 1 << 20))
        return any(leaf.kind is Kind.SYNC for leaf in leaves)

    def events(self) -> list[Event]:
        """Returns every event that is kept, as the record itself reads them back."""
        with closing(self.opened()) as store:
            self.service._book.resume(store)
            keys: Keys = self.service._keys(store, self.manifest.accounts[0].user)
            sealed = self.service._book.states[self.name]
            state = AccountState.open(keys, self.name, sealed)
            sync = state.sync
            found = list[Event]()
            for table, tip in ((TRADES, sync.trades), (FLOWS, sync.flows)):
                chain = Chain(self.name, "binance", "test", table)
                found += chain.read(keys, store.rows(table, self.name), tip, state.counted[table])
                assert chain.tip == tip, "rows beyond the receipt"
        return found

    def published(self) -> list[tuple[object, ...]]:
        """Returns what readers see, without salts."""
        return self._connection.execute(
            "SELECT start_ms, hours, value, closing, opening, flows, pnl, realised, unrealised,"
            " fees, funding, trades, flags FROM hourly_returns WHERE account = %s"
            " ORDER BY start_ms",
            [self.name],
        ).fetchall()
