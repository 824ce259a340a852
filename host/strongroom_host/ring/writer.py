"""The producer's end of a ring.

Publishing never waits: a consumer that is too slow loses ticks and is told how many. The order of
the three stores in `publish` is the whole protocol; the README says why it suffices.
"""

import os
import struct
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from strongroom_host.ring import layout
from strongroom_host.ring.errors import (
    RingAbsent,
    RingClosed,
    RingInvalid,
    RingMismatch,
    RingTaken,
    TickInvalid,
)
from strongroom_host.ring.fences import new_fence
from strongroom_host.ring.instruments import InstrumentTable
from strongroom_host.ring.locks import PRODUCER, process_start, try_lock
from strongroom_host.ring.places import ring_path
from strongroom_host.ring.segment import (
    Segment,
    Shape,
    check_owner,
    new_shape,
    read_shape,
    write_shape,
)
from strongroom_host.ring.tick import PAYLOAD, PAYLOAD_OFFSET, SIZE

__all__ = ["RingWriter"]

_PATIENCE_S = 0.5
"""How long a new producer waits for one that is just ending."""


class RingWriter:
    """Publishes ticks. One process, one thread; never from a signal handler."""

    @classmethod
    def create(
        cls,
        name: str,
        *,
        slots: int = 512,
        consumers: int = 16,
        huge: bool = False,
        mode: int = 0o600,
    ) -> Self:
        """Makes a ring, or takes over the one that a producer of this name has left.

        A ring taken over keeps its ticks, instruments and consumers; sequences go on where they
        were, and `generation` counts one more.

        Args:
            name: The ring's name, for `RingReader.attach`.
            slots: How many of the last ticks it holds; a power of two.
            consumers: How many consumers can have a name.
            huge: Whether the slots should be on huge pages; `pages` tells whether they are.
            mode: Permissions of the file. Nobody but its user may ever write to it.

        Raises:
            NameInvalid, SizeInvalid: the request itself is at fault.
            RingTaken: a producer of this name is alive.
            RingMismatch: the ring that was left has another shape.
            RingInvalid: what is there is no ring, not safely this user's, or damaged.
            SpaceMissing: there is not enough shared memory.
        """
        path = ring_path(name)
        layout.check_shape(slots, consumers)
        descriptor = _claim(path, mode)
        try:
            try:
                shape = read_shape(descriptor, path)
            except RingAbsent:
                os.ftruncate(descriptor, 0)
                os.fchmod(descriptor, mode & 0o644)
                shape = new_shape(slots, consumers, "")
                write_shape(descriptor, path, shape)
            _check_same(path, shape, slots, consumers)
            segment = Segment(path, descriptor, shape, writable=True)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(name, segment)

    def __init__(self, name: str, segment: Segment) -> None:
        """Takes over a segment whose producer lock this process holds; see `create`."""
        self.name, self._segment = name, segment
        self._words, self._slots = segment.words, segment.slots
        self._mask = segment.shape.slots - 1
        begin, end = layout.CONSUMERS_OFFSET, layout.SLOTS_OFFSET
        self._shared = segment.bytes[begin:end].cast("Q")
        self._fence = new_fence()
        self._next = _recovered(segment) + 1
        self.instruments = InstrumentTable(segment.bytes)
        header, pid = segment.header, os.getpid()
        header[layout.PRODUCER_PID], header[layout.PRODUCER_START] = pid, process_start(pid)
        header[layout.GENERATION] += 1
        header[layout.STATE] = layout.LIVE
        _OPEN.add(self)

    def publish(
        self,
        kind: int,
        side: int,
        feed: int,
        flags: int,
        instrument: int,
        epoch: int,
        number: int,
        price: int,
        size: int,
        received_ns: int,
        venue_ns: int,
        detail: int,
    ) -> int:
        """Publishes a tick and returns its sequence. Fields and units: `ring.tick`.

        Raises:
            TickInvalid: a field is beyond its range; nothing was published.
            RingClosed: this end was closed, or belongs to the process that this one was forked of.
        """
        sequence = self._next
        at = (sequence & self._mask) << 3
        words, fence = self._words, self._fence
        try:
            words[at] = 0
            if fence:
                fence()
            _PACK(
                self._slots,
                (at << 3) + PAYLOAD_OFFSET,
                received_ns,
                venue_ns,
                price,
                size,
                instrument,
                epoch,
                number,
                kind,
                side,
                feed,
                flags,
                detail,
            )
            if fence:
                fence()
        except (struct.error, ValueError) as error:
            raise self._refused(error) from error
        # No call between these two: a signal cannot leave a published sequence to be used again.
        words[at] = sequence
        self._next = sequence + 1
        if self._shared[0]:
            self._ring_bell()
        return sequence

    def publish_record(self, buffer: bytes | bytearray | memoryview, offset: int = 0) -> int:
        """Publishes a record of 64 bytes as it is, but for its sequence, which it returns.

        Raises:
            TickInvalid: fewer than 64 bytes are there; nothing was published.
            RingClosed: as for `publish`.
        """
        sequence = self._next
        at = (sequence & self._mask) << 3
        words, fence = self._words, self._fence
        begin = at << 3
        try:
            words[at] = 0
            if fence:
                fence()
            self._slots[begin + PAYLOAD_OFFSET : begin + SIZE] = memoryview(buffer)[
                offset + PAYLOAD_OFFSET : offset + SIZE
            ]
            if fence:
                fence()
        except ValueError as error:
            raise self._refused(error) from error
        words[at] = sequence
        self._next = sequence + 1
        if self._shared[0]:
            self._ring_bell()
        return sequence

    @property
    def position(self) -> int:
        """The sequence of the last tick, 0 before the first."""
        return self._next - 1

    @property
    def generation(self) -> int:
        """How many producers this ring has had, with this one."""
        return self._segment.header[layout.GENERATION]

    def instrument(self, name: str) -> int:
        """Returns the index of an instrument, adding it to the table if it is new.

        Raises:
            NameInvalid: it is empty or longer than 95 bytes of UTF-8.
            InstrumentsFull: there are 256 others.
        """
        return self.instruments.add(name)

    def close(self, *, keep: bool = False) -> None:
        """Ends the ring: readers get what is there and are then told so, and its file is removed.

        Args:
            keep: Leave the ring for the next producer, which goes on with its sequences.
        """
        if self._segment.descriptor < 0:
            return
        segment = self._segment
        if not keep:
            segment.header[layout.STATE] = layout.CLOSED
            if segment.is_current():
                segment.path.unlink(missing_ok=True)
        self._ring_bell()
        self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ring_bell(self) -> None:
        self._shared[layout.WAITING] = 0

    def _abandon(self) -> None:
        """Lets go of the memory; says and removes nothing."""
        _OPEN.discard(self)
        self._shared.release()
        self._segment.close()

    def _refused(self, error: Exception) -> Exception:
        if self._segment.descriptor < 0:
            return RingClosed(
                f"the ring {self.name!r} was closed at this end",
                remedy="after a fork, the child makes a ring of its own",
            )
        return TickInvalid(f"not a tick: {error}", remedy="`ring.tick` has the fields' ranges")


_PACK = PAYLOAD.pack_into
_OPEN: "weakref.WeakSet[RingWriter]" = weakref.WeakSet()


def _leave_to_parent() -> None:
    """A forked child is no second producer, nor does it keep the parent's lock after it."""
    for writer in list(_OPEN):
        writer._abandon()  # noqa: SLF001  (a method of this module's class)


os.register_at_fork(after_in_child=_leave_to_parent)


def _claim(path: Path, mode: int) -> int:
    """Returns a descriptor of the ring's file, made if need be, with the producer's lock on it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        try:
            descriptor = os.open(path, flags, mode & 0o644)
        except OSError as error:
            raise RingInvalid(
                f"a ring cannot be made at {path}: {error.strerror}",
                expected="a folder in memory where this user may make files",
                remedy="STRONGROOM_RING_DIR names another",
            ) from error
        try:
            check_owner(descriptor, path, os.geteuid())
            if not try_lock(descriptor, PRODUCER, _PATIENCE_S):
                raise _taken(path, descriptor)
            found, mine = path.stat(), os.fstat(descriptor)
            if (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino):
                return descriptor
        except FileNotFoundError:
            pass  # removed since it was opened, by the producer before or `ring remove`
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _taken(path: Path, descriptor: int) -> RingTaken:
    data = os.pread(descriptor, layout.HEADER_SIZE, 0)
    at = 8 * layout.PRODUCER_PID
    pid = int.from_bytes(data[at : at + 8], "little")
    return RingTaken(
        f"the ring at {path} has a producer already" + (f": process {pid}" if pid else ""),
        expected="one producer",
        remedy="stop it, or use another --ring name",
    )


def _check_same(path: Path, shape: Shape, slots: int, consumers: int) -> None:
    """Proves that a ring that was left has the shape that is asked for."""
    if (shape.slots, shape.consumers) != (slots, consumers):
        raise RingMismatch(
            f"a producer that is gone has left a ring of another shape at {path}",
            expected=f"{slots} slots, {consumers} consumers",
            actual=f"{shape.slots} slots, {shape.consumers} consumers",
            remedy="ask for that shape, or `strongroom ring remove` it first",
        )


def _recovered(segment: Segment) -> int:
    """Returns the sequence of the last tick that was published, proving that the slots agree.

    A producer that was killed may have left one slot unwritten or half-written: it holds 0, and is
    the one to be written next.
    """
    found = segment.words[:: layout.WORDS_PER_SLOT].tolist()
    slots, last = len(found), max(found)
    for at, sequence in enumerate(found):
        should = last - ((last - at) % slots)
        if sequence != max(0, should) and not (sequence == 0 and (last + 1) % slots == at):
            raise RingInvalid(
                f"{segment.path} is damaged",
                expected=f"tick {should} in slot {at}",
                actual=sequence,
                remedy="`strongroom ring remove` it, and start the producer again",
            )
    return last
