"""Consumers with a name: seen, unique, counted, and in an order where they ask for one."""

import multiprocessing
import os
import time
from collections.abc import Iterator

import pytest
from strongroom_host.errors import BadInput
from strongroom_host.ring import layout
from strongroom_host.ring.errors import (
    ConsumerTaken,
    DependencyGone,
    InstrumentsFull,
    NameInvalid,
    RingFull,
    RingInvalid,
)
from strongroom_host.ring.listing import look_at
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.writer import RingWriter

from tests.host.ring.torture import LANES, publish

SLOTS = 8


@pytest.fixture
def writer() -> Iterator[RingWriter]:
    with RingWriter.create("ring", slots=SLOTS, consumers=4) as writer:
        yield writer


def sequence(tick: memoryview | None) -> int:
    return 0 if tick is None else int(LANES.unpack_from(tick)[0])


def sequences(reader: RingReader) -> list[int]:
    found = []
    while (tick := reader.poll()) is not None:
        found.append(sequence(tick))
    return found


def test_a_consumer_is_seen_with_its_place_and_its_losses(writer: RingWriter) -> None:
    with RingReader.attach("ring", consumer="strategy", from_start=True) as reader:
        publish(writer, SLOTS + 2)
        reader.poll()
        (seen,) = look_at("ring").consumers
        assert (seen.name, seen.pid, seen.alive) == ("strategy", os.getpid(), True)
        assert seen.position == reader.position == 5
        assert seen.done == 4
        assert seen.missed == reader.missed == reader.gap == 4
        sequences(reader)
        (seen,) = look_at("ring").consumers
        assert seen.done == SLOTS + 2
    assert look_at("ring").consumers == ()


def test_a_gap_is_told_once_before_the_tick_that_follows_it(writer: RingWriter) -> None:
    with RingReader.attach("ring") as reader:
        publish(writer, 2 * SLOTS)
        first = sequence(reader.poll())
        assert reader.gap == first - 1 > 0
        assert sequence(reader.poll()) == first + 1
        assert reader.gap == 0
        assert reader.missed == first - 1


def test_what_is_published_between_two_looks_is_not_taken_for_lost(writer: RingWriter) -> None:
    """The slot is looked at, then two ticks come, then the next slot is looked at."""

    class Meanwhile:
        def __init__(self, words: memoryview) -> None:
            self.words, self.looks = words, 0

        def __getitem__(self, at: int) -> int:
            found = int(self.words[at])
            self.looks += 1
            if self.looks == 2:
                publish(writer, 2)
            return found

    with RingReader.attach("ring") as reader:
        reader._words = Meanwhile(reader._words)  # type: ignore[assignment]
        reader._told = -1  # past the short cut of a consumer that is idle anyway
        assert sequence(reader.poll()) == 1
        assert (reader.gap, reader.missed) == (0, 0)
        assert sequence(reader.poll()) == 2


def test_a_reader_without_a_name_leaves_no_trace_and_cannot_write(writer: RingWriter) -> None:
    with RingReader.attach("ring") as reader:
        assert look_at("ring").consumers == ()
        for view in (reader._words, reader._segment.slots, reader._segment.bytes):
            assert view.readonly


def test_a_consumer_writes_to_its_own_region_only(writer: RingWriter) -> None:
    with RingReader.attach("ring", consumer="one") as reader:
        assert reader._words.readonly
        assert reader._segment.header.readonly
        assert not reader._lines.readonly
        assert len(reader._lines) * 8 == layout.SLOTS_OFFSET - layout.CONSUMERS_OFFSET


def test_a_name_is_one_consumers(writer: RingWriter) -> None:
    with RingReader.attach("ring", consumer="one"):
        with pytest.raises(ConsumerTaken, match=f"process {os.getpid()}"):
            RingReader.attach("ring", consumer="one")
        RingReader.attach("ring", consumer="two").close()
    RingReader.attach("ring", consumer="one").close()


@pytest.mark.parametrize("name", ["", "a b", "x" * 40, "\x1b[2J"])
def test_a_consumers_name_is_checked(writer: RingWriter, name: str) -> None:
    with pytest.raises(NameInvalid):
        RingReader.attach("ring", consumer=name)
    RingReader.attach("ring", consumer="x" * layout.NAME_SIZE).close()


def test_a_full_ring_names_its_consumers(writer: RingWriter) -> None:
    readers = [RingReader.attach("ring", consumer=f"c{n}") for n in range(4)]
    with pytest.raises(RingFull, match="4 consumers") as refused:
        RingReader.attach("ring", consumer="c4")
    assert refused.value.actual == "c0, c1, c2, c3"
    readers[1]._abandon()  # killed: its entry is kept until another needs it
    assert [one.alive for one in look_at("ring").consumers] == [True, False, True, True]
    with RingReader.attach("ring", consumer="c4"):
        assert [one.name for one in look_at("ring").consumers] == ["c0", "c4", "c2", "c3"]
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("from_start", [False, True])
def test_a_killed_consumer_goes_on_and_knows_what_it_missed(
    writer: RingWriter, from_start: bool
) -> None:
    reader = RingReader.attach("ring", consumer="one")
    publish(writer, 3)
    assert sequence(reader.poll()) == 1
    reader._abandon()
    publish(writer, 2)
    with RingReader.attach("ring", consumer="one", from_start=from_start) as reader:
        if from_start:  # tick 1 was given to it, whatever it did with it
            assert sequences(reader) == [2, 3, 4, 5]
            assert reader.missed == 0
        else:
            publish(writer, 1)
            assert sequence(reader.poll()) == 6
            assert reader.gap == reader.missed == 4


def test_a_gap_is_counted_once_wherever_its_consumer_is_killed(
    writer: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills the consumer before each of the five stores with which it counts a gap."""

    class Killed(Exception):
        pass

    class Dying:
        """The region's words, of which only the first few stores still happen."""

        def __init__(self, words: memoryview, stores: int) -> None:
            self.words, self.left = words, stores

        def __getitem__(self, at: int) -> int:
            return int(self.words[at])

        def __setitem__(self, at: int, value: int) -> None:
            if not self.left:
                raise Killed
            self.left -= 1
            self.words[at] = value

    for stores in range(6):
        name = f"victim-{stores}"
        first = writer.position + 1
        reader = RingReader.attach("ring", consumer=name)
        publish(writer, 3 * SLOTS)
        consumers = reader._consumers
        assert consumers is not None
        words = consumers.words
        consumers.words = Dying(words, stores if stores < 5 else 99)  # type: ignore[assignment]
        if stores < 5:
            with pytest.raises(Killed):
                reader.poll()
        else:
            reader.poll()
        consumers.words = words
        reader._abandon()
        with RingReader.attach("ring", consumer=name, from_start=True) as reader:
            seen = sequences(reader)
            given = 1 if stores == 5 else 0
            assert given + len(seen) + reader.missed == writer.position - first + 1
            assert seen[-1] == writer.position


def test_one_may_not_pass_another(writer: RingWriter) -> None:
    with (
        RingReader.attach("ring", consumer="first") as first,
        RingReader.attach("ring", consumer="second", after="first") as second,
        RingReader.attach("ring", consumer="third", after="second") as third,
    ):
        publish(writer, 4)
        assert sequences(second) == []
        assert sequence(first.poll()) == 1
        assert sequences(second) == []  # the first one still has it in its hands
        assert sequence(first.poll()) == 2
        assert sequences(second) == [1]
        assert sequences(third) == [1]
        assert sequences(first) == [3, 4]
        assert sequence(second.poll()) == 2
        assert sequences(third) == []
        assert sequences(second) == [3, 4]
        assert sequences(third) == [2, 3, 4]
        entries = look_at("ring").consumers
        assert [one.after for one in entries] == [None, 0, 1]


def test_a_batch_in_hand_holds_back_who_comes_after(writer: RingWriter) -> None:
    with (
        RingReader.attach("ring", consumer="first") as first,
        RingReader.attach("ring", consumer="second", after="first") as second,
    ):
        publish(writer, 4)
        batch = first.poll_many(3)
        assert batch is not None
        assert second.poll_many() is None
        assert first.poll() is not None
        batch = second.poll_many()
        assert batch is not None
        assert sequence(batch) == 1
        assert len(batch) <= 3 * 64


def test_who_comes_after_is_overrun_with_its_leader_and_counts_it(writer: RingWriter) -> None:
    with (
        RingReader.attach("ring", consumer="first") as first,
        RingReader.attach("ring", consumer="second", after="first") as second,
    ):
        publish(writer, 3 * SLOTS)
        assert sequences(second) == []
        led = sequences(first)
        followed = sequences(second)
        assert followed
        assert set(followed) <= set(led)
        assert len(followed) + second.missed == 3 * SLOTS


def test_what_it_comes_after_has_to_be_there(writer: RingWriter) -> None:
    with pytest.raises(BadInput, match="needs a name"):
        RingReader.attach("ring", after="first")
    with pytest.raises(DependencyGone, match="no consumer 'first'"):
        RingReader.attach("ring", consumer="second", after="first")
    with RingReader.attach("ring", consumer="first"):
        with pytest.raises(BadInput, match="itself"):
            RingReader.attach("ring", consumer="second", after="second")
        second = RingReader.attach("ring", consumer="second", after="first")
    # The first one has left; its entry stays, since the second one waits for it.
    with pytest.raises(DependencyGone, match="after 'first' itself"):
        RingReader.attach("ring", consumer="first", after="second")
    RingReader.attach("ring", consumer="first").close()
    second.close()


def test_a_dead_leader_is_missed_for_a_while_and_then_an_error(
    writer: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("strongroom_host.ring.dependency.time.monotonic", lambda: now[0])
    first = RingReader.attach("ring", consumer="first")
    with RingReader.attach("ring", consumer="second", after="first") as second:
        first._abandon()
        publish(writer, 2)
        now[0] += 0.5
        assert second.poll() is None
        with RingReader.attach("ring", consumer="first", from_start=True) as again:
            now[0] += 5.0
            assert second.poll() is None
            assert sequences(again) == [1, 2]
            assert sequence(second.poll()) == 1
            again._abandon()
        publish(writer, 1)
        assert sequences(second) == [2]
        now[0] += 0.5
        assert second.poll() is None
        now[0] += 5.0
        with pytest.raises(DependencyGone, match="'first'") as gone:
            second.poll()
        assert "release" in gone.value.remedy
        second.release()
        assert sequence(second.poll()) == 3
        assert look_at("ring").consumers[1].after is None


def test_the_entry_of_a_dead_leader_is_nobody_elses(writer: RingWriter) -> None:
    first = RingReader.attach("ring", consumer="first")
    with RingReader.attach("ring", consumer="second", after="first"):
        first._abandon()
        others = [RingReader.attach("ring", consumer=f"other-{n}") for n in range(2)]
        with pytest.raises(RingFull):
            RingReader.attach("ring", consumer="one-more")
        for other in others:
            other.close()


def test_sequences_that_nobody_can_have_reached_are_refused(writer: RingWriter) -> None:
    with RingReader.attach("ring", consumer="one") as reader:
        writer._words[1 << 3] = 1 << 63
        with pytest.raises(RingInvalid, match="so far"):
            reader.poll()


def _attach_and_die(barrier: "multiprocessing.synchronize.Barrier", name: str) -> None:
    barrier.wait()
    RingReader.attach("ring", consumer=name)
    os._exit(0)


def test_consumers_that_come_at_once_get_an_entry_each(writer: RingWriter) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_attach_and_die, args=(barrier, f"c{n}")) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(one.name for one in look_at("ring").consumers) == ["c0", "c1", "c2", "c3"]
    assert not any(one.alive for one in look_at("ring").consumers)


def test_instruments_are_numbered_once(writer: RingWriter) -> None:
    with RingReader.attach("ring") as reader:
        assert reader.instruments[1] == reader.instruments[0] == ""
        assert [writer.instrument(name) for name in ("BTC", "ETH", "BTC")] == [1, 2, 1]
        assert reader.instruments.names() == ["BTC", "ETH"]
        assert (reader.instruments.index("ETH"), reader.instruments.index("?")) == (2, 0)
        assert writer.instrument("é" * 47) == 3
        assert reader.instruments[3] == "é" * 47
        for name in ("", "x" * 96, "é" * 48, "\ud800"):
            with pytest.raises(NameInvalid):
                writer.instrument(name)
        for n in range(3, layout.INSTRUMENTS):
            writer.instrument(str(n))
        with pytest.raises(InstrumentsFull):
            writer.instrument("one more")
        assert writer.instrument("ETH") == 2
        assert len(reader.instruments) == layout.INSTRUMENTS
        assert reader.instruments[layout.INSTRUMENTS] == str(layout.INSTRUMENTS - 1)


def test_a_reader_goes_over_to_the_ring_made_anew(writer: RingWriter) -> None:
    publish(writer, 3)
    writer.instrument("OLD")
    first = RingReader.attach("ring", consumer="first", from_start=True)
    second = RingReader.attach("ring", consumer="second", after="first", from_start=True)
    assert (sequence(first.poll()), first.generation) == (1, 1)
    writer.close()
    with RingWriter.create("ring", slots=2 * SLOTS) as successor:
        publish(successor, 2 * SLOTS + 1)
        successor.instrument("NEW")
        assert sequences(first) == [2, 3]
        assert sequences(second) == [1, 2, 3]
        until = time.monotonic() + 20
        while first.generation == 1 and time.monotonic() < until:
            first.poll()
        assert first.generation == 2
        assert first.instruments[1] == "NEW"
        while second.generation == 1 and time.monotonic() < until:
            assert second.poll() is None
        led = sequences(first)
        assert led == list(range(led[0], 2 * SLOTS + 2))
        assert len(led) + first.missed == 2 * SLOTS + 1
        while second._limit < led[-1] and time.monotonic() < until:
            second.poll()
        assert second.position + len(sequences(second)) > 0
        assert second.position == 2 * SLOTS + 1
        first.close()
        second.close()


def test_the_last_tick_of_an_ended_ring_is_read_before_the_new_ring(writer: RingWriter) -> None:
    """It comes after the reader has looked for it and before the reader sees that all has ended."""
    anew: list[RingWriter] = []

    class Meanwhile:
        def __init__(self, words: memoryview) -> None:
            self.words = words

        def __getitem__(self, at: int) -> int:
            if at == layout.STATE and not anew:
                publish(writer, 1)
                writer.close()
                anew.append(RingWriter.create("ring", slots=SLOTS))
                publish(anew[0], 2)
            return int(self.words[at])

    publish(writer, 4)
    with RingReader.attach("ring") as reader:
        reader._header = Meanwhile(reader._header)  # type: ignore[assignment]
        reader._told = -1  # past the short cut of a consumer that is idle anyway
        until = time.monotonic() + 20
        seen: list[int] = []
        while seen[-1:] != [2] and time.monotonic() < until:
            seen += sequences(reader)
        assert seen == [5, 1, 2]
        assert reader.missed == 0
    anew[0].close()
