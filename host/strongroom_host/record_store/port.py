"""The store port: answers the record process, which reaches it through egress, from the database.

The record has no SQL and no driver; it has this protocol (`enclave/strongroom_enclave/record/
state.py`). Nothing here is trusted by it, so what is checked here is checked for an honest host's
sake: that nothing is replaced, and that what readers are shown is what the receipt is about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from strongroom_wire.encoding import pack, uint, unpack, unpack_fields
from strongroom_wire.errors import Malformed, WireError

from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.connections import (
    add_key,
    add_user,
    connect_account,
    keys_of,
)
from strongroom_host.record_store.desk import Desk
from strongroom_host.record_store.errors import (
    AccountUnknown,
    DatabaseRefused,
    DatabaseUnavailable,
    LeaseLost,
    LogUnavailable,
    NumberNotExact,
    PageRefused,
    RowsConflict,
    RowsLeaveGap,
    StatesMissing,
)
from strongroom_host.record_store.port_jobs import PortJobs
from strongroom_host.record_store.queue import JobQueue
from strongroom_host.record_store.rows import ExchangeConnection
from strongroom_host.record_store.staging import stage
from strongroom_host.record_store.store import RecordStore, RowTable, SealedRow

__all__ = ["MAX_MESSAGE", "PageKeeper", "StorePort"]

MAX_MESSAGE: Final = 64 << 20
"""Bytes of a message, either way."""
_ASK: Final = b"strongroom/store/ask/v2"
_TOLD: Final = b"strongroom/store/told/v2"
_PAGE: Final = 16 << 20
_ROWS: Final = 10_000
"""Bytes and rows of an answer to `get`, about."""
_NONE: Final = bytes(32)
"""The root before anything was logged."""
_NAME: Final = 32
_KEY: Final = 16
_NONCE: Final = 12
_OUTCOMES: Final = (
    (RowsConflict, 1),
    (RowsLeaveGap, 2),
    (AccountUnknown, 3),
    (DatabaseUnavailable, 4),
    (LogUnavailable, 4),
    (DatabaseRefused, 5),
    (NumberNotExact, 5),
    (WireError, 6),
    (LeaseLost, 7),
    (PageRefused, 8),
    (StatesMissing, 8),
)
"""What the record is told; 0 is done. The first that fits."""


class PageKeeper(Protocol):
    """Where pages of the record's log go; `origin` is its name."""

    @property
    def origin(self) -> str: ...

    def keep(self, connection: Connection, page: bytes) -> None:
        """Returns when the log has the page's leaves, durably, under its signed head.

        Raises:
            WireError: it is no page.
            PageRefused: they do not continue what is stored, or are not of the boot that runs.
            LogUnavailable: not for now.
            StoreError, DatabaseUnavailable: the database has not got them.
        """


class _NoLog:
    origin = ""

    def keep(self, connection: Connection, page: bytes) -> None:  # noqa: ARG002  the port's shape
        raise PageRefused("this port keeps no log", remedy="serve it with a folder for the log")


class StorePort:
    """The database behind one connection of the record. One thread at a time uses it.

    A job that it leased is this connection's: each later request renews the lease, and it goes
    back to the queue when the connection ends before the job did.
    """

    def __init__(
        self,
        connection: Connection,
        desk: Desk | None = None,
        log: PageKeeper | None = None,
        worker: str = "record",
    ) -> None:
        """`connection` is that of the role `enclave`, in autocommit mode."""
        self._connection, self._store = connection, RecordStore(connection)
        self._desk, self._log = desk or Desk(), log or _NoLog()
        self._queue = JobQueue(connection, worker, self._desk.limits)
        self._jobs = PortJobs(self._queue, self._desk)
        self._joined = False
        self._verbs: dict[bytes, Callable[[list[bytes]], list[bytes]]] = {
            b"put": self._put,
            b"get": self._get,
            b"put-state": self._put_state,
            b"states": self._states,
            b"publish": self._publish,
            b"connect": self._connect,
            b"put-key": self._put_key,
            b"keys": self._keys,
            b"job": self._job,
            b"ended": self._ended,
            b"log": self._keep,
        }

    def answer(self, request: bytes) -> bytes:
        """Returns the answer to a request; a failure is an answer as well."""
        try:
            verb, *fields = unpack(_ASK, request, limit=MAX_MESSAGE) or [b""]
            if verb not in self._verbs:
                raise Malformed("verb", "a known one", verb[:40])
            self._jobs.heard(verb)
            return pack(_TOLD, b"\0", *self._verbs[verb](fields))
        except tuple(kind for kind, _ in _OUTCOMES) as error:
            outcome = next(number for kind, number in _OUTCOMES if isinstance(error, kind))
            return pack(_TOLD, bytes([outcome]))

    @property
    def broken(self) -> bool:
        """Whether the database went away: whoever asks again has to come anew."""
        return self._connection.closed

    def close(self) -> None:
        """Gives a job back that was not ended. The connection to the database stays open."""
        self._jobs.release()
        if self._joined:  # the record has it in its book by now, and can name it
            self._desk.joined()

    def _job(self, fields: list[bytes]) -> list[bytes]:
        lease = self._jobs.next([_text(name) for name in fields])
        return [] if lease is None else [lease.account.encode(), lease.kind.value.encode()]

    def _ended(self, fields: list[bytes]) -> list[bytes]:
        account, code, reason = _sized(fields, None, 8, 8)
        self._jobs.ended(_text(account), uint(code, 8), uint(reason, 8))
        return []

    def _keep(self, fields: list[bytes]) -> list[bytes]:
        [page] = _sized(fields, None)
        self._log.keep(self._connection, page)
        return []

    def _put(self, fields: list[bytes]) -> list[bytes]:
        table, account, first, *rows = _sized(fields, None, None, 8, more=True)
        sealed = [_row(row) for row in rows]
        self._store.put(_table(table), _text(account), uint(first, 8), sealed)
        return []

    def _get(self, fields: list[bytes]) -> list[bytes]:
        table, account, first = _sized(fields, None, None, 8)
        rows, room = list[bytes](), _PAGE
        for row in self._store.get(_table(table), _text(account), uint(first, 8), _ROWS):
            rows.append(row.row_id + row.key_id + row.nonce + row.ciphertext)
            room -= len(rows[-1])
            if room < 0:
                break
        return rows

    def _put_state(self, fields: list[bytes]) -> list[bytes]:
        account, root, sealed = _sized(fields, None, 32, None)
        self._store.put_state(_text(account), root, _row(bytes(_NAME) + sealed))
        self._store.prune_states(_text(account))
        return []

    def _states(self, fields: list[bytes]) -> list[bytes]:
        [root] = _sized(fields, 32)
        found = [] if root == _NONE else self._store.states_at(self._log.origin, root)
        return [
            part
            for state in found
            for part in (state.account.encode(), state.key_id + state.nonce + state.ciphertext)
        ]

    def _publish(self, fields: list[bytes]) -> list[bytes]:
        account, root, *rows = _sized(fields, None, 32, more=True)
        stage(self._connection, _text(account), root, rows)
        return []

    def _connect(self, fields: list[bytes]) -> list[bytes]:
        account, user, venue, environment = map(_text, _sized(fields, None, None, None, None))
        row = ExchangeConnection(
            account=account, user_id=user, venue=venue, environment=environment
        )
        add_user(self._connection, user)
        connect_account(self._connection, row)
        self._queue.follow(account, self._desk.every_s)
        self._queue.revive(account)  # the owner has done what a failure may have asked for
        self._joined = True
        return []

    def _put_key(self, fields: list[bytes]) -> list[bytes]:
        user, key, wrapped = _sized(fields, None, _KEY, None)
        add_user(self._connection, _text(user))
        add_key(self._connection, _text(user), key, wrapped)
        return []

    def _keys(self, fields: list[bytes]) -> list[bytes]:
        [user] = _sized(fields, None)
        return [key.wrapped for key in keys_of(self._connection, _text(user))]


def _sized(fields: list[bytes], *sizes: int | None, more: bool = False) -> list[bytes]:
    return unpack_fields(_ASK, pack(_ASK, *fields), *sizes, more=more, limit=MAX_MESSAGE)


def _text(field: bytes) -> str:
    try:
        return field.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("name", "ASCII", field[:40]) from error


def _table(field: bytes) -> RowTable:
    try:
        return RowTable(_text(field))
    except ValueError as error:
        raise Malformed("table", [table.value for table in RowTable], field[:40]) from error


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    """Returns the name of the key, nonce and ciphertext."""
    if len(sealed) < _KEY + _NONCE + 16:
        raise Malformed("ciphertext", f"{_KEY + _NONCE + 16} bytes or more", len(sealed))
    return sealed[:_KEY], sealed[_KEY : _KEY + _NONCE], sealed[_KEY + _NONCE :]


def _row(row: bytes) -> SealedRow:
    return SealedRow(row[:_NAME], *_split(row[_NAME:]))
