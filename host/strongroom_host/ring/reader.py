"""A consumer's end of a ring: attaching by name, waiting, going over to a new producer's ring."""

import os
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from strongroom_host.errors import BadInput
from strongroom_host.ring import layout
from strongroom_host.ring.consumers import Consumers
from strongroom_host.ring.cursor import NO_LIMIT, Cursor
from strongroom_host.ring.dependency import Leader
from strongroom_host.ring.errors import DependencyGone, RingAbsent
from strongroom_host.ring.instruments import InstrumentTable
from strongroom_host.ring.locks import PRODUCER, is_held
from strongroom_host.ring.places import ring_path
from strongroom_host.ring.segment import Segment, open_file, read_shape
from strongroom_host.ring.waiting import Sleeper, Wait

__all__ = ["RingReader"]

_FOLLOW_S: Final = 0.02
_LOOK_S: Final = 1.0
_LOOKS: Final = 64
_NAP_S: Final = 0.00005
_YIELD: Final[Callable[[], None]] = getattr(os, "sched_yield", lambda: time.sleep(0))


class RingReader(Cursor):
    """Reads ticks in order. One thread; any number of readers, in any processes.

    Attributes:
        gap, missed: See `Cursor`.
        instruments: What the ticks' instrument numbers are called.
    """

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        consumer: str | None = None,
        after: str | None = None,
        wait: Wait = Wait.YIELD,
        from_start: bool = False,
        user: int | None = None,
    ) -> Self:
        """Opens a ring that a producer has made.

        Args:
            name: The ring's name.
            consumer: This reader's name, so that it is seen, others can come after it, and the
                next reader of that name knows what it missed. Without one the ring is only read.
            after: A consumer that this one never passes: it sees a tick once that one is done
                with it, which is when that one asks for the next.
            wait: What `next` does while there is nothing new.
            from_start: Begin with the oldest tick still there, a known consumer with the first one
                it was not given, instead of the next new one.
            user: Whose ring it is, if not this user's; it can only be read then.

        Raises:
            NameInvalid, BadInput: the request itself is at fault.
            RingAbsent: no producer has made it.
            RingInvalid: it is not a ring of this version, or not safely that user's.
            ConsumerTaken: a consumer of this name is alive.
            DependencyGone: there is no consumer called `after`.
            RingFull: no more consumers can have a name.
        """
        if after is not None and consumer is None:
            raise BadInput("a reader that comes after another needs a name", expected="`consumer`")
        reader = cls(name, consumer, after, wait, os.geteuid() if user is None else user)
        segment = reader._open()
        try:
            known = reader._enter(segment, after)
        except BaseException:
            segment.close()
            raise
        newest, slots = segment.newest(), segment.shape.slots
        if known is not None:
            reader._take(segment, known)
            if newest > known and not from_start:
                reader._lose(newest + 1)
        else:
            reader._take(segment, max(0, newest - slots) if from_start else newest)
        _OPEN.add(reader)
        return reader

    def __init__(
        self, name: str, consumer: str | None, after: str | None, wait: Wait, user: int
    ) -> None:
        """Makes a reader that has no ring yet; see `attach`."""
        super().__init__()
        self.name, self.consumer, self._after = name, consumer, after
        self._wait, self._user, self._path = wait, user, ring_path(name, user)
        self._consumers: Consumers | None = None
        self._number = -1
        self._sleeper: Sleeper | None = None
        self._follow_at = self._look_at = 0.0
        self._generations = 0

    def next(self, timeout: float | None = None) -> memoryview | None:
        """Returns the next tick as `poll` does, waiting for it in the way chosen.

        A producer that ended or died is waited for as well: it may be started again. `closed` and
        `producer_alive` tell.

        Args:
            timeout: How long, in s; None for as long as it takes. None is returned after it.
        """
        tick = self.poll()
        if tick is not None or timeout == 0:
            return tick
        until = float("inf") if timeout is None else time.monotonic() + timeout
        block, pause = self._sleeper is not None, self._wait is not Wait.SPIN
        while True:
            if block:
                tick = self._sleep(until)
            else:
                tick = self._look_often(pause=pause)
            if tick is not None:
                return tick
            now = time.monotonic()
            if now >= until:
                return None
            self._look_around(now)

    @property
    def generation(self) -> int:
        """Counts producers: more when another one has taken over, or has made the ring anew.
        Instruments may have other numbers then, and in a ring made anew sequences begin with 1."""
        now: int = self._segment.header[layout.GENERATION]
        return self._generations + now

    @property
    def closed(self) -> bool:
        """Whether the producer has ended the ring and no other has made it anew."""
        return self._segment.header[layout.STATE] == layout.CLOSED

    @property
    def producer_alive(self) -> bool:
        """Whether somebody can publish: not after the producer's end or death. Costs a system
        call."""
        return is_held(self._segment.descriptor, PRODUCER)

    def release(self) -> None:
        """Goes on without the consumer that this one was not to pass."""
        self._leader, self._after, self._limit = None, None, NO_LIMIT
        if self._taken >= 0:
            self._lines[self._taken + layout.AFTER - layout.TAKEN] = 0

    def close(self) -> None:
        """Lets go of the ring; a consumer's name is free again."""
        if self._segment.descriptor >= 0 and self._consumers:
            self._consumers.leave()
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

    def _open(self) -> Segment:
        """Opens the ring that is there now."""
        writable = self.consumer is not None or self._wait is Wait.BLOCK
        descriptor = open_file(self._path, writable=writable, user=self._user)
        try:
            shape = read_shape(descriptor, self._path)
            return Segment(self._path, descriptor, shape, self._user, writable=False)
        except BaseException:
            os.close(descriptor)
            raise

    def _enter(self, segment: Segment, after: str | None) -> int | None:
        """Takes a consumer's entry, and what sleeping needs; returns the last tick that was taken
        under this name, or None if there was no such consumer."""
        if self.consumer is None and self._wait is not Wait.BLOCK:
            return None
        region = segment.map_consumers()
        consumers = Consumers(region, segment.shape.consumers, segment.descriptor)
        before = None
        number = -1
        try:
            if self.consumer is not None:
                number, before = consumers.register(self.consumer, after)
            sleeper = Sleeper(region, consumers.words) if self._wait is Wait.BLOCK else None
        except BaseException:
            consumers.release()
            raise
        self._consumers, self._sleeper, self._lines = consumers, sleeper, consumers.words
        if number >= 0:
            self._number, self._taken = number, layout.entry_word(number) + layout.TAKEN
        if self._after is not None:
            self._leader, self._limit = Leader(consumers, self._after, number), 0
        if before is None or not before.began:
            return None  # new, or killed before it had begun
        self.missed += before.missed
        return before.position

    def _take(self, segment: Segment, position: int) -> None:
        """Goes on after the tick `position` of a ring."""
        self._begin(segment, position)
        self.instruments = InstrumentTable(segment.bytes)

    def _idle(self) -> None:
        """Looks for a new ring where this one was ended."""
        if self._header[layout.STATE] == layout.CLOSED:
            self._follow()

    def _tell_gap(self) -> None:
        """Keeps the count where the next consumer of this name finds it."""
        if self._consumers and self._number >= 0:
            self._consumers.count_gap(self._number, self._next - 1, self.missed)
            self._told = self._next

    def _look_often(self, *, pause: bool) -> memoryview | None:
        """Looks for the next tick for some microseconds, and then polls."""
        words, sequence = self._words, self._next
        at = (sequence & self._mask) << 3
        for _ in range(_LOOKS):
            if words[at] >= sequence:
                break
            if pause:
                _YIELD()
        tick = self.poll()
        if tick is None and pause:
            _YIELD()
        return tick

    def _sleep(self, until: float) -> memoryview | None:
        """Sleeps until there may be something, or for a while; returns what there is."""
        sleeper = self._sleeper
        if sleeper is None:
            return None
        sleeper.announce()
        tick = self.poll()
        if tick is None:
            left = max(0.0, until - time.monotonic())
            awaited = self._words[(self._next & self._mask) << 3] == self._next
            if awaited or self.closed:  # for the leader, or a new producer: they ring no bell
                time.sleep(min(left, _NAP_S if awaited else _FOLLOW_S))
            else:
                sleeper.sleep(left)
            tick = self.poll()
        return tick

    def _look_around(self, now: float) -> None:
        """Notices, now and then, a ring that was removed behind its readers' backs."""
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            if not self._segment.is_current():
                self._follow()

    def _follow(self) -> None:
        """Goes over to the ring that a new producer has made in the place of an ended one."""
        now = time.monotonic()
        if now < self._follow_at:
            return
        self._follow_at = now + _FOLLOW_S
        if self._fence:
            self._fence()
        if self._words[(self._next & self._mask) << 3] >= self._next:
            return  # published between the last look and the end
        try:
            segment = self._open()
        except RingAbsent:
            return
        old, consumers = self._segment, self._consumers
        if segment.shape.identity == old.shape.identity:
            segment.close()
            return
        self._generations += old.header[layout.GENERATION]
        try:
            try:
                self._enter(segment, self._after)
            except DependencyGone:  # it has not gone over yet; `Leader` waits for it
                self._enter(segment, None)
        except BaseException:
            segment.close()
            raise
        missed = self.missed
        for view in self._views:
            view.release()
        if consumers:
            consumers.release()
        old.close()
        self.missed = missed
        self._take(segment, 0)
        self._tell_gap()

    def _abandon(self) -> None:
        """Lets go of the memory; tells nobody."""
        _OPEN.discard(self)
        for view in self._views:
            view.release()
        if self._consumers:
            self._consumers.release()
        self._segment.close()


_OPEN: "weakref.WeakSet[RingReader]" = weakref.WeakSet()


def _leave_to_parent() -> None:
    """A forked child is no second consumer, nor does it keep the parent's locks after it."""
    for reader in list(_OPEN):
        reader._abandon()  # noqa: SLF001  (a method of this module's class)


os.register_at_fork(after_in_child=_leave_to_parent)
