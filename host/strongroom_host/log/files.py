"""A log as a directory: leaves are durable when `append` returns, and served as tiles by `publish`.

    checkpoint              the newest published note
    witnessed               the last one that a quorum of witnesses cosigned
    tile/...                full tiles and bundles; partial ones of published sizes
    tail.N                  the leaves of the bundle N that is not full yet, and the newest signed
                            head, each with a checksum (see `tail`)
    lock                    held by the one writer

Leaves go to the tail first. A bundle that is full is written with its tiles, lowest level first and
the bundle last, each by rename: so a bundle that is there has its tiles, and one that is not has
its leaves in the tail. Killed at any moment, the log opens again as the longest prefix that was
stored whole. Nothing that is full is ever written a second time with other content.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_wire.merkle import leaf_hash

from strongroom_host.log.errors import (
    LeafConflict,
    LogBusy,
    LogDamaged,
    LogUnwritable,
    OutsideLog,
    PositionMissed,
)
from strongroom_host.log.stored import StoredLog, head_of
from strongroom_host.log.tail import parse_tail, records
from strongroom_host.log.tiles import (
    CHECKPOINT,
    ENTRIES,
    HEIGHT,
    MAX_ENTRY,
    WIDTH,
    WITNESSED,
    Tile,
)

__all__ = ["LogFiles"]

_synchronise: Final = getattr(os, "fdatasync", os.fsync)  # macOS has none


class LogFiles(StoredLog):
    """The writer of a log in a directory, made if missing; also a `Storage` to read it from.

    Raises:
        LogBusy: another process has it open.
        LogDamaged: what is there is no log, or has fewer leaves than its own checkpoint names.
        LogUnwritable: it cannot be opened for writing.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = _lock(folder)
        self._tail: int | None = None
        self._failed = False
        try:
            self._resume(self._load(folder).whole)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise LogUnwritable(f"cannot open the log {folder}", actual=error) from error
            raise

    def append(self, index: int, entries: Sequence[bytes], note: bytes = b"") -> None:
        """Stores leaves from `index` on. When it returns, they survive whatever happens.

        Those that are there already must be the same, so that a caller who does not know whether an
        append was completed repeats it. With the leaves goes the note in which somebody vouches for
        the head that they lead to, if there is one: it is `signed` from then on, and not served
        before it is published.

        Raises:
            PositionMissed: `index` is beyond the next one.
            LeafConflict: another leaf is stored at one of these places.
            OutsideLog: an entry is empty or longer than 65,535 bytes.
            NoteMalformed, CheckpointMalformed, LogDamaged: the note is none, or is of another head.
            LogUnwritable: it may or may not be stored. Only opening the log anew helps.
        """
        size = self.size
        if not all(1 <= len(entry) <= MAX_ENTRY for entry in entries) or index < 0:
            raise OutsideLog("no leaf of a log", expected=f"1 to {MAX_ENTRY} bytes")
        if index > size:
            raise PositionMissed("leaves are missing before these", expected=size, actual=index)
        stored = self.reader().entries(index, index + len(entries))
        for at, (old, new) in enumerate(zip(stored, entries, strict=False), index):
            if old != new:
                raise LeafConflict(
                    f"the log has another leaf at {at}",
                    expected=leaf_hash(old).hex(),
                    actual=leaf_hash(new).hex(),
                    remedy="two boots extend one log, or an old state was continued: keep both",
                )
        if self._failed:
            raise LogUnwritable(f"the log {self._folder} failed before", remedy="open it anew")
        following = entries[size - index :]
        if note and not self._vouches(note, following):
            note = b""
        self._failed = True
        try:
            self._extend(following, note)
        except OSError as error:
            raise LogUnwritable(
                f"cannot write the log {self._folder}",
                actual=error,
                remedy="make room on the disk or mend it, then open the log anew",
            ) from error
        self._failed = False
        if note:
            self._signed = self.size

    def publish(self, note: bytes) -> None:
        """Serves `note`, a checkpoint of leaves that are stored, and the tiles it needs.

        Its signatures are not verified: who serves a log need not know its keys.

        Raises:
            NoteMalformed, CheckpointMalformed: it is none.
            LogDamaged: it has more leaves than are stored or another root, or fewer than the one
                published before.
            LogUnwritable: it may or may not be served; nothing else changed.
        """
        size = self._check(note, self.published)
        self._serve(CHECKPOINT, note, size)
        if self._signed <= size:
            self._note, self._signed = b"", size

    def vouch(self, note: bytes) -> None:
        """Keeps and serves `note` as the last checkpoint that a quorum of witnesses cosigned, apart
        from newer ones that they have not. One of fewer leaves than the one kept changes nothing.

        Call it before the same note is published: so no crash leaves a published note in which
        alone the cosignatures were, to be replaced by the next. No signature is verified here.

        Raises:
            NoteMalformed, CheckpointMalformed: it is none.
            LogDamaged: it has more leaves than are stored, or another root.
            LogUnwritable: it may or may not be kept; nothing else changed.
        """
        size, kept = self._check(note, 0), self._bytes(WITNESSED)
        if kept is None or (kept != note and size >= head_of(kept).size):
            self._serve(WITNESSED, note, size)

    def close(self) -> None:
        """Ends writing and lets the next process in."""
        for descriptor in (self._tail, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._tail = self._lock = None

    def __enter__(self) -> LogFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- writing ------------------------------------------------------------------------------

    def _resume(self, whole: int) -> None:
        """Opens the tail after its last whole record, and puts an end to those before it."""
        number = self.size // WIDTH
        tail = self._open_tail(number)
        if os.fstat(tail).st_size > whole:
            os.ftruncate(tail, whole)  # what a crash cut short was never acknowledged
            _synchronise(tail)
        if self._note and parse_tail(self._bytes(f"tail.{number}") or b"").note != self._note:
            _write(tail, records((), self._note))
            _synchronise(tail)
        self._forget_tails()

    def _vouches(self, note: bytes, entries: Sequence[bytes]) -> bool:
        """Whether a note says more than is known; it must be of the head that `entries` lead to."""
        tree = self.frontier
        for entry in entries:
            tree.append(leaf_hash(entry))
        if (head := head_of(note)) != tree.head:
            raise LogDamaged(
                "a checkpoint of another head than the leaves lead to",
                expected=f"{tree.head.size} leaves, root {tree.head.root.hex()}",
                actual=f"{head.size} leaves, root {head.root.hex()}",
            )
        return self._signed < head.size

    def _extend(self, entries: Sequence[bytes], note: bytes) -> None:
        """Writes leaves, bundle by bundle, and behind the last of them the note."""
        filled = len(self._entries) + len(entries) >= WIDTH
        if filled and not note:
            note = self._note  # its own tail goes
        while entries or note:
            room = WIDTH - len(self._entries)
            chunk, entries = entries[:room], entries[room:]
            behind = note if len(chunk) < room else b""
            tail = self._open_tail(self.size // WIDTH) if self._tail is None else self._tail
            _write(tail, records(chunk, behind))
            _synchronise(tail)
            if behind:
                self._note, note = behind, b""
            self._take(chunk)
        if filled:
            self._forget_tails()

    def _take(self, entries: Sequence[bytes]) -> None:
        """See `StoredLog`; a tail whose bundle is complete is closed."""
        super()._take(entries)
        if not self._entries and self._tail is not None:
            os.close(self._tail)
            self._tail = None

    def _forget_tails(self) -> None:
        for number in self._tails():
            if number < self.size // WIDTH:
                (self._folder / f"tail.{number}").unlink()

    def _serve(self, path: str, note: bytes, size: int) -> None:
        try:
            for tile in self._partial(size):
                data = self.read(tile.path)
                if data is not None and self._bytes(tile.path) is None:
                    self._put(tile.path, data)
            self._put(path, note)
        except OSError as error:
            raise LogUnwritable(f"cannot write the log {self._folder}", actual=error) from error

    def _partial(self, size: int) -> list[Tile]:
        """The partial tiles and the partial bundle of a tree of `size` leaves."""
        found = []
        for level in range(len(self._edges)):
            full, width = divmod(size >> HEIGHT * level, WIDTH)
            if width:
                levels = (level, ENTRIES) if level == 0 else (level,)
                found += [Tile(each, full, width) for each in levels]
        return found

    def _put_full(self, tile: Tile, data: bytes) -> None:
        stored = self._bytes(tile.path)
        if stored not in (None, data):
            raise LogDamaged(f"the log {self._folder} has another {tile.path}")
        if stored is None:
            self._put(tile.path, data)
        partial = self._folder / f"{tile.path}.p"
        if partial.is_dir():
            for path in partial.iterdir():
                path.unlink()
            partial.rmdir()

    def _put(self, path: str, data: bytes) -> None:
        """Replaces a file in one step, durably."""
        target, new = self._folder / path, self._folder / "new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            _write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _make_folder(target.parent)
        new.replace(target)
        _synchronise_folder(target.parent)

    def _open_tail(self, number: int) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._tail = os.open(self._folder / f"tail.{number}", flags, 0o644)
        _synchronise_folder(self._folder)
        return self._tail


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, each durably."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _synchronise_folder(folder.parent)


def _synchronise_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LogUnwritable(f"cannot open the log {folder}", actual=error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LogBusy(
            f"the log {folder} is being written by another process",
            remedy="one writer per log: where `strongroom log keep` runs there is nothing to pull",
        ) from error
    return descriptor
