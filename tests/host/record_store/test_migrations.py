"""Migrations as Prisma keeps them: once, in order, whole or not at all; nothing odd passes."""

import hashlib
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.errors import (
    DatabaseOutdated,
    DatabaseUnavailable,
    MigrationEdited,
    MigrationFailed,
    MigrationMissing,
    MigrationOutOfOrder,
    MigrationUnreadable,
    StoreError,
)
from strongroom_host.record_store.migrations import (
    Standing,
    apply,
    migrations_folder,
    read_migrations,
    standing,
)

from tests.host.record_store.databases import Server


@pytest.fixture
def dsn(postgres: Server) -> str:
    """An empty database of the role `migrate`."""
    return postgres.empty()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small migrations."""
    add(tmp_path, "20260101000000_one", "CREATE TABLE one (x int); INSERT INTO one VALUES (1);")
    add(tmp_path, "20260102000000_two", "ALTER TABLE one ADD y int;")
    add(tmp_path, "20260103000000_three", "CREATE TABLE three (x int);")
    (tmp_path / "migration_lock.toml").write_text('provider = "postgresql"\n')
    return tmp_path


def add(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "migration.sql").write_text(text)


def rows(dsn: str, text: str) -> list[tuple[object, ...]]:
    with connect(dsn, "test") as connection:
        return connection.execute(text).fetchall()


def stands(dsn: str, folder: Path) -> Standing:
    with connect(dsn, "test") as connection:
        return standing(connection, read_migrations(folder))


def test_applied_in_order_and_once(dsn: str, folder: Path) -> None:
    steps = read_migrations(folder)
    names = [step.name for step in steps]
    with pytest.raises(DatabaseOutdated):
        stands(dsn, folder).require_current()
    assert list(apply(dsn, steps)) == names
    assert apply(dsn, steps) == ()
    assert rows(dsn, "SELECT * FROM one") == [(1, None)]
    stands(dsn, folder).require_current()


def test_the_table_is_as_prisma_keeps_it(dsn: str, folder: Path) -> None:
    apply(dsn, read_migrations(folder))
    found = rows(
        dsn,
        "SELECT migration_name, checksum, finished_at >= started_at, logs, rolled_back_at,"
        " applied_steps_count, length(id) FROM _prisma_migrations ORDER BY started_at",
    )
    text = (folder / "20260101000000_one/migration.sql").read_bytes()
    assert found[0] == (
        "20260101000000_one",
        hashlib.sha256(text).hexdigest(),
        True,
        None,
        None,
        1,
        36,
    )
    assert len(found) == 3


def test_a_later_one_is_applied_to_what_is_there(dsn: str, folder: Path) -> None:
    apply(dsn, read_migrations(folder))
    add(folder, "20260104000000_four", "ALTER TABLE three ADD z int;")
    assert apply(dsn, read_migrations(folder)) == ("20260104000000_four",)


def test_one_that_fails_leaves_nothing_and_those_before_it_stay(dsn: str, folder: Path) -> None:
    broken = "CREATE TABLE half (x int); SELECT 1 / 0;"
    add(folder, "20260102000000_two", broken)
    with pytest.raises(MigrationFailed, match="20260102000000_two"):
        apply(dsn, read_migrations(folder))
    assert rows(dsn, "SELECT to_regclass('half'), to_regclass('three')") == [(None, None)]
    add(folder, "20260102000000_two", "CREATE TABLE half (x int);")
    assert apply(dsn, read_migrations(folder)) == ("20260102000000_two", "20260103000000_three")


def test_an_edited_one_is_refused(dsn: str, folder: Path) -> None:
    apply(dsn, read_migrations(folder)[:2])
    add(folder, "20260101000000_one", "CREATE TABLE one (x int);")
    with pytest.raises(MigrationEdited) as caught:
        apply(dsn, read_migrations(folder))
    assert caught.value.expected != caught.value.actual
    assert rows(dsn, "SELECT to_regclass('three')") == [(None,)]


def test_a_missing_one_is_refused(dsn: str, folder: Path) -> None:
    apply(dsn, read_migrations(folder))
    shutil.rmtree(folder / "20260103000000_three")
    with pytest.raises(MigrationMissing, match="three"):
        apply(dsn, read_migrations(folder))


def test_one_that_comes_too_late_is_refused(dsn: str, folder: Path) -> None:
    apply(dsn, read_migrations(folder))
    add(folder, "20260102120000_between", "CREATE TABLE between_ (x int);")
    with pytest.raises(MigrationOutOfOrder, match="between"):
        apply(dsn, read_migrations(folder))


def test_what_another_tool_left_unfinished_is_refused(dsn: str, folder: Path) -> None:
    apply(dsn, read_migrations(folder)[:1])
    with connect(dsn, "test") as connection:
        connection.execute(
            "INSERT INTO _prisma_migrations (id, checksum, migration_name)"
            " VALUES ('x', 'y', '20260102000000_two')"
        )
    with pytest.raises(MigrationFailed, match="never finished"):
        apply(dsn, read_migrations(folder))
    # Said to be rolled back, it does not count.
    with connect(dsn, "test") as connection:
        connection.execute("UPDATE _prisma_migrations SET rolled_back_at = now() WHERE id = 'x'")
    assert len(apply(dsn, read_migrations(folder))) == 2


def test_a_folder_that_is_no_prisma_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MigrationUnreadable):
        read_migrations(tmp_path / "none")
    (folder / "not_a_migration").mkdir()
    with pytest.raises(MigrationUnreadable):
        read_migrations(folder)
    add(folder, "not_a_migration", "SELECT 1")
    with pytest.raises(MigrationUnreadable):
        read_migrations(folder)
    shutil.rmtree(folder / "not_a_migration")
    (folder / "migration_lock.toml").write_text('provider = "sqlite"\n')
    with pytest.raises(MigrationUnreadable):
        read_migrations(folder)
    for name in [entry for entry in folder.iterdir() if entry.is_dir()]:
        shutil.rmtree(name)
    (folder / "migration_lock.toml").write_text('provider = "postgresql"\n')
    with pytest.raises(MigrationUnreadable):
        read_migrations(folder)


def test_two_at_once_take_turns(dsn: str, folder: Path) -> None:
    done: list[tuple[str, ...]] = []
    steps = read_migrations(folder)
    threads = [threading.Thread(target=lambda: done.append(apply(dsn, steps))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, done)) == [0, 0, 0, 3]


def test_it_waits_for_prisma_s_own_lock(dsn: str, folder: Path) -> None:
    impatient = make_conninfo(dsn)
    with connect(dsn, "prisma") as other:
        other.execute("SELECT pg_advisory_lock(72707369)")
        with connect(dsn, "test") as watcher:
            thread = threading.Thread(target=apply, args=(impatient, read_migrations(folder)))
            thread.start()
            waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not watcher.execute(waiting).fetchall():
                assert thread.is_alive()
            assert rows(dsn, "SELECT to_regclass('one')") == [(None,)]
            other.execute("SELECT pg_advisory_unlock(72707369)")
            thread.join()
    assert rows(dsn, "SELECT x FROM one") == [(1,)]


_KILLED = """
import sys
from pathlib import Path
from strongroom_host.record_store.migrations import apply, read_migrations
print("begun", flush=True)
apply(sys.argv[1], read_migrations(Path(sys.argv[2])))
"""


@pytest.mark.parametrize("moment", range(3))
def test_killed_at_any_moment_it_goes_on(dsn: str, folder: Path, moment: int) -> None:
    # Each takes a while, so that the process dies inside or between them.
    for number, name in enumerate(["20260105000000_a", "20260106000000_b", "20260107000000_c"]):
        add(folder, name, f"SELECT pg_sleep(0.2); CREATE TABLE slow_{number} (x int);")
    command = [sys.executable, "-c", _KILLED, dsn, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with connect(dsn, "test") as connection:
            while True:
                try:
                    found = connection.execute("SELECT count(*) FROM _prisma_migrations").fetchone()
                except psycopg.errors.UndefinedTable:
                    continue
                if found is not None and found[0] >= 3 + moment:
                    break
        process.send_signal(signal.SIGKILL)
    steps = read_migrations(folder)
    apply(dsn, steps)
    stands(dsn, folder).require_current()
    applied = rows(dsn, "SELECT migration_name FROM _prisma_migrations ORDER BY started_at")
    assert [name for (name,) in applied] == [step.name for step in steps]
    assert rows(dsn, "SELECT count(*) FROM one") == [(1,)]


def test_ours_are_of_the_form_and_need_their_roles(postgres: Server, dsn: str) -> None:
    steps = read_migrations(migrations_folder())
    assert len(apply(dsn, steps)) == len(steps)


def test_a_database_that_is_not_there_is_unavailable(dsn: str, folder: Path) -> None:
    nowhere = make_conninfo(dsn, dbname="nowhere")
    with pytest.raises(DatabaseUnavailable):
        apply(nowhere, read_migrations(folder))
    assert issubclass(MigrationEdited, StoreError)
