"""A log is read while it is written; and a signed head is as durable as the leaves it is of."""

import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.errors import LogAbsent, LogDamaged
from strongroom_host.log.files import LogFiles
from strongroom_host.log.stored import FolderStorage, StoredLog, head_of
from strongroom_host.log.tail import parse_tail, records
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, WIDTH, Tile
from strongroom_host.log.tree import LogReader
from strongroom_wire.bundle import EMPTY_LOG

from tests.host.log.histories import checkpoint
from tests.host.log.test_files import ENTRIES_600, _interrupted
from tests.wire.test_merkle import grown


def note(size: int) -> bytes:
    return checkpoint(grown(ENTRIES_600[:size]).head)


# --- the tail's bytes -----------------------------------------------------------------------------


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=20),
    st.binary(max_size=300),
    st.integers(0, 50),
    st.binary(max_size=40),
)
def test_a_cut_tail_is_what_was_written_whole(
    entries: list[bytes], note: bytes, cut: int, junk: bytes
) -> None:
    data = records(entries, note)
    tail = parse_tail(data)
    assert (tail.entries, tail.note, tail.whole) == (entries, note, len(data))
    shorter = parse_tail(data[: max(0, len(data) - cut)])
    assert shorter.entries == entries[: len(shorter.entries)]
    assert shorter.whole <= len(data) - cut or cut == 0 or shorter.whole == 0
    assert parse_tail(data + junk).entries[: len(entries)] == entries


@pytest.mark.parametrize("rest", [bytes(100), b"\0\0\xff\xff\xff\xff", b"\0\0\0\0\0\1a" + bytes(8)])
def test_what_is_no_note_is_left(rest: bytes) -> None:
    data = records([b"leaf"], b"note")
    tail = parse_tail(data + rest)
    assert (tail.entries, tail.note, tail.whole) == ([b"leaf"], b"note", len(data))


# --- signed heads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512, 600])
def test_a_head_is_durable_with_its_leaves(tmp_path: Path, size: int) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:size], note(size))
        assert log.signed == note(size)
        assert log.published == 0
    with LogFiles(tmp_path) as log:
        assert log.signed == note(size)
        assert StoredLog(tmp_path).signed == note(size)
        log.publish(note(size))
        assert log.signed == log.read(CHECKPOINT) == note(size)


def test_a_larger_head_takes_the_place_of_a_smaller_one(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        before = log.signed
        assert before is None
        for size in (3, 4, 300, 513):
            log.append(log.size, ENTRIES_600[log.size : size], note(size))
            assert log.signed == note(size)
        log.append(513, ENTRIES_600[513:520])
        assert log.signed == note(513), "the newest leaves are not signed yet"
        log.publish(note(400))
        assert log.signed == note(513)
        log.append(500, ENTRIES_600[500:520], note(520))
        assert log.signed == note(520)


def test_a_head_outlives_the_tail_it_stood_in(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:250], note(250))
        log.append(250, ENTRIES_600[250:600])
        assert log.signed == note(250)
    with LogFiles(tmp_path) as log:
        assert log.signed == note(250)


def test_a_head_of_other_leaves_is_refused(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        for wrong in (note(4), note(6), checkpoint(grown([b"x"] * 5).head)):
            with pytest.raises(LogDamaged):
                log.append(0, ENTRIES_600[:5], wrong)
        assert (log.size, log.signed) == (0, None)
        log.append(0, ENTRIES_600[:5], note(5))
        with pytest.raises(LogDamaged):
            log.append(0, ENTRIES_600[:5], note(4))


@pytest.mark.parametrize(("start", "end"), [(250, 256), (254, 258), (3, 5), (200, 520)])
def test_killed_before_every_single_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, end: int
) -> None:
    """Whatever was signed and stored before is there after; so is the new head, with its leaves."""
    source, folder = tmp_path / "source", tmp_path / "copy"
    with LogFiles(source) as log:
        log.append(0, ENTRIES_600[:start], note(start))

    def job() -> None:
        with LogFiles(folder) as log:
            log.append(start, ENTRIES_600[start:end], note(end))

    for after in range(200):
        shutil.copytree(source, folder)
        cut = _interrupted(monkeypatch, after, job)
        seen = StoredLog(folder)
        with LogFiles(folder) as again:
            assert seen.size == again.size
            assert start <= again.size <= end
            assert again.signed == seen.signed
            assert again.signed in (note(start), note(end))
            assert list(seen.reader().entries()) == ENTRIES_600[: again.size]
            again.append(start, ENTRIES_600[start:end], note(end))
        with LogFiles(folder) as again:
            assert again.signed == note(end)
        shutil.rmtree(folder)
        if not cut:
            return
    pytest.fail("the job never ran to its end")


# --- reading --------------------------------------------------------------------------------------


def test_a_reader_needs_no_lock(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:300])
        stored = StoredLog(tmp_path)
        log.append(300, ENTRIES_600[300:])
        assert stored.head == grown(ENTRIES_600[:300]).head, "as it was at one moment"
        assert list(stored.reader().entries()) == ENTRIES_600[:300]
        assert StoredLog(tmp_path).head == log.head
    assert list(tmp_path.glob("tail.*")) == [tmp_path / "tail.2"], "reading changes nothing"


def test_reading_while_it_is_written_sees_one_history(tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        with LogFiles(tmp_path) as log:
            for n in range(WIDTH * 2 + 60):
                log.append(n, [ENTRIES_600[n]], note(n + 1) if n % 7 == 0 else b"")
                if n % 50 == 0:
                    log.publish(note(n + 1) if n % 7 == 0 else checkpoint(log.head))
        done.set()

    LogFiles(tmp_path).close()
    writer = threading.Thread(target=write)
    writer.start()
    size, times = 0, 0
    while not done.is_set():
        stored = StoredLog(tmp_path)
        assert stored.size >= size
        size, times = stored.size, times + 1
        assert stored.head == grown(ENTRIES_600[:size]).head
        assert list(stored.reader().entries()) == ENTRIES_600[:size]
        if stored.signed:
            assert head_of(stored.signed).size <= size
    writer.join()
    assert times > 3


def test_a_bundle_that_was_not_completed_is_read_all_the_same(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:255])
    with (tmp_path / "tail.0").open("ab") as tail:
        tail.write(records([ENTRIES_600[255]]))
    stored = StoredLog(tmp_path)
    assert stored.head == grown(ENTRIES_600[:256]).head
    assert stored.reader().entry(255) == ENTRIES_600[255]
    assert not (tmp_path / Tile(ENTRIES, 0).path).exists(), "that is for a writer to do"


def test_a_plain_file_server_shows_what_is_published(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:300], note(300))
        assert FolderStorage(tmp_path).read(CHECKPOINT) is None
        log.publish(note(300))
        log.append(300, ENTRIES_600[300:])
    storage = FolderStorage(tmp_path)
    reader = LogReader(storage, head_of(storage.read(CHECKPOINT) or b""))
    assert list(reader.entries()) == ENTRIES_600[:300]
    for path in ("tail.1", "lock", "openings.db", "../x", "tile/../lock", "tile/0", ""):
        assert storage.read(path) is None


def test_where_no_log_is(tmp_path: Path) -> None:
    with pytest.raises(LogAbsent):
        StoredLog(tmp_path / "nothing")
    assert StoredLog(tmp_path).head == EMPTY_LOG
