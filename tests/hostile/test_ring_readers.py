"""Consumers that break or cheat: what they can do to the producer and to each other, and what not.

They run as the producer's user, so nothing keeps them from opening its memory for writing; what is
shown here is that the ring itself gives them no such memory, and what the part that they do write
can be used for.
"""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from strongroom_host.ring import layout
from strongroom_host.ring.errors import ConsumerTaken
from strongroom_host.ring.listing import look_at
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.waiting import Wait
from strongroom_host.ring.writer import RingWriter

from tests.host.ring.conftest import ring_folder
from tests.host.ring.torture import LANES, lanes, publish

__all__ = ["ring_folder"]

SCRIBBLER = """
import ctypes, sys
from strongroom_host.ring.reader import RingReader
reader = RingReader.attach("ring", consumer="scribbler")
view = {"slots": reader._segment.slots, "header": reader._segment.header}[sys.argv[1]]
holder = ctypes.py_object(view)
class Buffer(ctypes.Structure):
    _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.py_object), ("len", ctypes.c_ssize_t)]
    _fields_ += [("rest", ctypes.c_byte * 56)]
found = Buffer()
ctypes.pythonapi.PyObject_GetBuffer(holder, ctypes.byref(found), 0)
ctypes.memset(found.buf, 255, 8)
print("wrote")
"""


@pytest.fixture
def writer() -> Iterator[RingWriter]:
    with RingWriter.create("ring", slots=8, consumers=3) as writer:
        yield writer


@pytest.mark.parametrize("what", ["slots", "header"])
def test_a_stray_store_of_a_consumer_ends_it_and_nothing_else(
    writer: RingWriter, what: str
) -> None:
    """The kernel's page protection holds, not only the language's."""
    publish(writer, 3)
    done = subprocess.run([sys.executable, "-c", SCRIBBLER, what], capture_output=True, text=True)
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGBUS)
    assert "wrote" not in done.stdout
    with RingReader.attach("ring", from_start=True) as reader:
        for n in range(1, 4):
            tick = reader.poll()
            assert tick is not None
            assert LANES.unpack_from(tick) == lanes(n)


def test_a_consumers_region_full_of_garbage_does_not_reach_the_ticks(writer: RingWriter) -> None:
    with RingReader.attach("ring") as honest, RingReader.attach("ring", consumer="one") as broken:
        lines = broken._lines
        for word in range(len(lines)):
            lines[word] = 0xFFFF_FFFF_FFFF_FFFF
        for n in range(1, 6):
            publish(writer, 1)
            tick = honest.poll()
            assert tick is not None
            assert LANES.unpack_from(tick) == lanes(n)
        assert look_at("ring").newest == 5
        assert (honest.gap, honest.missed) == (0, 0)
        broken._abandon()


def test_a_consumer_that_always_says_it_sleeps_costs_a_call_per_tick_and_no_more(
    writer: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[int] = []
    ring = writer._doorbell.ring

    def counted() -> None:
        rung.append(1)
        ring()

    monkeypatch.setattr(writer._doorbell, "ring", counted)
    with RingReader.attach("ring", wait=Wait.BLOCK, consumer="nag") as nag:
        assert nag._consumers is not None
        for _ in range(5):
            nag._consumers.words[layout.WAITING] = 1
            publish(writer, 1)
    assert len(rung) == 5
    assert writer.position == 5


def test_a_stopped_consumer_never_holds_the_producer_up(writer: RingWriter) -> None:
    with (
        RingReader.attach("ring", consumer="stopped"),
        RingReader.attach("ring", consumer="running") as running,
    ):
        for n in range(1, 101):
            publish(writer, 1)
            tick = running.poll()
            assert tick is not None
            assert LANES.unpack_from(tick)[0] == n
        stopped = next(one for one in look_at("ring").consumers if one.name == "stopped")
        assert stopped.position == 0


def test_a_consumer_cannot_take_a_living_ones_name(writer: RingWriter) -> None:
    with RingReader.attach("ring", consumer="one") as one:
        # Its number and start can be forged in its entry; the lock cannot.
        assert one._consumers is not None
        word = layout.entry_word(0)
        one._consumers.words[word + layout.PID] = 1
        one._consumers.words[word + layout.START] = 1
        with pytest.raises(ConsumerTaken):
            RingReader.attach("ring", consumer="one")


def test_a_producers_number_that_another_process_has_now_is_not_taken_for_alive(
    writer: RingWriter,
) -> None:
    writer._segment.header[layout.PRODUCER_PID] = 1
    facts = look_at("ring")
    assert facts.alive  # the lock is what counts
    assert not facts.producer.alive
    writer._abandon()
    assert not look_at("ring").alive
    RingWriter.create("ring", slots=8, consumers=3).close()


def test_the_scribbler_of_these_tests_does_write_where_it_may() -> None:
    memory = bytearray(16)
    ctypes.memset((ctypes.c_char * 8).from_buffer(memory), 255, 8)
    assert memory[:8] == b"\xff" * 8
