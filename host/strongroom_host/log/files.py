"""A log as a directory: leaves are durable when `append` returns, and served as tiles by `publish`.

    checkpoint              the newest published note
    tile/...                full tiles and bundles; partial ones of published sizes
    tail.N                  the leaves of the bundle N that is not full yet, each with a checksum
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

from strongroom_wire.bundle import LogHead
from strongroom_wire.merkle import Frontier, leaf_hash

from strongroom_host.log import proofs
from strongroom_host.log.errors import (
    LeafConflict,
    LogBusy,
    LogDamaged,
    LogUnwritable,
    OutsideLog,
    PathMalformed,
    PositionMissed,
)
from strongroom_host.log.notes import Checkpoint, Note
from strongroom_host.log.tiles import (
    CHECKPOINT,
    ENTRIES,
    HEIGHT,
    MAX_ENTRY,
    WIDTH,
    Tile,
    bundle,
    parent,
    parse_tile,
)
from strongroom_host.log.tree import LogReader, TileHashes

__all__ = ["LogFiles"]

_CHECKSUM: Final = 8
_synchronise: Final = getattr(os, "fdatasync", os.fsync)  # macOS has none


class LogFiles:
    """The writer of a log in a directory, made if missing; also a `Storage` to read it from.

    Raises:
        LogBusy: another process has it open.
        LogDamaged: what is there is no log, or has fewer leaves than its own checkpoint names.
        LogUnwritable: it cannot be opened for writing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = _lock(folder)
        self._tail: int | None = None
        self._failed = False
        self._entries: list[bytes] = []
        self._edges: list[list[bytes]] = [[]]
        """By level: the hashes of the tile that is not full yet."""
        self._frontier = Frontier()
        try:
            self._load()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise LogUnwritable(f"cannot open the log {folder}", actual=error) from error
            raise

    @property
    def size(self) -> int:
        """How many leaves are stored."""
        return self._frontier.size

    @property
    def head(self) -> LogHead:
        """The head of all leaves that are stored, published or not."""
        return self._frontier.head

    @property
    def published(self) -> int:
        """How many leaves the newest published checkpoint has."""
        data = self._bytes(CHECKPOINT)
        return 0 if data is None else Checkpoint.parse(Note.parse(data).text).head.size

    def reader(self, size: int | None = None) -> LogReader:
        """The log of its first `size` leaves, by default all, published or not."""
        if size is None or size == self.size:
            return LogReader(self, self.head)
        return LogReader(self, proofs.head(size, TileHashes(self, self.size)), self.size)

    def read(self, path: str) -> bytes | None:
        """What is at a path of the tlog-tiles layout; parts not yet published come from memory."""
        if path == CHECKPOINT:
            return self._bytes(path)
        try:
            tile = Tile.parse(path)
        except PathMalformed:
            return None
        edge = self._entries if tile.level == ENTRIES else self._edge(tile.level)
        beyond = self.size >> HEIGHT * (max(tile.level, 0) + 1)
        if tile.index == beyond and tile.width <= len(edge):
            found = edge[: tile.width]
            return bundle(found) if tile.level == ENTRIES else b"".join(found)
        return self._bytes(path)

    def append(self, index: int, entries: Sequence[bytes]) -> None:
        """Stores leaves from `index` on. When it returns, they survive whatever happens.

        Those that are there already must be the same, so that a caller who does not know whether an
        append was completed repeats it.

        Raises:
            PositionMissed: `index` is beyond the next one.
            LeafConflict: another leaf is stored at one of these places.
            OutsideLog: an entry is empty or longer than 65,535 bytes.
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
        self._failed = True
        try:
            self._extend(entries[size - index :])
        except OSError as error:
            raise LogUnwritable(
                f"cannot write the log {self._folder}",
                actual=error,
                remedy="make room on the disk or mend it, then open the log anew",
            ) from error
        self._failed = False

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
        try:
            for tile in self._partial(size):
                data = self.read(tile.path)
                if data is not None and self._bytes(tile.path) is None:
                    self._put(tile.path, data)
            self._put(CHECKPOINT, note)
        except OSError as error:
            raise LogUnwritable(f"cannot write the log {self._folder}", actual=error) from error

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

    # --- opening ------------------------------------------------------------------------------

    def _load(self) -> None:
        """Takes up what is stored: full bundles, the hashes above them, and the tail."""
        bundles = self._count(ENTRIES)
        level = 0
        while bundles >> HEIGHT * level:
            full = bundles >> HEIGHT * level
            first = full - full % WIDTH
            self._edge(level + 1).extend(self._full(level, n) for n in range(first, full))
            level += 1
        size = bundles * WIDTH
        self._frontier = proofs.frontier(size, TileHashes(self, size))
        for path in self._folder.glob("tail.*"):
            if (number := int(path.suffix[1:])) > bundles:
                raise LogDamaged(
                    f"the log {self._folder} lacks a bundle",
                    expected=Tile(ENTRIES, number - 1).path,
                    remedy="restore it from a copy; the log is not written to meanwhile",
                )
            if number < bundles:
                path.unlink()
        data = self._bytes(f"tail.{bundles}") or b""
        entries, whole = _records(data)
        tail = self._open_tail(bundles)
        if whole < len(data):
            os.ftruncate(tail, whole)  # what a crash cut short was never acknowledged
            _synchronise(tail)
        self._take(entries)
        note = self._bytes(CHECKPOINT)
        if note is not None:
            self._check(note, 0)

    def _count(self, level: int) -> int:
        """How many full tiles of a level there are, without a gap."""
        prefix = self._folder / "tile" / ("entries" if level == ENTRIES else str(level))
        names = (path.relative_to(self._folder).as_posix() for path in prefix.rglob("[0-9]*"))
        found = [Tile.parse(name).index for name in names if ".p" not in name]
        if sorted(found) != list(range(len(found))):
            missing = next(n for n, index in enumerate(sorted(found)) if n != index)
            raise LogDamaged(
                f"the log {self._folder} lacks a bundle",
                expected=Tile(level, missing).path,
                remedy="restore it from a copy; the log is not written to meanwhile",
            )
        return len(found)

    def _full(self, level: int, index: int) -> bytes:
        """The root of a full tile."""
        path = Tile(level, index).path
        data = self._bytes(path)
        if data is None:
            raise LogDamaged(f"the log {self._folder} lacks a tile", expected=path)
        return parent(parse_tile(data, WIDTH))

    def _check(self, note: bytes, least: int) -> int:
        """Holds a checkpoint against what is stored, and returns its size."""
        head = Checkpoint.parse(Note.parse(note).text).head
        if not least <= head.size <= self.size:
            raise LogDamaged(
                "a checkpoint of leaves that are not stored, or older than the one served",
                expected=f"{least} to {self.size} leaves",
                actual=head.size,
                remedy="do not go on with this log: leaves were lost, or an old copy was restored",
            )
        stored = self.reader(head.size).head
        if stored != head:
            raise LogDamaged(
                "a checkpoint of another history than is stored",
                expected=stored.root.hex(),
                actual=head.root.hex(),
                remedy="do not go on with this log: find out which of the two is true",
            )
        return head.size

    # --- writing ------------------------------------------------------------------------------

    def _extend(self, entries: Sequence[bytes]) -> None:
        while entries:
            chunk = entries[: WIDTH - len(self._entries)]
            entries = entries[len(chunk) :]
            tail = self._open_tail(self.size // WIDTH) if self._tail is None else self._tail
            _write(tail, b"".join(_record(entry) for entry in chunk))
            _synchronise(tail)
            self._take(chunk)

    def _take(self, entries: Sequence[bytes]) -> None:
        """Counts leaves that are durable, and writes the bundle and tiles they complete."""
        self._entries += entries
        hashes = [leaf_hash(entry) for entry in entries]
        self._edges[0] += hashes
        for each in hashes:
            self._frontier.append(each)
        if len(self._entries) < WIDTH:
            return
        number, level = self.size // WIDTH - 1, 0
        while len(self._edges[level]) == WIDTH:
            self._put_full(Tile(level, number >> HEIGHT * level), b"".join(self._edges[level]))
            self._edge(level + 1).append(parent(self._edges[level]))
            self._edges[level] = []
            level += 1
        self._put_full(Tile(ENTRIES, number), bundle(self._entries))
        self._entries = []
        if self._tail is not None:
            os.close(self._tail)
        self._tail = None
        (self._folder / f"tail.{number}").unlink(missing_ok=True)

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

    def _edge(self, level: int) -> list[bytes]:
        while len(self._edges) <= level:
            self._edges.append([])
        return self._edges[level]

    def _bytes(self, path: str) -> bytes | None:
        try:
            return (self._folder / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None


def _record(entry: bytes) -> bytes:
    return len(entry).to_bytes(2, "big") + entry + leaf_hash(entry)[:_CHECKSUM]


def _records(data: bytes) -> tuple[list[bytes], int]:
    """The entries that a tail holds whole, and how many of its bytes those are."""
    entries: list[bytes] = []
    at = 0
    while len(entries) < WIDTH:
        start = at + 2
        end = start + int.from_bytes(data[at:start], "big")
        entry, following = data[start:end], end + _CHECKSUM
        # Zeros, which some file systems leave behind, are no record: no checksum is zero.
        if data[end:following] != leaf_hash(entry)[:_CHECKSUM]:
            break
        entries.append(entry)
        at = following
    return entries, at


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
            f"the log {folder} is being written by another process", remedy="one writer per log"
        ) from error
    return descriptor
