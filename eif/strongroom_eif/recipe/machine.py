"""What this machine must be and have: Linux on amd64, room on its disk, a writable cache."""

import errno
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom_eif.recipe.errors import CacheUnusable, DiskFull, WrongArchitecture

__all__ = ["check_architecture", "check_space", "writing"]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the operating system says about writing at `path` into advice.

    Raises:
        DiskFull: No space or quota is left.
        CacheUnusable: It cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        place = error.filename or path
        if error.errno in _FULL:
            raise _full(path, f"no space is left for {place}") from error
        raise CacheUnusable(
            f"cannot write {place}: {error.strerror or error}",
            remedy="check owner and permissions, or name another directory with STRONGROOM_CACHE",
        ) from error


def check_space(path: Path, needed: int) -> None:
    """Refuses to start what would run out of space half-way.

    Args:
        path: A directory of the file system; it need not exist yet.
        needed: Bytes.

    Raises:
        DiskFull: Less is free.
    """
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    if free < needed:
        raise _full(path, f"too little space at {path}", needed, free)


def check_architecture(system: str = "", machine: str = "") -> None:
    """Refuses a machine whose processor cannot run the pinned toolchain.

    Args:
        system: As `uname -s` says; this machine's if empty.
        machine: As `uname -m` says; this machine's if empty.

    Raises:
        WrongArchitecture: It is not Linux on amd64.
    """
    found = (system or platform.system(), machine or platform.machine())
    if found != ("Linux", "x86_64"):
        raise WrongArchitecture(
            "the image is built on Linux on amd64 (x86_64)",
            expected="Linux x86_64",
            actual=" ".join(found),
            remedy="build on such a machine, real or virtual; checking an image that exists works "
            "anywhere (strongroom eif verify)",
        )


def _full(path: Path, what: str, needed: int = 0, free: int | None = None) -> DiskFull:
    if free is None:
        state = os.statvfs(path if path.exists() else path.anchor or ".")
        free = state.f_bavail * state.f_frsize
    return DiskFull(
        what,
        expected=f"{needed >> 20} MiB free" if needed else None,
        actual=f"{free >> 20} MiB free",
        remedy="make room, or name a larger place with STRONGROOM_CACHE; what a cache holds may be "
        "removed at any time",
    )
