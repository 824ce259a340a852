import errno
import os
import shutil
import threading
from pathlib import Path

import pytest
from strongroom_host.errors import BadInput
from strongroom_host.sequences import (
    Sequences,
    SequencesBroken,
    SequencesBusy,
    SequencesCopied,
    SequencesRefused,
)
from strongroom_host.sequences.records import COUNTERS, LAST, MAX_STEP, PAGE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counters"


def test_numbers_begin_at_one_and_rise(path: Path) -> None:
    with Sequences.open(path) as sequences:
        block = sequences.block("relay", 3)
        assert [block.next() for _ in range(10)] == list(range(1, 11))
        assert block.name == "relay"


def test_counters_are_apart_and_a_restart_repeats_none(path: Path) -> None:
    with Sequences.open(path) as sequences:
        one, other = sequences.block("one", 4), sequences.block("other", 4)
        last = max(one.next() for _ in range(9))
        assert other.next() == 1
    for _ in range(5):
        with Sequences.open(path) as sequences:
            number = sequences.block("one", 4).next()
            # What was reserved is left out: this block's rest and the one reserved ahead.
            assert last < number <= last + 2 * 4
            last = number


def test_the_bound_is_synced_before_the_first_number_below_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the disk had when a number was handed out is above that number."""
    synced: list[bytes] = []

    def note(descriptor: int, *_: object) -> None:
        synced.append(os.pread(descriptor, PAGE * 5, 0))

    monkeypatch.setattr("strongroom_host.sequences.counters._sync", note)
    with Sequences.open(path) as sequences:
        block = sequences.block("a", 2)
        for _ in range(50):
            number = block.next()
            bounds = [
                int.from_bytes(synced[-1][at + 16 : at + 24], "little") for at in (PAGE, 2 * PAGE)
            ]
            assert max(bounds) > number


def test_threads_never_get_the_same_number(path: Path) -> None:
    with Sequences.open(path) as sequences:
        block, found = sequences.block("shared", 50), list[list[int]]()

        def take() -> None:
            found.append([block.next() for _ in range(3000)])

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(number for part in found for number in part) == list(range(1, 12001))


def test_one_process_at_a_time(path: Path) -> None:
    with Sequences.open(path):
        with pytest.raises(SequencesBusy, match="another process") as caught:
            Sequences.open(path)
        assert caught.value.remedy
    Sequences.open(path).close()


def test_one_taker_for_each_counter(path: Path) -> None:
    with Sequences.open(path) as sequences:
        sequences.block("a")
        with pytest.raises(SequencesRefused, match="already"):
            sequences.block("a")


@pytest.mark.parametrize("name", ["", "x" * 65, "a\0b"])
def test_names_that_do_not_fit(path: Path, name: str) -> None:
    with Sequences.open(path) as sequences, pytest.raises(SequencesRefused):
        sequences.block(name)


def test_all_counters_taken(path: Path) -> None:
    with Sequences.open(path) as sequences:
        for index in range(COUNTERS):
            sequences.block(f"n{index}")
        with pytest.raises(SequencesRefused, match="no counter left"):
            sequences.block("one more")
    with Sequences.open(path) as sequences:
        assert sequences.block("n7").next() == 1


@pytest.mark.parametrize(("size", "limit"), [(0, 1), (MAX_STEP + 1, 1), (1, 0), (1, LAST + 1)])
def test_sizes_that_cannot_be(path: Path, size: int, limit: int) -> None:
    with Sequences.open(path) as sequences, pytest.raises(SequencesRefused):
        sequences.block("a", size, limit=limit)


def test_a_counter_ends_at_its_limit_for_good(path: Path) -> None:
    with Sequences.open(path) as sequences:
        block = sequences.block("v1", 4, limit=6)
        assert [block.next() for _ in range(6)] == [1, 2, 3, 4, 5, 6]
        for _ in range(2):
            with pytest.raises(SequencesRefused, match="used up"):
                block.next()
    with Sequences.open(path) as sequences, pytest.raises(SequencesRefused, match="used up"):
        sequences.block("v1", 4, limit=6).next()


def test_advancing_leaves_out_what_is_taken_and_never_goes_back(path: Path) -> None:
    with Sequences.open(path) as sequences:
        block = sequences.block("client", 8)
        assert block.next() == 1
        block.advance(3)
        assert block.next() > 3
        block.advance(5_000_000)
        number = block.next()
        assert number == 5_000_001
        block.advance(7)
        assert block.next() > number
    with Sequences.open(path) as sequences:
        assert sequences.block("client").next() > number


def test_after_closing_no_number(path: Path) -> None:
    sequences = Sequences.open(path)
    block = sequences.block("a")
    block.next()
    sequences.close()
    sequences.close()
    with pytest.raises(SequencesBroken, match="closed"):
        block.next()
    with pytest.raises(SequencesBroken, match="closed"):
        sequences.block("b")


def test_a_forked_child_gets_none(path: Path) -> None:
    with Sequences.open(path) as sequences:
        block = sequences.block("a", 100)
        block.next()
        child = os.fork()
        if child == 0:
            try:
                block.next()
            except SequencesBroken:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert block.next() == 2


def test_a_disk_that_fails_ends_the_numbers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    with Sequences.open(path) as sequences:
        block = sequences.block("a", 2)
        monkeypatch.setattr("strongroom_host.sequences.counters._sync", fail)
        for _ in range(2):  # for good: what the page holds now is unknown
            with pytest.raises(SequencesBroken, match="cannot be written"):
                block.next()
        monkeypatch.undo()
        with pytest.raises(SequencesBroken, match="cannot be written"):
            block.next()


def test_a_copy_is_refused(path: Path) -> None:
    """The original may have gone on since."""
    with Sequences.open(path) as sequences:
        sequences.block("a").next()
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    with pytest.raises(SequencesCopied, match="is a copy") as caught:
        Sequences.open(copy)
    assert "original" in caught.value.remedy
    path.unlink()
    copy.rename(path)
    with pytest.raises(SequencesCopied):
        Sequences.open(path)


@pytest.mark.parametrize("size", [0, 1, PAGE, PAGE * 3, PAGE * 65 - 1, PAGE * 65 + 1])
def test_another_size_is_refused(path: Path, size: int) -> None:
    Sequences.open(path).close()
    os.truncate(path, size)
    with pytest.raises(SequencesBroken, match="cut short") as caught:
        Sequences.open(path)
    assert caught.value.remedy


def test_a_folder_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot make"):
        Sequences.open(tmp_path / "file" / "counters")


def test_only_the_owner_reads_it_and_salts_differ(path: Path) -> None:
    with Sequences.open(path) as sequences:
        first = sequences.salt
    assert path.stat().st_mode & 0o777 == 0o600
    with Sequences.open(path) as sequences:
        assert len(first) == len(sequences.salt) == 16
        assert sequences.salt != first
    assert {item.name for item in path.parent.iterdir()} == {path.name, "counters.seen"}
