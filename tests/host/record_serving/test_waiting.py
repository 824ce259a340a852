"""Whoever waits for a synchronisation is told what it waits for, why it failed, and what helps."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from strongroom_host.cli import record_sync
from strongroom_host.record_serving import service as service_module
from strongroom_host.record_serving.waiting import why_it_waits
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.failures import _CODES, REASONS, failure, remedy, shown
from strongroom_host.record_store.queue import JobQueue, Limits
from strongroom_host.record_store.rows import JobKind
from strongroom_wire.errors import Code

from tests.host.cli.world import Machine
from tests.host.record_serving.test_calls import World, _first_job, running
from tests.host.record_store.databases import Database

REFUSED = failure(Code.VENUE_REFUSED, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "record"


@pytest.fixture
def world(database: Database, folder: Path) -> Iterator[World]:
    """A service whose record connected an account, and has gone since."""
    folder.mkdir()
    with running(database, folder) as world:
        with world.record.connection() as port:
            world.record.boot(port)
            world.record.connect(port, "ada")
            _first_job(port, "ada")
        yield world


@pytest.fixture
def queue(database: Database, world: World) -> Iterator[JobQueue]:
    assert world.database is database
    with connect(database.enclave, "test") as open_:
        queue = JobQueue(open_, "test", Limits(lease_seconds=60, attempts=3, first_wait=600))
        queue.enqueue("ada", JobKind.INCREMENTAL)
        yield queue


def test_every_failure_has_something_to_do() -> None:
    numbers = [failure(Code.VENUE_REFUSED, reason) for reason in REASONS]
    numbers += [failure(code) for code in _CODES]
    found = [remedy(number) for number in (*numbers, -1)]
    assert all(found)
    assert not any("strongroom explain" in each for each in found)
    assert remedy(failure(Code.INTERNAL)) == remedy(50_200)
    assert "strongroom explain 502" in remedy(failure(Code.INTERNAL))
    assert "strongroom explain 999" in remedy(99_900)


@pytest.mark.usefixtures("queue")
def test_without_a_service_it_says_so(database: Database, tmp_path: Path) -> None:
    told = why_it_waits(tmp_path / "elsewhere", database.enclave, "ada")
    assert "`strongroom record serve` does not answer" in told
    assert "no such account" in why_it_waits(tmp_path, database.enclave, "eve")


@pytest.mark.usefixtures("queue")
def test_without_an_enclave_that_asks_it_says_what_one_needs(
    world: World, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_HEARD_S", 0.0)  # it asked when the account was connected
    assert "no enclave asks for work" in why_it_waits(folder, database.enclave, "ada")
    monkeypatch.undo()
    with world.record.connection() as port:
        port.send(b"job", b"eve")
        _until(lambda: world.service.status().enclave)
        told = why_it_waits(folder, database.enclave, "ada")
    assert "asks for work, and not for this account" in told


def test_while_it_is_worked_on_it_says_since_when(
    queue: JobQueue, database: Database, folder: Path
) -> None:
    assert queue.claim(["ada"]) is not None
    assert "has worked on it since" in why_it_waits(folder, database.enclave, "ada")


def test_after_a_failure_it_says_which_and_when_it_is_tried_again(
    queue: JobQueue, database: Database, folder: Path
) -> None:
    lease = queue.claim(["ada"])
    assert lease is not None
    assert queue.fail(lease, REFUSED)
    told = why_it_waits(folder, database.enclave, "ada")
    assert "attempt 1 of 8, the next one at " in told
    assert shown(REFUSED) in told
    assert f"do: {remedy(REFUSED)}" in told


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def machine(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Machine:
    class Login:
        def __init__(self, _folder: Path) -> None:
            pass

        def dsn(self, _role: str) -> str:
            return database.enclave

    monkeypatch.setattr(record_sync, "Logins", Login)
    monkeypatch.setattr(record_sync, "served", lambda _folder: nullcontext())
    monkeypatch.setattr(record_sync, "_SILENCE_S", 0.2)
    monkeypatch.setenv("STRONGROOM_RECORD", str(folder))
    return Machine(tmp_path / "m")


def sync(machine: Machine, expect: int, timeout: float = 20, *more: str) -> str:
    done = machine.run(
        *("record", "sync", "ada", "--wait", "--timeout", timeout, *more), expect=expect
    )
    return done.out + done.err


@contextmanager
def works(world: World, code: int, reason: int = 0) -> Iterator[None]:
    """Has the record come for one job, which ends so."""

    def work() -> None:
        with world.record.connection() as port:
            while not port.job(b"ada"):
                pass
            port.ended(b"ada", code, reason)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(20)


def test_time_is_up_and_it_says_why(
    world: World, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.record.ends
    monkeypatch.setattr(service_module, "_HEARD_S", 0.0)
    told = sync(machine, 5, 2)
    assert "ada: queued" in told
    assert "ada: still queued: no enclave asks for work" in told
    assert "was not synchronised within 2 s" in told
    assert told.count("still queued") <= 3, "now and then, and not each moment"
    lines = [json.loads(line) for line in sync(machine, 5, 1, "--json").splitlines() if "{" in line]
    assert {"account": "ada", "stage": "queued"} in lines
    assert any("no enclave asks" in line.get("waits", "") for line in lines)


def test_what_is_tried_again_says_when(world: World, machine: Machine) -> None:
    with works(world, Code.VENUE_REFUSED, 3):
        told = sync(machine, 1)
    assert "ada: failed, to be tried again: the venue could not be reached" in told
    assert "attempt 1 of 8, the next one at " in told
    assert remedy(REFUSED) in told


def test_what_is_given_up_says_what_to_do(world: World, machine: Machine) -> None:
    with works(world, Code.VENUE_NOT_ALLOWED):
        told = sync(machine, 1)
    assert "ada: given up" in told
    assert "given up until `strongroom record revive ada`" in told
    assert "make a key that cannot" in told
    warned = machine.run("record", "status")
    assert "make a key that cannot" in warned.err


def test_an_old_failure_is_not_that_of_what_was_asked_for(
    queue: JobQueue, machine: Machine, folder: Path
) -> None:
    """Without a service the database is all there is: it still has why the job failed before."""
    lease = queue.claim(["ada"])
    assert lease is not None
    queue.fail(lease, REFUSED)
    (folder / "calls.sock").unlink()
    told = sync(machine, 5, 1)
    assert "ada: queued" in told
    assert shown(REFUSED) not in told
    assert queue.claim(["ada"]) is not None


def _until(holds: object) -> None:
    for _ in range(200):
        if holds():  # type: ignore[operator]
            return
        threading.Event().wait(0.02)
    raise AssertionError
