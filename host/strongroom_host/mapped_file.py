"""A file's content as a view: as large as it likes, at no cost in memory."""

import mmap
import os
from pathlib import Path

from strongroom_host.errors import BadInput

__all__ = ["mapped"]


def mapped(path: Path) -> bytes | memoryview:
    """Returns a file's content, unread: pages come from the cache as they are looked at.

    Raises:
        BadInput: It is missing, a directory, or not readable.
    """
    try:
        with path.open("rb") as stream:
            if not os.fstat(stream.fileno()).st_size:
                return b""
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(
            f"cannot read {path}: {reason}", remedy="check the path and its permissions"
        ) from error
