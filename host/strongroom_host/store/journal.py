"""The durable journal of signed orders: what was about to be sent survives any crash.

SQLite in WAL mode with ``synchronous=FULL``: a call that returned is on disk. A lock file keeps a
second process out, since "sent without outcome" means a crash only if nobody else is sending.
Stored are hashes, digests, states, the venue's words, and what the signer's log says of each
request (leaf and opening), in case the log lost it: no key, no request, but what was decided.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_wire.pages import Entry

from strongroom_host.errors import EnvironmentFault, HostError
from strongroom_host.store.states import (
    SENDABLE,
    TRANSITIONS,
    UNRESOLVED,
    OrderState,
    WrongTransition,
)
from strongroom_host.venue.requests import SignedRequest

__all__ = [
    "AlreadyJournalled",
    "Journal",
    "JournalBroken",
    "JournalBusy",
    "JournalEntry",
    "SequenceReused",
    "Transition",
    "UnknownOrder",
]

_SCHEMA_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE requests (
    sequence INTEGER PRIMARY KEY,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    prepared_ns INTEGER NOT NULL,
    leaf BLOB NOT NULL DEFAULT x'',
    opening BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE TABLE orders (
    order_hash BLOB PRIMARY KEY CHECK (length(order_hash) = 32),
    sequence INTEGER NOT NULL REFERENCES requests (sequence),
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    sent_ns INTEGER,
    updated_ns INTEGER NOT NULL,
    detail TEXT NOT NULL,
    UNIQUE (sequence, position)
) STRICT;
CREATE INDEX orders_by_state ON orders (state);
CREATE TABLE transitions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    order_hash BLOB NOT NULL REFERENCES orders (order_hash),
    before TEXT,
    after TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    detail TEXT NOT NULL
) STRICT;
"""
_FROM_1: Final = """
ALTER TABLE requests ADD COLUMN leaf BLOB NOT NULL DEFAULT x'';
ALTER TABLE requests ADD COLUMN opening BLOB NOT NULL DEFAULT x'';
"""


class JournalBusy(EnvironmentFault):
    """Another process has the journal open."""


class JournalBroken(EnvironmentFault):
    """The journal cannot be read or written, or another version wrote it."""


class AlreadyJournalled(HostError):
    """An order hash is in the journal under another request."""


class SequenceReused(HostError):
    """A sequence number is in the journal with other bytes."""


class UnknownOrder(HostError):
    """The journal knows no order of that hash."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One order. Times are Unix nanoseconds; `sent_ns` is None while nothing ever left."""

    order_hash: bytes
    sequence: int
    digest: bytes
    state: OrderState
    sent_ns: int | None
    updated_ns: int
    detail: str


@dataclass(frozen=True, slots=True)
class Transition:
    """One step in the life of an order; `before` is None for the first."""

    order_hash: bytes
    before: OrderState | None
    after: OrderState
    at_ns: int
    detail: str


class Journal:
    """The journal in one file.

    Opening it recovers from a crash: what was prepared becomes unsent, what was sent without an
    outcome becomes unknown.

    Args:
        path: The database; created with mode 0600 when missing.
        now_ns: Unix nanoseconds, for the records only: no decision rests on them but the age of
            an order that the venue says it never got.

    Raises:
        JournalBusy: another process has it open.
        JournalBroken: it cannot be opened, or is of another version.
    """

    def __init__(self, path: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._lock = _lock(path.with_name(path.name + ".lock"))
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(path, isolation_level=None)
            self._prepare_database(path)
            self._recover()
        except (OSError, sqlite3.Error) as error:
            os.close(self._lock)
            raise JournalBroken(f"cannot use the journal {path}", actual=error) from error
        except JournalBroken:
            os.close(self._lock)
            raise

    def _prepare_database(self, path: Path) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA foreign_keys = ON")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version in (0, 1):
            change = _SCHEMA if version == 0 else _FROM_1
            self._database.executescript(
                f"BEGIN IMMEDIATE; {change} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
            )
        elif version != _SCHEMA_VERSION:
            self._database.close()
            raise JournalBroken(
                f"the journal {path} is of another version",
                expected=_SCHEMA_VERSION,
                actual=version,
            )

    def _recover(self) -> None:
        with self._transaction():
            for entry in list(self._entries("state = ?", OrderState.PREPARED.value)):
                self._move(entry, OrderState.UNSENT, "found prepared at start")
            for entry in list(self._entries("state = ?", OrderState.SENT.value)):
                self._move(entry, OrderState.UNKNOWN, "found sent without an outcome at start")

    def close(self) -> None:
        """Close the file and let the next process in."""
        self._database.close()
        os.close(self._lock)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- writing ------------------------------------------------------------------------------

    def prepare(self, signed: SignedRequest, *, sending: bool = False) -> None:
        """Record a request before anything is done with it.

        The same request again is fine as long as nothing of it ever left this host. With
        `sending`, `mark_sent` is part of the same commit: one wait for the disk instead of two.

        Raises:
            AlreadyJournalled: one of its orders is known from another request, or may have been
                sent.
            SequenceReused: its sequence number belongs to other bytes.
            JournalBroken: it could not be stored; do not send.
        """
        with self._transaction():
            known = self._database.execute(
                "SELECT digest FROM requests WHERE sequence = ?", (signed.sequence,)
            ).fetchone()
            if known is not None:
                self._check_repeat(signed, known[0])
            else:
                self._insert(signed)
            if sending:
                self._move_all((item, OrderState.SENT, "") for item in signed.order_hashes)

    def _insert(self, signed: SignedRequest) -> None:
        now = self._now_ns()
        self._database.execute(
            "INSERT INTO requests VALUES (?, ?, ?, ?, ?)",
            (signed.sequence, signed.digest, now, *signed.entry),
        )
        for position, order_hash in enumerate(signed.order_hashes):
            if self._find(order_hash) is not None:
                raise AlreadyJournalled(f"order 0x{order_hash.hex()} is already journalled")
            self._database.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, NULL, ?, '')",
                (order_hash, signed.sequence, position, OrderState.PREPARED.value, now),
            )
            self._log(order_hash, None, OrderState.PREPARED, now, "")

    def _check_repeat(self, signed: SignedRequest, digest: bytes) -> None:
        if digest != signed.digest:
            raise SequenceReused(
                f"sequence {signed.sequence} is journalled with other bytes",
                expected=digest.hex(),
                actual=signed.digest.hex(),
            )
        entries = list(self._entries("o.sequence = ? ORDER BY position", signed.sequence))
        if tuple(entry.order_hash for entry in entries) != signed.order_hashes:
            raise AlreadyJournalled("the same bytes are journalled with other order hashes")
        for entry in entries:
            if entry.state not in SENDABLE:
                raise AlreadyJournalled(
                    f"order 0x{entry.order_hash.hex()} may have been sent",
                    expected="prepared or unsent",
                    actual=entry.state.value,
                )

    def mark_sent(self, signed: SignedRequest) -> None:
        """Record that the request is about to be sent. Must return before the first byte leaves.

        Raises:
            WrongTransition: one of its orders is not in a state from which it may be sent.
            UnknownOrder: it was not prepared.
            JournalBroken: it could not be stored; do not send.
        """
        self.record((order_hash, OrderState.SENT, "") for order_hash in signed.order_hashes)

    def record(self, changes: Iterable[tuple[bytes, OrderState, str]]) -> None:
        """Move orders to new states, all or none.

        Raises:
            WrongTransition: the table has no such step.
            UnknownOrder: an order was never prepared.
            JournalBroken: it could not be stored.
        """
        with self._transaction():
            self._move_all(changes)

    def _move_all(self, changes: Iterable[tuple[bytes, OrderState, str]]) -> None:
        for order_hash, state, detail in changes:
            self._move(self.get(order_hash), state, detail)

    def _move(self, entry: JournalEntry, state: OrderState, detail: str) -> None:
        if state not in TRANSITIONS[entry.state]:
            expected = sorted(item.value for item in TRANSITIONS[entry.state])
            raise WrongTransition(entry.order_hash, expected, f"{entry.state.value}->{state.value}")
        now = self._now_ns()
        self._database.execute(
            "UPDATE orders SET state = ?, updated_ns = ?, detail = ?,"
            " sent_ns = CASE WHEN ? THEN ? WHEN ? THEN NULL ELSE sent_ns END"
            " WHERE order_hash = ?",
            (
                *(state.value, now, detail),
                *(state is OrderState.SENT, now, state is OrderState.UNSENT),
                entry.order_hash,
            ),
        )
        self._log(entry.order_hash, entry.state, state, now, detail)

    def _log(
        self,
        order_hash: bytes,
        before: OrderState | None,
        after: OrderState,
        at_ns: int,
        detail: str,
    ) -> None:
        self._database.execute(
            "INSERT INTO transitions (order_hash, before, after, at_ns, detail)"
            " VALUES (?, ?, ?, ?, ?)",
            (order_hash, None if before is None else before.value, after.value, at_ns, detail),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalBroken("the journal could not be written", actual=error) from error

    # --- reading ------------------------------------------------------------------------------

    def get(self, order_hash: bytes) -> JournalEntry:
        """One order.

        Raises:
            UnknownOrder: it was never prepared.
        """
        entry = self._find(order_hash)
        if entry is None:
            raise UnknownOrder(f"order 0x{order_hash.hex()} is not in the journal")
        return entry

    def unresolved(self) -> tuple[JournalEntry, ...]:
        """The orders whose outcome must be asked for, oldest first."""
        marks = ", ".join("?" * len(UNRESOLVED))
        values = [state.value for state in UNRESOLVED]
        return tuple(self._entries(f"state IN ({marks}) ORDER BY o.sequence, position", *values))

    def entries(self) -> tuple[JournalEntry, ...]:
        """Every order, by sequence number."""
        return tuple(self._entries("TRUE ORDER BY o.sequence, position"))

    def logged(self) -> Iterator[Entry]:
        """What the signer's log says of each request that it knows, by sequence number."""
        rows = self._database.execute(
            "SELECT leaf, opening FROM requests WHERE length(leaf) > 0 ORDER BY sequence"
        )
        for leaf, opening in rows:
            yield Entry(leaf, opening)

    def history(self, order_hash: bytes) -> tuple[Transition, ...]:
        """Every step of one order, in order."""
        rows = self._database.execute(
            "SELECT before, after, at_ns, detail FROM transitions"
            " WHERE order_hash = ? ORDER BY number",
            (order_hash,),
        )
        return tuple(
            Transition(
                order_hash,
                None if before is None else OrderState(before),
                OrderState(after),
                at_ns,
                detail,
            )
            for before, after, at_ns, detail in rows
        )

    def _find(self, order_hash: bytes) -> JournalEntry | None:
        return next(self._entries("order_hash = ?", order_hash), None)

    def _entries(self, where: str, *values: object) -> Iterator[JournalEntry]:
        # `where` is always a literal of this module; values are bound.
        rows = self._database.execute(
            "SELECT order_hash, o.sequence, digest, state, sent_ns, updated_ns, detail"  # noqa: S608
            f" FROM orders o JOIN requests r ON r.sequence = o.sequence WHERE {where}",
            values,
        )
        for order_hash, sequence, digest, state, sent_ns, updated_ns, detail in rows:
            yield JournalEntry(
                order_hash, sequence, digest, OrderState(state), sent_ns, updated_ns, detail
            )


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalBroken(f"cannot create {path}", actual=error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalBusy(
            f"{path} is held by another process", remedy="one desk per journal"
        ) from error
    return descriptor
