"""`strongroom db`, as a person and as a service manager run it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from strongroom_host.cli.app import app
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.migrations import migrations_folder, read_migrations
from strongroom_host.record_store.roles import ENCLAVE, GATEWAY, MIGRATE, READER_PREFIX
from typer.testing import CliRunner, Result

from tests.host.record_store.databases import scratch_folder


def strongroom(*words: object, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["db", *map(str, words)])
    assert result.exit_code == status, result.output
    return result


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with scratch_folder() as place:
        strongroom("init", "--folder", place)
        yield place


def test_made_once_and_up_to_date(folder: Path) -> None:
    strongroom("init", "--folder", folder, status=2)
    assert "up to date" in strongroom("migrate", "--folder", folder).output
    told = json.loads(strongroom("status", "--folder", folder, "--json").output)
    assert told["applied"] == [step.name for step in read_migrations(migrations_folder())]
    assert (told["pending"], told["jobs"], told["paused"]) == ([], {}, [])
    assert "jobs: none" in strongroom("status", "--folder", folder).output


def test_what_it_lacks_shows_in_status(folder: Path) -> None:
    logins = Logins(folder)
    with EmbeddedServer(folder).running(), connect(logins.dsn(MIGRATE), "test") as connection:
        connection.execute("ALTER TABLE _prisma_migrations RENAME TO hidden")
        try:
            shown = strongroom("status", "--folder", folder, status=3)
        finally:
            connection.execute("ALTER TABLE hidden RENAME TO _prisma_migrations")
        assert "PENDING" in shown.output
        connection.execute("UPDATE _prisma_migrations SET checksum = 'x'")
        with EmbeddedServer(folder).running():
            strongroom("migrate", "--folder", folder, status=3)
        connection.execute("DROP TABLE _prisma_migrations")
    # And back: an emptied database is migrated from the start, here into tables that exist.
    strongroom("migrate", "--folder", folder, status=3)


def test_a_reader_s_login_reads_one_user(folder: Path) -> None:
    strongroom("reader", "press", "--user", "ada", "--folder", folder)
    strongroom("reader", "press", "--folder", folder, status=2)
    dsn = Logins(folder).dsn(READER_PREFIX + "press")
    with EmbeddedServer(folder).running(), connect(dsn, "test") as connection:
        assert connection.execute("SELECT count(*) FROM hourly_returns").fetchone() == (0,)


def test_passwords_are_replaced(folder: Path) -> None:
    logins = Logins(folder)
    before = logins.dsn(GATEWAY)
    strongroom("passwords", "--folder", folder)
    assert logins.dsn(GATEWAY) != before
    with EmbeddedServer(folder).running(), connect(logins.dsn(ENCLAVE), "test") as connection:
        assert connection.execute("SELECT count(*) FROM trades").fetchone() == (0,)


def test_a_folder_without_a_server_is_told(tmp_path: Path) -> None:
    for words in (["run"], ["passwords"], ["reader", "x", "--user", "y"], ["status"], ["migrate"]):
        strongroom(*words, "--folder", tmp_path, status=2)


def test_a_server_of_one_s_own_by_its_dsn(folder: Path, tmp_path: Path) -> None:
    server = EmbeddedServer(folder)
    with server.running():
        strongroom("init", "--folder", tmp_path, "--dsn", server.dsn(), status=2)  # it is there
        with connect(server.dsn(), "test") as admin:
            admin.execute("ALTER DATABASE strongroom RENAME TO elsewhere")
        strongroom("init", "--folder", tmp_path, "--dsn", server.dsn())
        assert "PostgreSQL" in strongroom("status", "--folder", tmp_path).output
        assert {path.suffix for path in tmp_path.iterdir()} == {".dsn"}
        strongroom("init", "--folder", tmp_path / "x", "--dsn", "host=/nowhere", status=5)
        with connect(server.dsn(), "test") as admin:
            admin.execute("DROP DATABASE strongroom")
            admin.execute("ALTER DATABASE elsewhere RENAME TO strongroom")


def test_run_says_when_it_is_ready_and_stops_in_order(folder: Path) -> None:
    strongroom("passwords", "--folder", folder)
    command = [sys.executable, "-m", "strongroom_host.cli.main", "db", "run", "--json"]
    with subprocess.Popen([*command, "--folder", str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        with connect(make_conninfo(Logins(folder).dsn(ENCLAVE)), "test") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        strongroom("run", "--folder", folder, status=5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not EmbeddedServer(folder).alive()
