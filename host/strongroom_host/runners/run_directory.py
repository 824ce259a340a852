"""The run directory of one boot: checked, locked, and cleared of what an earlier boot left.

It is locked by an open file that runner and enclave share, so the lock lives exactly as long as the
longer-lived of the two, and no file has to be believed about who is alive.
"""

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from strongroom_host.runners.errors import RunDirectoryInUse, RunDirectoryRefused

__all__ = ["RunDirectory", "default_run_directory", "default_state_directory"]

_MAX_SOCKET_PATH: Final = 103
"""Bytes of a Unix socket's path that every system takes (macOS has 104 with the final NUL)."""

_LONGEST: Final = "front/bootstrap.sock"
_SOCKETS: Final = ("bootstrap.sock", "control.sock", "frames.sock", "egress.sock", "vhost.sock")
_OURS: Final = {
    *_SOCKETS,
    "console.log",
    "console.previous.log",
    "front",
    "nsm-root.der",
    "runner.lock",
}


def default_run_directory() -> Path:
    """Returns this user's run directory: short, and away from every backup."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"strongroom-{os.geteuid()}"


def default_state_directory() -> Path:
    """Returns this user's state directory, kept across boots."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "strongroom"


class RunDirectory:
    """A claimed run directory; `release` gives it up.

    Attributes:
        lock: Descriptor of the lock; whatever inherits it keeps the directory claimed.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self.lock = path, lock

    @property
    def console(self) -> Path:
        """What the enclave's processes write to stderr."""
        return self.path / "console.log"

    @property
    def egress(self) -> Path:
        """Where the enclave expects the host's CONNECT proxy."""
        return self.path / "egress.sock"

    @property
    def device(self) -> Path:
        """Where an emulated machine finds its vsock backend."""
        return self.path / "vhost.sock"

    @classmethod
    def claim(cls, path: Path) -> "RunDirectory":
        """Makes or takes over the directory at `path` for one boot.

        Raises:
            RunDirectoryRefused: the path is too long for Unix sockets, is a link or a file, belongs
                to or is writable by others, holds files of something else, or cannot be used.
            RunDirectoryInUse: another boot lives there.
        """
        path = path.expanduser().absolute()
        _check_length(path)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_owner(path)
            foreign = sorted({entry.name for entry in path.iterdir()} - _OURS)
        except OSError as error:
            raise RunDirectoryRefused(
                f"cannot use the run directory {path}: {error.strerror or error}",
                remedy="choose another with --run, or correct its permissions",
            ) from error
        if foreign:
            raise RunDirectoryRefused(
                f"{path} holds files of something else",
                expected="an empty folder, or one of an earlier boot",
                actual=", ".join(foreign[:5]),
                remedy="choose another --run; a boot clears its run directory",
            )
        directory = cls(path, _locked(path))
        try:
            directory._clear()
        except BaseException:
            directory.release()
            raise
        return directory

    def release(self) -> None:
        """Gives the directory up; a process that inherited the lock still holds it."""
        if self.lock >= 0:
            os.close(self.lock)
        self.lock = -1

    def _clear(self) -> None:
        """Removes what a dead boot left, after asking the sockets whether it is dead.

        An enclave started by hand holds no lock, but it listens.
        """
        for name in _SOCKETS:
            if _answers(self.path / name):
                raise _in_use(self.path, f"something listens on {name}")
        for name in _SOCKETS:
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / "front", ignore_errors=True)
        with suppress(FileNotFoundError):
            self.console.rename(self.path / "console.previous.log")


def _check_length(path: Path) -> None:
    longest = len(bytes(path / _LONGEST))
    if longest > _MAX_SOCKET_PATH:
        raise RunDirectoryRefused(
            f"the run directory's path is too long for Unix sockets: {path}",
            expected=f"at most {_MAX_SOCKET_PATH - len(_LONGEST) - 1} bytes",
            actual=len(bytes(path)),
            remedy=f"choose a shorter one, for instance --run {default_run_directory()}",
        )


def _check_owner(path: Path) -> None:
    """Proves that nobody else can replace a socket: in /tmp anybody may have made the folder."""
    status = path.lstat()
    mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not mine or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RunDirectoryRefused(
            f"{path} is not safe as a run directory",
            expected="a folder (no link) that you own and only you may write",
            actual=f"{stat.filemode(status.st_mode)}, user {status.st_uid}",
            remedy="choose another with --run",
        )


def _locked(path: Path) -> int:
    try:
        lock = os.open(path / "runner.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RunDirectoryRefused(
            f"cannot write to the run directory {path}: {error.strerror or error}",
            remedy="choose another with --run, or correct its permissions",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise _in_use(path, "its lock is held") from error
    return lock


def _in_use(path: Path, sign: str) -> RunDirectoryInUse:
    return RunDirectoryInUse(
        f"another enclave runs in {path}",
        actual=sign,
        remedy="stop that one first (its `strongroom host run` takes Ctrl-C or SIGTERM), or choose"
        " another --run",
    )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
