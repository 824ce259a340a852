"""A tape gives back what was put onto it, or says what is wrong with it."""

import errno
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.ring.tick import Tick
from strongroom_host.tape.errors import TapeDamaged, TapeInvalid, TapeTaken, TapeUnwritten
from strongroom_host.tape.layout import (
    ENTRY,
    FIRST_TICK,
    HEAD,
    INSTRUMENTS_AT,
    MARKS_AT,
    Head,
    Mark,
)
from strongroom_host.tape.reader import TapeReader
from strongroom_host.tape.writer import TapeWriter

U8, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 32, 64))
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
TICKS = st.tuples(U8, U8, U8, U8, U32, U32, U32, I64, I64, U64, U64, U64)
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def fields(tick: tuple[int, ...]) -> tuple[int, ...]:
    """The order of `publish` in the order of the record."""
    kind, side, feed, flags, instrument, epoch, number, price, size, received, venue, detail = tick
    amounts = (received, venue, price, size, instrument, epoch, number)
    return (*amounts, kind, side, feed, flags, detail)


def write(path: Path, count: int, *, synced: int | None = None) -> None:
    """Writes ticks whose price is their number; those after `synced` only reach the system."""
    tape = TapeWriter(path, "test")
    for number in range(count):
        tape.publish(1, 1, 1, 2, 1, 1, number, number, 1, number, 0, 0)
        if synced is not None and number + 1 == synced:
            tape.sync()
    tape.flush()
    if synced is None:
        tape.close()


def prices(path: Path, *, verify: bool = True) -> list[int]:
    with TapeReader(path, verify=verify) as reader:
        return [view.price for view in reader]


@RELAXED
@given(ticks=st.lists(TICKS, max_size=30))
def test_round_trip(tmp_path: Path, ticks: list[tuple[int, ...]]) -> None:
    path = tmp_path / f"{secrets.token_hex(8)}.tape"
    with TapeWriter(path, "ring x", started_ns=5, monotonic_ns=3) as tape:
        sequences = [tape.publish(*tick) for tick in ticks]
    with TapeReader(path) as reader:
        assert sequences == list(range(1, len(ticks) + 1))
        assert len(reader) == reader.synced == len(ticks)
        assert (reader.dropped, reader.head) == (0, Head(5, 3, "ring x"))
        for number, (tick, view) in enumerate(zip(ticks, reader, strict=True), start=1):
            read = Tick.read(view.copy())
            assert tuple(read) == (number, *fields(tick))
            by_name = {name: getattr(view, name) for name in Tick._fields}
            assert by_name == read._asdict()


def test_a_ring_keeps_its_own_count_and_holes(tmp_path: Path) -> None:
    first, second = tmp_path / "1.tape", tmp_path / "2.tape"
    write(first, 10)
    with TapeReader(first) as reader, TapeWriter(second, "ring") as tape:
        for place in (1, 4, 5):
            tape.publish_record(reader.ticks, place * 64)
    with TapeReader(second) as reader:
        assert [view.sequence for view in reader] == [2, 5, 6]


def test_an_older_tick_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "1.tape", 3)
    with TapeReader(tmp_path / "1.tape") as reader, TapeWriter(tmp_path / "2.tape", "x") as tape:
        tape.publish_record(reader.ticks, 64)
        with pytest.raises(TapeInvalid, match="older") as caught:
            tape.publish_record(reader.ticks, 64)
        assert "anew" in caught.value.remedy


def test_instruments_have_their_indices(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    with TapeWriter(path, "x") as tape:
        tape.name_instruments(["", "a", "ö" * 47])
        assert tape.instrument("a") == 1
        assert tape.instrument("new") == 3
        with pytest.raises(TapeInvalid, match="index already") as caught:
            tape.name_instruments(["", "b", "a"])
        assert "anew" in caught.value.remedy
        tape.name_instruments(["", "a", "ö" * 47, "new", "later"])
        with pytest.raises(TapeInvalid, match="name"):
            tape.instrument("n" * 96)
        with pytest.raises(TapeInvalid, match="256"):
            tape.name_instrument(257, "z")
        tape.name_instrument(256, "last")
    with TapeReader(path) as reader:
        assert reader.names[:5] == ("", "a", "ö" * 47, "new", "later")
        assert reader.names[256] == "last"


def named(path: Path) -> Path:
    """A tape with three instruments, the last of which came after the first mark."""
    with TapeWriter(path, "ring main") as tape:
        tape.name_instruments(["", "polymarket:1", "binance:BTCUSDT"])
        tape.publish(1, 1, 1, 2, 1, 1, 1, 7, 1, 1, 0, 0)
        tape.sync()
        tape.instrument("coinbase:BTC-USD")
        tape.publish(1, 1, 1, 2, 3, 1, 2, 8, 1, 1, 0, 0)
    return path


def test_any_bit_of_the_head_and_of_the_instruments_that_changed_shows(tmp_path: Path) -> None:
    data = bytearray(named(tmp_path / "x.tape").read_bytes())
    path = tmp_path / "changed.tape"
    places = [*range(16, HEAD.size), *range(INSTRUMENTS_AT, INSTRUMENTS_AT + 4 * ENTRY.size)]
    for place in places:
        bit = 1 << secrets.randbelow(8)
        data[place] ^= bit
        path.write_bytes(data)
        with pytest.raises(TapeDamaged, match=r"head has changed|instruments has changed"):
            TapeReader(path)
        assert prices(path, verify=False) == [7, 8]
        data[place] ^= bit
    path.write_bytes(data)
    with TapeReader(path) as reader:
        assert reader.names == ("", "polymarket:1", "binance:BTCUSDT", "coinbase:BTC-USD")


def test_instruments_that_are_gone_or_moved_are_missed(tmp_path: Path) -> None:
    data = bytearray(named(tmp_path / "x.tape").read_bytes())
    path = tmp_path / "changed.tape"
    first, second = (
        slice(at, at + ENTRY.size) for at in (INSTRUMENTS_AT, INSTRUMENTS_AT + ENTRY.size)
    )
    swapped = bytearray(data)
    swapped[first], swapped[second] = data[second], data[first]
    path.write_bytes(swapped)
    with pytest.raises(TapeDamaged, match="instruments has changed"):
        TapeReader(path)
    wiped = bytearray(data)
    wiped[second] = bytes(ENTRY.size)
    path.write_bytes(wiped)
    with pytest.raises(TapeDamaged, match="instruments are missing") as caught:
        TapeReader(path)
    assert caught.value.actual == "2 of 3"
    with TapeReader(path, verify=False) as reader:
        assert reader.names == ("", "polymarket:1", "", "coinbase:BTC-USD")


def test_an_instrument_that_nobody_vouched_for_yet_is_there(tmp_path: Path) -> None:
    """Recording goes on: the table may be ahead of the newest mark, never behind it."""
    tape = TapeWriter(tmp_path / "x.tape", "x")
    tape.instrument("a")
    with TapeReader(tmp_path / "x.tape") as reader:
        assert reader.names == ("", "a")
    tape.close()


def test_a_tape_of_version_1_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    write(path, 3)
    data = bytearray(path.read_bytes())
    data[8:16] = (1).to_bytes(4, "little") + (28_672).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(TapeInvalid, match="another version") as caught:
        TapeReader(path)
    assert "version 1" in str(caught.value.actual)
    assert "the version of strongroom that recorded it" in caught.value.remedy


def test_a_recording_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    write(path, 1)
    with pytest.raises(TapeTaken):
        TapeWriter(path, "x")
    assert prices(path) == [0]


def test_what_was_not_synced_counts_as_far_as_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    write(path, 10, synced=4)
    with TapeReader(path) as reader:
        assert (len(reader), reader.synced, reader.dropped) == (10, 4, 0)
    data = path.read_bytes()
    # A power cut: the length is there, the bytes are not; or half a record, which no kill leaves.
    path.write_bytes(data[: FIRST_TICK + 6 * 64] + bytes(4 * 64))
    with TapeReader(path) as reader:
        assert (len(reader), reader.dropped) == (6, 4 * 64)
    path.write_bytes(data[: FIRST_TICK + 6 * 64 + 40])
    with TapeReader(path) as reader:
        assert (len(reader), reader.dropped) == (6, 40)


@pytest.mark.parametrize("cut", [1, 64, 65, 6 * 64])
def test_synced_ticks_that_are_missing_are_missed(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.tape"
    write(path, 10)
    os.truncate(path, FIRST_TICK + 10 * 64 - cut)
    with pytest.raises(TapeDamaged, match="missing") as caught:
        TapeReader(path)
    assert "10 ticks" in str(caught.value.expected)


def test_any_bit_that_changed_shows(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    write(path, 20)
    data = bytearray(path.read_bytes())
    for _ in range(60):
        place = FIRST_TICK * 8 + secrets.randbelow((len(data) - FIRST_TICK) * 8)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        with pytest.raises(TapeDamaged, match="changed"):
            TapeReader(path)
        data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)
    assert len(prices(path)) == 20


def test_ticks_without_any_mark_are_vouched_for_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    write(path, 5)
    data = bytearray(path.read_bytes())
    for at in MARKS_AT:
        data[at : at + 28] = bytes(28)
    data[FIRST_TICK + 64 + 24] ^= 1
    path.write_bytes(data)
    with pytest.raises(TapeDamaged, match="marks"):
        prices(path)
    assert len(prices(path, verify=False)) == 5


def test_damaged_ticks_can_be_read_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    write(path, 3)
    data = bytearray(path.read_bytes())
    data[FIRST_TICK + 24] ^= 0xFF
    path.write_bytes(data)
    assert prices(path, verify=False) == [255, 1, 2]


def test_the_other_mark_stands_in_for_one_that_was_being_written(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    tape = TapeWriter(path, "x")
    for number in range(6):
        tape.publish(1, 1, 1, 2, 1, 1, number, number, 1, 0, 0, 0)
        tape.sync()
    data = bytearray(path.read_bytes())
    newest = max(MARKS_AT, key=lambda at: int.from_bytes(data[at : at + 8], "little"))
    data[newest + 8] ^= 1
    assert Mark.newest(bytes(data)).ticks == 5
    path.write_bytes(data)
    with TapeReader(path) as reader:
        assert (len(reader), reader.synced) == (6, 5)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"not a tape at all" * 100, "no tape"),
        (b"SR-TAPE\0" + bytes(40_000), "version"),
        (Head(1, 1, "x").serialise(), "cut off"),
        (Head(1, 1, "x").serialise()[: HEAD.size - 1], "no tape"),
    ],
)
def test_what_is_no_tape_is_told(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "x.tape"
    path.write_bytes(data)
    with pytest.raises((TapeInvalid, TapeDamaged), match=words) as caught:
        TapeReader(path)
    assert str(path) in caught.value.what


def test_a_missing_tape_is_told(tmp_path: Path) -> None:
    with pytest.raises(TapeInvalid, match="No such file"):
        TapeReader(tmp_path / "none")


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=400), cut=st.integers(0, FIRST_TICK + 300))
def test_no_file_makes_it_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.tape"
    write(path, 4)
    good = bytearray(path.read_bytes()[:cut])
    place = len(good) // 2
    good[place : place + len(data)] = data
    path.write_bytes(good)
    try:
        with TapeReader(path) as reader:
            assert len(reader) * 64 <= len(good) - FIRST_TICK
    except HostError:
        pass


def test_a_full_disk_leaves_whole_ticks(tmp_path: Path) -> None:
    path, room = tmp_path / "x.tape", 64 * 64 + 30

    def write_some(file: int, data: bytes | memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(file, data[:room])
        room -= written
        return written

    tape = TapeWriter(path, "x", write=write_some)
    for number in range(100):
        tape.publish(1, 1, 1, 2, 1, 1, number, number, 1, 0, 0, 0)
    with pytest.raises(TapeUnwritten, match="space") as caught:
        tape.flush()
    assert "space" in caught.value.remedy
    assert prices(path) == list(range(64))
    assert tape.ticks == 64
    room = 1 << 20
    tape.publish(1, 1, 1, 2, 1, 1, 0, 777, 1, 0, 0, 0)
    tape.close()
    with TapeReader(path) as reader:
        assert [view.price for view in reader] == [*range(64), 777]
        assert (reader.synced, reader.dropped) == (65, 0)


_KILLED = """
import sys
from pathlib import Path
from strongroom_host.tape.writer import TapeWriter
tape = TapeWriter(Path(sys.argv[1]), "killed")
number = 0
while True:
    for _ in range(997):
        tape.publish(1, 1, 1, 2, 1, 1, number, number, ~number, number * 3, 0, number ^ 0x5A5A)
        number += 1
    if number % 7 == 0:
        tape.sync()
        print(number, flush=True)
"""


@pytest.mark.slow
def test_kill_9_costs_at_most_what_was_not_synced(tmp_path: Path) -> None:
    for run in range(3):
        path = tmp_path / f"{run}.tape"
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        promised = [int(process.stdout.readline()) for _ in range(3)]
        time.sleep(secrets.randbelow(50) / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        promised += [int(line) for line in process.stdout if line.endswith("\n")]
        process.stdout.close()
        with TapeReader(path) as reader:
            assert len(reader) >= reader.synced >= promised[-1]
            assert reader.dropped == 0
            for number, view in enumerate(reader):
                assert (view.sequence, view.price, view.size) == (number + 1, number, ~number)
                assert (view.received_ns, view.detail) == (number * 3, number ^ 0x5A5A)
