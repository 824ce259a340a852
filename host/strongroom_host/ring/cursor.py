"""Reading slots that are overwritten meanwhile: whole ticks or none, and a count of the lost.

A tick is copied out and only then proven whole: its sequence was there before and after the copy.
The README has the argument for each kind of processor. What was overwritten before it could be
copied is counted, never guessed.
"""

from typing import Final

from strongroom_host.ring import layout
from strongroom_host.ring.dependency import Leader
from strongroom_host.ring.errors import RingClosed, RingInvalid
from strongroom_host.ring.fences import new_fence
from strongroom_host.ring.segment import Segment
from strongroom_host.ring.tick import SIZE

__all__ = ["BATCH", "NO_LIMIT", "Cursor"]

BATCH: Final = 64
"""The most ticks that `poll_many` returns at once."""
NO_LIMIT: Final = 1 << 64
"""Beyond every sequence: of a cursor that comes after nobody."""
_TRIES: Final = 8
_HIGHEST_BITS: Final = 56
_BITS: Final = layout.IN_HAND_BITS
_STATE: Final = layout.STATE


class Cursor:
    """A place in a ring, and the way to the next tick.

    Attributes:
        gap: Ticks lost between the one returned last and the one before it.
        missed: Ticks lost in all, by every reader of this consumer's name.
    """

    _segment: Segment
    _words: memoryview
    _header: memoryview
    _mask: int
    _next: int

    def __init__(self) -> None:
        self._own = memoryview(bytearray(SIZE))
        self._view = self._own.toreadonly()
        self._many = memoryview(bytearray(SIZE * BATCH))
        self._many_view = self._many.toreadonly()
        self._fence = new_fence()
        self._views: list[memoryview] = []
        self._lines = memoryview(bytearray(8)).cast("Q")
        self._taken = self._told = -1
        self._leader: Leader | None = None
        self._limit = NO_LIMIT
        self.gap = self.missed = self._lost = 0

    def poll(self) -> memoryview | None:
        """Returns the next tick, or None while there is none.

        The view is of this reader's own memory and holds this tick until the next poll. `gap` is
        how many ticks were lost between the one before it and this one.

        Raises:
            DependencyGone: the consumer that this one may not pass is not there any more.
            RingClosed: this reader was closed, or belongs to the process this one was forked of.
        """
        sequence = self._next
        at = sequence & self._mask
        words, fence = self._words, self._fence
        try:
            if words[at << 3] != sequence or sequence > self._limit:
                return self._poll_slowly()
            if fence:
                fence()
            self._own[:] = self._views[at]
            if fence:
                fence()
            if words[at << 3] != sequence:
                return self._poll_slowly()
        except ValueError as error:  # a view was released
            raise self._gone() from error
        self._next = sequence + 1
        if self._taken >= 0:
            self._lines[self._taken] = sequence << _BITS | 1
        self.gap, self._lost = self._lost, 0
        return self._view

    def poll_many(self, limit: int = BATCH) -> memoryview | None:
        """Returns the next ticks, as many as there are up to `limit` and `BATCH`, or None.

        They lie one after the other, 64 bytes each, in this reader's own memory until the next
        poll; `gap` is before the first of them. One proof serves all: before the copy the last one
        was there, so all were; after it the first one still was, and it is overwritten first.

        Raises:
            DependencyGone, RingClosed: as for `poll`.
        """
        sequence = self._next
        mask, words, fence = self._mask, self._words, self._fence
        at = sequence & mask
        try:
            if words[at << 3] != sequence or sequence > self._limit:
                return self._poll_slowly()
            count = max(1, min(limit, BATCH, mask + 1 - at, self._limit - sequence + 1))
            while count > 1 and words[(at + count - 1) << 3] != sequence + count - 1:
                count >>= 1
            if fence:
                fence()
            length, begin = count << 6, at << 6
            self._many[:length] = self._segment.slots[begin : begin + length]
            if fence:
                fence()
            if words[at << 3] != sequence:
                return self._poll_slowly()
        except ValueError as error:
            raise self._gone() from error
        self._next = sequence + count
        if self._taken >= 0:
            self._lines[self._taken] = (sequence + count - 1) << _BITS | count
        self.gap, self._lost = self._lost, 0
        return self._many_view[:length]

    @property
    def position(self) -> int:
        """The sequence of the last tick returned or lost, 0 before the first."""
        return self._next - 1

    def _begin(self, segment: Segment, position: int) -> None:
        """Goes on after the tick `position` of a ring."""
        self._segment, self._words, self._header = segment, segment.words, segment.header
        self._mask = segment.shape.slots - 1
        ends = range(SIZE, segment.shape.slots * SIZE + 1, SIZE)
        self._views = [segment.slots[end - SIZE : end] for end in ends]
        self._next = position + 1
        self._told = -1
        self._tell_done()

    def _idle(self) -> None:
        """Is called when there is nothing to read."""

    def _poll_slowly(self) -> memoryview | None:
        """Finds out whether the next tick is not there yet, or not there any more."""
        sequence, words, mask = self._next, self._words, self._mask
        if (
            self._told == sequence
            and words[(sequence & mask) << 3] < sequence
            and words[((sequence + 1) & mask) << 3] <= sequence
            and self._header[_STATE] == layout.LIVE
        ):
            return None  # what a busy consumer finds most of the time, at a third of the cost
        for _ in range(_TRIES):
            sequence = self._next
            if sequence > self._limit and not self._may_read(sequence):
                break
            found = self._found(sequence)
            if not found:
                break
            if found > sequence:
                # Overwritten. Half a ring behind what was seen, there is time before the next time.
                self._lose(max(sequence + 1, found - (self._mask + 1) // 2))
            elif self._copied(sequence):
                self._next = sequence + 1
                if self._taken >= 0:
                    self._lines[self._taken] = sequence << _BITS | 1
                self.gap, self._lost = self._lost, 0
                return self._view
        self._tell_done()
        self._idle()
        return None

    def _found(self, sequence: int) -> int:
        """Returns the sequence if that tick is there, a higher one if it was overwritten, else 0.

        A slot that holds 0 is being written: with this tick, or with the one that replaces it. The
        tick after it can only be there when this one was.
        """
        words, mask = self._words, self._mask
        found: int = words[(sequence & mask) << 3]
        if found >= sequence:
            return found
        after: int = words[((sequence + 1) & mask) << 3]
        if after <= sequence:
            return 0
        if self._fence:
            self._fence()
        return sequence if words[(sequence & mask) << 3] == sequence else after

    def _copied(self, sequence: int) -> bool:
        """Copies a tick; returns whether it is whole."""
        at, fence = sequence & self._mask, self._fence
        if fence:
            fence()
        self._own[:] = self._views[at]
        if fence:
            fence()
        return bool(self._words[at << 3] == sequence)

    def _lose(self, resumed: int) -> None:
        """Goes on at a later tick, and counts those before it.

        Raises:
            RingInvalid: sequences are there that nobody can have reached.
        """
        if resumed >> _HIGHEST_BITS:
            raise RingInvalid(
                f"{self._segment.path} is damaged: no producer can have come so far",
                expected=f"sequences below 2^{_HIGHEST_BITS}",
                actual=f"tick {resumed}",
                remedy="`strongroom ring remove` it once its producer has stopped",
            )
        count = resumed - self._next
        self._lost += count
        self.missed += count
        self._next = resumed
        self._tell_gap()

    def _tell_gap(self) -> None:
        """Is called after ticks were counted as lost."""

    def _tell_done(self) -> None:
        """Lets those who come after this consumer have the last tick it was given."""
        if self._told != self._next:
            if self._taken >= 0:
                self._lines[self._taken] = (self._next - 1) << _BITS
            self._told = self._next

    def _may_read(self, sequence: int) -> bool:
        """Returns whether the leader is done with a tick, having looked."""
        if self._leader is None:
            return True
        self._limit = self._leader.done()
        if sequence > self._limit:
            self._leader.look()
            return False
        return True

    def _gone(self) -> RingClosed:
        return RingClosed(
            "the ring was closed at this end",
            remedy="after a fork, the child attaches by itself",
        )
