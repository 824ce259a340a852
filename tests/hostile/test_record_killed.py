"""`kill -9` in the middle of a synchronisation, of all that takes part: the same record after.

Real processes, a real database, a real proxy; when to kill is drawn from a seed, as the number of
the request at which it happens. `test_record_schedules` draws many more, without processes.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event, Lock

import grpc
import pytest
from psycopg.conninfo import make_conninfo
from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.migrations import apply, migrations_folder, read_migrations
from strongroom_host.record_store.roles import ENCLAVE, GATEWAY, MIGRATE, create_database

from tests.conftest import SOAK, Progress
from tests.host.record_store.databases import Database, scratch_folder
from tests.hostile.record_host import (
    EXACT,
    RecordBoot,
    RecordHost,
    Shown,
    account,
    recording_desk,
)
from tests.hostile.record_port import Asked
from tests.hostile.recording import Exchanges, exchanges

ROUNDS = 12 if SOAK else 1
_numbers = count()
pytestmark = pytest.mark.timeout(3600 if SOAK else 400)


@dataclass
class Postgres:
    """A server of its own, which is killed and started again."""

    embedded: EmbeddedServer
    process: subprocess.Popen[bytes]
    database: Database

    def kill(self) -> None:
        """Kills the server and everything that it forked."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = self.embedded.start()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with scratch_folder() as folder:
        embedded = EmbeddedServer(folder)
        embedded.create()
        process = embedded.start()
        logins = create_database(embedded.dsn(), "killed")
        apply(logins[MIGRATE], read_migrations(migrations_folder()))
        admin = embedded.dsn(database="killed")
        database = Database(
            admin,
            *(make_conninfo(logins[role], dbname="killed") for role in (MIGRATE, ENCLAVE, GATEWAY)),
        )
        running = Postgres(embedded, process, database)
        try:
            yield running
        finally:
            embedded.stop(running.process)


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    with exchanges(tmp_path_factory.mktemp("venues"), "bybit", days=3) as running:
        yield running


class Proxy:
    """The host's egress proxy as a process, which is killed and started again."""

    def __init__(self, folder: Path, mapping: dict[str, tuple[str, int]]) -> None:
        self.path, self._mapping = folder / "proxy.sock", mapping
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        words = ["--unix", str(self.path)]
        for name, (host, port) in self._mapping.items():
            words += ["--map", f"{name}={host}:{port}"]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "strongroom_host.egress", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert b"ready" in process.stdout.readline()
        return process

    def dial(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.path))
        return sock

    def kill(self) -> None:
        self.close()
        self.process = self._start()

    def close(self) -> None:
        with self.process:
            self.process.kill()


@contextmanager
def site(postgres: Postgres, venues: Exchanges, folder: Path) -> Iterator[tuple[RecordHost, Proxy]]:
    """A host with a proxy in a process of its own, and a database that other tests used before."""
    name = f"killed-{next(_numbers)}"
    desk = recording_desk(venues, account(name, "bybit", venues.since_ms, EXACT, name))
    with RecordHost(postgres.database, venues, folder, desk) as host:
        proxy = Proxy(folder, host.mapping)
        host.dial = proxy.dial
        try:
            yield host, proxy
        finally:
            host.stop()
            proxy.close()


Victim = Callable[[RecordHost, Postgres, Proxy], bool]
"""Kills something; says whether the connection of the request at hand ends by that too."""


def record_process(host: RecordHost, _postgres: Postgres, _proxy: Proxy) -> bool:
    the_boot(host).enclave.kill("record")
    return False


def whole_enclave(host: RecordHost, _postgres: Postgres, _proxy: Proxy) -> bool:
    the_boot(host).enclave.process.kill()
    return False


def database(_host: RecordHost, postgres: Postgres, _proxy: Proxy) -> bool:
    postgres.kill()
    return False


def egress_proxy(_host: RecordHost, _postgres: Postgres, proxy: Proxy) -> bool:
    proxy.kill()
    return False


def store_port(host: RecordHost, _postgres: Postgres, _proxy: Proxy) -> bool:
    host.port.drop()
    return True


def all_at_once(host: RecordHost, postgres: Postgres, proxy: Proxy) -> bool:
    whole_enclave(host, postgres, proxy)
    proxy.kill()
    postgres.kill()
    return True


def the_boot(host: RecordHost) -> RecordBoot:
    assert host.boot is not None
    return host.boot


@pytest.fixture(scope="module")
def undisturbed(
    postgres: Postgres, venues: Exchanges, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Shown]:
    """What is published where nothing is killed, by hour."""
    with site(postgres, venues, tmp_path_factory.mktemp("quiet")) as (host, _):
        boot, name = host.start().permitted(), name_of(host)
        assert boot.connected(name, venues.logins["bybit"]) == 0
        found = {row.start_ms: row for row in host.published(name)}
    assert len(found) > 60
    return found


# The three that take the most with them; each of the others is part of one of these.
STRONGEST = [record_process, database, all_at_once]
EVERY = [*STRONGEST, whole_enclave, egress_proxy, store_port]


@pytest.mark.parametrize("victim", EVERY if SOAK else STRONGEST)
def test_the_same_record_after_a_kill(
    victim: Victim,
    postgres: Postgres,
    venues: Exchanges,
    undisturbed: dict[int, Shown],
    tmp_path: Path,
    progress: Progress,
) -> None:
    luck = random.Random(victim.__name__)  # noqa: S311  when to kill is no secret
    for number in range(ROUNDS):
        progress(number, ROUNDS)
        folder = tmp_path / f"round-{number}"
        folder.mkdir()
        with site(postgres, venues, folder) as (host, proxy):
            host.start().permitted()
            at, when = luck.randint(2, 14), luck.choice(("before", "after"))
            struck = strike_at(host, at, when, partial(victim, host, postgres, proxy))
            synchronise(host, venues)
            assert struck.is_set(), f"nothing was killed {when} request {at}"
            assert the_boot(host).sync(name_of(host), full=True) == 0
            compare(host, venues, undisturbed)
    progress(ROUNDS, ROUNDS)


def name_of(host: RecordHost) -> str:
    return host.desk.manifest.accounts[0].name


def strike_at(host: RecordHost, at: int, when: str, kill: Callable[[], bool]) -> Event:
    """Has something killed around a request of the record, once; returns what is set by then."""
    struck, lock, seen = Event(), Lock(), [0]

    def strike(asked: Asked, now: str) -> bool:
        with lock:
            seen[0] += now == "before" and asked.verb != "job"
            if asked.verb == "job" or now != when or seen[0] != at or struck.is_set():
                return False
            struck.set()
        return kill()

    host.port.strike = strike
    return struck


_BETWEEN_S = 5
"""Between attempts: the record finds a store port that is back within a second, the machine that
all of it runs on may take longer to start one."""


def synchronise(host: RecordHost, venues: Exchanges) -> None:
    """Does what an operator and the owners do until it works: starts what is gone, permits it,
    connects the account unless it is."""
    name, codes = name_of(host), list[object]()
    for _ in range(6):
        enclave = the_boot(host).enclave
        if enclave.process.poll() is not None or "record" not in enclave.pids():
            host.start().permitted()
        try:
            if "SYNC" not in host.kinds():
                codes.append(the_boot(host).connect(name, venues.logins["bybit"]))
            if "SYNC" in host.kinds():
                codes.append(the_boot(host).sync(name, within=45))
        except (grpc.RpcError, AssertionError, OSError) as error:
            codes.append(type(error).__name__)
        if codes[-1:] == [0]:
            return
        time.sleep(_BETWEEN_S)
    raise AssertionError(f"it does not recover: {codes}; {host.said}")


def compare(host: RecordHost, venues: Exchanges, undisturbed: dict[int, Shown]) -> None:
    """The ledger is what it would have been: each event once, each hour the same."""
    name, truth = name_of(host), venues.truth("bybit")
    assert host.count("trades", name) == len(truth.fills)
    assert host.count("cash_flows", name) == len(truth.flows)
    published = {row.start_ms: row for row in host.published(name)}
    both = published.keys() & undisturbed.keys()
    assert len(both) >= len(undisturbed) - 1
    assert {start: published[start] for start in both} == {
        start: undisturbed[start] for start in both
    }
