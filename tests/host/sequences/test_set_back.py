"""An old state of the file is put back, while it is open and between two runs: no number again."""

import os
import shutil
from pathlib import Path

import pytest
from strongroom_host.errors import BadInput
from strongroom_host.sequences import Sequences, SequencesBroken, SequencesSetBack
from strongroom_host.sequences.marks import Marks
from strongroom_host.sequences.records import LAST, MAX_STEP, PAGE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "client").mkdir()
    return tmp_path / "client" / "counters"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is reserved ahead, so that what is on the disk at each moment is known."""
    monkeypatch.setattr(Sequences, "_ask_for", lambda *_: None)


def take(path: Path, count: int, name: str = "relay", size: int = 4) -> int:
    """Opens it, takes so many numbers and returns the last."""
    with Sequences.open(path) as sequences:
        block = sequences.block(name, size)
        return [block.next() for _ in range(count)][-1]


def seen(path: Path) -> Path:
    return path.with_name(f"{path.name}.seen")


def overwrite(path: Path, content: bytes) -> None:
    """As `cat old > file` does: the file stays the one it is, and is cut off in between."""
    with path.open("r+b") as stream:
        stream.truncate(0)
        stream.write(content)


@pytest.mark.parametrize("later", [1, 9])
def test_an_old_state_between_two_runs_is_refused(path: Path, later: int) -> None:
    take(path, 1)
    old, inode = path.read_bytes(), path.stat().st_ino
    last = take(path, later)
    overwrite(path, old)
    assert path.stat().st_ino == inode  # no copy: what tells those apart says nothing here
    with pytest.raises(SequencesSetBack, match="was put back") as caught:
        Sequences.open(path)
    assert "'relay' at" in str(caught.value.expected)
    assert "move the file away" in caught.value.remedy
    path.rename(path.with_name("old"))
    assert take(path, 1) > last  # what the advice comes to


def test_a_folder_put_back_with_its_old_marks_is_refused(path: Path, tmp_path: Path) -> None:
    """As `cp -a backup/. client/` does: old names come beside newer ones."""
    take(path, 1)
    backup = tmp_path / "backup"
    shutil.copytree(path.parent, backup)
    last = take(path, 9)
    overwrite(path, (backup / "counters").read_bytes())
    for mark in (backup / "counters.seen").iterdir():
        shutil.copy2(mark, seen(path))
    assert len(list(seen(path).iterdir())) == 2
    with pytest.raises(SequencesSetBack):
        Sequences.open(path)
    path.unlink()
    assert take(path, 1) > last
    assert len(list(seen(path).iterdir())) == 1  # old ones go once a newer is on the disk


def test_a_state_before_the_counter_was_named_goes_on_at_its_mark(path: Path) -> None:
    Sequences.open(path).close()
    old = path.read_bytes()
    last = take(path, 9)
    overwrite(path, old)
    assert take(path, 1) > last


def test_a_file_that_was_removed_goes_on_at_its_marks(path: Path) -> None:
    last, other = take(path, 9), take(path, 2, "other/ one %")
    path.unlink()
    assert take(path, 1) > last
    assert take(path, 1, "other/ one %") > other
    assert take(path, 1, "new") == 1


def test_marks_that_are_gone_are_missed(path: Path) -> None:
    take(path, 1)
    shutil.rmtree(seen(path))
    with pytest.raises(SequencesSetBack, match="marks are gone"):
        Sequences.open(path)


def test_killed_between_the_page_and_its_mark_it_goes_on(path: Path) -> None:
    """The file is ahead of its marks then, by numbers that nobody got."""
    take(path, 1)
    before = next(seen(path).iterdir())
    last = take(path, 1)
    next(seen(path).iterdir()).rename(before)
    assert take(path, 1) > last
    # Before the very first bound was marked, too.
    with Sequences.open(path) as sequences:
        sequences.block("new")
    for mark in seen(path).glob("new.*"):
        mark.unlink()
    assert take(path, 1, "new") == 1


def test_a_rotten_page_beside_a_newer_mark_is_still_mended(path: Path) -> None:
    last = take(path, 9)
    whole = path.read_bytes()
    newest = max((PAGE, 2 * PAGE), key=lambda at: whole[at + 8 : at + 16][::-1])
    overwrite(path, whole[:newest] + bytes(PAGE) + whole[newest + PAGE :])
    assert last < take(path, 1) <= last + MAX_STEP + 8


@pytest.mark.parametrize("cut", [False, True])
def test_an_old_state_under_a_running_process_ends_its_numbers(path: Path, cut: bool) -> None:
    take(path, 1)
    old = path.read_bytes()
    with Sequences.open(path) as sequences:
        block = sequences.block("relay", 4)
        numbers = [block.next()]
        overwrite(path, old[: PAGE * 3] if cut else old)
        with pytest.raises(SequencesSetBack, match="by somebody else"):
            numbers.extend(block.next() for _ in range(9))
        assert numbers == list(range(numbers[0], numbers[0] + 4))  # what was reserved before
        with pytest.raises(SequencesSetBack):
            block.next()
        with pytest.raises(SequencesSetBack):
            block.advance(10**6)
    with pytest.raises(SequencesBroken):
        Sequences.open(path)


def test_of_two_files_with_the_same_marks_one_goes_on(path: Path) -> None:
    """The file is removed under one process, and another begins with a new one."""
    with Sequences.open(path) as first:
        one = first.block("relay", 4)
        numbers = [one.next()]
        path.unlink()
        with Sequences.open(path) as second:
            other = second.block("relay", 4)
            numbers += [other.next() for _ in range(8)]
            with pytest.raises(SequencesBroken, match="cannot mark") as caught:
                numbers.extend(one.next() for _ in range(8))
            assert "no other process counts there" in caught.value.remedy
            numbers += [other.next() for _ in range(8)]
    assert len(set(numbers)) == len(numbers)


def test_a_mark_that_cannot_be_written_ends_the_numbers(path: Path) -> None:
    with Sequences.open(path) as sequences:
        block = sequences.block("relay", 2)
        assert block.next() == 1
        shutil.rmtree(seen(path))
        assert block.next() == 2
        for _ in range(2):
            with pytest.raises(SequencesBroken, match="cannot mark"):
                block.next()


def test_a_number_is_marked_before_it_is_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = list[str]()
    sync, fsync = "strongroom_host.sequences.counters._sync", os.fsync

    def marked(handle: int) -> None:
        order.append("mark")
        fsync(handle)

    with Sequences.open(path) as sequences:
        block = sequences.block("relay", 2)
        monkeypatch.setattr(sync, lambda *_: order.append("page"))
        monkeypatch.setattr(os, "fsync", marked)
        for _ in range(3):
            number = block.next()
            assert Marks(seen(path)).bound("relay") > number
    assert order == ["page", "mark", "page", "mark"]


def test_marks_folder_that_cannot_be_one_is_explained(path: Path) -> None:
    seen(path).write_text("")
    with pytest.raises(BadInput, match="cannot read the marks") as caught:
        Sequences.open(path)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "name",
    [
        "relay",
        "relay.",
        "relay.x",
        "relay.-1",
        "relay.+5",
        "relay.05",
        "relay. 5",
        "relay.5.5",
        ".5",
    ]
    + [f"relay.{LAST + 2}", "relay.٣", "re lay.5", "re%6cay.5", f"{'x' * 65}.5", "%FF.5"],
)
def test_what_is_no_mark_counts_for_none(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    marks = Marks(tmp_path)
    assert {marks.bound(each) for each in ("relay", "re lay", "x" * 65, "", "\ufffd")} == {0}
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["relay", "a.b", "a/b", "..", "é" * 32, "a b%c", "x" * 64])
def test_every_name_has_a_mark(tmp_path: Path, name: str) -> None:
    marks = Marks(tmp_path / "seen")
    for bound in (5, 3, 4097, LAST + 1):
        marks.raise_to(name, bound)
    again = Marks(tmp_path / "seen")
    assert again.bound(name) == LAST + 1
    assert len(list((tmp_path / "seen").iterdir())) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["seen"]
