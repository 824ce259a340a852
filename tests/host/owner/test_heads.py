"""What an owner remembers of a log: durable, append-only, and given up only by a permit."""

import os
from pathlib import Path

import pytest
from strongroom_host.owner.heads import (
    Abandoned,
    HeadMemory,
    How,
    MemoryDamaged,
    MemoryUnwritable,
    RememberedHead,
)
from strongroom_wire.bundle import EMPTY_LOG, LogHead

LOG, OTHER = "strongroom.log/signer/" + "a" * 64, "strongroom.log/signer/" + "b" * 64


def head(size: int, at_ms: int = 0, root: int = 0, how: How = How.PULLED) -> RememberedHead:
    return RememberedHead(LogHead(size, bytes([root or size]) * 32), how, at_ms, bytes(32), "words")


@pytest.fixture
def memory(tmp_path: Path) -> HeadMemory:
    return HeadMemory(tmp_path / "owner" / "heads")


def test_nothing_is_remembered_at_first(memory: HeadMemory) -> None:
    assert memory.known(LOG) == ()
    assert memory.abandoned(LOG) == ()


def test_heads_come_back_smallest_first_and_each_log_has_its_own(memory: HeadMemory) -> None:
    memory.remember(LOG, [head(7, 1)])
    memory.remember(LOG, [head(3, 2), head(9, 3, how=How.SHOWN)])
    memory.remember(OTHER, [head(100, 4)])
    assert memory.known(LOG) == (head(3, 2), head(7, 1), head(9, 3, how=How.SHOWN))
    assert memory.known(OTHER) == (head(100, 4),)


def test_two_roots_of_one_size_are_both_kept(memory: HeadMemory) -> None:
    memory.remember(LOG, [head(7, 1, root=1), head(7, 2, root=2)])
    assert len(memory.known(LOG)) == 2


def test_what_is_known_is_not_written_again(memory: HeadMemory, tmp_path: Path) -> None:
    memory.remember(LOG, [head(7, 1)])
    size = (tmp_path / "owner" / "heads").stat().st_size
    memory.remember(LOG, [head(7, 5)])
    memory.remember(LOG, [RememberedHead(EMPTY_LOG, How.PERMIT, 6)])
    assert (tmp_path / "owner" / "heads").stat().st_size == size
    assert memory.known(LOG)[0].at_ms == 1, "since when it is known is what counts"


def test_giving_up_forgets_that_log_alone(memory: HeadMemory) -> None:
    memory.remember(LOG, [head(3), head(9)])
    memory.remember(OTHER, [head(5)])
    memory.remember(LOG, [head(4, 8)], abandons=head(9).head, reason="the disk burnt")
    memory.remember(LOG, [head(6, 9)])
    assert memory.known(LOG) == (head(4, 8), head(6, 9))
    assert memory.known(OTHER) == (head(5),)
    assert memory.abandoned(LOG) == (Abandoned(head(9).head, "the disk burnt", 8, bytes(32)),)


def test_a_log_can_be_given_up_for_an_empty_one(memory: HeadMemory) -> None:
    memory.remember(LOG, [head(9)])
    empty = RememberedHead(EMPTY_LOG, How.PERMIT, 8)
    memory.remember(LOG, [empty], abandons=head(9).head, reason="all lost")
    assert memory.known(LOG) == ()
    assert memory.abandoned(LOG)[0].head == head(9).head


def test_which_boots_began_an_empty_log_is_remembered_apart(
    memory: HeadMemory, tmp_path: Path
) -> None:
    def empty(boot: int, how: How = How.PERMIT) -> RememberedHead:
        return RememberedHead(EMPTY_LOG, how, 8, bytes([boot]) * 32)

    memory.remember(LOG, [empty(1), empty(2, How.SHOWN)])
    memory.remember(
        LOG, [empty(2, How.SHOWN), RememberedHead(EMPTY_LOG, How.PERMIT, 8)], begins=True
    )
    assert not (tmp_path / "owner" / "heads").exists()
    memory.remember(LOG, [head(5, how=How.PERMIT)], begins=True)
    assert memory.begun(LOG) == (), "it goes on with five leaves"
    for boot in (1, 2, 1):
        memory.remember(LOG, [empty(boot)], begins=True)
    assert [each.boot[0] for each in memory.begun(LOG)] == [1, 2]
    assert memory.begun(OTHER) == ()
    assert memory.known(LOG) == (head(5, how=How.PERMIT),)
    memory.remember(LOG, [empty(3)], abandons=head(5).head, reason="all lost")
    assert memory.begun(LOG) == (), "a permit that gives up may not have reached its boot"
    memory.remember(LOG, [empty(3)], begins=True)
    assert [each.boot[0] for each in memory.begun(LOG)] == [3]


def test_the_file_is_its_owners_alone(memory: HeadMemory, tmp_path: Path) -> None:
    memory.remember(LOG, [head(1)])
    assert (tmp_path / "owner" / "heads").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_line_that_a_crash_cut_short_is_dropped_and_written_over(
    memory: HeadMemory, tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "owner" / "heads"
    memory.remember(LOG, [head(3)])
    whole = path.stat().st_size
    memory.remember(LOG, [head(9)])
    os.truncate(path, path.stat().st_size - cut)
    assert memory.known(LOG) == (head(3),)
    memory.remember(LOG, [head(5)])
    assert memory.known(LOG) == (head(3), head(5))
    assert path.read_bytes()[whole:].count(b"\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"noise",
        b"{}",
        b'{"log":"x","head":{"size":-1,"root":"%s"},"how":"pulled","at_ms":0}' % (b"0" * 64),
        b'{"log":"x","head":{"size":1,"root":"00"},"how":"pulled","at_ms":0}',
        b'{"log":"x","head":{"size":1,"root":"%s"},"how":"rumour","at_ms":0}' % (b"0" * 64),
        b'{"log":"x","head":{"size":1,"root":"%s"},"how":"pulled","at_ms":0,"z":1}' % (b"0" * 64),
        b"\xff",
    ],
)
def test_what_cannot_be_read_refuses_everything(
    memory: HeadMemory, tmp_path: Path, line: bytes
) -> None:
    path = tmp_path / "owner" / "heads"
    memory.remember(LOG, [head(3)])
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(MemoryDamaged) as error:
        memory.known(LOG)
    assert "line 2" in str(error.value.actual)
    with pytest.raises(MemoryDamaged):
        memory.remember(LOG, [head(4)])
    with pytest.raises(MemoryDamaged):
        memory.abandoned(LOG)


def test_a_head_that_cannot_be_written_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "owner").write_text("a file where the folder should be")
    with pytest.raises((MemoryUnwritable, MemoryDamaged)):
        HeadMemory(tmp_path / "owner" / "heads").remember(LOG, [head(1)])


def test_long_words_are_cut(memory: HeadMemory) -> None:
    long = RememberedHead(head(1).head, How.PULLED, 0, b"", "x" * 5000)
    memory.remember(LOG, [long], abandons=head(2).head, reason="y" * 5000)
    assert len(memory.known(LOG)[0].what) == len(memory.abandoned(LOG)[0].reason) == 500
