"""A ring so small that every read races with the writer: whole ticks or none.

The same race with one step of the protocol left out shows torn ticks, so the race is one.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from strongroom_host.ring.listing import remove_ring
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.waiting import Wait

from tests.conftest import SOAK
from tests.host.ring.test_torture import ROOT
from tests.host.ring.torture import BROKEN, LANES, attached, lanes

SECONDS = 60.0 if SOAK else 1.5
PATIENCE_S = 30.0


class Unproven(RingReader):
    """Leaves the second look out."""

    def poll(self) -> memoryview | None:
        sequence = self._next
        at = sequence & self._mask
        if self._words[at << 3] != sequence:
            return self._poll_slowly()
        self._own[:] = self._views[at]
        self._next = sequence + 1
        return self._view

    def _copied(self, sequence: int) -> bool:
        super()._copied(sequence)
        return True


@contextmanager
def racing(how: str, slots: int = 2) -> Iterator[None]:
    """A producer that publishes as fast as it can."""
    command = [sys.executable, "-m", "tests.host.ring.torture", "race", "ring", str(slots), how]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        attached("ring", "first", None, Wait.SPIN).close()
        yield
    finally:
        process.kill()
        process.wait()
        remove_ring("ring")


def torn_within(reader: RingReader, seconds: float, *, whole_ones: int = 0) -> tuple[int, int]:
    """Returns how many ticks were torn and how many whole.

    It reads until one is torn, or else for `seconds` and until `whole_ones` were whole.
    """
    torn = whole = 0
    started = time.monotonic()
    while not torn and (time.monotonic() < started + seconds or whole < whole_ones):
        assert time.monotonic() < started + seconds + PATIENCE_S, f"only {whole} were read"
        for _ in range(500):
            tick = reader.poll()
            if tick is None:
                continue
            words = LANES.unpack_from(tick)
            if words == lanes(words[0]):
                whole += 1
            else:
                torn += 1
    return torn, whole


@pytest.mark.parametrize("slots", [2, 4, 16])
def test_no_tick_is_torn(slots: int) -> None:
    with racing("", slots), RingReader.attach("ring") as reader:
        torn, _ = torn_within(reader, SECONDS, whole_ones=100)
        assert torn == 0
        assert reader.missed > 0


def test_no_batch_is_torn() -> None:
    with racing("", 64), RingReader.attach("ring") as reader:
        until, longest, last = time.monotonic() + SECONDS, 0, 0
        while time.monotonic() < until or (longest < 2 and time.monotonic() < until + PATIENCE_S):
            ticks = reader.poll_many()
            if ticks is None:
                continue
            for at in range(0, len(ticks), 64):
                words = LANES.unpack_from(ticks, at)
                assert words == lanes(words[0])
                assert words[0] == (last + 1 + reader.gap if not at else last + 1) or not last
                last = words[0]
            longest = max(longest, len(ticks) // 64)
        assert longest > 1


def test_the_race_tears_without_the_second_look() -> None:
    with racing(""), Unproven.attach("ring") as reader:
        assert_torn(reader)


@pytest.mark.parametrize("how", BROKEN)
def test_the_race_tears_with_a_step_of_the_writer_left_out(how: str) -> None:
    with racing(how), RingReader.attach("ring") as reader:
        assert_torn(reader)


def assert_torn(reader: RingReader) -> None:
    torn, _ = torn_within(reader, PATIENCE_S)
    if not torn:
        pytest.skip("both processes hardly ever ran at the same time here: nothing was torn")
