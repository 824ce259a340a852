"""Numbers that are never given out twice, whatever kills the process.

A counter's bound is on the disk before any number below it is used (`records.py` has the layout),
so a restart goes on at the bound: numbers may be left out, none comes again. While one block is
used, a thread reserves the next, so that whoever takes numbers does not wait for the disk.

Before each write the page that is there must be the one that was written last, and each bound is
marked a second time (`marks.py`), so an old state of the file that is put back shows: at the next
reservation while it is open, otherwise when it is opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import queue
import secrets
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_host.errors import BadInput
from strongroom_host.sequences.errors import (
    ANEW,
    SequencesBroken,
    SequencesBusy,
    SequencesCopied,
    SequencesRefused,
    SequencesSetBack,
)
from strongroom_host.sequences.marks import Marks
from strongroom_host.sequences.records import (
    COUNTERS,
    FILE_SIZE,
    LAST,
    MAX_STEP,
    NAME_SIZE,
    PAGE,
    Header,
    Slot,
    State,
    resume,
)

__all__ = ["SequenceBlock", "Sequences"]

_SALT_SIZE: Final = 16

_open: weakref.WeakSet[Sequences] = weakref.WeakSet()


def _forget_in_child() -> None:
    for sequences in list(_open):
        sequences._disown()  # noqa: SLF001


os.register_at_fork(after_in_child=_forget_in_child)


class SequenceBlock:
    """One counter. `next` may be called from any thread; every number is larger than the last."""

    __slots__ = (
        "_ahead",
        "_failed",
        "_limit",
        "_lock",
        "_numbers",
        "_sequences",
        "_size",
        "_state",
    )

    def __init__(self, sequences: Sequences, state: State, size: int, limit: int) -> None:
        self._sequences, self._state = sequences, state
        self._size, self._limit = size, limit
        self._lock = threading.Lock()
        self._numbers = iter(range(0)).__next__
        self._ahead: range | None = None
        self._failed: Exception | None = None

    @property
    def name(self) -> str:
        """What the counter is called in its file."""
        return self._state.slot.name

    def next(self) -> int:
        """Returns the next number, which nobody got before and nobody gets again.

        Raises:
            SequencesBroken: the next block could not be reserved.
            SequencesRefused: the numbers are used up.
        """
        try:
            # A range's iterator steps in one call of C: no second thread can come in between.
            return self._numbers()
        except StopIteration:
            return self._refill()

    def advance(self, above: int) -> None:
        """Leaves out all numbers up to `above`, which are known to be taken (a journal has them).

        Going back is not possible: a counter beyond `above` stays where it is.

        Raises:
            SequencesBroken: it could not be stored; no more numbers are given out.
        """
        with self._lock:
            self._check()
            # What is left of a block may be taken too. The next one starts at the bound.
            self._numbers, self._ahead = iter(range(0)).__next__, None
            if above >= self._state.slot.bound:
                self._store_twice(above + 1)

    def _refill(self) -> int:
        with self._lock:
            with contextlib.suppress(StopIteration):
                return self._numbers()  # another thread was first
            self._check()
            block = self._ahead or self._reserve()
            self._ahead = None
            self._numbers = iter(block).__next__
            number = self._numbers()
        self._sequences._ask_for(self)  # noqa: SLF001
        return number

    def _reserve(self) -> range:
        """Stores a higher bound and returns the numbers that became free by it."""
        first = self._state.slot.bound
        end = min(first + self._size, self._limit + 1)
        if first >= end:
            raise SequencesRefused(
                f"the counter {self.name!r} is used up", expected=f"at most {self._limit}"
            )
        self._store(end)
        return range(first, end)

    def _store(self, bound: int) -> None:
        try:
            self._state = self._sequences._written(self._state, bound, self.name)  # noqa: SLF001
        except Exception as error:
            # What is on the disk is unknown now, and so is which page may be overwritten.
            self._failed = error
            raise

    def _store_twice(self, bound: int) -> None:
        """A raise by more than `MAX_STEP` must not depend on one page."""
        self._store(bound)
        self._store(bound)

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _reserve_ahead(self) -> None:
        """Called by the thread that waits for the disk; what fails is raised by `next`, later."""
        with self._lock:
            if self._ahead is None and self._failed is None:
                with contextlib.suppress(Exception):
                    self._ahead = self._reserve()

    def _end(self, reason: Exception) -> None:
        self._failed = reason
        self._numbers, self._ahead = iter(range(0)).__next__, None


class Sequences:
    """A file of counters, held by one process; a context manager.

    Attributes:
        salt: 16 random bytes, others at every opening. A key derived with it starts anew, whatever
            became of the counters.
    """

    def __init__(self, path: Path, descriptor: int, header: Header, marks: Marks) -> None:
        """Use `Sequences.open`."""
        self._path, self._descriptor, self._header = path, descriptor, header
        self._marks = marks
        self._map = mmap.mmap(descriptor, FILE_SIZE)
        self._lock = threading.Lock()
        self._blocks: dict[str, SequenceBlock] = {}
        self._wanted: queue.SimpleQueue[SequenceBlock | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.salt = secrets.token_bytes(_SALT_SIZE)
        self._known, self._free = self._read_all()
        _open.add(self)

    @classmethod
    def open(cls, path: Path) -> Sequences:
        """Opens the file, or makes an empty one.

        Raises:
            SequencesBusy: another process has it.
            SequencesCopied: it is a copy of another file.
            SequencesSetBack: it is older than the marks beside it.
            SequencesBroken: it is damaged beyond what is safe, or not such a file.
            BadInput: it cannot be made or opened.
        """
        _make_if_missing(path)
        descriptor = _lock(path)
        try:
            return cls(path, descriptor, _header(path, descriptor), _marks(path))
        except BaseException:
            os.close(descriptor)
            raise

    def block(self, name: str, size: int = 4096, *, limit: int = LAST) -> SequenceBlock:
        """Returns the counter of that name, which begins at 1 if nothing was ever marked for it.

        Args:
            name: 1 to 64 bytes of UTF-8.
            size: How many numbers are reserved at a time, up to 2^20; as many are left out at most
                twice by a restart.
            limit: The last number there may be: 2^32 - 1 for a field of 32 bits.

        Raises:
            SequencesRefused: no such name or size, or somebody has this counter already.
            SequencesBroken: a new counter could not be stored.
        """
        encoded = name.encode()
        if not 1 <= len(encoded) <= NAME_SIZE or b"\0" in encoded:
            raise SequencesRefused("a counter's name has 1 to 64 bytes", actual=repr(name))
        if not 1 <= size <= MAX_STEP or not 1 <= limit <= LAST:
            raise SequencesRefused(f"numbers are reserved by 1 to {MAX_STEP}", actual=size)
        with self._lock:
            if name in self._blocks:
                raise SequencesRefused(f"somebody takes numbers of {name!r} already")
            state = self._known.get(name) or self._named(name)
            self._blocks[name] = block = SequenceBlock(self, state, size, limit)
        return block

    def close(self) -> None:
        """Lets the next process in. Numbers that were reserved and not used are left out."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._wanted.put(None)
            thread.join()
        with self._lock:
            self._end_all("the counters are closed")
            if self._descriptor >= 0:
                self._map.close()
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> Sequences:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_all(self) -> tuple[dict[str, State], list[State]]:
        """Returns the named counters and the free ones, mended where a page was damaged."""
        known: dict[str, State] = {}
        free: list[State] = []
        for index in range(COUNTERS):
            first = PAGE * (1 + 2 * index)
            pages = self._map[first : first + PAGE], self._map[first + PAGE : first + 2 * PAGE]
            state = resume(pages, self._header, index)
            if state is None:
                raise _damaged(self._path, f"counter {index}")
            name = state.slot.name
            if name in known:
                raise _damaged(self._path, f"counter {index}, which has the name of another,")
            if name:
                self._prove_newest(state.slot)
            if state.mending:
                state = self._written(state, state.slot.bound, name)
            if name:
                known[name] = state
            else:
                free.append(state)
        return known, free

    def _prove_newest(self, slot: Slot) -> None:
        """Proves that a counter of the file has come as far as its mark.

        Raises:
            SequencesSetBack: the mark is higher, or gone.
        """
        marked = self._marks.bound(slot.name)
        # A crash right after the first bound was stored leaves no mark, and no number was used.
        if slot.bound < marked or (not marked and slot.bound > 1):
            raise SequencesSetBack(
                f"{self._path} was put back, or its marks are gone, or it was made before there"
                " were marks: numbers it takes for free may be taken",
                expected=f"{slot.name!r} at {marked} or above, as in {self._marks.folder}"
                if marked
                else f"a mark for {slot.name!r} in {self._marks.folder}",
                actual=slot.bound if marked else "none",
                remedy=ANEW,
            )

    def _named(self, name: str) -> State:
        if not self._free:
            raise SequencesRefused(f"{self._path} has no counter left for {name!r}")
        state = self._free.pop(0)
        # A file that came after another goes on where that one was.
        bound = max(state.slot.bound, self._marks.bound(name))
        for _ in range(2):
            state = self._written(state, bound, name)
        return state

    def _written(self, state: State, bound: int, name: str) -> State:
        """Makes a state the next one, on the disk and marked when this returns."""
        if self._descriptor < 0:
            raise SequencesBroken("the counters are closed")
        old = state.slot
        if not state.mending:
            self._prove_untouched(state)
        slot = Slot(old.revision + 1, bound, old.file_id, old.index, name)
        data, at = slot.serialise(), PAGE * (1 + 2 * old.index + state.older)
        try:
            self._map[at : at + len(data)] = data
            _sync(self._descriptor, self._map, at)
        except (OSError, ValueError) as error:
            raise SequencesBroken(
                f"{self._path} cannot be written, so no number is given out",
                actual=error,
                remedy="see to the disk and start again",
            ) from error
        if name:  # a free counter that was mended counts for nobody
            self._mark(name, bound)
        return State(slot, 1 - state.older)

    def _prove_untouched(self, state: State) -> None:
        """Proves that a counter's newest page is the one that was written last.

        Read from the file, not through the mapping: of a file that was cut off that is a short
        read, where a load would end the process.

        Raises:
            SequencesSetBack: somebody else wrote to the file while it was held here.
        """
        wanted = state.slot.serialise()
        at = PAGE * (1 + 2 * state.slot.index + 1 - state.older)
        whole = os.fstat(self._descriptor).st_size == FILE_SIZE
        if not whole or os.pread(self._descriptor, len(wanted), at) != wanted:
            raise SequencesSetBack(
                f"{self._path} was written to by somebody else while its numbers were given out",
                expected=f"{state.slot.name!r} at {state.slot.bound}, as it was left here",
                remedy=f"start again; if that is refused, {ANEW}",
            )

    def _mark(self, name: str, bound: int) -> None:
        try:
            self._marks.raise_to(name, bound)
        except OSError as error:
            raise SequencesBroken(
                f"cannot mark in {self._marks.folder} how far {name!r} is, so no number is given"
                " out",
                actual=error,
                remedy="see to the disk, and that no other process counts there; then start again",
            ) from error

    def _ask_for(self, block: SequenceBlock) -> None:
        """Has the next numbers of `block` reserved, while these are used."""
        with self._lock:
            if self._thread is None and self._descriptor >= 0:
                self._thread = threading.Thread(
                    target=self._reserve_ahead, name="sequences", daemon=True
                )
                self._thread.start()
        self._wanted.put(block)

    def _reserve_ahead(self) -> None:
        while (block := self._wanted.get()) is not None:
            block._reserve_ahead()  # noqa: SLF001

    def _disown(self) -> None:
        """In a forked child: the numbers belong to the parent."""
        self._end_all("the counters belong to the process that opened them")

    def _end_all(self, reason: str) -> None:
        for block in self._blocks.values():
            block._end(SequencesBroken(reason, remedy="open the file in this process"))  # noqa: SLF001


def _sync(descriptor: int, mapped: mmap.mmap, at: int) -> None:
    """Returns when the page at `at` is on the disk."""
    if sys.platform == "linux":
        # Takes in what was written through the mapping, and unlike `flush` lets other threads run.
        os.fdatasync(descriptor)
    else:
        mapped.flush(at, PAGE)
        if sys.platform == "darwin":
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)


def _make_if_missing(path: Path) -> None:
    """Makes a file with nothing used; whole or not at all."""
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with contextlib.ExitStack() as stack, os.fdopen(handle, "wb") as stream:
            stack.callback(Path(name).unlink, missing_ok=True)
            header = Header(os.fstat(handle).st_ino, secrets.token_bytes(16))
            pages = [header.serialise()]
            for index in range(COUNTERS):
                pages += (Slot(at, 1, header.file_id, index, "").serialise() for at in (1, 2))
            # Written out in full: a hole that finds no space later would kill by a signal.
            stream.write(b"".join(page.ljust(PAGE, b"\0") for page in pages))
            stream.flush()
            os.fsync(handle)
            # Unlike a rename, never over a file that another process has just made.
            with contextlib.suppress(FileExistsError):
                os.link(name, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise BadInput(
            f"cannot make {path}: {error.strerror or error}",
            remedy="name a folder on a local disk that you may write to",
        ) from error


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(
            f"cannot open {path}: {error.strerror or error}", remedy="check its permissions"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SequencesBusy(
            f"another process gives out the numbers of {path}",
            remedy="stop it, or name another file",
        ) from error
    return descriptor


def _header(path: Path, descriptor: int) -> Header:
    """Returns the header of a file that is whole and is the one that was made."""
    status = os.fstat(descriptor)
    if status.st_size != FILE_SIZE:
        raise SequencesBroken(
            f"{path} is cut short, or no file of counters",
            expected=f"{FILE_SIZE} bytes",
            actual=status.st_size,
            remedy=ANEW,
        )
    header = Header.parse(os.pread(descriptor, PAGE, 0))
    if header is None:
        raise _damaged(path, "its first page")
    if header.inode != status.st_ino:
        raise SequencesCopied(
            f"{path} is a copy: what the original gave out since then is not in it",
            expected=f"file number {header.inode}",
            actual=status.st_ino,
            remedy=f"bring the original back, or {ANEW}",
        )
    return header


def _marks(path: Path) -> Marks:
    folder = path.with_name(f"{path.name}.seen")
    try:
        return Marks(folder)
    except OSError as error:
        raise BadInput(
            f"cannot read the marks in {folder}: {error.strerror or error}",
            remedy="it has to be a folder of this user's, beside the counters",
        ) from error


def _damaged(path: Path, what: str) -> SequencesBroken:
    return SequencesBroken(
        f"{path}: {what} does not say beyond doubt which numbers were given out", remedy=ANEW
    )
