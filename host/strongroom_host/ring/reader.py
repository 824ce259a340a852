"""A consumer's end of a ring.

A tick is copied out and only then proven whole: its sequence was there before and after the copy.
Whatever was overwritten before it could be copied is counted, never guessed.
"""

import os
import time
from types import TracebackType
from typing import Self

from strongroom_host.ring import layout
from strongroom_host.ring.fences import new_fence
from strongroom_host.ring.instruments import InstrumentTable
from strongroom_host.ring.places import ring_path
from strongroom_host.ring.segment import Segment, open_file, read_shape
from strongroom_host.ring.tick import SIZE
from strongroom_host.ring.waiting import Wait

__all__ = ["RingReader"]


class RingReader:
    """Reads ticks in order. One thread; any number of readers, in any processes."""

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        consumer: str | None = None,
        after: str | None = None,
        wait: Wait = Wait.YIELD,
        from_start: bool = False,
    ) -> Self:
        """Opens a ring that a producer has made.

        Args:
            name: The ring's name.
            consumer: This reader's name, if it is to be seen, or others depend on it.
            after: The name of a consumer that this one never passes.
            wait: What `next` does while there is nothing new.
            from_start: Begin with the oldest tick still there instead of the next new one.

        Raises:
            RingAbsent: no producer has made it.
            RingInvalid: it is not a ring of this version, or not safely this user's.
        """
        path = ring_path(name)
        user = os.geteuid()
        descriptor = open_file(path, writable=False, user=user)
        try:
            segment = Segment(path, descriptor, read_shape(descriptor, path), writable=False)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(name, segment, wait, from_start=from_start)

    def __init__(self, name: str, segment: Segment, wait: Wait, *, from_start: bool) -> None:
        """Begins to read an open segment; see `attach`."""
        self.name, self._segment, self._wait = name, segment, wait
        self._words = segment.words
        slots = segment.shape.slots
        self._mask = slots - 1
        self._views = [segment.slots[at : at + SIZE] for at in range(0, slots * SIZE, SIZE)]
        self._own = memoryview(bytearray(SIZE))
        self._view = self._own.toreadonly()
        self._fence = new_fence()
        newest = segment.newest()
        self._next = (max(0, newest - slots) if from_start else newest) + 1
        self.gap = self.missed = 0
        self._lost = 0
        self.instruments = InstrumentTable(segment.bytes)

    def poll(self) -> memoryview | None:
        """Returns the next tick, or None while there is none.

        The view is of this reader's own memory and holds this tick until the next poll. `gap` is
        how many ticks were lost between the one before it and this one.
        """
        sequence = self._next
        at = sequence & self._mask
        words, fence = self._words, self._fence
        if words[at << 3] != sequence:
            return self._poll_slowly()
        if fence:
            fence()
        self._own[:] = self._views[at]
        if fence:
            fence()
        if words[at << 3] != sequence:
            return self._poll_slowly()
        self._next = sequence + 1
        self.gap, self._lost = self._lost, 0
        return self._view

    def next(self, timeout: float | None = None) -> memoryview | None:
        """Returns the next tick, waiting for it up to `timeout` s (None: for ever); None after."""
        until = None if timeout is None else time.monotonic() + timeout
        while (tick := self.poll()) is None:
            if until is not None and time.monotonic() >= until:
                return None
            if self._wait is not Wait.SPIN:
                os.sched_yield()
        return tick

    @property
    def position(self) -> int:
        """The sequence of the last tick returned or lost, 0 before the first."""
        return self._next - 1

    @property
    def generation(self) -> int:
        """How many producers the ring has had: one more when one has taken over."""
        return self._segment.header[layout.GENERATION]

    @property
    def closed(self) -> bool:
        """Whether the producer has ended the ring: what is there can be read, no more will come."""
        return self._segment.header[layout.STATE] == layout.CLOSED

    def close(self) -> None:
        """Lets go of the ring."""
        for view in self._views:
            view.release()
        self._segment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _poll_slowly(self) -> memoryview | None:
        """Finds out whether the next tick is not there yet, or not there any more."""
        words, mask, fence = self._words, self._mask, self._fence
        for _ in range(8):
            sequence = self._next
            at = sequence & mask
            found = words[at << 3]
            if found < sequence:
                # Not there yet; or 0, while this tick is written, or the one that replaces it. The
                # tick after it can only be there when this one was.
                found = words[((sequence + 1) & mask) << 3]
                if found <= sequence:
                    return None
                if words[at << 3] == sequence:
                    continue
            if found == sequence:
                if fence:
                    fence()
                self._own[:] = self._views[at]
                if fence:
                    fence()
                if words[at << 3] == sequence:
                    self._next = sequence + 1
                    self.gap, self._lost = self._lost, 0
                    return self._view
                continue
            # Overwritten. Go on half a ring behind what was seen, with time before the next time.
            resumed = max(sequence + 1, found - (mask + 1) // 2)
            self._lost += resumed - sequence
            self.missed += resumed - sequence
            self._next = resumed
        return None
