"""A record that was cut off for long has several pages of its log to push, and goes on after them.

Real processes: the enclave's record pushes to the host's own port and keeper; in the second test
these are a process of their own, killed with -9 between the pages.
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from strongroom_host.log.incoming import Incoming
from strongroom_host.log.notes import Checkpoint
from strongroom_host.log.stored import StoredLog
from strongroom_host.record_store.leaves import get_leaves
from strongroom_wire.errors import Code
from strongroom_wire.leaves import Leaf
from strongroom_wire.pages import LogPage

from tests.host.record_store.databases import Server, server
from tests.host.venues.reach import Proxy
from tests.hostile.record_host import (
    EXACT,
    STORE,
    RecordBoot,
    RecordHost,
    account,
    recording_desk,
)
from tests.hostile.recording import Exchanges, exchanges
from tests.vectors.index import ROOT

pytestmark = pytest.mark.timeout(120)
_PERMITS: Final = 150
"""Leaves of about 1,100 bytes: three pages, at 60,000 bytes for one."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    with exchanges(tmp_path_factory.mktemp("venues"), "binance", days=2, orders=10) as running:
        yield running


@pytest.fixture
def host(postgres: Server, venues: Exchanges, tmp_path: Path) -> Iterator[RecordHost]:
    desk = recording_desk(venues, account("ada", "binance", venues.since_ms, EXACT))
    with RecordHost(postgres.fresh(), venues, tmp_path, desk) as host:
        yield host


def cut_off(host: RecordHost) -> RecordBoot:
    """Boots a record and has its owners renew its permit, while no way leads out."""
    boot = host.start()
    boot.tap.refusing = True
    for serial in range(1, _PERMITS + 1):
        boot.permitted(serial)
    return boot


def leads_to_its_head(page: bytes) -> bool:
    found = LogPage.parse(page)
    head = Checkpoint.parse(found.checkpoint).head
    return Leaf.parse(found.entries[-1].leaf).index + 1 == head.size


def test_what_waited_in_several_pages_is_stored_and_the_record_goes_on(
    host: RecordHost, venues: Exchanges
) -> None:
    boot = cut_off(host)
    boot.tap.refusing = False
    host.port.wait_for(lambda each: each.verb == "log" and leads_to_its_head(each.fields[0]))
    pages = [each for each in host.port.asked if each.verb == "log"]
    assert [leads_to_its_head(each.fields[0]) for each in pages] == [False, False, True]
    assert [each.outcome for each in pages] == [0, 0, 0]
    assert host.kinds() == ["BOOT", *["PERMIT"] * (_PERMITS - 1)]
    assert not Incoming(host.log_folder).entries()
    assert boot.connect("ada", venues.logins["binance"]) is Code.OK
    assert host.kinds()[_PERMITS] == "SYNC"
    assert host.said == []


@dataclass
class Keeping:
    """The host's port and log as processes, one after the other, at one address."""

    host: RecordHost
    folder: Path
    port: int

    @contextmanager
    def process(self, pages: int) -> Iterator[subprocess.Popen[bytes]]:
        """Runs it; it is killed at the page after so many, or with 0 never."""
        source, evidence = self.host._vouched(), self.folder / "boot.json"
        evidence.write_bytes(source.boot.serialise())
        words = self.host.database.enclave, self.port, self.folder / "log", source.key.name
        more = source.key.key.hex(), evidence, pages
        program = [sys.executable, "-m", "tests.hostile.log_host", *map(str, (*words, *more))]
        with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=ROOT) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                yield process
            finally:
                process.kill()


@pytest.mark.parametrize("pages", [1, 2])
def test_a_host_that_is_killed_between_the_pages_has_them_all(
    host: RecordHost, tmp_path: Path, pages: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        keeping = Keeping(host, tmp_path / "kept", free.getsockname()[1])
    keeping.folder.mkdir()
    with Proxy({STORE: ("127.0.0.1", keeping.port)}) as proxy:
        name, _, port = proxy.removeprefix("http://").partition(":")
        host.dial = lambda: socket.create_connection((name, int(port)), 10)
        boot = cut_off(host)
        boot.tap.onward = host.dial
        with keeping.process(pages) as process:
            boot.tap.refusing = False
            assert process.wait(30) == -signal.SIGKILL
        assert Incoming(keeping.folder / "log").entries()
        assert rows(host) == []
        with keeping.process(0) as process:
            until = time.monotonic() + 30
            while len(rows(host)) < _PERMITS and time.monotonic() < until:
                time.sleep(0.05)
            process.kill()
            assert process.stdout is not None
            assert process.stdout.read() == b"", "an honest host has nothing to say"
    log = StoredLog(keeping.folder / "log")
    assert list(log.reader().entries()) == rows(host)
    assert log.size == _PERMITS


def rows(host: RecordHost) -> list[bytes]:
    """The log as the database has it."""
    with host.database.as_enclave() as connection:
        return get_leaves(connection, host.origin, 0, 1000)
