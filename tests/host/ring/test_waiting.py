"""Waiting for the next tick: each way, across the producer's end, and without losing a wake-up."""

import threading
import time
from collections.abc import Iterator

import pytest
from strongroom_host.errors import BadInput
from strongroom_host.ring import fences, layout, pinning, waiting
from strongroom_host.ring.futex import Futex
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.waiting import Doorbell, Sleeper, Wait
from strongroom_host.ring.writer import RingWriter

from tests.host.ring.torture import LANES, lanes, publish

LONG_S = 60.0


@pytest.fixture
def writer() -> Iterator[RingWriter]:
    with RingWriter.create("ring", slots=8) as writer:
        yield writer


@pytest.mark.parametrize("wait", Wait)
@pytest.mark.parametrize("consumer", [None, "one"])
def test_the_next_tick_is_waited_for(writer: RingWriter, wait: Wait, consumer: str | None) -> None:
    with RingReader.attach("ring", wait=wait, consumer=consumer) as reader:
        assert reader.next(0) is None
        assert reader.next(0.01) is None
        later = threading.Timer(0.05, publish, args=(writer, 1))
        later.start()
        tick = reader.next(LONG_S)
        later.join()
        assert tick is not None
        assert LANES.unpack_from(tick) == lanes(1)


@pytest.mark.parametrize("wait", Wait)
def test_a_reader_waits_through_the_end_of_its_ring(writer: RingWriter, wait: Wait) -> None:
    with RingReader.attach("ring", wait=wait) as reader:
        writer.close()
        assert reader.next(0.05) is None

        def begin_anew() -> None:
            time.sleep(0.05)
            anew.append(RingWriter.create("ring", slots=8))
            publish(anew[0], 1)

        anew: list[RingWriter] = []
        thread = threading.Thread(target=begin_anew)
        thread.start()
        tick = reader.next(LONG_S)
        thread.join()
        assert tick is not None
        assert LANES.unpack_from(tick) == lanes(1)
        anew[0].close()


def test_a_ring_whose_file_was_removed_is_left_for_the_new_one(writer: RingWriter) -> None:
    with RingReader.attach("ring") as reader:
        writer._segment.path.unlink()
        with RingWriter.create("ring", slots=8) as successor:
            publish(successor, 1)
            tick = reader.next(LONG_S)
            assert tick is not None
            assert LANES.unpack_from(tick) == lanes(1)


def test_no_wake_up_is_lost(writer: RingWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sleeper that had to wait for its own time would wait half an hour here."""
    monkeypatch.setattr(waiting, "_LONGEST_S", 1800.0)
    monkeypatch.setattr(waiting, "_UNORDERED_S", 0.002)
    rounds = 300
    asleep = threading.Semaphore(0)

    def produce() -> None:
        for _ in range(rounds):
            asleep.acquire()
            publish(writer, 1)

    with RingReader.attach("ring", wait=Wait.BLOCK) as reader:
        thread = threading.Thread(target=produce)
        thread.start()
        for n in range(1, rounds + 1):
            asleep.release()
            tick = reader.next(LONG_S)
            assert tick is not None
            assert LANES.unpack_from(tick)[0] == n
        thread.join()


def region() -> tuple[memoryview, memoryview]:
    memory = memoryview(bytearray(layout.SLOTS_OFFSET - layout.CONSUMERS_OFFSET))
    return memory, memory.cast("Q")


@pytest.mark.skipif(Futex.find() is None, reason="this system has no futex that we know")
def test_a_bell_between_announcing_and_sleeping_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "_LONGEST_S", 1800.0)
    monkeypatch.setattr(waiting, "_UNORDERED_S", 1800.0)
    memory, words = region()
    bell, sleeper = Doorbell(memory, words), Sleeper(memory, words)
    sleeper.announce()
    assert words[layout.WAITING] == 1
    bell.ring()
    assert words[layout.WAITING] == 0
    started = time.monotonic()
    sleeper.sleep(LONG_S)
    assert time.monotonic() - started < LONG_S / 2


@pytest.mark.skipif(Futex.find() is None, reason="this system has no futex that we know")
def test_a_sleeper_whose_flag_another_ones_bell_cleared_is_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It announces itself just as the producer, having seen another's flag, clears the word."""
    monkeypatch.setattr(waiting, "_LONGEST_S", 1800.0)
    monkeypatch.setattr(waiting, "_UNORDERED_S", 1800.0)
    memory, words = region()
    bell, sleeper = Doorbell(memory, words), Sleeper(memory, words)

    class Between:
        """Lets the second sleeper announce itself right before the producer clears the flag."""

        def __getitem__(self, at: int) -> int:
            return int(words[at])

        def __setitem__(self, at: int, value: int) -> None:
            if at == layout.WAITING:
                sleeper.announce()
            words[at] = value

    bell._words = Between()  # type: ignore[assignment]
    bell.ring()
    assert words[layout.WAITING] == 0
    started = time.monotonic()
    sleeper.sleep(LONG_S)
    assert time.monotonic() - started < LONG_S / 2


def test_the_flag_of_a_killed_sleeper_costs_one_bell(writer: RingWriter) -> None:
    with RingReader.attach("ring", wait=Wait.BLOCK) as reader:
        sleeper = reader._sleeper
        assert sleeper is not None
        sleeper.announce()
    publish(writer, 1)
    bell = writer._shared[layout.BELL]
    publish(writer, 5)
    assert (bell, writer._shared[layout.BELL]) == (1, 1)


@pytest.mark.parametrize("found", [None, "refused"])
def test_it_waits_without_a_futex_or_a_barrier_too(
    writer: RingWriter, monkeypatch: pytest.MonkeyPatch, found: str | None
) -> None:
    if found is None:
        monkeypatch.setattr(Futex, "find", classmethod(lambda cls: None))
    else:
        monkeypatch.setattr(Futex, "membarrier", lambda self: False)
    with (
        RingWriter.create("other", slots=8) as other,
        RingReader.attach("other", wait=Wait.BLOCK) as reader,
    ):
        later = threading.Timer(0.05, publish, args=(other, 1))
        later.start()
        assert reader.next(LONG_S) is not None
        later.join()


def test_a_fence_is_used_where_the_processor_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRONGROOM_RING_FENCES", raising=False)
    for machine, needed in (
        ("x86_64", False),
        ("AMD64", False),
        ("aarch64", True),
        ("arm64", True),
    ):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert (fences.new_fence() is not None) is needed
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("STRONGROOM_RING_FENCES", "1")
    fence = fences.new_fence()
    assert fence is not None
    fence()
    fence()


def test_a_ring_with_fences_is_the_same_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_RING_FENCES", "1")
    with RingWriter.create("ring", slots=8) as writer, RingReader.attach("ring") as reader:
        calls: list[str] = []
        assert writer._fence is not None
        assert reader._fence is not None
        writer._fence = lambda: calls.append("RingWriter")
        reader._fence = lambda: calls.append("RingReader")
        publish(writer, 3)
        assert calls == ["RingWriter"] * 6
        calls.clear()
        tick = reader.poll()
        assert tick is not None
        assert LANES.unpack_from(tick) == lanes(1)
        assert calls == ["RingReader"] * 2
        batch = reader.poll_many()
        assert batch is not None
        assert calls == ["RingReader"] * 4
        writer.publish_record(bytes(64))
        assert len(calls) == 6


def test_pinning_works_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="no processor"):
        pinning.pin(100_000)
    with pytest.raises(BadInput):
        pinning.pin(-1)
    asked: list[object] = []
    monkeypatch.setattr("os.sched_setaffinity", lambda *cpus: asked.append(cpus))
    assert pinning.pin(0) == ""
    assert asked == [(0, {0})]

    def refuse(*cpus: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.sched_setaffinity", refuse)
    assert "Operation not permitted" in pinning.pin(0)
    monkeypatch.setattr("sys.platform", "darwin")
    assert "where it is put" in pinning.pin(0)
