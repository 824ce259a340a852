"""Any order of publishing, reading, dying and coming back, against what a ring must do.

The model knows what was published and what each consumer was given; it says what a read may return,
not how the ring finds it.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)
from strongroom_host.ring.errors import RingTaken
from strongroom_host.ring.listing import ring_names
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import SIZE
from strongroom_host.ring.writer import RingWriter

from tests.host.ring.conftest import SHARED_MEMORY
from tests.host.ring.torture import LANES, lanes, publish

SLOTS, MOST = 8, 5


@dataclass
class Follower:
    """A consumer as the model sees it."""

    name: str
    reader: RingReader
    position: int
    in_hand: int = 0
    missed: int = 0
    leader: "Follower | None" = None

    @property
    def done(self) -> int:
        """The last tick it is done with: it is with what it was given when it asks for more."""
        return self.position - self.in_hand


class Rings(RuleBasedStateMachine):
    followers = Bundle("followers")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp(dir=SHARED_MEMORY)
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("STRONGROOM_RING_DIR", self.folder)
        self.writer = RingWriter.create("ring", slots=SLOTS)
        self.last, self.broken, self.names = 0, 0, 0
        self.alive: list[Follower] = []

    @rule(count=st.integers(1, 2 * SLOTS + 3))
    def publish(self, count: int) -> None:
        publish(self.writer, count)
        self.last += count
        self.broken = 0

    @rule(half_written=st.booleans())
    def kill_the_producer(self, half_written: bool) -> None:
        if half_written:  # died between invalidating the next slot and publishing it
            at = (self.writer._next & self.writer._mask) << 3
            self.writer._words[at] = 0
            self.writer._slots[(at << 3) + 8 : (at << 3) + 32] = b"\xff" * 24
            self.broken = self.last + 1
        generation = self.writer.generation
        self.writer._abandon()
        self.writer = RingWriter.create("ring", slots=SLOTS)
        assert self.writer.position == self.last
        assert self.writer.generation == generation + 1

    @rule()
    def a_second_producer_is_refused(self) -> None:
        # Its patience is for one that is ending; there is none, and the test has none either.
        self.patch.setattr("strongroom_host.ring.claiming._PATIENCE_S", 0.0)
        with pytest.raises(RingTaken, match=str(os.getpid())):
            RingWriter.create("ring", slots=SLOTS)

    @rule(target=followers, from_start=st.booleans())
    def attach(self, from_start: bool) -> Follower:
        return self._attach(None, from_start)

    @rule(target=followers, leader=followers)
    def attach_after(self, leader: Follower) -> Follower:
        return self._attach(leader if leader in self.alive else None, False)

    def _attach(self, leader: Follower | None, from_start: bool) -> Follower:
        if len(self.alive) >= MOST:
            return self.alive[self.last % MOST]
        self.names += 1
        name = f"consumer-{self.names}"
        after = leader.name if leader else None
        reader = RingReader.attach("ring", consumer=name, after=after, from_start=from_start)
        position = max(0, self.last - SLOTS) if from_start else self.last
        assert reader.position == position
        made = Follower(name, reader, position, leader=leader)
        self.alive.append(made)
        return made

    @rule(one=followers, times=st.integers(1, 2 * SLOTS))
    def poll(self, one: Follower, times: int) -> None:
        for _ in range(times):
            self._read(one, one.reader.poll)

    @rule(one=followers, limit=st.integers(1, 64))
    def poll_many(self, one: Follower, limit: int) -> None:
        self._read(one, lambda: one.reader.poll_many(limit))

    def _read(self, one: Follower, read: Callable[[], memoryview | None]) -> None:
        if one not in self.alive:
            return
        allowed = self.last if one.leader is None else min(self.last, one.leader.done)
        before, missed, one.in_hand = one.position, one.missed, 0
        ticks = read()
        one.position, one.missed = one.reader.position, one.reader.missed
        if ticks is None:
            # There is nothing, or it may not have it yet; what it lost may be known already. Who
            # was overrun goes on half a ring behind the newest, or up to where it may.
            overrun = before + 1 < self.oldest() and one.position == allowed
            assert overrun or max(self.oldest(), before + 1) > allowed
            assert one.position - before == one.missed - missed
            return
        first, count = LANES.unpack_from(ticks)[0], len(ticks) // SIZE
        for at in range(count):
            assert LANES.unpack_from(ticks, at * SIZE) == lanes(first + at)
        one.in_hand = count
        assert one.position == first + count - 1 <= allowed
        assert first >= self.oldest()
        assert first == before + 1 + one.missed - missed
        assert one.missed == missed or before + 1 < self.oldest()
        assert one.reader.gap >= one.missed - missed

    @rule(one=consumes(followers), from_start=st.booleans(), killed=st.booleans())
    def leave_and_come_back(self, one: Follower, from_start: bool, killed: bool) -> None:
        if one not in self.alive or any(other.leader is one for other in self.alive):
            return
        self.alive.remove(one)
        if not killed:
            one.reader.close()
            return
        one.reader._abandon()
        reader = RingReader.attach("ring", consumer=one.name, from_start=from_start)
        # What it held when it was killed was given to it; the rest is there or counted.
        assert reader.position == (one.position if from_start else self.last)
        assert reader.missed == one.missed + reader.position - one.position
        reader.close()

    @rule()
    def end_and_begin_anew(self) -> None:
        # Consumers that come after others are another test's: here they would wait in circles.
        for one in [one for one in self.alive if one.leader is not None]:
            self.alive.remove(one)
            one.reader.close()
        for one in self.alive:
            while one.reader.poll() is not None:
                pass
        missed = {one.name: one.reader.missed for one in self.alive}
        self.writer.close()
        assert ring_names() == []
        self.writer = RingWriter.create("ring", slots=SLOTS)
        self.last = self.broken = 0
        publish(self.writer, SLOTS + 1)
        self.last = SLOTS + 1
        for one in self.alive:
            one.reader._follow_at = 0.0
            assert one.reader.poll() is None
            tick = one.reader.poll()
            assert tick is not None
            assert LANES.unpack_from(tick)[0] == one.reader.gap + 1
            one.position, one.missed, one.in_hand = one.reader.position, one.reader.missed, 1
            assert one.missed == missed[one.name] + one.reader.gap

    def oldest(self) -> int:
        """The first tick that is still there."""
        return max(1, self.last - SLOTS + 1 + (1 if self.broken else 0))

    @invariant()
    def the_ring_knows_its_last(self) -> None:
        if hasattr(self, "writer"):
            assert self.writer.position == self.last
            for one in self.alive:
                assert one.reader.position <= self.last

    def teardown(self) -> None:
        if not hasattr(self, "writer"):
            return
        for one in self.alive:
            one.reader.close()
        self.writer.close()
        assert os.listdir(self.folder) == []  # noqa: PTH208
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)  # noqa: PTH106
        self.patch.undo()


TestRings = Rings.TestCase
