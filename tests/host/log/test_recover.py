"""What clients hold is put into a log whose enclave is gone, and never one of two stories."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from strongroom_host.log.errors import LeafConflict
from strongroom_host.log.files import LogFiles
from strongroom_host.log.openings import Openings
from strongroom_host.log.recover import Recovered, recover
from strongroom_wire.leaves import Leaf
from strongroom_wire.pages import Entry

from tests.host.log.histories import History


def altered(leaf: bytes) -> bytes:
    """Return a leaf for the same place of the same boot that commits to something else."""
    return replace(Leaf.parse(leaf), commitment=bytes(32)).serialise()


class Copy:
    """A log of a history's first leaves, and what clients hold of it."""

    def __init__(self, folder: Path, history: History, stored: int) -> None:
        self.history, self.stored = history, stored
        self.files, self.openings = LogFiles(folder), Openings(folder, write=True)
        self.files.append(0, history.entries[:stored])

    def entry(self, index: int) -> Entry:
        return Entry(self.history.entries[index], self.history.openings[index])

    def recover(self, *entries: Entry) -> Recovered:
        return recover(self.files, self.openings, entries)

    @property
    def size(self) -> int:
        return self.files.size


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path, History().boot(1, 3).boot(2, 12), 10)
    yield copy
    copy.files.close()
    copy.openings.close()


def test_what_follows_is_put_in(copy: Copy) -> None:
    held = [copy.entry(index) for index in (12, 10, 8, 11, 10)]
    assert copy.recover(*held) == Recovered(3, 1, (), 0)
    assert list(copy.files.reader().entries()) == copy.history.entries[:13]
    assert [index for index, _ in copy.openings.items()] == [8, 10, 11, 12]
    assert copy.recover(*held) == Recovered(0, 0, (), 0), "again without harm"


def test_nothing_is_put_in_over_a_gap(copy: Copy) -> None:
    assert copy.recover(copy.entry(10), copy.entry(12), copy.entry(13)) == (
        Recovered(1, 0, (12, 13), 0)
    )
    assert copy.size == 11


def test_a_boot_that_is_over_adds_nothing_to_the_next(tmp_path: Path) -> None:
    late = History().boot(1, 5)
    history = History().boot(1, 3).boot(2, 1)
    assert late.entries[:4] == history.entries[:4]
    copy = Copy(tmp_path, history, 5)
    copy.history = late
    assert copy.recover(copy.entry(4), copy.entry(5)) == Recovered(0, 0, (4, 5), 0)
    assert copy.size == 5


def test_two_stories_are_told_apart_and_neither_believed(copy: Copy) -> None:
    different = Entry(altered(copy.history.entries[10]))
    with pytest.raises(LeafConflict, match="two clients hold"):
        copy.recover(copy.entry(10), different)
    with pytest.raises(LeafConflict, match="than is stored"):
        copy.recover(Entry(altered(copy.history.entries[9])), copy.entry(10))
    assert copy.size == 10
    assert list(copy.openings.items()) == []


def test_what_is_no_leaf_is_counted_and_left(copy: Copy) -> None:
    swapped = Entry(copy.history.entries[11], copy.history.openings[12])
    entries = (Entry(b"noise"), swapped, copy.entry(10))
    assert copy.recover(*entries) == Recovered(1, 0, (), 2)


def test_an_empty_log_is_not_begun(tmp_path: Path) -> None:
    copy = Copy(tmp_path, History().boot(1, 3), 0)
    assert copy.recover(copy.entry(0), copy.entry(1)) == Recovered(0, 0, (0, 1), 0)
