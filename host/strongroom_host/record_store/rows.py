"""Rows of the record's database, one class per table, and the SQL that names them all.

Generated from prisma/schema.prisma by `make prisma`; edit that. What the database
fills in is None in a row that was not read from it.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

__all__ = [
    "AccountState",
    "BalanceSnapshot",
    "CashFlow",
    "DataEncryptionKey",
    "ExchangeConnection",
    "HourlyReturn",
    "JobKind",
    "JobState",
    "LogHead",
    "LogLeaf",
    "LoggedState",
    "ReaderLimit",
    "StagedReturns",
    "SyncJob",
    "SyncStatus",
    "Trade",
    "User",
]


class JobState(StrEnum):
    """Where a synchronisation stands."""

    QUEUED = "QUEUED"
    LEASED = "LEASED"
    DONE = "DONE"
    DEAD = "DEAD"


class JobKind(StrEnum):
    """What a synchronisation fetches."""

    FULL = "FULL"
    INCREMENTAL = "INCREMENTAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whose accounts these are; the name is the one that readers are limited by."""

    TABLE: ClassVar = "users"
    KEY: ClassVar = ("id",)
    GIVEN: ClassVar = ("id",)
    SELECT: ClassVar = 'SELECT "id", "created_at" FROM "users"'
    INSERT: ClassVar = 'INSERT INTO "users" ("id") VALUES (%(id)s)'

    id: str
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeConnection:
    """An account at a venue, by its name in the manifest. Its credentials are in its states,
    encrypted."""

    TABLE: ClassVar = "exchange_connections"
    KEY: ClassVar = ("account",)
    GIVEN: ClassVar = ("account", "user_id", "venue", "environment")
    SELECT: ClassVar = (
        'SELECT "account", "user_id", "venue", "environment", "created_at", "updated_at" '
        'FROM "exchange_connections"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "exchange_connections" ("account", "user_id", "venue", "environment") '
        "VALUES (%(account)s, %(user_id)s, %(venue)s, %(environment)s)"
    )

    account: str
    user_id: str
    venue: str
    environment: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataEncryptionKey:
    """A user's data key, wrapped by the enclave's sealer; retired ones are kept for rows not
    yet rewrapped."""

    TABLE: ClassVar = "data_encryption_keys"
    KEY: ClassVar = ("id",)
    GIVEN: ClassVar = ("id", "user_id", "wrapped", "retired_at")
    SELECT: ClassVar = (
        'SELECT "id", "user_id", "wrapped", "created_at", "retired_at" FROM "data_encryption_keys"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "data_encryption_keys" ("id", "user_id", "wrapped", "retired_at") '
        "VALUES (%(id)s, %(user_id)s, %(wrapped)s, %(retired_at)s)"
    )

    id: bytes
    user_id: str
    wrapped: bytes
    created_at: datetime | None = None
    retired_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A fill, encrypted. `sequence` is the order of arrival, without gaps; `row_id` is computed
    inside."""

    TABLE: ClassVar = "trades"
    KEY: ClassVar = ("account", "sequence")
    GIVEN: ClassVar = ("account", "sequence", "row_id", "key_id", "nonce", "ciphertext")
    SELECT: ClassVar = (
        'SELECT "account", "sequence", "row_id", "key_id", "nonce", "ciphertext" FROM "trades"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "trades" ("account", "sequence", "row_id", "key_id", "nonce", '
        '"ciphertext") VALUES (%(account)s, %(sequence)s, %(row_id)s, %(key_id)s, '
        "%(nonce)s, %(ciphertext)s)"
    )

    account: str
    sequence: int
    row_id: bytes
    key_id: bytes
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CashFlow:
    """A deposit, withdrawal, transfer, funding payment or fee, encrypted; otherwise as
    `trades`."""

    TABLE: ClassVar = "cash_flows"
    KEY: ClassVar = ("account", "sequence")
    GIVEN: ClassVar = ("account", "sequence", "row_id", "key_id", "nonce", "ciphertext")
    SELECT: ClassVar = (
        'SELECT "account", "sequence", "row_id", "key_id", "nonce", "ciphertext" FROM "cash_flows"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "cash_flows" ("account", "sequence", "row_id", "key_id", "nonce", '
        '"ciphertext") VALUES (%(account)s, %(sequence)s, %(row_id)s, %(key_id)s, '
        "%(nonce)s, %(ciphertext)s)"
    )

    account: str
    sequence: int
    row_id: bytes
    key_id: bytes
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What the record process has to remember of an account, encrypted: credentials too. `root`
    is that of all accounts' states once this one counts, which it does from the leaf on that
    has this root; the log's end is compared with it at every boot, so an old state is refused
    there."""

    TABLE: ClassVar = "account_states"
    KEY: ClassVar = ("account", "version")
    GIVEN: ClassVar = ("account", "version", "root", "key_id", "nonce", "ciphertext")
    SELECT: ClassVar = (
        'SELECT "account", "version", "root", "key_id", "nonce", "ciphertext", '
        '"created_at" FROM "account_states"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "account_states" ("account", "version", "root", "key_id", "nonce", '
        '"ciphertext") VALUES (%(account)s, %(version)s, %(root)s, %(key_id)s, %(nonce)s, '
        "%(ciphertext)s)"
    )

    account: str
    version: int
    root: bytes
    key_id: bytes
    nonce: bytes
    ciphertext: bytes
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedState:
    """Which state the leaf of a record's log at this index is about."""

    TABLE: ClassVar = "logged_states"
    KEY: ClassVar = ("origin", "leaf_index")
    GIVEN: ClassVar = ("origin", "leaf_index", "account", "version")
    SELECT: ClassVar = 'SELECT "origin", "leaf_index", "account", "version" FROM "logged_states"'
    INSERT: ClassVar = (
        'INSERT INTO "logged_states" ("origin", "leaf_index", "account", "version") VALUES '
        "(%(origin)s, %(leaf_index)s, %(account)s, %(version)s)"
    )

    origin: str
    leaf_index: int
    account: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedReturns:
    """Rows that the next returns receipt of an account is about, packed; `root` is the one it
    will have. Nobody but the record process sees them before its leaf is in the log, which
    moves them to `hourly_returns`."""

    TABLE: ClassVar = "staged_returns"
    KEY: ClassVar = ("account",)
    GIVEN: ClassVar = ("account", "root", "rows")
    SELECT: ClassVar = 'SELECT "account", "root", "rows", "created_at" FROM "staged_returns"'
    INSERT: ClassVar = (
        'INSERT INTO "staged_returns" ("account", "root", "rows") VALUES (%(account)s, '
        "%(root)s, %(rows)s)"
    )

    account: str
    root: bytes
    rows: bytes
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyReturn:
    """A disclosed period: all that leaves of its hours, after the owner's tier. `encoded` is
    the row as the enclave signed it, `receipt` the receipt that it is row number `position` of,
    `leaf_index` the receipt's place in the record's log; the other columns repeat `encoded` for
    queries."""

    TABLE: ClassVar = "hourly_returns"
    KEY: ClassVar = ("account", "start_ms")
    GIVEN: ClassVar = (
        "account",
        "start_ms",
        "user_id",
        "hours",
        "venue",
        "environment",
        "currency",
        "value",
        "closing",
        "opening",
        "flows",
        "pnl",
        "realised",
        "unrealised",
        "fees",
        "funding",
        "trades",
        "mark_age_ms",
        "flags",
        "encoded",
        "receipt",
        "position",
        "leaf_index",
    )
    SELECT: ClassVar = (
        'SELECT "account", "start_ms", "user_id", "hours", "venue", "environment", '
        '"currency", "value", "closing", "opening", "flows", "pnl", "realised", '
        '"unrealised", "fees", "funding", "trades", "mark_age_ms", "flags", "encoded", '
        '"receipt", "position", "leaf_index", "created_at" FROM "hourly_returns"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "hourly_returns" ("account", "start_ms", "user_id", "hours", "venue", '
        '"environment", "currency", "value", "closing", "opening", "flows", "pnl", '
        '"realised", "unrealised", "fees", "funding", "trades", "mark_age_ms", "flags", '
        '"encoded", "receipt", "position", "leaf_index") VALUES (%(account)s, '
        "%(start_ms)s, %(user_id)s, %(hours)s, %(venue)s, %(environment)s, %(currency)s, "
        "%(value)s, %(closing)s, %(opening)s, %(flows)s, %(pnl)s, %(realised)s, "
        "%(unrealised)s, %(fees)s, %(funding)s, %(trades)s, %(mark_age_ms)s, %(flags)s, "
        "%(encoded)s, %(receipt)s, %(position)s, %(leaf_index)s)"
    )

    account: str
    start_ms: int
    user_id: str
    hours: int
    venue: str
    environment: str
    currency: str
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
    mark_age_ms: int | None
    flags: int
    encoded: bytes
    receipt: bytes
    position: int
    leaf_index: int
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceSnapshot:
    """The equity at the end of a disclosed period: nothing that `hourly_returns` does not say
    too."""

    TABLE: ClassVar = "balance_snapshots"
    KEY: ClassVar = ("account", "at_ms")
    GIVEN: ClassVar = ("account", "at_ms", "user_id", "currency", "equity", "leaf_index")
    SELECT: ClassVar = (
        'SELECT "account", "at_ms", "user_id", "currency", "equity", "leaf_index" FROM '
        '"balance_snapshots"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "balance_snapshots" ("account", "at_ms", "user_id", "currency", '
        '"equity", "leaf_index") VALUES (%(account)s, %(at_ms)s, %(user_id)s, '
        "%(currency)s, %(equity)s, %(leaf_index)s)"
    )

    account: str
    at_ms: int
    user_id: str
    currency: str
    equity: Decimal
    leaf_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJob:
    """A synchronisation to be done. A worker owns it while its lease lasts; `lease` counts the
    leases, so that a worker whose lease was lost cannot end what another one does now. `again`
    is what was asked for meanwhile."""

    TABLE: ClassVar = "sync_jobs"
    KEY: ClassVar = ("id",)
    GIVEN: ClassVar = (
        "account",
        "kind",
        "again",
        "state",
        "priority",
        "attempts",
        "lease",
        "worker",
        "leased_until",
        "error_code",
        "started_at",
        "finished_at",
    )
    SELECT: ClassVar = (
        'SELECT "id", "account", "kind", "again", "state", "priority", "run_after", '
        '"attempts", "lease", "worker", "leased_until", "error_code", "created_at", '
        '"started_at", "finished_at" FROM "sync_jobs"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "sync_jobs" ("account", "kind", "again", "state", "priority", '
        '"attempts", "lease", "worker", "leased_until", "error_code", "started_at", '
        '"finished_at") VALUES (%(account)s, %(kind)s, %(again)s, %(state)s, %(priority)s, '
        "%(attempts)s, %(lease)s, %(worker)s, %(leased_until)s, %(error_code)s, "
        "%(started_at)s, %(finished_at)s)"
    )

    id: int | None = None
    account: str
    kind: JobKind
    again: JobKind | None
    state: JobState = JobState.QUEUED
    priority: int = 0
    run_after: datetime | None = None
    attempts: int = 0
    lease: int = 0
    worker: str | None
    leased_until: datetime | None
    error_code: int | None
    created_at: datetime | None = None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStatus:
    """How the synchronisation of an account goes, and when the next one is due; nothing of what
    it found. It is paused when a job was given up, until somebody revives it."""

    TABLE: ClassVar = "sync_statuses"
    KEY: ClassVar = ("account",)
    GIVEN: ClassVar = (
        "account",
        "every_seconds",
        "last_started_at",
        "last_succeeded_at",
        "last_failed_at",
        "paused",
        "failures",
        "error_code",
    )
    SELECT: ClassVar = (
        'SELECT "account", "every_seconds", "due_at", "last_started_at", '
        '"last_succeeded_at", "last_failed_at", "paused", "failures", "error_code" FROM '
        '"sync_statuses"'
    )
    INSERT: ClassVar = (
        'INSERT INTO "sync_statuses" ("account", "every_seconds", "last_started_at", '
        '"last_succeeded_at", "last_failed_at", "paused", "failures", "error_code") VALUES '
        "(%(account)s, %(every_seconds)s, %(last_started_at)s, %(last_succeeded_at)s, "
        "%(last_failed_at)s, %(paused)s, %(failures)s, %(error_code)s)"
    )

    account: str
    every_seconds: int
    due_at: datetime | None = None
    last_started_at: datetime | None
    last_succeeded_at: datetime | None
    last_failed_at: datetime | None
    paused: bool = False
    failures: int = 0
    error_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLeaf:
    """The leaves of the record's log, as they were received: what a boot continues, a proof
    starts from."""

    TABLE: ClassVar = "log_leaves"
    KEY: ClassVar = ("origin", "index")
    GIVEN: ClassVar = ("origin", "index", "leaf")
    SELECT: ClassVar = 'SELECT "origin", "index", "leaf", "created_at" FROM "log_leaves"'
    INSERT: ClassVar = (
        'INSERT INTO "log_leaves" ("origin", "index", "leaf") VALUES (%(origin)s, '
        "%(index)s, %(leaf)s)"
    )

    origin: str
    index: int
    leaf: bytes
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """Signed heads (checkpoints) of the record's log."""

    TABLE: ClassVar = "log_heads"
    KEY: ClassVar = ("origin", "size")
    GIVEN: ClassVar = ("origin", "size", "note")
    SELECT: ClassVar = 'SELECT "origin", "size", "note", "created_at" FROM "log_heads"'
    INSERT: ClassVar = (
        'INSERT INTO "log_heads" ("origin", "size", "note") VALUES (%(origin)s, %(size)s, %(note)s)'
    )

    origin: str
    size: int
    note: bytes
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLimit:
    """Which users a database role below the gateway may read. A role without a row reads
    nobody."""

    TABLE: ClassVar = "reader_limits"
    KEY: ClassVar = ("role", "user_id")
    GIVEN: ClassVar = ("role", "user_id")
    SELECT: ClassVar = 'SELECT "role", "user_id" FROM "reader_limits"'
    INSERT: ClassVar = (
        'INSERT INTO "reader_limits" ("role", "user_id") VALUES (%(role)s, %(user_id)s)'
    )

    role: str
    user_id: str
