"""What an owner remembers of a log: every head that he named, pulled or was shown.

A host can give any old or other history; it cannot make an owner forget the one he knows. So the
owner's folder has a file, `heads`, of one JSON line for each head, appended and synchronised before
anything rests on it. What was remembered is forgotten in one way only: a permit of the owners that
says so (`Permit.abandons`), which the line of that permit names as well, with the reason.
"""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from strongroom_wire.bundle import EMPTY_LOG, LogHead

from strongroom_host.errors import EnvironmentFault
from strongroom_host.owner.errors import OwnerError

__all__ = ["Abandoned", "HeadMemory", "How", "MemoryDamaged", "MemoryUnwritable", "RememberedHead"]

_MAX_FILE: Final = 64 << 20
_MAX_WORDS: Final = 500
_Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Words = Annotated[str, Meta(max_length=_MAX_WORDS)]


class MemoryDamaged(OwnerError):
    """The file of remembered heads cannot be read: what is forgotten could be rolled back."""

    exit_status = 3


class MemoryUnwritable(EnvironmentFault):
    """A head could not be remembered, so nothing may rest on it."""


class How(Enum):
    """How the owner came to know a head."""

    PERMIT = "permit"
    """He named it: a boot continues this history."""
    PULLED = "pulled"
    """A boot's receipt key signed it, and all of its leaves were stored."""
    SHOWN = "shown"
    """A boot's evidence committed to it; its leaves may not be stored yet."""


@dataclass(frozen=True, slots=True)
class RememberedHead:
    """One head: how it came, at which ms since the epoch on the owner's clock, out of which boot
    (its id, 32 bytes, or empty), and in words what vouched for it."""

    head: LogHead
    how: How
    at_ms: int
    boot: bytes = b""
    what: str = ""

    @property
    def begins(self) -> bool:
        """Whether a permit named it to begin an empty log."""
        return self.how is How.PERMIT and bool(self.boot) and self.head == EMPTY_LOG


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A head that the owners gave up by a permit, and why; for which boot (its id) that was."""

    head: LogHead
    reason: str
    at_ms: int
    boot: bytes = b""


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    size: _Size
    root: _Hex32

    @classmethod
    def of(cls, head: LogHead) -> "_Head":
        return cls(head.size, head.root.hex())

    @property
    def head(self) -> LogHead:
        return LogHead(self.size, bytes.fromhex(self.root))


class _Line(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    log: Annotated[str, Meta(min_length=1, max_length=200)]
    head: _Head
    how: How
    at_ms: _Size
    boot: _Hex32 | None = None
    what: _Words = ""
    abandons: _Head | None = None
    reason: _Words = ""

    def remembered(self) -> RememberedHead:
        boot = b"" if self.boot is None else bytes.fromhex(self.boot)
        return RememberedHead(self.head.head, self.how, self.at_ms, boot, self.what)


class HeadMemory:
    """The file of remembered heads, of any number of logs; each is named by its origin.

    A line that a crash cut short was never acknowledged, and is dropped. Anything else that cannot
    be read refuses everything: a memory with a hole is what a rollback needs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self, log: str) -> tuple[RememberedHead, ...]:
        """The heads of that log which its history must contain, smallest first.

        They are all those remembered since the owners last gave one up, each once, as it was first
        seen.

        Raises:
            MemoryDamaged: the file cannot be read.
        """
        found: dict[LogHead, RememberedHead] = {}
        for line in self._lines():
            if line.log == log:
                if line.abandons is not None:
                    found.clear()
                found.setdefault(line.head.head, line.remembered())
        found.pop(EMPTY_LOG, None)
        return tuple(sorted(found.values(), key=lambda each: (each.head.size, each.at_ms)))

    def begun(self, log: str) -> tuple[RememberedHead, ...]:
        """For which boots this owner permitted to begin that log empty, oldest first, since the
        owners last gave a head of it up.

        Raises:
            MemoryDamaged: the file cannot be read.
        """
        found: dict[bytes, RememberedHead] = {}
        for line in self._lines():
            if line.log == log:
                if line.abandons is not None:
                    found.clear()
                each = line.remembered()
                if each.begins and line.abandons is None:  # which may not have reached its boot
                    found.setdefault(each.boot, each)
        return tuple(found.values())

    def abandoned(self, log: str) -> tuple[Abandoned, ...]:
        """What the owners gave up of that log, oldest first, by permits made in this folder.

        Raises:
            MemoryDamaged: the file cannot be read.
        """
        return tuple(
            Abandoned(line.abandons.head, line.reason, line.at_ms, line.remembered().boot)
            for line in self._lines()
            if line.log == log and line.abandons is not None
        )

    def remember(
        self,
        log: str,
        heads: Sequence[RememberedHead],
        *,
        abandons: LogHead | None = None,
        reason: str = "",
        begins: bool = False,
    ) -> None:
        """Remembers heads; when it returns, they survive whatever happens.

        With `abandons`, all that was known of this log before is given up with the first of them,
        which is the history that the owners go on with instead. What is known already is not
        written again, nor is an empty log, unless `begins`: then a permit's is, for `begun`.

        Raises:
            MemoryDamaged: the file cannot be read, so it cannot be added to either.
            MemoryUnwritable: it may or may not be remembered; go no further.
        """
        known = set() if abandons is not None else {each.head for each in self.known(log)}
        begun = {each.boot for each in self.begun(log)}
        data = bytearray()
        for number, each in enumerate(heads):
            gives_up = abandons if number == 0 else None
            old = each.head in known
            if each.head == EMPTY_LOG:
                old = not (begins and each.begins) or each.boot in begun
            if gives_up is None and old:
                continue
            known.add(each.head)
            line = _Line(
                log,
                _Head.of(each.head),
                each.how,
                each.at_ms,
                each.boot.hex() or None,
                each.what[:_MAX_WORDS],
                None if gives_up is None else _Head.of(gives_up),
                "" if gives_up is None else reason[:_MAX_WORDS],
            )
            data += msgspec.json.encode(line) + b"\n"
        if data:
            self._append(bytes(data))

    def _append(self, data: bytes) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = not self._path.exists()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # What a crash left of a line would make this one unreadable.
                end = os.lseek(descriptor, 0, os.SEEK_END)
                whole = os.pread(descriptor, _MAX_FILE, 0).rfind(b"\n") + 1
                if whole < end:
                    os.ftruncate(descriptor, whole)
                view = memoryview(data)
                at = whole
                while view:
                    written = os.pwrite(descriptor, view, at)
                    view, at = view[written:], at + written
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if fresh:
                _synchronise_folder(self._path.parent)
        except OSError as error:
            raise MemoryUnwritable(
                f"cannot write {self._path}: {error.strerror or error}",
                remedy="make room on the disk, or check the folder's permissions; then try again",
            ) from error

    def _lines(self) -> list[_Line]:
        try:
            with self._path.open("rb") as stream:
                data = stream.read(_MAX_FILE + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from error
        if len(data) > _MAX_FILE:
            raise self._damaged(f"more than {_MAX_FILE} bytes")
        lines = []
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            try:
                lines.append(msgspec.json.decode(line, type=_Line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise self._damaged(f"line {number}: {error}") from error
        return lines

    def _damaged(self, why: str) -> MemoryDamaged:
        return MemoryDamaged(
            f"cannot read {self._path}, in which the heads of the log are remembered",
            expected="one JSON object in each line",
            actual=why,
            remedy="restore the file from a copy of the folder. Without it a rollback that another"
            " copy of the log, another owner or a witness would show goes unseen",
        )


def _synchronise_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
