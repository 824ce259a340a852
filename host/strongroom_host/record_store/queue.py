"""Synchronisations as rows: leased by one worker at a time, retried, given up, scheduled.

At most one job of an account waits or is worked on: an index of the database says so, and two
workers never have one account, whatever they believe. A lease ends with its time, by the database's
clock; whoever was killed is noticed when it runs out, and whoever was slow finds it gone and cannot
end what another one does by then. None of that is trusted: two enclaves on one account also break
the account's chain of receipts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from strongroom_host.record_store.connecting import Connection, guarded, transaction
from strongroom_host.record_store.errors import LeaseLost
from strongroom_host.record_store.rows import JobKind

__all__ = ["EXPIRED", "JobQueue", "Lease", "Limits", "Moved"]

EXPIRED: Final = -1
"""The error code of a job whose worker was not heard of again; a worker's own codes are above 0."""

_ENQUEUE: Final = """
INSERT INTO sync_jobs (account, kind, priority, run_after)
VALUES (%(account)s, %(kind)s, %(priority)s, now() + %(after)s * interval '1 second')
ON CONFLICT (account) WHERE state IN ('QUEUED', 'LEASED') DO UPDATE SET
  kind = CASE WHEN sync_jobs.state = 'QUEUED' AND EXCLUDED.kind = 'FULL'
    THEN 'FULL' ELSE sync_jobs.kind END,
  again = CASE WHEN sync_jobs.state = 'QUEUED' THEN NULL
    WHEN sync_jobs.again = 'FULL' THEN 'FULL' ELSE EXCLUDED.kind END,
  priority = greatest(sync_jobs.priority, EXCLUDED.priority),
  run_after = CASE WHEN sync_jobs.state = 'QUEUED'
    THEN least(sync_jobs.run_after, EXCLUDED.run_after) ELSE sync_jobs.run_after END
RETURNING id
"""

_CLAIM: Final = """
WITH next AS (
  SELECT id FROM sync_jobs WHERE state = 'QUEUED' AND run_after <= now()
    AND (%(accounts)s::varchar[] IS NULL OR account = ANY (%(accounts)s::varchar[]))
  ORDER BY priority DESC, run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE sync_jobs AS job SET state = 'LEASED', worker = %(worker)s, lease = job.lease + 1,
    attempts = job.attempts + 1, started_at = now(),
    leased_until = now() + %(seconds)s * interval '1 second'
  FROM next WHERE job.id = next.id
  RETURNING job.id, job.account, job.kind, job.lease, job.attempts
), noted AS (
  UPDATE sync_statuses AS status SET last_started_at = now()
  FROM claimed WHERE status.account = claimed.account
)
SELECT id, account, kind, lease, attempts FROM claimed
"""

# A lease counts while it lasts, even where nobody has taken the job over since.
_HEARTBEAT: Final = """
UPDATE sync_jobs SET leased_until = now() + %(seconds)s * interval '1 second'
WHERE id = %(id)s AND lease = %(lease)s AND state = 'LEASED' AND leased_until > now()
"""

_END: Final = """
UPDATE sync_jobs SET state = %(state)s, worker = NULL, leased_until = NULL, again = NULL,
  error_code = %(code)s, finished_at = now()
FROM (SELECT id AS old_id, again AS wanted FROM sync_jobs WHERE id = %(id)s FOR UPDATE) AS before
WHERE id = old_id AND lease = %(lease)s AND state = 'LEASED' AND leased_until > now()
RETURNING wanted
"""

_BACK: Final = """
UPDATE sync_jobs SET state = 'QUEUED', worker = NULL, leased_until = NULL,
  kind = CASE WHEN again = 'FULL' THEN 'FULL' ELSE kind END, again = NULL,
  attempts = attempts - %(uncount)s, error_code = %(code)s,
  run_after = now() + %(after)s * (0.75 + random() / 2) * interval '1 second'
WHERE id = %(id)s AND lease = %(lease)s AND state = 'LEASED' AND leased_until > now()
"""

_SUCCEEDED: Final = """
UPDATE sync_statuses SET last_succeeded_at = now(), failures = 0, error_code = NULL, paused = false
WHERE account = %(account)s
"""

_FAILED: Final = """
UPDATE sync_statuses SET last_failed_at = now(), failures = failures + 1, error_code = %(code)s,
  paused = paused OR %(dead)s
WHERE account = %(account)s
"""

_EXPIRE: Final = """
WITH gone AS (
  SELECT id, attempts >= %(attempts)s AS dead FROM sync_jobs
  WHERE state = 'LEASED' AND leased_until <= now() FOR UPDATE SKIP LOCKED
), moved AS (
  UPDATE sync_jobs AS job SET
    state = (CASE WHEN dead THEN 'DEAD' ELSE 'QUEUED' END)::job_state,
    kind = CASE WHEN again = 'FULL' THEN 'FULL' ELSE kind END, again = NULL,
    worker = NULL, leased_until = NULL, error_code = %(code)s, run_after = now(),
    finished_at = CASE WHEN dead THEN now() END
  FROM gone WHERE job.id = gone.id RETURNING job.account, dead
), noted AS (
  UPDATE sync_statuses AS status SET last_failed_at = now(), failures = failures + 1,
    error_code = %(code)s, paused = paused OR dead
  FROM moved WHERE status.account = moved.account
)
SELECT count(*) FILTER (WHERE NOT dead), count(*) FILTER (WHERE dead) FROM moved
"""

_SCHEDULE: Final = """
WITH due AS (
  SELECT account, every_seconds, due_at FROM sync_statuses WHERE due_at <= now() AND NOT paused
  ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
), queued AS (
  INSERT INTO sync_jobs (account, kind) SELECT account, 'INCREMENTAL' FROM due
  ON CONFLICT (account) WHERE state IN ('QUEUED', 'LEASED') DO NOTHING RETURNING 1
), moved AS (
  UPDATE sync_statuses AS status SET due_at = due.due_at + due.every_seconds * interval '1 second'
    * (floor(extract(epoch FROM now() - due.due_at) / due.every_seconds) + 1)
  FROM due WHERE status.account = due.account
)
SELECT count(*) FROM queued
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a lease lasts without a heartbeat, and how a failing job is tried again.

    The nth failure waits `first_wait` · 2ⁿ⁻¹ seconds, at most `longest_wait`, a quarter more or
    less by chance, so that what failed together does not come back together. After `attempts` of
    them, or at once if it is hopeless, the job is given up and its account paused.
    """

    lease_seconds: float = 60.0
    attempts: int = 8
    first_wait: float = 5.0
    longest_wait: float = 3600.0

    def wait(self, attempt: int) -> float:
        """Returns the seconds to wait after the failure number `attempt`."""
        return float(min(self.longest_wait, self.first_wait * 2 ** min(attempt - 1, 60)))


@dataclass(frozen=True, slots=True)
class Lease:
    """A job that is this worker's for now. `number` counts the leases of the job."""

    job: int
    account: str
    kind: JobKind
    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What a tick did: jobs that wait again or were given up after their worker went silent, and
    jobs that were due."""

    retried: int
    dead: int
    scheduled: int


class JobQueue:
    """The queue, as one worker or scheduler of that name sees it. One thread at a time uses it."""

    def __init__(self, connection: Connection, worker: str, limits: Limits | None = None) -> None:
        self._connection, self._worker = connection, worker
        self._limits = limits or Limits()

    def follow(self, account: str, every_seconds: int) -> None:
        """Schedules an account: now, and then every so many seconds."""
        self._run(
            "INSERT INTO sync_statuses (account, every_seconds) VALUES (%(account)s, %(every)s)"
            " ON CONFLICT (account) DO UPDATE SET every_seconds = EXCLUDED.every_seconds",
            account=account,
            every=every_seconds,
        )

    def enqueue(
        self, account: str, kind: JobKind, *, priority: int = 0, after_seconds: float = 0.0
    ) -> int:
        """Asks for a synchronisation; returns the number of the job that will do it.

        One that waits already is it, if need be widened. While one runs, another follows it.
        """
        rows = self._run(
            _ENQUEUE, account=account, kind=kind.value, priority=priority, after=after_seconds
        )
        return int(rows[0][0])

    def claim(self, accounts: Sequence[str] | None = None) -> Lease | None:
        """Returns the most urgent job that may run now, as this worker's; None if there is none.

        With `accounts` one of theirs: an enclave syncs those of its own manifest and no others.
        """
        rows = self._run(
            _CLAIM,
            worker=self._worker,
            seconds=self._limits.lease_seconds,
            accounts=None if accounts is None else list(accounts),
        )
        for job, account, kind, number, attempt in rows:
            return Lease(job, account, JobKind(kind), number, attempt)
        return None

    def heartbeat(self, lease: Lease) -> None:
        """Begins the lease's time anew.

        Raises:
            LeaseLost: it had run out.
        """
        with guarded(self._connection) as open_:
            found = open_.execute(
                _HEARTBEAT,
                {"id": lease.job, "lease": lease.number, "seconds": self._limits.lease_seconds},
            )
            self._require(found.rowcount, lease)

    def done(self, lease: Lease) -> None:
        """Ends a job that succeeded; if more was asked for meanwhile, that is queued.

        Raises:
            LeaseLost: the job is no longer this worker's.
        """
        with transaction(self._connection):
            wanted = self._end(lease, "DONE", None)
            self._run(_SUCCEEDED, account=lease.account)
            if wanted is not None:
                self.enqueue(lease.account, wanted)

    def fail(
        self, lease: Lease, code: int, *, hopeless: bool = False, retry_after: float = 0.0
    ) -> bool:
        """Ends a job that failed with a numeric code; returns whether it will be tried again.

        `retry_after` is the least time to wait, in seconds, such as a venue asks for.

        Raises:
            LeaseLost: the job is no longer this worker's.
        """
        dead = hopeless or lease.attempt >= self._limits.attempts
        with transaction(self._connection):
            if dead:
                self._end(lease, "DEAD", code)
            else:
                # Divided by the least that chance makes of it.
                wait = max(self._limits.wait(lease.attempt), retry_after / 0.75)
                self._back(lease, code, wait, uncount=0)
            self._run(_FAILED, account=lease.account, code=code, dead=dead)
        return not dead

    def release(self, lease: Lease) -> None:
        """Gives a job back untried, as a worker does that is told to stop.

        Raises:
            LeaseLost: the job is no longer this worker's.
        """
        with transaction(self._connection):
            self._back(lease, None, 0.0, uncount=1)

    def tick(self, most: int = 1000) -> Moved:
        """Takes jobs back from workers that went silent, and queues what is due.

        Anybody may call it at any time, several at once as well.
        """
        with transaction(self._connection):
            [[retried, dead]] = self._run(_EXPIRE, attempts=self._limits.attempts, code=EXPIRED)
            [[scheduled]] = self._run(_SCHEDULE, most=most)
        return Moved(retried, dead, scheduled)

    def dead_letters(self) -> list[tuple[int, str, int]]:
        """Returns job, account and error code of what was given up and not revived, in order."""
        rows = self._run(
            "SELECT DISTINCT ON (job.account) job.id, job.account, job.error_code"
            " FROM sync_jobs AS job JOIN sync_statuses AS status USING (account)"
            " WHERE job.state = 'DEAD' AND status.paused ORDER BY job.account, job.id DESC"
        )
        return sorted((job, account, code) for job, account, code in rows)

    def revive(self, account: str) -> int:
        """Lifts the pause of an account and queues a job; returns its number."""
        with transaction(self._connection):
            self._run(
                "UPDATE sync_statuses SET paused = false, failures = 0 WHERE account = %(account)s",
                account=account,
            )
            return self.enqueue(account, JobKind.INCREMENTAL)

    def forget(self, older_than_days: int) -> int:
        """Removes ended jobs of more than so many days ago; returns how many."""
        rows = self._run(
            "WITH old AS (DELETE FROM sync_jobs WHERE state IN ('DONE', 'DEAD')"
            " AND finished_at < now() - %(days)s * interval '1 day' RETURNING 1)"
            " SELECT count(*) FROM old",
            days=older_than_days,
        )
        return int(rows[0][0])

    def _end(self, lease: Lease, state: str, code: int | None) -> JobKind | None:
        rows = self._run(_END, id=lease.job, lease=lease.number, state=state, code=code)
        self._require(len(rows), lease)
        wanted = rows[0][0]
        return None if wanted is None else JobKind(wanted)

    def _back(self, lease: Lease, code: int | None, wait: float, *, uncount: int) -> None:
        found = self._connection.execute(
            _BACK,
            {
                "id": lease.job,
                "lease": lease.number,
                "code": code,
                "after": wait,
                "uncount": uncount,
            },
        )
        self._require(found.rowcount, lease)

    def _require(self, rows: int, lease: Lease) -> None:
        if rows != 1:
            raise LeaseLost(
                f"the job {lease.job} is no longer this worker's",
                expected=f"lease {lease.number} of {self._worker}, heard of within"
                f" {self._limits.lease_seconds:g} s",
            )

    def _run(self, text: LiteralString, **values: object) -> list[tuple[Any, ...]]:
        with guarded(self._connection) as open_:
            found = open_.execute(text, values)
            return found.fetchall() if found.description else []
