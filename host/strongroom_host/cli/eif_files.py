"""What `strongroom eif` reads and writes: images, their parts, keys; every mistake a `BadInput`.

Images are mapped, not read: their sections go from the page cache to the hash and the output.
Results are written beside their destination and put in place at the end, so that a full disk or an
interruption leaves no half of an image.
"""

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom_eif import Image, parse, write
from strongroom_eif.image import Bytes

from strongroom_host.errors import BadInput, EnvironmentFault
from strongroom_host.mapped_file import mapped
from strongroom_host.private_files import read_file, read_private

__all__ = [
    "mapped",
    "new_file",
    "read_image",
    "read_passphrase",
    "read_small",
    "save_bytes",
    "save_image",
]

MAX_SMALL_BYTES = 1 << 20


def read_image(path: Path) -> Image:
    """Returns the image in a file, its sections being views.

    Raises:
        BadInput: It cannot be read.
        FormatError: It is malformed.
    """
    return parse(mapped(path))


def read_small(path: Path) -> bytes:
    """Returns a text or certificate file of at most a megabyte."""
    return read_file(path, limit=MAX_SMALL_BYTES)


def read_passphrase(path: Path | None) -> bytes | None:
    """Returns the first line of a file that only its owner can read; None without a file."""
    return None if path is None else read_private(path).partition(b"\n")[0].rstrip(b"\r")


def save_image(image: Image, path: Path, *, force: bool) -> int:
    """Writes an image; returns its length in bytes.

    The old file may be the one that the sections are views of: it is replaced, not overwritten.

    Raises:
        BadInput: There is a file already and `force` is false, or it cannot be written.
        EnvironmentFault: The disk is full.
    """
    with new_file(path, force=force) as stream:
        return write(image, stream)


def save_bytes(pieces: Iterable[Bytes], path: Path, *, force: bool) -> None:
    """Writes a file from pieces, like `save_image`."""
    with new_file(path, force=force) as stream:
        for piece in pieces:
            stream.write(piece)


class _Stream:
    """The binary file being made; a plain object, so that the library's port is all it offers."""

    def __init__(self, descriptor: int) -> None:
        self._stream = os.fdopen(descriptor, "wb", buffering=1 << 20)

    def write(self, data: Bytes, /) -> object:
        return self._stream.write(data)

    def finish(self) -> None:
        """Brings everything to the disk: a write error must show here, before the rename."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def abandon(self) -> None:
        with suppress(OSError):
            self._stream.close()


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[_Stream]:
    """Yields something to write to that becomes `path` at the end, or nothing if anything fails."""
    if path.exists() and not force:
        raise BadInput(f"{path} exists already", remedy="choose another name, or give --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from error
    stream, temporary = _Stream(descriptor), Path(name)
    try:
        yield stream
        stream.finish()
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        stream.abandon()
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFault(
            f"no room to write {path}", remedy="free space on that file system, or choose another"
        )
    return BadInput(f"cannot write {path}: {error.strerror or error}")
