"""Pages of leaves that an enclave handed over and that no signed head proves yet.

Whoever asks an enclave for the leaves from an index on says by it that those before are safe, and
the enclave may forget them. Leaves that fill several pages are proved by the last one only. So each
page is put here, durably, before the next is asked for; if the process ends in between, the leaves
that the enclave has forgotten meanwhile are taken from here. Nothing else rests on this file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from strongroom_wire.encoding import pack, u64, uint, unpack
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import leaf_hash
from strongroom_wire.pages import Entry

from strongroom_host.log.errors import LogUnwritable

__all__ = ["Incoming"]

_ENTRY: Final = b"strongroom/incoming/v1"
_LENGTH: Final = 4
_CHECKSUM: Final = 8


class Incoming:
    """The file `incoming` in a log's folder, mode 0600: it holds openings. For the one writer."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "incoming"
        self._ended = False
        """Whether what a crash cut short is gone: behind it nothing could be read."""

    def add(self, entries: tuple[Entry, ...]) -> None:
        """Keeps entries; they survive a crash once this returns.

        Raises:
            LogUnwritable: they may or may not be kept.
        """
        packed = [pack(_ENTRY, u64(Leaf.parse(e.leaf).index), e.leaf, e.opening) for e in entries]
        data = b"".join(
            len(each).to_bytes(_LENGTH, "big") + each + leaf_hash(each)[:_CHECKSUM]
            for each in packed
        )
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            fresh = not self._path.exists()
            if not fresh and not self._ended:
                os.truncate(self._path, self._read()[1])
            self._ended = True
            with os.fdopen(os.open(self._path, flags, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if fresh:
                _synchronise_folder(self._path.parent)
        except OSError as error:
            raise LogUnwritable(f"cannot write {self._path}", actual=error) from error

    def entries(self) -> dict[int, Entry]:
        """What was kept and not cleared, by index; of each the last. Unproved."""
        return self._read()[0]

    def _read(self) -> tuple[dict[int, Entry], int]:
        """The entries, and how many bytes of the file are whole."""
        found: dict[int, Entry] = {}
        data = self._path.read_bytes() if self._path.exists() else b""
        at = whole = 0
        while at < len(data):
            start = at + _LENGTH
            end = start + int.from_bytes(data[at:start], "big")
            at = end + _CHECKSUM
            if data[end:at] != leaf_hash(data[start:end])[:_CHECKSUM]:
                break  # cut short by a crash
            try:
                index, leaf, opening = unpack(_ENTRY, data[start:end])
                found[uint(index, 8)] = Entry(leaf, opening)
            except (WireError, ValueError):
                break
            whole = at
        return found, whole

    def clear(self) -> None:
        """Forgets them: they are stored.

        Raises:
            LogUnwritable: the file cannot be removed.
        """
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise LogUnwritable(f"cannot remove {self._path}", actual=error) from error


def _synchronise_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
