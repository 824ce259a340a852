"""Files that hold one secret: made once, whole or not at all, readable by their owner alone."""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from strongroom_local.errors import UnsafeFile, UnusableFile

__all__ = ["read_or_create"]

_MAX_SIZE = 1 << 16


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Returns the content of `path`, which is `make()` if there was no such file.

    The file appears under its name only after its content is on disk, and by a hard link, which
    never replaces: of two processes that start at once, both return what one of them wrote.

    Raises:
        UnsafeFile: the file is a link or no regular file, has another owner, or lets group or
            others do anything.
        UnusableFile: the file is larger than any that is written here.
        OSError: the folder is missing or not writable.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise UnsafeFile(str(path), "a regular file", "a symbolic link") from error
        raise
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeFile(str(path), "a regular file", stat.filemode(status.st_mode))
        if status.st_uid != os.geteuid():
            raise UnsafeFile(f"owner of {path}", os.geteuid(), status.st_uid)
        if status.st_mode & 0o077:
            raise UnsafeFile(f"mode of {path}", "0600", f"{stat.S_IMODE(status.st_mode):04o}")
        content = file.read(_MAX_SIZE + 1)
    if len(content) > _MAX_SIZE:
        raise UnusableFile(f"size of {path}", f"at most {_MAX_SIZE}", "more")
    return content
