"""A PostgreSQL server of this program's own: made, started and stopped in one folder.

It listens on a Unix socket only and knows nobody without a password. As root it runs as another
user, which is why its folder has to be one that others may pass through.
"""

import hashlib
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg import pq
from psycopg.conninfo import make_conninfo

from strongroom_host.private_files import read_private, write_private
from strongroom_host.record_store.errors import (
    InitialisedAlready,
    NotInitialised,
    ServerFailed,
)
from strongroom_host.record_store.installation import (
    Programs,
    User,
    reachable,
    server_user,
    wheel_programs,
)

__all__ = ["SUPERUSER", "EmbeddedServer"]

SUPERUSER: Final = "postgres"
_START_SECONDS: Final = 60.0
_SOCKET_PATH: Final = 107 - len("/.s.PGSQL.5432")
"""Longest folder of a Unix socket: sun_path holds 108 bytes, one of them the terminator."""

_LINGERING: Final = "pre-existing shared memory block"

_SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "100",
    "timezone": "UTC",
    # A statement or row that was refused may hold what a reader of the log must not see.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_min_messages": "warning",
    "password_encryption": "scram-sha-256",
}


class EmbeddedServer:
    """The server of one folder. `durable` false trades the last transactions before a power cut for
    speed, for tests; a killed process loses nothing either way."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self._durable = durable
        self._log_start = 0
        self._user: User | None = server_user()

    @property
    def data(self) -> Path:
        """The server's own folder."""
        return self.folder / "data"

    @property
    def exists(self) -> bool:
        """Whether it was made."""
        return (self.data / "PG_VERSION").exists()

    def create(self) -> None:
        """Makes an empty database cluster; the superuser's password is a file beside it.

        Raises:
            InitialisedAlready: there is one.
            ServerFailed: it cannot be made here.
            ServerMissing: no programs, or no user to run as.
        """
        if self.exists:
            raise InitialisedAlready(f"there is a database in {self.folder} already")
        self._make_folders()
        password = secrets.token_hex(32)
        write_private(self._password_file, password.encode(), replace=True)
        given = self.folder / "initial"
        write_private(given, password.encode(), replace=True)
        self._own(given)
        command = [str(self._programs().program("initdb")), "--pgdata", str(self.data)]
        command += ["--username", SUPERUSER, "--pwfile", str(given), "--auth", "scram-sha-256"]
        command += ["--encoding", "UTF8", "--locale", "C", "--no-instructions"]
        command += [] if self._durable else ["--no-sync"]
        try:
            done = self._run(command)
        finally:
            given.unlink(missing_ok=True)
        if done.returncode:
            raise ServerFailed(
                "the database could not be made",
                actual=done.stdout.decode(errors="replace")[-1000:].strip(),
                remedy=f"check space and permissions of {self.folder}",
            )

    @contextmanager
    def running(self) -> Iterator["EmbeddedServer"]:
        """Runs the server meanwhile; one that runs already is used, and left running.

        Raises:
            NotInitialised: it was never made.
            ServerFailed: it does not start.
        """
        if self.alive():
            yield self
            return
        process = self.start()
        try:
            yield self
        finally:
            self.stop(process)

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the server and returns its process once it answers; see `running` for errors."""
        if not self.exists:
            raise NotInitialised(
                f"there is no database in {self.folder}", remedy="`strongroom db init` makes one"
            )
        socket = self._socket_folder()
        settings = {**_SETTINGS, "unix_socket_directories": str(socket)}
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        command = [str(self._programs().program("postgres")), "-D", str(self.data)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        deadline = time.monotonic() + _START_SECONDS
        process = self._launch(command)
        while not self.alive():
            if process.poll() is not None and _LINGERING in self._last_words():
                # A server that was killed leaves processes behind that end in their own time.
                process = self._launch(command)
            elif process.poll() is not None or time.monotonic() > deadline:
                self.stop(process)
                raise ServerFailed(
                    "the database server did not start",
                    actual=self._last_words(),
                    remedy=f"its messages are in {self.folder / 'server.log'}",
                )
            time.sleep(0.05)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a started server in order: what is open is rolled back, and clients are told."""
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait()
        if (socket := self._socket_folder()).parent != self.folder and not any(socket.iterdir()):
            socket.rmdir()

    def alive(self) -> bool:
        """Returns whether a server answers for this folder."""
        lines = self._pid_lines()
        if len(lines) < 5 or not lines[4]:
            return False
        target = make_conninfo(host=lines[4], port=lines[3], dbname="postgres", connect_timeout="5")
        return pq.PGconn.ping(target.encode()) == pq.Ping.OK

    def dsn(self, *, user: str = SUPERUSER, password: str = "", database: str = "postgres") -> str:
        """Returns how to reach the running server; by default as the superuser.

        Raises:
            NotInitialised: it was never made, or does not run.
        """
        lines = self._pid_lines()
        if len(lines) < 5:
            raise NotInitialised(
                f"no database server runs in {self.folder}", remedy="start it: `strongroom db run`"
            )
        if user == SUPERUSER and not password:
            password = read_private(self._password_file).decode()
        return make_conninfo(
            host=lines[4], port=lines[3], user=user, password=password, dbname=database
        )

    @property
    def _password_file(self) -> Path:
        return self.folder / "superuser.password"

    def _pid_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def _make_folders(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            self.folder.chmod(0o711)  # whatever the umask: others pass through, and list nothing
        self.data.mkdir(mode=0o700, exist_ok=True)
        if self._user is not None and not reachable(self.data, self._user):
            raise ServerFailed(
                f"the user {self._user.name} cannot reach {self.folder}",
                expected="a folder that others may pass through, since the server is not root",
                remedy="choose another --folder, or run this as another user",
            )
        self._own(self.data)

    def _socket_folder(self) -> Path:
        folder = self.folder / "socket"
        if len(os.fsencode(folder)) > _SOCKET_PATH:
            # The same at every start, so that what was written down about it stays true.
            place = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
            folder = Path(tempfile.gettempdir()) / f"strongroom-db-{place}"
        folder.mkdir(mode=0o711, exist_ok=True)
        owners = {os.geteuid()} | ({self._user.uid} if self._user else set())
        if folder.is_symlink() or folder.stat().st_uid not in owners:
            raise ServerFailed(
                f"{folder} is another user's", remedy="remove it, or choose a shorter --folder"
            )
        folder.chmod(0o711)
        self._own(folder)
        return folder

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.uid, self._user.gid)

    def _programs(self) -> Programs:
        return wheel_programs().reachable_by(self._user, self.folder / "server")

    def _launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "server.log").open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(  # noqa: S603  # the program of our own wheel
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.data,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the program that stops it in order
                user=None if self._user is None else self._user.uid,
                group=None if self._user is None else self._user.gid,
                extra_groups=None if self._user is None else [],
            )

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603  # the program of our own wheel
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.data,
            env=_environment(),
            check=False,
            user=None if self._user is None else self._user.uid,
            group=None if self._user is None else self._user.gid,
            extra_groups=None if self._user is None else [],
        )

    def _last_words(self) -> str:
        with (self.folder / "server.log").open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")[-1000:].strip()


def _environment() -> dict[str, str]:
    """PG* variables of the caller must not reach the server."""
    kept = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}
