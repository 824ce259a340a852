"""An archive in a write-once directory.

Each object is a file with its name, mode 0444, made whole or not at all: written under
`incoming/`, synchronised, and linked to a name that must not exist. Where the file system and this
user's rights allow it (Linux, root), it is made immutable as well, as `chattr +i` does.

Retention dates and legal holds are lines of `protection.log`, which only grows. A directory does
not enforce them: whoever is root can remove the flag and then the file. What makes a date binding
is the medium below (a WORM file system, tape, optical discs) or S3 (`bucket`).
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from strongroom_host.archive.errors import (
    ArchiveUnwritable,
    ObjectMissing,
    RetentionTooShort,
    Unprotected,
)
from strongroom_host.archive.manifest import digest_in
from strongroom_host.archive.store import Protection, StoredObject, checked, day
from strongroom_host.errors import BadInput
from strongroom_host.mapped_file import mapped

__all__ = ["FolderStore", "clear_immutable"]

_INCOMING: Final = "incoming"
_LEDGER: Final = "protection.log"
_MODE: Final = "WRITE-ONCE"
# linux/fs.h: _IOR('f', 1, long), _IOW('f', 2, long) on 64-bit machines, and two file attributes.
_GET_FLAGS: Final = 0x80086601
_SET_FLAGS: Final = 0x40086602
_IMMUTABLE: Final = 0x10


class _Line(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One line of the ledger."""

    key: str
    until_ms: Annotated[int, Meta(ge=0)]
    hold: bool


class FolderStore:
    """The objects in a directory, which is made when something is put there first."""

    mode = _MODE

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger, self._ledger_size = dict[str, Protection](), 0

    @property
    def place(self) -> str:
        return str(self._folder)

    def prepare(self, now_ms: int) -> None:  # noqa: ARG002 - a directory has no clock of its own
        """Makes the directory, clears what an interrupted run left, and proves it is writable."""
        try:
            incoming = self._folder / _INCOMING
            incoming.mkdir(parents=True, exist_ok=True)
            for path in incoming.iterdir():
                path.unlink()
            probe = incoming / "probe"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def objects(self, prefix: str = "") -> Iterable[StoredObject]:
        names = (path.relative_to(self._folder).as_posix() for path in self._folder.glob("*/*-*"))
        for name in sorted(name for name in names if name.startswith(prefix)):
            if digest_in(name) is not None:
                yield StoredObject(name, (self._folder / name).stat().st_size)

    def put(self, key: str, data: bytes, wanted: Protection) -> None:
        target, new = self._folder / key, self._folder / _INCOMING / f"{os.getpid()}.part"
        try:
            _make_folder(target.parent)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            try:
                _write(descriptor, data)
                os.fchmod(descriptor, 0o444)  # whatever the umask is
                os.fsync(descriptor)
                # The ledger first: an object is never there without its date.
                self._record(key, wanted)
                os.link(new, target)
                new.unlink()
                _make_immutable(descriptor)
            finally:
                os.close(descriptor)
                new.unlink(missing_ok=True)
            _synchronise(target.parent)
        except OSError as error:
            raise self._unwritable(error) from error

    def read(self, key: str) -> bytes | memoryview:
        if not (self._folder / key).is_file():
            raise ObjectMissing(f"{self.place} has no {key}", remedy="fetch it from another copy")
        return checked(key, mapped(self._folder / key))

    def protection(self, key: str) -> Protection:
        path = self._folder / key
        if not path.is_file():
            raise ObjectMissing(f"{self.place} has no {key}", remedy="fetch it from another copy")
        found = self._protections().get(key, Protection())
        mode = "" if path.stat().st_mode & 0o222 else _MODE
        return Protection(mode, found.until_ms, found.hold)

    def protect(self, key: str, wanted: Protection) -> None:
        kept = self.protection(key)
        if wanted.until_ms < kept.until_ms:
            raise RetentionTooShort(
                f"{key} is kept longer already",
                expected=f"{day(kept.until_ms)} or later",
                actual=day(wanted.until_ms),
            )
        try:
            if not kept.mode:
                (self._folder / key).chmod(0o444)
            self._record(key, wanted)
        except OSError as error:
            raise self._unwritable(error) from error

    def _protections(self) -> dict[str, Protection]:
        """By key: the latest date of all lines, and the hold of the last one."""
        path = self._folder / _LEDGER
        size = path.stat().st_size if path.exists() else 0
        if size != self._ledger_size:  # another process may hold what this one exports
            ledger = dict[str, Protection]()
            for line in self._lines():
                before = ledger.get(line.key, Protection())
                until = max(before.until_ms, line.until_ms)
                ledger[line.key] = Protection(_MODE, until, line.hold)
            self._ledger, self._ledger_size = ledger, size
        return self._ledger

    def _lines(self) -> list[_Line]:
        try:
            data = (self._folder / _LEDGER).read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadInput(f"cannot read {self._folder / _LEDGER}: {error.strerror}") from error
        found = []
        for number, line in enumerate(data.split(b"\n")[:-1], 1):  # the last one was cut short
            try:
                found.append(msgspec.json.decode(line, type=_Line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Unprotected(
                    f"line {number} of {self._folder / _LEDGER} is unreadable",
                    actual=error,
                    remedy="restore the file from a copy: without it no retention date is known",
                ) from error
        return found

    def _record(self, key: str, wanted: Protection) -> None:
        """Adds a line to the ledger, durably; a line that a crash cut short is ended first."""
        line = msgspec.json.encode(_Line(key, wanted.until_ms, wanted.hold)) + b"\n"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._folder / _LEDGER, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            ledger = self._protections()
            size = os.fstat(descriptor).st_size
            whole = os.pread(descriptor, 1, size - 1) == b"\n" if size else True
            if not whole:
                _drop_last_line(descriptor, size)
            _write(descriptor, line)
            os.fsync(descriptor)
            self._ledger_size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        _synchronise(self._folder)
        until = max(ledger.get(key, Protection()).until_ms, wanted.until_ms)
        ledger[key] = Protection(_MODE, until, wanted.hold)

    def _unwritable(self, error: OSError) -> ArchiveUnwritable:
        return ArchiveUnwritable(
            f"cannot write to the archive {self._folder}",
            actual=error,
            remedy="make room or mend it, then run the same command again: it goes on from there",
        )


def clear_immutable(path: Path) -> None:
    """Undoes the flag, for whoever may: to delete a file whose retention is over."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_flag(descriptor, on=False)
    finally:
        os.close(descriptor)


def _make_immutable(descriptor: int) -> None:
    try:
        _set_flag(descriptor, on=True)
    except OSError:
        return  # not root, or a file system without the flag: the mode has to do


def _set_flag(descriptor: int, *, on: bool) -> None:
    if not sys.platform.startswith("linux"):
        return
    data = fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))
    (flags,) = struct.unpack("=q", data)
    flags = flags | _IMMUTABLE if on else flags & ~_IMMUTABLE
    fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("=q", flags))


def _drop_last_line(descriptor: int, size: int) -> None:
    """Removes what a crash left of a line: the object that it was for was not linked yet."""
    data = os.pread(descriptor, size, 0)
    os.ftruncate(descriptor, data.rfind(b"\n") + 1)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _synchronise(folder.parent)


def _synchronise(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
