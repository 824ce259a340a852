"""Jobs are leased, lost, retried, given up and scheduled; never two workers on one account."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count

import psycopg
import pytest
from strongroom_host.record_store.connecting import Connection, connect
from strongroom_host.record_store.errors import DatabaseRefused, LeaseLost
from strongroom_host.record_store.queue import EXPIRED, JobQueue, Lease, Limits
from strongroom_host.record_store.rows import JobKind

from tests.conftest import SOAK
from tests.host.record_store.content import KEYS, add_account, two_accounts
from tests.host.record_store.databases import Database

FULL, INCREMENTAL = JobKind.FULL, JobKind.INCREMENTAL
NOW = Limits(lease_seconds=60, attempts=3, first_wait=0)


@dataclass
class Crew:
    """Two workers on one database, and a clock to move on."""

    database: Database
    admin: Connection
    open: ExitStack
    names: Iterator[int] = field(default_factory=count)

    def hire(self, limits: Limits = NOW) -> JobQueue:
        connection = self.open.enter_context(self.database.as_enclave())
        return JobQueue(connection, f"w{next(self.names)}", limits)

    def pass_time(self, seconds: float) -> None:
        """Everything that was to happen is that much nearer."""
        for table, column in [
            ("sync_jobs", "leased_until"),
            ("sync_jobs", "run_after"),
            ("sync_statuses", "due_at"),
            ("sync_jobs", "finished_at"),
        ]:
            self.admin.execute(
                f"UPDATE {table} SET {column} = {column} - {seconds} * interval '1 second'"
            )

    def one(self, text: str) -> object:
        found = self.admin.execute(text).fetchone()
        assert found is not None
        return found[0]


@pytest.fixture
def crew(database: Database) -> Iterator[Crew]:
    with ExitStack() as stack:
        two_accounts(stack.enter_context(database.as_enclave()))
        yield Crew(database, stack.enter_context(database.as_admin()), stack)


def claimed(queue: JobQueue) -> Lease:
    """A job that is due now; a machine's clock may be set back a little after it was asked for."""
    for _ in range(50):
        if (lease := queue.claim()) is not None:
            return lease
        time.sleep(0.1)
    raise AssertionError("nothing is due")


def test_a_job_is_one_worker_s_until_it_is_done(crew: Crew) -> None:
    first, second = crew.hire(), crew.hire()
    job = first.enqueue("ada-spot", FULL)
    lease = claimed(first)
    assert (lease.job, lease.account, lease.kind, lease.attempt) == (job, "ada-spot", FULL, 1)
    assert second.claim() is None
    first.heartbeat(lease)
    first.done(lease)
    assert second.claim() is None
    with pytest.raises(LeaseLost):
        first.done(lease)
    with pytest.raises(LeaseLost):
        first.heartbeat(lease)


def test_the_urgent_goes_first_then_the_older(crew: Crew) -> None:
    queue = crew.hire()
    queue.enqueue("ada-spot", INCREMENTAL)
    queue.enqueue("bob-perp", INCREMENTAL, priority=5)
    crew.pass_time(1)  # both are due, even where the machine's clock is set back a little meanwhile
    assert [claimed(queue).account, claimed(queue).account] == ["bob-perp", "ada-spot"]


def test_a_job_may_be_for_later(crew: Crew) -> None:
    queue = crew.hire()
    queue.enqueue("ada-spot", INCREMENTAL, after_seconds=100)
    assert queue.claim() is None
    queue.enqueue("ada-spot", INCREMENTAL, after_seconds=50)  # the sooner counts
    crew.pass_time(51)
    assert claimed(queue).account == "ada-spot"


def test_asking_twice_is_one_job_of_the_wider_kind(crew: Crew) -> None:
    queue = crew.hire()
    first = queue.enqueue("ada-spot", INCREMENTAL)
    assert queue.enqueue("ada-spot", FULL) == first
    assert queue.enqueue("ada-spot", INCREMENTAL) == first
    assert claimed(queue).kind is FULL
    assert queue.claim() is None


def test_what_is_asked_for_meanwhile_follows(crew: Crew) -> None:
    queue, other = crew.hire(), crew.hire()
    queue.enqueue("ada-spot", INCREMENTAL)
    lease = claimed(queue)
    queue.enqueue("ada-spot", FULL)
    queue.enqueue("ada-spot", INCREMENTAL)
    assert other.claim() is None
    queue.done(lease)
    following = claimed(other)
    assert following.job != lease.job
    assert following.kind is FULL
    other.done(following)
    assert queue.claim() is None


def test_no_constraint_lets_two_jobs_of_an_account_live(crew: Crew) -> None:
    queue = crew.hire()
    queue.enqueue("ada-spot", FULL)
    with pytest.raises(psycopg.errors.UniqueViolation):
        crew.admin.execute("INSERT INTO sync_jobs (account, kind) VALUES ('ada-spot', 'FULL')")
    claimed(queue)
    with pytest.raises(psycopg.errors.UniqueViolation):
        crew.admin.execute("INSERT INTO sync_jobs (account, kind) VALUES ('ada-spot', 'FULL')")


def test_an_account_that_was_never_connected_is_refused(crew: Crew) -> None:
    with pytest.raises(DatabaseRefused):
        crew.hire().enqueue("nobody", FULL)


# --- leases


def test_a_silent_worker_loses_its_job_and_cannot_end_it(crew: Crew) -> None:
    slow, quick = crew.hire(), crew.hire()
    slow.enqueue("ada-spot", INCREMENTAL)
    old = claimed(slow)
    crew.pass_time(61)
    assert quick.claim() is None  # nobody has looked yet
    with pytest.raises(LeaseLost):  # but the lease is over all the same
        slow.done(old)
    moved = quick.tick()
    assert (moved.retried, moved.dead) == (1, 0)
    new = claimed(quick)
    assert (new.job, new.attempt, new.number) == (old.job, 2, old.number + 1)
    for late in (
        lambda: slow.done(old),
        lambda: slow.heartbeat(old),
        lambda: slow.release(old),
        lambda: slow.fail(old, 7),
    ):
        with pytest.raises(LeaseLost):
            late()
    quick.done(new)


def test_a_heartbeat_keeps_a_lease(crew: Crew) -> None:
    queue = crew.hire()
    queue.enqueue("ada-spot", INCREMENTAL)
    lease = claimed(queue)
    for _ in range(3):
        crew.pass_time(50)
        queue.heartbeat(lease)
        assert queue.tick().retried == 0
    queue.done(lease)


def test_a_worker_that_dies_every_time_leaves_a_dead_letter(crew: Crew) -> None:
    queue = crew.hire()
    queue.follow("ada-spot", 3600)
    queue.tick()
    for _ in range(NOW.attempts):
        job = claimed(queue).job
        crew.pass_time(61)
        queue.tick()
    assert queue.claim() is None
    assert queue.dead_letters() == [(job, "ada-spot", EXPIRED)]


_DYING = """
import sys, time
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.queue import JobQueue, Limits
with connect(sys.argv[1], "dying") as connection:
    print(JobQueue(connection, "dying", Limits(lease_seconds=1)).claim().job, flush=True)
    time.sleep(60)
"""


def test_a_killed_worker_s_job_is_done_by_another(crew: Crew) -> None:
    queue = crew.hire()
    job = queue.enqueue("ada-spot", INCREMENTAL)
    command = [sys.executable, "-c", _DYING, crew.database.enclave]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert int(worker.stdout.readline()) == job
        worker.send_signal(signal.SIGKILL)
    while not queue.tick().retried:
        assert queue.claim() is None
        time.sleep(0.05)
    lease = claimed(queue)
    assert (lease.job, lease.attempt) == (job, 2)
    queue.done(lease)


# --- failures


def test_a_failure_waits_longer_each_time_and_is_given_up(crew: Crew) -> None:
    queue = crew.hire(Limits(attempts=4, first_wait=100, longest_wait=150))
    queue.follow("ada-spot", 10**6)
    queue.tick()
    for wait in (100, 150, 150):
        assert queue.fail(claimed(queue), 42)
        crew.pass_time(wait * 0.74)
        assert queue.claim() is None
        crew.pass_time(wait * 0.52)
    assert not queue.fail(claimed(queue), 42)
    assert [code for _, _, code in queue.dead_letters()] == [42]
    crew.pass_time(10**7)
    assert queue.tick().scheduled == 0  # paused: a venue bans those who keep trying wrong keys
    job = queue.revive("ada-spot")
    assert queue.dead_letters() == []
    lease = claimed(queue)
    assert (lease.job, lease.attempt) == (job, 1)


def test_a_hopeless_failure_is_given_up_at_once(crew: Crew) -> None:
    queue = crew.hire()
    queue.follow("ada-spot", 3600)
    queue.tick()
    assert not queue.fail(claimed(queue), 9, hopeless=True)
    assert queue.claim() is None
    assert [code for _, _, code in queue.dead_letters()] == [9]


def test_a_venue_s_own_wait_is_kept(crew: Crew) -> None:
    queue = crew.hire()
    queue.enqueue("ada-spot", INCREMENTAL)
    queue.fail(claimed(queue), 42, retry_after=600)
    crew.pass_time(599)
    assert queue.claim() is None
    crew.pass_time(600 * 5 / 3 - 598)
    assert claimed(queue).attempt == 2


def test_what_is_given_back_was_no_attempt(crew: Crew) -> None:
    queue = crew.hire()
    queue.enqueue("ada-spot", FULL)
    queue.release(claimed(queue))
    assert claimed(queue).attempt == 1


def test_a_full_one_asked_for_meanwhile_survives_a_failure(crew: Crew) -> None:
    queue = crew.hire()
    queue.enqueue("ada-spot", INCREMENTAL)
    lease = claimed(queue)
    queue.enqueue("ada-spot", FULL)
    queue.fail(lease, 1)
    assert claimed(queue).kind is FULL
    queue.enqueue("ada-spot", FULL)
    crew.pass_time(61)
    queue.tick()
    assert claimed(queue).kind is FULL


def test_statuses_say_how_it_goes(crew: Crew) -> None:
    queue = crew.hire()
    queue.follow("ada-spot", 3600)
    queue.tick()
    queue.fail(claimed(queue), 42)
    assert (
        crew.one(
            "SELECT (failures, error_code, last_failed_at IS NOT NULL)::text FROM sync_statuses"
        )
        == "(1,42,t)"
    )
    queue.done(claimed(queue))
    assert (
        crew.one(
            "SELECT (failures, error_code, last_succeeded_at IS NOT NULL)::text FROM sync_statuses"
        )
        == "(0,,t)"
    )


# --- schedule


def test_accounts_are_due_on_a_grid_and_queued_once(crew: Crew) -> None:
    queue, other = crew.hire(), crew.hire()
    queue.follow("ada-spot", 3600)
    queue.follow("bob-perp", 60)
    crew.pass_time(0.01)  # the column's milliseconds are rounded, up as well
    assert queue.tick().scheduled == 2
    assert other.tick().scheduled == 0
    crew.pass_time(3600 * 5 + 10)
    assert other.tick().scheduled == 0  # both wait already
    queue.done(claimed(queue))
    queue.done(claimed(queue))
    assert queue.claim() is None
    # A long pause is one job, not five; the grid stays where it was.
    ahead = "SELECT round(extract(epoch FROM due_at - now())) FROM sync_statuses"
    assert 3500 <= int(str(crew.one(f"{ahead} WHERE account = 'ada-spot'"))) <= 3590


def test_what_ended_long_ago_is_forgotten(crew: Crew) -> None:
    queue = crew.hire()
    queue.enqueue("ada-spot", FULL)
    queue.done(claimed(queue))
    queue.enqueue("bob-perp", FULL)
    assert queue.forget(older_than_days=1) == 0
    crew.pass_time(2 * 86_400)
    assert queue.forget(older_than_days=1) == 1
    assert claimed(queue).account == "bob-perp"


# --- many workers


def test_many_workers_never_have_one_account_at_once(crew: Crew) -> None:
    """Each account is asked for again and again; workers finish, fail, stall and vanish."""
    accounts = [f"a{number}" for number in range(5)]
    with crew.database.as_enclave() as connection:
        for account in accounts:
            add_account(connection, account, "ada", KEYS["ada"])
    rounds = 400 if SOAK else 40
    busy: Counter[str] = Counter()
    lock, faults, finished = threading.Lock(), [], Counter[str]()

    def work(number: int) -> None:
        chance = random.Random(number)  # noqa: S311  # a seeded schedule
        limits = Limits(lease_seconds=30, attempts=10**6, first_wait=0)
        with connect(crew.database.enclave, "test") as connection:
            queue = JobQueue(connection, f"w{number}", limits)
            for _ in range(rounds):
                queue.enqueue(chance.choice(accounts), chance.choice([FULL, INCREMENTAL]))
                lease = queue.claim()
                if lease is None:
                    continue
                with lock:
                    busy[lease.account] += 1
                    if busy[lease.account] > 1:
                        faults.append(lease)
                queue.heartbeat(lease)
                outcome = chance.random()
                with lock:
                    busy[lease.account] -= 1
                if outcome < 0.6:
                    queue.done(lease)
                    finished[lease.account] += 1
                elif outcome < 0.8:
                    queue.fail(lease, 1)
                else:
                    queue.release(lease)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sum(finished.values()) > rounds
    drain = crew.hire()
    while (lease := drain.claim()) is not None:
        drain.done(lease)
    assert crew.one("SELECT count(*) FROM sync_jobs WHERE state <> 'DONE'") == 0
