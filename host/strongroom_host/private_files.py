"""Files that hold secrets: made for this user only, replaced atomically, refused when exposed."""

import os
import stat
import tempfile
from pathlib import Path

from strongroom_host.errors import BadInput

__all__ = ["FileExposed", "read_file", "read_private", "write_atomic", "write_private"]


class FileExposed(BadInput):
    """A secret's file can be read or replaced by others; the secret may be known already."""


def read_file(path: Path, *, limit: int = 1 << 20) -> bytes:
    """Returns a file's bytes.

    Raises:
        BadInput: it cannot be read, or is larger than `limit` bytes (checked before reading).
    """
    return _read(path, limit)[0]


def read_private(path: Path, *, limit: int = 1 << 16) -> bytes:
    """Returns a secret file's bytes after proving that only its owner can read or write it.

    Raises:
        FileExposed: group or others have any permission, or it belongs to another user.
        BadInput: it cannot be read.
    """
    data, status = _read(path, limit)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid not in (0, os.geteuid()):
        raise FileExposed(
            f"{path} holds a secret, but other users may read or change it",
            expected="mode 0600, owned by you",
            actual=f"mode {stat.S_IMODE(status.st_mode):04o}, user {status.st_uid}",
            remedy=f"chmod 600 {path}; if others use this machine, replace the secret as well",
        )
    return data


def _read(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """Returns the bytes, and the status of the very file they came from."""
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            data = stream.read(limit + 1)
    except OSError as error:
        raise BadInput(
            f"cannot read {path}: {error.strerror or error}",
            remedy="check the path and its permissions",
        ) from error
    if len(data) > limit:
        raise BadInput(f"{path} is too large", expected=f"at most {limit} bytes")
    return data, status


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Writes a secret with mode 0600, in a directory made with 0700.

    Raises:
        BadInput: it exists and `replace` is false, or it cannot be written.
    """
    if not replace and path.exists():
        raise BadInput(
            f"{path} exists already, and overwriting a secret loses it",
            remedy="choose another folder, or move the old one away first",
        )
    write_atomic(path, data, mode=0o600)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replaces `path` in one step, so that a crash leaves the old file or the new one.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BadInput(
            f"cannot write {path}: {error.strerror or error}",
            remedy="check the folder's permissions and free space",
        ) from error
