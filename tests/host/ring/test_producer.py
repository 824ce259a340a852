"""Coming by a ring: making it, taking it over, being refused; ending it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from strongroom_host.ring.errors import (
    NameInvalid,
    RingAbsent,
    RingClosed,
    RingMismatch,
    RingTaken,
    SizeInvalid,
    SpaceMissing,
    TickInvalid,
)
from strongroom_host.ring.listing import look_at, remove_ring, ring_names
from strongroom_host.ring.locks import try_lock
from strongroom_host.ring.places import ring_path
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import SIZE, Tick
from strongroom_host.ring.writer import RingWriter

from tests.host.ring.torture import LANES, lanes, publish

HOLDER = """
import sys, time
from strongroom_host.ring.writer import RingWriter
writer = RingWriter.create("ring", slots=8)
writer.instrument("BTCUSDT")
for n in range(int(sys.argv[1])):
    writer.publish(1, 1, 2, 0, 1, 1, n, n, n, n, n, n)
if sys.argv[2] == "mid-tick":
    writer._words[(writer._next & writer._mask) << 3] = 0
print("ready", flush=True)
time.sleep(60)
"""


def holder(count: int, how: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(count), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def drained(reader: RingReader) -> list[Tick]:
    """Returns all ticks that are there."""
    seen = []
    while (tick := reader.poll()) is not None:
        seen.append(Tick.read(tick))
    return seen


def assert_alive(reader: RingReader) -> None:
    assert reader.producer_alive


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_sequences_are_counted_from_one_and_the_fields_arrive() -> None:
    with RingWriter.create("ring") as writer, RingReader.attach("ring") as reader:
        index = writer.instrument("BTCUSDT")
        assert writer.publish(1, 2, 3, 4, index, 6, 7, -8, 9, 10, 11, 12) == 1
        tick = reader.poll()
        assert tick is not None
        assert Tick.read(tick) == Tick(1, 10, 11, -8, 9, index, 6, 7, 1, 2, 3, 4, 12)
        assert tick.readonly
        assert reader.poll() is None
        assert reader.instruments[index] == "BTCUSDT"


def test_a_record_is_published_as_it_is_but_for_its_sequence() -> None:
    record = bytearray(3 + SIZE)
    tick = Tick(99, 1, 2, -3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
    tick.pack_into(record, 3)
    with RingWriter.create("ring") as writer, RingReader.attach("ring") as reader:
        assert writer.publish_record(record, 3) == 1
        got = reader.poll()
        assert got is not None
        assert Tick.read(got) == tick._replace(sequence=1)
        with pytest.raises(TickInvalid):
            writer.publish_record(record, 4)
        assert writer.publish_record(memoryview(record)[3:]) == 2


def test_what_is_no_tick_is_not_published() -> None:
    with RingWriter.create("ring", slots=4) as writer, RingReader.attach("ring") as reader:
        publish(writer, 6)
        with pytest.raises(TickInvalid):
            writer.publish(256, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        assert writer.position == 6
        publish(writer, 1)
        seen = [tick.sequence for tick in drained(reader)]
        assert seen[-1] == 7
        assert len(seen) + reader.missed == 7


@pytest.mark.parametrize("mid_tick", ["", "mid-tick"])
def test_a_killed_producer_is_followed_where_it_was(mid_tick: str) -> None:
    process = holder(21, mid_tick)
    with RingReader.attach("ring", from_start=True) as reader:
        killed(process)
        assert not reader.producer_alive
        assert reader.generation == 1
        with RingWriter.create("ring", slots=8) as writer:
            assert_alive(reader)
            assert (writer.position, writer.generation, reader.generation) == (21, 2, 2)
            assert writer.instrument("BTCUSDT") == 1
            assert writer.instrument("ETHUSDT") == 2
            seen = drained(reader)
            # What the dead one had begun to overwrite is lost, and nothing else.
            assert [tick.sequence for tick in seen] == list(range(15 if mid_tick else 14, 22))
            assert all(tick.price == tick.sequence - 1 for tick in seen)
            publish(writer, 2)
            assert [tick.sequence for tick in drained(reader)] == [22, 23]
            assert reader.missed == (1 if mid_tick else 0)


def test_ticks_of_a_dead_producer_are_read_even_where_it_died_on_the_oldest() -> None:
    killed(holder(21, "mid-tick"))  # it was overwriting tick 14 with tick 22
    with RingReader.attach("ring", consumer="late", from_start=True) as reader:
        assert [tick.sequence for tick in drained(reader)] == list(range(15, 22))
        assert reader.missed == 1
    remove_ring("ring")


def test_a_second_producer_is_refused_and_told_who_has_it() -> None:
    process = holder(1)
    try:
        with pytest.raises(RingTaken, match=f"process {process.pid}") as refused:
            RingWriter.create("ring", slots=8)
        assert refused.value.remedy
        with pytest.raises(RingTaken, match=f"process {process.pid}"):
            remove_ring("ring")
        process.send_signal(signal.SIGSTOP)  # stopped is not dead
        with pytest.raises(RingTaken):
            RingWriter.create("ring", slots=8)
    finally:
        killed(process)
    remove_ring("ring")


def test_a_ring_that_was_left_with_another_shape_is_not_taken_over() -> None:
    killed(holder(1))
    for shape in ({"slots": 16}, {"slots": 8, "consumers": 17}):
        with pytest.raises(RingMismatch) as refused:
            RingWriter.create("ring", **shape)  # type: ignore[arg-type]
        assert "8 slots, 16 consumers" in str(refused.value.actual)
        assert "ring remove" in refused.value.remedy
    remove_ring("ring")
    RingWriter.create("ring", slots=16).close()


def test_a_producer_that_ends_leaves_nothing_behind(ring_folder: Path) -> None:
    with RingWriter.create("ring") as writer:
        publish(writer, 3)
        reader = RingReader.attach("ring", from_start=True)
    assert list(ring_folder.iterdir()) == []
    assert reader.closed
    assert len(drained(reader)) == 3
    assert not reader.producer_alive
    reader.close()
    with pytest.raises(RingAbsent):
        RingReader.attach("ring")


def test_a_ring_that_is_kept_goes_on_under_the_next_producer() -> None:
    writer = RingWriter.create("ring")
    publish(writer, 5)
    with RingReader.attach("ring") as reader:
        writer.close(keep=True)
        assert not reader.closed
        with RingWriter.create("ring") as successor:
            publish(successor, 1)
            tick = reader.poll()
            assert tick is not None
            assert LANES.unpack_from(tick) == lanes(6)
            assert reader.gap == 0


def test_a_closed_end_says_so() -> None:
    writer = RingWriter.create("ring")
    reader = RingReader.attach("ring", consumer="one")
    writer.close()
    reader.close()
    for end in (writer, reader):
        end.close()
    with pytest.raises(RingClosed):
        writer.publish(*[0] * 12)
    with pytest.raises(RingClosed):
        writer.publish_record(bytes(64))
    for read in (reader.poll, reader.poll_many, reader.next):
        with pytest.raises(RingClosed):
            read()


def in_child() -> bytes:
    """Returns what a forked child says of the parent's ends."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        said = b"?"
        try:
            said = b"".join(_refusals())
        finally:
            os.write(writing, said)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.wait()
    return said


ENDS: list[RingWriter | RingReader] = []


def _refusals() -> list[bytes]:
    found = []
    for end in ENDS:
        try:
            if isinstance(end, RingWriter):
                end.publish(*[0] * 12)
            else:
                end.poll()
            found.append(b"used;")
        except RingClosed:
            found.append(b"refused;")
        end.close()
    return found


def test_a_forked_child_is_neither_producer_nor_consumer() -> None:
    with RingWriter.create("ring") as writer, RingReader.attach("ring", consumer="one") as reader:
        ENDS[:] = [writer, reader]
        assert in_child() == b"refused;refused;"
        ENDS.clear()
        assert ring_names() == ["ring"]
        assert writer.publish(*[1] * 12) == 1
        assert reader.poll() is not None


def _idle(seconds: float) -> None:
    time.sleep(seconds)


def test_a_forked_child_does_not_keep_its_parents_ring_taken() -> None:
    writer = RingWriter.create("ring")
    child = multiprocessing.get_context("fork").Process(target=_idle, args=(30,), daemon=True)
    child.start()
    try:
        writer._abandon()  # as if the parent had been killed
        RingWriter.create("ring").close()
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("slots", [-1, 0, 1, 3, 500, 513, 1 << 25])
def test_a_number_of_slots_that_is_no_power_of_two_is_explained(slots: int) -> None:
    with pytest.raises(SizeInvalid, match="power of two") as refused:
        RingWriter.create("ring", slots=slots)
    assert "512" in str(refused.value.expected)
    assert ring_names() == []


def test_the_nearest_numbers_of_slots_are_named() -> None:
    with pytest.raises(SizeInvalid) as refused:
        RingWriter.create("ring", slots=500)
    assert "256 and 512" in refused.value.remedy


@pytest.mark.parametrize("consumers", [0, -1, 512])
def test_a_number_of_consumers_that_has_no_room_is_refused(consumers: int) -> None:
    with pytest.raises(SizeInvalid):
        RingWriter.create("ring", consumers=consumers)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "ring\n", "zürich"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        RingWriter.create(name)
    with pytest.raises(NameInvalid):
        RingReader.attach(name)


def test_too_little_memory_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SpaceMissing, match="No space left") as refused:
        RingWriter.create("ring")
    assert "bytes free" in str(refused.value.expected)
    assert ring_names() == []


def test_a_making_that_was_broken_off_is_made_again(ring_folder: Path) -> None:
    path = ring_path("ring")
    for length in (0, 4096, 163840):
        path.write_bytes(bytes(length))
        path.chmod(0o600)
        with pytest.raises(RingAbsent):
            RingReader.attach("ring")
        with RingWriter.create("ring") as writer:
            assert (writer.position, writer.generation) == (0, 1)


def test_the_file_can_be_read_by_the_group_and_written_by_nobody_else() -> None:
    with RingWriter.create("ring", mode=0o666):
        assert ring_path("ring").stat().st_mode & 0o777 == 0o644
    with RingWriter.create("other"):
        assert ring_path("other").stat().st_mode & 0o777 == 0o600


def test_a_ring_removed_while_a_new_producer_waits_is_made_anew() -> None:
    killed(holder(3))
    facts = look_at("ring")
    assert (facts.alive, facts.newest, facts.producer.alive) == (False, 3, False)
    remove_ring("ring")
    with RingWriter.create("ring", slots=8) as writer:
        assert writer.position == 0
    with pytest.raises(RingAbsent):
        remove_ring("ring")


def test_a_ring_that_its_producer_removes_while_another_waits_for_it_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second one has opened the first one's file, and gets its lock when that file is gone."""
    first = RingWriter.create("ring")

    def ends_first(descriptor: int, byte: int, patience: float = 0.0) -> bool:
        first.close()
        return try_lock(descriptor, byte, patience)

    monkeypatch.setattr("strongroom_host.ring.claiming.try_lock", ends_first)
    with RingWriter.create("ring") as second:
        assert second._segment.is_current()
        with RingReader.attach("ring") as reader:
            publish(second, 1)
            assert reader.poll() is not None


def test_a_ring_that_a_third_producer_has_made_meanwhile_is_that_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = RingWriter.create("ring")
    third: list[RingWriter] = []

    def meanwhile(descriptor: int, byte: int, patience: float = 0.0) -> bool:
        monkeypatch.setattr("strongroom_host.ring.claiming.try_lock", try_lock)
        first.close()
        third.append(RingWriter.create("ring"))
        return try_lock(descriptor, byte, patience)

    monkeypatch.setattr("strongroom_host.ring.claiming.try_lock", meanwhile)
    with pytest.raises(RingTaken):
        RingWriter.create("ring")
    third[0].close()
