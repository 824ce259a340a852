"""Migrations applied as Prisma would, so that either tool can go on where the other one stopped.

Prisma keeps a table of what it did, with the SHA-256 of each migration's SQL, and holds an advisory
lock meanwhile. Here each migration and its row are one transaction: killed at any moment, it has
happened or it has not. What does not fit is refused before anything is changed.
"""

import hashlib
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg

import strongroom_host
from strongroom_host.record_store.connecting import Connection, connect, statement, transaction
from strongroom_host.record_store.errors import (
    DatabaseOutdated,
    MigrationEdited,
    MigrationFailed,
    MigrationMissing,
    MigrationOutOfOrder,
    MigrationUnreadable,
)

__all__ = ["Migration", "Standing", "apply", "migrations_folder", "read_migrations", "standing"]

_LOCK: Final = 72_707_369
"""The advisory lock that Prisma's engine takes while it migrates."""

_NAME: Final = re.compile(r"\d{14}_[a-z0-9_]{1,64}")

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id" VARCHAR(36) PRIMARY KEY NOT NULL,
    "checksum" VARCHAR(64) NOT NULL,
    "finished_at" TIMESTAMPTZ,
    "migration_name" VARCHAR(255) NOT NULL,
    "logs" TEXT,
    "rolled_back_at" TIMESTAMPTZ,
    "started_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "applied_steps_count" INTEGER NOT NULL DEFAULT 0
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its folder's name and its SQL, exactly as in the file."""

    name: str
    sql: bytes

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL, in hex: what Prisma compares."""
        return hashlib.sha256(self.sql).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a database has had, and what it lacks, both in order."""

    applied: tuple[str, ...]
    pending: tuple[Migration, ...]

    def require_current(self) -> None:
        """Proves that nothing is pending.

        Raises:
            DatabaseOutdated: something is.
        """
        if self.pending:
            raise DatabaseOutdated(
                "the database is of an earlier version",
                expected=self.pending[-1].name,
                actual=self.applied[-1] if self.applied else "an empty database",
                remedy="`strongroom db migrate`",
            )


def migrations_folder() -> Path:
    """Returns the folder of the migrations: prisma/migrations, by a link that wheels follow."""
    return Path(strongroom_host.__file__).resolve().parent / "record_store" / "sql"


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Returns the migrations of a folder laid out as Prisma does, in order.

    Raises:
        MigrationUnreadable: it is not, or not for PostgreSQL.
    """
    try:
        if 'provider = "postgresql"' not in (folder / "migration_lock.toml").read_text("utf-8"):
            raise MigrationUnreadable(f"{folder} is not for PostgreSQL")
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        steps = [Migration(name, (folder / name / "migration.sql").read_bytes()) for name in names]
    except OSError as error:
        raise MigrationUnreadable(
            f"cannot read the migrations: {error.strerror}",
            actual=error.filename,
            remedy="name their folder with --migrations",
        ) from error
    for name in names:
        if not _NAME.fullmatch(name):
            raise MigrationUnreadable(
                "a migration's name is not of the form", expected="YYYYMMDDhhmmss_name", actual=name
            )
    if not steps:
        raise MigrationUnreadable(f"{folder} holds no migration")
    return tuple(steps)


def standing(connection: Connection, steps: tuple[Migration, ...]) -> Standing:
    """Returns what the database has had of `steps`, after proving that they belong together.

    Raises:
        MigrationFailed: one was begun and not finished, by another tool.
        MigrationEdited: a file is not the one that was applied.
        MigrationMissing: one was applied that has no file.
        MigrationOutOfOrder: a file that was not applied comes before one that was.
    """
    rows = _recorded(connection)
    files = {step.name: step for step in steps}
    applied: dict[str, str] = {}
    for name, checksum, finished in rows:
        if not finished:
            raise MigrationFailed(
                f"the migration {name} was begun and never finished",
                remedy="see what it left behind, then `prisma migrate resolve`",
            )
        if name not in files:
            raise MigrationMissing(
                f"the database has had the migration {name}, which has no file here",
                remedy="use the version of this program that it was made with, or a later one",
            )
        if checksum != files[name].checksum:
            raise MigrationEdited(
                f"the migration {name} is not the one that was applied",
                expected=checksum,
                actual=files[name].checksum,
                remedy="restore the file; a change needs a migration of its own",
            )
        applied[name] = checksum
    pending = tuple(step for step in steps if step.name not in applied)
    if applied and pending and pending[0].name < max(applied):
        raise MigrationOutOfOrder(
            f"the migration {pending[0].name} is new and comes before what was applied",
            expected=f"a name after {max(applied)}",
            remedy="give it a later time",
        )
    return Standing(tuple(sorted(applied)), pending)


def apply(dsn: str, steps: tuple[Migration, ...]) -> tuple[str, ...]:
    """Brings a database up to date as the role `migrate`; returns the names of what was applied.

    Two that start at once take turns.

    Raises:
        MigrationFailed: the SQL of one failed; those before it stay applied.
        StoreError: see `standing`.
        DatabaseUnavailable: nobody answers, or another one migrates for a minute already.
    """
    with connect(dsn, "strongroom migrate") as connection:
        with transaction(connection):
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        # The lock is the session's; it ends with the connection, however that ends.
        pending = standing(connection, steps).pending
        if pending:
            connection.execute(_TABLE)
        for step in pending:
            _apply_one(connection, step)
        return tuple(step.name for step in pending)


def _apply_one(connection: Connection, step: Migration) -> None:
    started = datetime.now(UTC)
    try:
        with connection.transaction():
            # Our own file, by its checksum; without parameters it may hold many statements.
            connection.execute(statement(step.sql.decode()))
            connection.execute(
                'INSERT INTO "_prisma_migrations" (id, checksum, finished_at, migration_name,'
                " started_at, applied_steps_count) VALUES (%s, %s, clock_timestamp(), %s, %s, 1)",
                [str(uuid.uuid4()), step.checksum, step.name, started],
            )
    except (psycopg.Error, UnicodeDecodeError) as error:
        raise MigrationFailed(
            f"the migration {step.name} failed, and nothing of it was kept",
            actual=str(error).strip(),
            remedy="`strongroom db init` makes the roles and the database that it needs",
        ) from error


def _recorded(connection: Connection) -> list[tuple[str, str, bool]]:
    """Returns (name, checksum, finished) of each, oldest first; those rolled back do not count."""
    with transaction(connection):
        there = connection.execute("SELECT to_regclass('_prisma_migrations')").fetchone()
        if there is None or there[0] is None:
            return []
        return [
            (name, checksum, finished)
            for name, checksum, finished in connection.execute(
                "SELECT migration_name, checksum, finished_at IS NOT NULL"
                ' FROM "_prisma_migrations" WHERE rolled_back_at IS NULL ORDER BY started_at'
            )
        ]
