"""A ring's name and the file that it stands for."""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from strongroom_host.ring.errors import NameInvalid

__all__ = ["check_name", "name_of", "ring_folder", "ring_path"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX: Final = "strongroom-"


def ring_folder() -> Path:
    """Returns where rings are: STRONGROOM_RING_DIR, else /dev/shm, else (macOS) the folder for
    temporary files, which is memory only as far as the system caches it."""
    chosen = os.environ.get("STRONGROOM_RING_DIR")
    if chosen:
        return Path(chosen)
    return Path("/dev/shm" if sys.platform == "linux" else tempfile.gettempdir())  # noqa: S108


def ring_path(name: str, user: int | None = None) -> Path:
    """Returns the file of a ring of this user, or of another.

    Raises:
        NameInvalid: rings cannot be called that.
    """
    check_name(name, "ring")
    return ring_folder() / f"{_PREFIX}{os.geteuid() if user is None else user}-{name}"


def name_of(path: Path) -> str | None:
    """Returns the name of the ring of this user that a file stands for, or None."""
    prefix = f"{_PREFIX}{os.geteuid()}-"
    name = path.name.removeprefix(prefix)
    return name if path.name.startswith(prefix) and _NAME.fullmatch(name) else None


def check_name(name: str, what: str) -> None:
    """Proves that a ring or consumer can be called `name`.

    Raises:
        NameInvalid: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise NameInvalid(
            f"a {what} cannot have this name",
            expected="up to 64 letters, digits, '.', '_' or '-', the first a letter or digit",
            actual=repr(name),
        )
