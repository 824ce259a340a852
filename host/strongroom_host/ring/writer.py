"""The producer's end of a ring.

Publishing never waits: a consumer that is too slow loses ticks and is told how many. The order of
the three stores in `publish` is the whole protocol; the README says why it suffices.
"""

import os
import struct
import weakref
from types import TracebackType
from typing import Self

from strongroom_host.ring import layout
from strongroom_host.ring.claiming import Claimed, claim
from strongroom_host.ring.errors import RingClosed, TickInvalid
from strongroom_host.ring.fences import new_fence
from strongroom_host.ring.instruments import InstrumentTable
from strongroom_host.ring.locks import PRODUCER, process_start, unlock
from strongroom_host.ring.tick import PAYLOAD, PAYLOAD_OFFSET, SIZE
from strongroom_host.ring.waiting import Doorbell

__all__ = ["RingWriter"]


class RingWriter:
    """Publishes ticks. One process, one thread; never from a signal handler.

    Attributes:
        note: What a person should know: why the slots are not on huge pages, or nothing.
    """

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
            huge: Whether the slots should be on huge pages; where they cannot be, `note` says why.
            mode: Permissions of the file. Nobody but its user may ever write to it.

        Raises:
            NameInvalid, SizeInvalid: the request itself is at fault.
            RingTaken: a producer of this name is alive.
            RingMismatch: the ring that was left has another shape.
            RingInvalid: what is there is no ring, not safely this user's, or damaged.
            SpaceMissing: there is not enough shared memory.
        """
        claimed = claim(name, slots, consumers, huge=huge, mode=mode)
        try:
            return cls(name, claimed)
        except BaseException:
            claimed.segment.close()
            raise

    def __init__(self, name: str, claimed: Claimed) -> None:
        """Takes over a ring that this process has claimed; see `create`."""
        self.name, self.note, self._segment = name, claimed.note, claimed.segment
        segment = claimed.segment
        self._words, self._slots = segment.words, segment.slots
        self._mask = segment.shape.slots - 1
        self._next = claimed.last + 1
        self._region = segment.bytes[layout.CONSUMERS_OFFSET : layout.SLOTS_OFFSET]
        self._shared = self._region.cast("Q")
        self._doorbell = Doorbell(self._region, self._shared)
        self._fence = new_fence()
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
            self._doorbell.ring()
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
            self._doorbell.ring()
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
        if not keep:
            self._segment.end()
        self._doorbell.ring()
        unlock(self._segment.descriptor, PRODUCER)
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

    def _abandon(self) -> None:
        """Lets go of the memory; says and removes nothing."""
        _OPEN.discard(self)
        self._shared.release()
        self._region.release()
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
