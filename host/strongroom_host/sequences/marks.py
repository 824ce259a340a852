"""How far each counter has come, said a second time: in the names of empty files.

    NAME.BOUND    in the folder `FILE.seen`; NAME quoted as in a URL, BOUND in decimal

A file of counters that is put back is whole and agrees with itself, so nothing in it can tell. A
mark can: who copies an old state over a newer one, the folder of marks included, brings an old name
back and leaves the newer one beside it, and the highest counts. What goes past this is a disk set
back as a whole, or somebody who removes marks.

A mark moves by one rename from the bound that this process knows. If that one is no longer there,
somebody else counts as well, and the rename fails: of two, one at most goes on.
"""

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from strongroom_host.sequences.records import LAST, NAME_SIZE

__all__ = ["Marks"]

_DIGITS: Final = len(str(LAST + 1))


class Marks:
    """The marks beside one file of counters."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder if there is none, and reads it.

        Raises:
            OSError: it can be neither made nor read.
        """
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._found: dict[str, list[int]] = {}
        for entry in folder.iterdir():
            name, bound = _parsed(entry.name)
            if name:
                self._found.setdefault(name, []).append(bound)

    def bound(self, name: str) -> int:
        """Returns the highest bound that was marked for a counter, 0 if none was."""
        return max(self._found.get(name, [0]))

    def raise_to(self, name: str, bound: int) -> None:
        """Marks that numbers below `bound` may be in use; on the disk when this returns.

        Raises:
            OSError: it cannot be written, or somebody else has moved or removed the mark.
        """
        before = self.bound(name)
        if bound <= before:
            return
        if before:
            self._path(name, before).rename(self._path(name, bound))
        else:
            marked = os.open(self._path(name, bound), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.close(marked)
        self._sync()
        for old in self._found.get(name, []):
            if old != before:
                self._path(name, old).unlink(missing_ok=True)
        self._found[name] = [bound]

    def _path(self, name: str, bound: int) -> Path:
        return self.folder / f"{quote(name, safe='')}.{bound}"

    def _sync(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _parsed(entry: str) -> tuple[str, int]:
    """A mark's name and bound, or "" for a file that is no mark."""
    quoted, _, digits = entry.rpartition(".")
    if not digits.isascii() or not digits.isdecimal() or not len(digits) <= _DIGITS:
        return "", 0
    name, bound = unquote(quoted), int(digits)
    # Only what this module writes: two spellings of one mark would be two marks.
    if f"{quote(name, safe='')}.{bound}" != entry or not 1 <= bound <= LAST + 1:
        return "", 0
    return (name, bound) if 1 <= len(name.encode(errors="replace")) <= NAME_SIZE else ("", 0)
