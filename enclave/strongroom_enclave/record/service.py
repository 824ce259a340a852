"""The record process: one thread answers init, the others ask the host what to synchronise.

The first never waits for a venue. What the others do ends in a code for the host, whatever happens:
texts hold what an account holds, so none leaves. What all have in common is behind one lock. The
host leases accounts; if it leases one twice, the book takes what comes first.
"""

import sys
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from functools import partial
from secrets import token_bytes
from threading import Thread
from typing import Final

from strongroom_wire import bundle, encoding, leaves, manifest, pages, record, statements
from strongroom_wire.errors import Code, WireError

from strongroom_enclave.datakeys import DataKey, Keys
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform import Socket, hardening, links
from strongroom_enclave.record.connectors.connector import Connector
from strongroom_enclave.record.connectors.rules import VenueFault
from strongroom_enclave.record.errors import CredentialsSwapped, StoreBroken
from strongroom_enclave.record.state import AccountState, Book, Store
from strongroom_enclave.record.sync import Run, following
from strongroom_enclave.role import RoleProcess

# What an owner seals credentials to the record's HPKE key for.
PURPOSE: Final = b"record-credentials"
_STORE: Final = "store.strongroom", 1
_TIMEOUT_S: Final = 60
_PAUSE_S: Final = 1
_WORKERS: Final = 4
# Venues and the host decide how much they send; what is short of it are accounts of this process.
_MEMORY: Final = 1 << 30


class Service(RoleProcess):
    """The record's state: that of its role, and the book."""

    def __init__(self, link: links.Link, passed: Socket) -> None:
        """`passed` is where init passes connections to the host's proxy."""
        super().__init__(link, bundle.Role.RECORD)
        self._dial = links.Dialler(partial(link.send, Kind.DIAL), passed)
        self._accounts = {account.name: account for account in self.manifest.accounts}
        self._book, self._sealing = Book(self.ledger, self.now_ms), b""
        self._came = {name: list[bytes]() for name in self._accounts}  # orders to connect it
        self._workers = [Thread(target=self._work, daemon=True) for _ in range(_WORKERS)]

    @property
    def head(self) -> bundle.LogHead:
        """The head of the log as far as the host has it."""
        return self._book.head

    def run(self) -> None:
        """Serves until init's link closes, which ends this process and its keys."""
        while True:
            kind, number, payload = self.link.receive()
            match kind:
                case Kind.ANCHOR:
                    self.anchor(payload)
                case Kind.PERMIT:
                    self._permit(payload)
                case Kind.SUBMIT_ORDER:
                    self.order(number, payload, self._accounts, self._connect)
                case _:
                    raise links.LinkClosed(f"init sent kind {kind}")

    def _permit(self, payload: bytes) -> None:
        with self._book.lock:
            permit, sealing = self.permitted(payload)
            self._book.permit(permit)
        self._sealing = sealing or self._sealing
        while self._workers:
            self._workers.pop().start()

    def _connect(self, order: statements.OwnerOrder) -> bytes:
        """Takes an account's credentials, and makes a new key to keep its state under."""
        account = self._accounts[order.key]
        name, place = account.name, (account.name, account.venue, account.environment)
        credentials = record.Credentials.parse(self.identity.open(PURPOSE, order.body))
        if (credentials.account, credentials.venue) != place[:2]:
            raise CredentialsSwapped("credentials", "the account's", "another's")
        # One that failed may come again, but not after another: its credentials may be old.
        if order.body in (came := self._came[name])[:-1]:
            raise CredentialsSwapped("credentials", "the newest", "those of an earlier order")
        self._came[name] = [*came, *{order.body}.difference(came)]
        key = DataKey(account.user, token_bytes(32))
        wrapped = key.wrapped(self._sealing, self.manifest.version)
        with closing(self._store()) as store:
            self._book.resume(store)
            if before := self._book.states.get(name):
                state = AccountState.open(self._keys(store, account.user), name, before)
                state.sync = following(state.sync)
            else:
                state = AccountState(credentials, record.SyncReceipt(*place, 0, record.UNCHAINED))
            state = state.connected(credentials, key)
            store.ask("connect", name, account.user, *place[1:])
            store.ask("put-key", account.user, key.id, wrapped)
            entry = self._book.commit(store, before, state, key, leaves.Kind.SYNC)
        return pages.answer_body(b"", entry)

    def _work(self) -> None:
        while True:
            with suppress(Exception), closing(self._store()) as store:
                while True:
                    self._book.resume(store)
                    self._serve(store)
            time.sleep(_PAUSE_S)

    def _serve(self, store: Store) -> None:
        """Asks for a job, and does it."""
        names = [name for name in self._accounts if name in self._book.states]
        job = store.ask("job", *names) if names else []
        if not job or (name := str(job[0], "latin-1")) not in names:
            time.sleep(_PAUSE_S)
            return
        code, reason = Code.OK, 0
        try:
            self._synchronise(store, self._accounts[name], job[1:] == [b"FULL"])
        except StoreBroken:
            raise
        except Exception as error:  # noqa: BLE001  one job must not end more than itself
            code = error.code if isinstance(error, WireError) else Code.INTERNAL
            reason = error.reason if isinstance(error, VenueFault) else 0
        store.ask("ended", name, encoding.u64(code), encoding.u64(reason))

    def _synchronise(self, store: Store, account: manifest.Account, full: bool) -> None:
        run = Run(self._book, store, self._keys(store, account.user), account, self.manifest.mode)
        where = account.venue, account.environment, run.state.credentials, self.manifest.egress
        with closing(Connector(*where, self._dial, self.now_ms, _sleep)) as connector:
            run.run(connector, full, _sleep)

    def _keys(self, store: Store, user: str) -> Keys:
        keys = dict[bytes, DataKey]()
        for wrapped in store.ask("keys", user):
            with suppress(WireError):  # another image's: what is missing shows where it is needed
                key = DataKey.unwrapped(self._sealing, self.manifest.version, user, wrapped)
                keys[key.id] = key
        return keys

    def _store(self) -> Store:
        try:
            with links.open_tunnel(self._dial(), *_STORE, _TIMEOUT_S) as tunnel:
                return Store(tunnel.makefile("rwb"))
        except OSError as error:
            raise StoreBroken("store", "a connection", type(error).__name__) from error


def _sleep(ms: int) -> None:
    time.sleep(ms / 1000)


def main(arguments: Iterable[str]) -> None:
    """Runs the record: link descriptor, descriptor for connections that init passes."""
    descriptor, passed = arguments
    hardening.limit_memory(_MEMORY)
    hardening.harden()
    hardening.confine()
    with suppress(links.LinkClosed):
        Service(links.Link(int(descriptor)), links.inherited(passed)).run()
    sys.exit(0)
