"""Jobs at the store port: leased to a connection, its while it is heard of, and given back."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from strongroom_host.record_store import desk as desk_module
from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.desk import Desk, Event, Stage
from strongroom_host.record_store.failures import failure, shown
from strongroom_host.record_store.port_serving import serving
from strongroom_host.record_store.queue import JobQueue, Limits
from strongroom_host.record_store.rows import JobKind
from strongroom_wire.encoding import u64
from strongroom_wire.errors import Code

from tests.host.record_store.content import KEYS, add_account, two_accounts
from tests.host.record_store.databases import Database
from tests.host.record_store.speaking import DONE, LOST, UNAVAILABLE, Record

QUICK = Limits(lease_seconds=60, attempts=3, first_wait=0)


@dataclass
class Port:
    where: tuple[str, int]
    desk: Desk
    queue: JobQueue
    admin: Connection
    events: list[Event] = field(default_factory=list)

    @contextmanager
    def record(self) -> Iterator[Record]:
        with (
            socket.create_connection(self.where, timeout=20) as sock,
            sock.makefile("rwb") as stream,
        ):
            yield Record(stream)

    def state(self, account: str) -> str:
        found = self.admin.execute(
            "SELECT state::text FROM sync_jobs WHERE account = %s ORDER BY id DESC LIMIT 1",
            [account],
        ).fetchone()
        return "" if found is None else str(found[0])

    def until(self, account: str, state: str) -> None:
        for _ in range(200):
            if self.state(account) == state:
                return
            time.sleep(0.05)
        raise AssertionError(self.state(account))


@pytest.fixture
def port(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Port]:
    monkeypatch.setattr(desk_module, "_TICK_S", 0.0)
    events: list[Event] = []
    desk = Desk(QUICK, wait_s=0.3, heard=events.append)
    with (
        database.as_enclave() as connection,
        database.as_admin() as admin,
        serving(database.enclave, desk=desk) as where,
    ):
        two_accounts(connection)
        yield Port(where, desk, JobQueue(connection, "test", QUICK), admin, events)


def test_a_job_is_handed_out_once_and_ended(port: Port) -> None:
    port.queue.enqueue("ada-spot", JobKind.FULL)
    with port.record() as one, port.record() as two:
        assert one.job(b"ada-spot", b"bob-perp") == [b"ada-spot", b"FULL"]
        assert two.job(b"ada-spot", b"bob-perp") == []
        assert one.ended(b"ada-spot") == DONE
        assert port.state("ada-spot") == "DONE"
        assert [(e.stage, e.failure) for e in port.events] == [(Stage.STARTED, 0), (Stage.DONE, 0)]


def test_only_its_own_accounts_are_an_enclave_s(port: Port) -> None:
    port.queue.enqueue("ada-spot", JobKind.FULL)
    with port.record() as record:
        assert record.job(b"bob-perp", b"eve") == []
        assert record.job() == []
        assert record.job(b"bob-perp", b"ada-spot") == [b"ada-spot", b"FULL"]


def test_whoever_waits_is_given_what_comes(port: Port) -> None:
    port.desk._wait_s = 10.0
    with port.record() as record:
        record.send(b"job", b"ada-spot")
        threading.Timer(0.3, port.queue.enqueue, ["ada-spot", JobKind.INCREMENTAL]).start()
        assert record.answer() == (DONE, [b"ada-spot", b"INCREMENTAL"])


def test_a_connection_that_ends_gives_its_job_back(port: Port) -> None:
    port.queue.enqueue("ada-spot", JobKind.FULL)
    with port.record() as record:
        assert record.job(b"ada-spot")
    port.until("ada-spot", "QUEUED")
    with port.record() as record:
        assert record.job(b"ada-spot") == [b"ada-spot", b"FULL"]
        assert record.ended(b"ada-spot") == DONE
    assert port.events[-1] == Event("ada-spot", Stage.DONE)


def without_database(port: Port) -> None:
    """Breaks what each connection of the port has to the database."""
    port.admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'strongroom store port'"
    )


@pytest.mark.parametrize("ending", [True, False], ids=["at its end", "amid it"])
def test_a_job_whose_connection_lost_the_database_is_had_again_at_once(
    ending: bool, port: Port
) -> None:
    """It could not be given back where it was had, and its lease lasts a minute here."""
    port.queue.enqueue("ada-spot", JobKind.FULL)
    with port.record() as record:
        assert record.job(b"ada-spot") == [b"ada-spot", b"FULL"]
        without_database(port)
        if ending:
            assert record.ended(b"ada-spot") == UNAVAILABLE
        else:
            assert record.ask(b"keys", b"user")[0] == UNAVAILABLE
    port.until("ada-spot", "QUEUED")
    with port.record() as record:
        assert record.job(b"ada-spot") == [b"ada-spot", b"FULL"]
        assert record.ended(b"ada-spot") == DONE
    assert port.state("ada-spot") == "DONE"


def test_whoever_asks_for_the_next_one_has_given_up_the_last(port: Port) -> None:
    for account in ("ada-spot", "bob-perp"):
        port.queue.enqueue(account, JobKind.FULL)
    with port.record() as record:
        assert record.job(b"ada-spot")
        assert record.job(b"bob-perp")
        assert port.state("ada-spot") == "QUEUED"
        assert record.ended(b"ada-spot") == LOST
        assert record.ended(b"bob-perp") == DONE


def test_every_request_renews_the_lease(port: Port) -> None:
    port.queue.enqueue("ada-spot", JobKind.FULL)
    with port.record() as record:
        record.job(b"ada-spot")
        port.admin.execute("UPDATE sync_jobs SET leased_until = now() + interval '2 seconds'")
        port.desk.limits = Limits(lease_seconds=0)  # how often is a matter of the limits
        assert record.ask(b"get", b"trades", b"ada-spot", u64(0)) == (DONE, [])
        left = port.admin.execute(
            "SELECT extract(epoch FROM leased_until - now()) FROM sync_jobs"
        ).fetchone()
        assert left is not None
        assert left[0] > 30
        assert port.desk.stage("ada-spot") == Event("ada-spot", Stage.READING)


def test_a_lease_lasts_while_its_connection_stands_and_is_silent(
    database: Database,
) -> None:
    desk = Desk(Limits(lease_seconds=4), wait_s=0.3)  # and it is renewed each second
    with (
        database.as_enclave() as connection,
        database.as_admin() as admin,
        serving(database.enclave, desk=desk) as where,
    ):
        two_accounts(connection)
        queue = JobQueue(connection, "test")
        queue.enqueue("ada-spot", JobKind.FULL)
        port = Port(where, desk, queue, admin)
        with port.record() as record, port.record() as other:
            record.job(b"ada-spot")
            until = time.monotonic() + 6
            while time.monotonic() < until:
                assert other.job(b"ada-spot") == []
            assert record.ended(b"ada-spot") == DONE


def test_a_lease_that_ran_out_is_told(port: Port) -> None:
    port.queue.enqueue("ada-spot", JobKind.FULL)
    port.desk.limits = Limits(lease_seconds=0)
    with port.record() as record, port.record() as other:
        record.job(b"ada-spot")
        port.admin.execute("UPDATE sync_jobs SET leased_until = now() - interval '1 second'")
        port.desk.limits = QUICK
        assert other.job(b"ada-spot") == [b"ada-spot", b"FULL"]
        port.desk.limits = Limits(lease_seconds=0)
        assert record.ask(b"get", b"trades", b"ada-spot", u64(0)) == (LOST, [])
        assert record.ended(b"ada-spot") == LOST
        assert port.state("ada-spot") == "LEASED"


def test_a_failure_is_tried_again_later(port: Port) -> None:
    port.desk.limits = Limits(first_wait=600)
    port.queue.enqueue("ada-spot", JobKind.FULL)
    with port.record() as record:
        record.job(b"ada-spot")
        assert record.ended(b"ada-spot", Code.VENUE_REFUSED, 2) == DONE
        found = port.admin.execute(
            "SELECT error_code, extract(epoch FROM run_after - now()) FROM sync_jobs"
        ).fetchone()
        assert found is not None
        assert found[0] == failure(Code.VENUE_REFUSED, 2)
        assert 400 <= found[1] <= 800
        assert record.job(b"ada-spot") == []
        assert port.events[-1] == Event("ada-spot", Stage.RETRYING, found[0])


@pytest.mark.parametrize(
    ("code", "reason"), [(Code.VENUE_NOT_ALLOWED, 0), (Code.VENUE_REFUSED, 11)]
)
def test_what_only_the_owner_can_mend_is_given_up_at_once(
    port: Port, code: Code, reason: int
) -> None:
    port.queue.follow("ada-spot", 3600)
    with port.record() as record:
        assert record.job(b"ada-spot") == [b"ada-spot", b"INCREMENTAL"]
        assert record.ended(b"ada-spot", code, reason) == DONE
    number = failure(code, reason)
    letters = [(account, code) for _, account, code in port.queue.dead_letters()]
    assert letters == [("ada-spot", number)]
    assert port.events[-1] == Event("ada-spot", Stage.DEAD, number)
    assert "key" in shown(number)


def test_what_is_connected_is_synchronised_from_then_on(port: Port) -> None:
    add_account(port.admin, "old", "ada", KEYS["ada"])
    with port.record() as record:
        for _ in range(2):
            assert record.ask(b"connect", b"new", b"ada", b"binance", b"test")[0] == DONE
        assert record.job(b"new") == [b"new", b"INCREMENTAL"]


def test_new_credentials_lift_the_pause(port: Port) -> None:
    port.queue.follow("ada-spot", 3600)
    with port.record() as record:
        for _ in range(QUICK.attempts):
            record.job(b"ada-spot")
            record.ended(b"ada-spot", Code.VENUE_UNREACHABLE)
        assert port.state("ada-spot") == "DEAD"
        assert record.job(b"ada-spot") == []
        assert record.ask(b"connect", b"ada-spot", b"ada", b"binance", b"test")[0] == DONE
        assert record.job(b"ada-spot") == [b"ada-spot", b"INCREMENTAL"]
    assert port.queue.dead_letters() == []


def test_without_a_log_no_page_is_acknowledged(port: Port) -> None:
    with port.record() as record:
        assert record.ask(b"log", b"page") == (8, [])


def test_malformed_ends_change_nothing(port: Port) -> None:
    port.queue.enqueue("ada-spot", JobKind.FULL)
    with port.record() as record:
        record.job(b"ada-spot")
        for wrong in ((b"ada-spot",), (b"ada-spot", u64(0)), (b"\xff", u64(0), u64(0))):
            assert record.ask(b"ended", *wrong)[0] == 6
        assert record.ended(b"bob-perp") == LOST
        assert port.state("ada-spot") == "LEASED"
        assert record.ended(b"ada-spot") == DONE


def test_a_socket_of_the_host_s_own(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "store.sock"
    for _ in range(2):
        with serving(database.enclave, path) as where:
            assert where == (str(path), 0)
            assert path.stat().st_mode & 0o777 == 0o660
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                with sock.makefile("rwb") as stream:
                    assert Record(stream).ask(b"keys", b"ada") == (DONE, [])
        assert not path.exists()


def test_a_socket_that_a_crash_left_is_replaced_and_one_in_use_is_not(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "store.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with serving(database.enclave, path):
        with pytest.raises(OSError, match="in use"), serving(database.enclave, path):
            pass
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))


def test_who_waits_asks_again_once_an_account_joined(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an account that was just connected waits as long as those who wait for others."""
    monkeypatch.setattr(desk_module, "_LOOK_S", 600.0)
    with serving(database.enclave, desk=Desk(QUICK, wait_s=600)) as where:
        told = list[object]()

        def waits() -> None:
            with (
                socket.create_connection(where, timeout=60) as sock,
                sock.makefile("rwb") as stream,
            ):
                told.append(Record(stream).ask(b"job", b"ada"))

        waiting = threading.Thread(target=waits, daemon=True)
        waiting.start()
        time.sleep(0.3)
        assert not told
        with socket.create_connection(where, timeout=20) as sock, sock.makefile("rwb") as stream:
            Record(stream).done(b"connect", b"eve", b"eve", b"binance", b"test")
            time.sleep(0.3)
            assert not told, "the record cannot name it before its connection is through"
        waiting.join(20)
        assert told == [(DONE, [])]
