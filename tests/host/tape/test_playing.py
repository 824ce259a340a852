"""From a ring onto a tape and back: every tick, or a hole that shows."""

import secrets
import threading
from pathlib import Path

import pytest
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import Side
from strongroom_host.ring.waiting import Wait
from strongroom_host.ring.writer import RingWriter
from strongroom_host.tape.reader import TapeReader
from strongroom_host.tape.recording import record, replay
from strongroom_host.tape.writer import TapeWriter

from tests.host.strategy.ticks import MS, Feed, Kept, write_tape


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    folder = tmp_path / "rings"
    folder.mkdir()
    monkeypatch.setenv("STRONGROOM_RING_DIR", str(folder))
    return f"tape-{secrets.token_hex(4)}"


def told(data: bytes | bytearray | memoryview) -> list[bytes]:
    return [bytes(data[at + 8 : at + 64]) for at in range(0, len(data), 64)]


def market() -> Kept:
    sink = Kept()
    feed = Feed(sink)
    feed.book([(49, 100)], [(51, 100)])
    for number in range(200):
        feed.at(2 + number).trade(Side.BUY, 51, 1 + number)
    return sink


def test_a_ring_is_recorded_and_played_back(ring: str, tmp_path: Path) -> None:
    ticks = market()
    source = TapeReader(write_tape(tmp_path / "source.tape", ticks.data))
    with RingWriter.create(ring, slots=1024) as writer:
        reader = RingReader.attach(ring, wait=Wait.YIELD)
        played = replay(source, writer, speed=None)
        with TapeWriter(tmp_path / "copy.tape", "ring") as tape:
            done = record(reader, tape, lambda: True)
        assert (played, done.ticks, done.missed) == (len(source), len(source), 0)
        reader.close()
    with TapeReader(tmp_path / "copy.tape") as copy:
        assert bytes(copy.ticks) == bytes(source.ticks)
        assert copy.names == source.names


def test_ticks_that_come_while_it_records_are_taken_and_synced(ring: str, tmp_path: Path) -> None:
    ticks = market()
    source = TapeReader(write_tape(tmp_path / "source.tape", ticks.data))
    over = threading.Event()
    with RingWriter.create(ring, slots=1024) as writer:
        reader = RingReader.attach(ring, wait=Wait.YIELD)

        def play() -> None:
            replay(source, writer, speed=10)
            over.set()

        player = threading.Thread(target=play)
        with TapeWriter(tmp_path / "copy.tape", "ring") as tape:
            player.start()
            done = record(reader, tape, over.is_set, sync_s=0.005)
        player.join()
        reader.close()
    assert (done.ticks, done.missed) == (len(source), 0)


def test_an_overrun_is_counted_and_shows_on_the_tape(ring: str, tmp_path: Path) -> None:
    ticks = market()
    source = TapeReader(write_tape(tmp_path / "source.tape", ticks.data))
    with RingWriter.create(ring, slots=64) as writer:
        reader = RingReader.attach(ring, wait=Wait.YIELD)
        replay(source, writer, speed=None)
        with TapeWriter(tmp_path / "copy.tape", "ring") as tape:
            done = record(reader, tape, lambda: True)
        reader.close()
    assert done.missed > 0
    assert done.ticks + done.missed == len(source)
    with TapeReader(tmp_path / "copy.tape") as copy:
        assert next(iter(copy)).sequence == done.missed + 1


def test_a_hole_in_a_tape_is_a_new_epoch_in_the_ring(tmp_path: Path) -> None:
    data = market().data
    holed = data[: 64 * 50] + data[64 * 60 :]
    source = TapeReader(write_tape(tmp_path / "holed.tape", holed))
    sink = Kept()
    replay(source, sink, speed=None)
    epochs = [view.epoch for view in sink.views()]
    assert epochs == [0] * 50 + [1] * (len(epochs) - 50)
    assert [view.price for view in sink.views()] == [view.price for view in source]


def test_instruments_find_their_place_in_a_ring_that_has_others(tmp_path: Path) -> None:
    source = TapeReader(write_tape(tmp_path / "x.tape", market().data))
    sink = Kept()
    sink.instrument("somebody else's")
    replay(source, sink, speed=None)
    assert {view.instrument for view in sink.views()} == {2}
    assert sink.names[2] == "polymarket:1"


def test_it_plays_at_the_speed_that_was_recorded(tmp_path: Path) -> None:
    source = TapeReader(write_tape(tmp_path / "x.tape", market().data))
    now, sink = [0], Kept()
    due: list[int] = []
    publish = sink.publish_record

    def note(buffer: bytes | bytearray | memoryview, offset: int = 0, /) -> int:
        due.append(now[0])
        return publish(buffer, offset)

    sink.publish_record = note  # type: ignore[method-assign]

    def sleep(seconds: float) -> None:
        now[0] += round(seconds * 1e9)

    replay(source, sink, speed=2, clock=lambda: now[0], sleep=sleep)
    recorded = [view.received_ns for view in source]
    assert due == [(at - recorded[0]) // 2 for at in recorded]
    assert due[-1] == 100 * MS
    assert bytes(sink.data) == bytes(source.ticks)


def test_it_can_be_stopped_and_restamped(tmp_path: Path) -> None:
    source = TapeReader(write_tape(tmp_path / "x.tape", market().data))
    sink, asked = Kept(), [0]

    def stopped() -> bool:
        asked[0] += 1
        return asked[0] > 5

    assert replay(source, sink, speed=None, stopped=stopped, restamp=True, clock=lambda: 77) == 5
    assert [view.received_ns for view in sink.views()] == [77] * 5
