"""Asking for synchronisations, and how they stand: what people and calls want of the queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from strongroom_host.record_store.connecting import Connection, guarded
from strongroom_host.record_store.desk import Event, Stage

__all__ = ["Standing", "accounts_of", "event_of", "standings"]

_STANDINGS: Final = """
SELECT connection.account, connection.user_id, connection.venue, connection.environment,
  job.state::text, job.kind::text, job.attempts, job.run_after, job.error_code AS job_failure,
  job.run_after > now() AS delayed, job.leased_until < now() AS silent,
  status.every_seconds, status.due_at, status.last_started_at, status.last_succeeded_at,
  status.last_failed_at, coalesce(status.paused, false) AS paused,
  coalesce(status.failures, 0) AS failures, status.error_code AS failure
FROM exchange_connections AS connection
LEFT JOIN sync_statuses AS status USING (account)
LEFT JOIN LATERAL (
  SELECT * FROM sync_jobs WHERE account = connection.account ORDER BY id DESC LIMIT 1
) AS job ON true
WHERE %(account)s::varchar IS NULL OR connection.account = %(account)s
ORDER BY connection.account
"""
_STAGES: Final = {"QUEUED": Stage.QUEUED, "LEASED": Stage.STARTED, "DONE": Stage.DONE,
                  "DEAD": Stage.DEAD}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """How the synchronisation of an account stands: its newest job, and what came before.

    Attributes:
        state: Of the newest job; None where there never was one.
        delayed: Whether the newest job is not to be tried yet.
        silent: Whether whoever has it was not heard of for longer than its lease.
        job_failure: Why the newest job failed last, see `failures`.
        failure: Why a synchronisation failed last, unless one succeeded since.
    """

    account: str
    user_id: str
    venue: str
    environment: str
    state: str | None
    kind: str | None
    attempts: int | None
    run_after: datetime | None
    job_failure: int | None
    delayed: bool | None
    silent: bool | None
    every_seconds: int | None
    due_at: datetime | None
    last_started_at: datetime | None
    last_succeeded_at: datetime | None
    last_failed_at: datetime | None
    paused: bool
    failures: int
    failure: int | None


def standings(connection: Connection, account: str | None = None) -> list[Standing]:
    """Returns how all accounts stand that were ever connected, or one of them, as `enclave`."""
    with (
        guarded(connection),
        connection.cursor(row_factory=class_row(Standing)) as cursor,
    ):
        return cursor.execute(_STANDINGS, {"account": account}).fetchall()


def accounts_of(connection: Connection, user: str, venue: str) -> list[str]:
    """Returns a user's accounts, at a venue or, with none named, at all of them."""
    with guarded(connection):
        found = connection.execute(
            "SELECT account FROM exchange_connections WHERE user_id = %(user)s"
            " AND (%(venue)s = '' OR venue = %(venue)s) ORDER BY account",
            {"user": user, "venue": venue},
        ).fetchall()
    return [str(account) for (account,) in found]


def event_of(standing: Standing) -> Event | None:
    """Returns the stage that the database knows of an account's newest job."""
    if standing.state is None:
        return None
    stage, failure = _STAGES[standing.state], standing.job_failure or 0
    if stage is Stage.QUEUED and failure and standing.delayed:
        stage = Stage.RETRYING
    failed = stage in (Stage.RETRYING, Stage.DEAD)
    return Event(standing.account, stage, failure if failed else 0)
