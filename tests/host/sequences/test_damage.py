"""Every page torn or rotted at every moment: a number may be left out, none comes again."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from strongroom_host.sequences import Sequences, SequencesBroken
from strongroom_host.sequences.records import (
    LAST,
    MAX_STEP,
    PAGE,
    Header,
    Slot,
    State,
    resume,
)

FILE_ID = bytes(range(16))
HEADER = Header(7, FILE_ID)


def page(revision: int, bound: int, name: str = "a", index: int = 0, of: bytes = FILE_ID) -> bytes:
    return Slot(revision, bound, of, index, name).serialise().ljust(PAGE, b"\0")


def test_layout_is_what_the_documentation_says() -> None:
    whole = Slot(3, 4097, FILE_ID, 5, "relay").serialise()
    assert whole[:8] == b"SRSEQCTR"
    assert whole[8:16] == (3).to_bytes(8, "little")
    assert whole[16:24] == (4097).to_bytes(8, "little")
    assert whole[24:40] == FILE_ID
    assert whole[40:48] == (5).to_bytes(8, "little")
    assert whole[48:112] == b"relay".ljust(64, b"\0")
    assert len(whole) == 112 + 32
    assert Slot.parse(whole) == Slot(3, 4097, FILE_ID, 5, "relay")
    assert Header.parse(HEADER.serialise()) == HEADER


def test_the_newer_page_counts_whichever_it_is() -> None:
    newer = Slot(2, 20, FILE_ID, 0, "a")
    assert resume((page(1, 10), page(2, 20)), HEADER, 0) == State(newer, 0)
    assert resume((page(2, 20), page(1, 10)), HEADER, 0) == State(newer, 1)


@pytest.mark.parametrize("left", [0, 1])
def test_beside_a_damaged_page_all_that_it_could_have_said_is_left_out(left: int) -> None:
    pages = [b"\0" * PAGE, b"\0" * PAGE]
    pages[left] = page(5, 100)
    state = resume((pages[0], pages[1]), HEADER, 0)
    assert state is not None
    assert (state.slot.bound, state.older, state.mending) == (100 + MAX_STEP, 1 - left, True)


def test_the_last_number_is_not_passed_when_mending() -> None:
    state = resume((page(5, LAST), b""), HEADER, 0)
    assert state is not None
    assert state.slot.bound == LAST + 1


@pytest.mark.parametrize(
    "pages",
    [
        (b"", b""),
        (page(1, 10), page(1, 10)),
        (page(1, 10), page(3, 30)),
        (page(1, 10), page(2, 9)),
        (page(1, 10, "a"), page(2, 20, "b")),
        (page(1, 10, "a"), page(2, 20, "")),
        (page(1, 10, index=1), page(2, 20, index=1)),
        (page(1, 10), page(2, 20, of=bytes(16))),
        (page(1, 10), page(2, 20, index=1)),
    ],
    ids=[
        "both damaged",
        "revisions equal",
        "revisions apart",
        "bound fell",
        "names differ",
        "name lost",
        "of another counter",
        "of another file",
        "one of another counter",
    ],
)
def test_what_cannot_have_come_from_here_is_refused(pages: tuple[bytes, bytes]) -> None:
    assert resume(pages, HEADER, 0) is None


def test_a_name_on_one_page_is_mended_before_use() -> None:
    state = resume((page(1, 1, ""), page(2, 1, "a")), HEADER, 0)
    assert state is not None
    assert state.mending
    assert state.slot.name == "a"


@given(
    some.lists(some.integers(1, MAX_STEP), min_size=1, max_size=6),
    some.integers(0, 1),
    some.integers(0, PAGE - 1),
    some.integers(1, 255),
)
def test_any_one_page_rotting_at_any_time_repeats_nothing(
    steps: list[int], rotten: int, at: int, flip: int
) -> None:
    """A model of the disk: bounds written by the rules, then one page spoiled, then read."""
    pages = [page(1, 1), page(2, 1)]
    bound, revision, highest = 1, 2, 1
    for step in steps:
        state = resume((pages[0], pages[1]), HEADER, 0)
        assert state is not None
        bound, revision = state.slot.bound + step, state.slot.revision + 1
        pages[state.older] = page(revision, bound)
        highest = bound
    spoiled = bytearray(pages[rotten])
    spoiled[at] ^= flip
    pages[rotten] = bytes(spoiled)
    state = resume((pages[0], pages[1]), HEADER, 0)
    assert state is not None
    assert state.slot.bound >= highest


def mark(path: Path) -> Path:
    """The one mark beside a file of one counter."""
    (found,) = path.with_name(f"{path.name}.seen").iterdir()
    return found


@pytest.mark.parametrize("torn", [0, 1, 20, 64, 111, 120, 143])
def test_a_torn_write_on_the_disk_is_survived(tmp_path: Path, torn: int) -> None:
    """The write of each revision is cut off after some bytes; the file is opened again."""
    path = tmp_path / "counters"
    highest = 0
    for _ in range(4):
        with Sequences.open(path) as sequences:
            number = sequences.block("a", 5).next()
            assert number > highest
            highest = number
        before, marked = path.read_bytes(), mark(path)
        with Sequences.open(path) as sequences:
            highest = max(highest, sequences.block("a", 5).next())
        after = path.read_bytes()
        at = max((PAGE, 2 * PAGE), key=lambda at: after[at + 8 : at + 16][::-1])  # the revision
        descriptor = os.open(path, os.O_RDWR)
        os.pwrite(descriptor, after[at : at + torn] + before[at + torn : at + PAGE], at)
        os.close(descriptor)
        # The mark comes after the page: there is none of a write that was cut off.
        mark(path).rename(marked)
        with Sequences.open(path) as sequences:
            number = sequences.block("a", 5).next()
            assert number > highest
            highest = number


@pytest.mark.parametrize(
    ("pages", "what"), [((0,), "first page"), ((1, 2), "counter 0"), ((63, 64), "counter 31")]
)
def test_damage_beyond_doubt_is_refused_with_advice(
    tmp_path: Path, pages: tuple[int, ...], what: str
) -> None:
    path = tmp_path / "counters"
    with Sequences.open(path) as sequences:
        sequences.block("a").next()
    descriptor = os.open(path, os.O_RDWR)
    for number in pages:
        os.pwrite(descriptor, bytes(PAGE), PAGE * number)
    os.close(descriptor)
    with pytest.raises(SequencesBroken, match=what) as caught:
        Sequences.open(path)
    assert "move the file away" in caught.value.remedy


def spoil(path: Path, newest: bool) -> None:
    """Wipes the newer or the older page of the first counter, as it is on the disk now."""
    whole = path.read_bytes()
    pages = sorted((PAGE, 2 * PAGE), key=lambda at: whole[at + 8 : at + 16][::-1])
    descriptor = os.open(path, os.O_RDWR)
    os.pwrite(descriptor, bytes(PAGE), pages[1 if newest else 0])
    os.close(descriptor)


@pytest.mark.parametrize("ahead", [True, False])
def test_a_second_page_that_rots_after_the_first_was_mended_repeats_nothing(
    tmp_path: Path, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The raise for the first damage must not depend on the page that is lost next, also when it
    was killed before anything was reserved ahead."""
    if not ahead:
        monkeypatch.setattr(Sequences, "_ask_for", lambda *_: None)
    path, highest = tmp_path / "counters", 0
    for newest in (True, True, False, True, True, False, False, True):
        with Sequences.open(path) as sequences:
            number = sequences.block("a", 5).next()
            assert number > highest
            highest = number
        spoil(path, newest)


@pytest.mark.parametrize("later", [(2,), (2, 3)])
def test_free_counters_that_rot_one_after_the_other_are_mended(
    tmp_path: Path, later: tuple[int, ...]
) -> None:
    """Nobody's numbers have no mark that the next one's would meet."""
    path = tmp_path / "counters"
    Sequences.open(path).close()
    for index in (1, *later):
        descriptor = os.open(path, os.O_RDWR)
        os.pwrite(descriptor, bytes(PAGE), PAGE * (1 + 2 * index))
        os.close(descriptor)
        Sequences.open(path).close()
    assert list(path.with_name("counters.seen").iterdir()) == []
