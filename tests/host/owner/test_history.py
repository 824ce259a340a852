"""Which stored history a permit may name: what is remembered is in it, and it is in order."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from strongroom_host.log.tree import LogReader
from strongroom_host.owner.heads import Abandoned, How, RememberedHead
from strongroom_host.owner.history import (
    BootSuperseded,
    Continued,
    HistoryEdited,
    HistoryForked,
    HistoryRefused,
    HistoryShorter,
    LeavesUnsigned,
    LogDatedAhead,
    NothingAbandoned,
    Replay,
    StoredLogDisordered,
    Vouched,
    continued,
    replay,
)
from strongroom_wire.bundle import EMPTY_LOG, LogHead
from strongroom_wire.leaves import Kind
from strongroom_wire.merkle import Frontier, leaf_hash

from tests.host.log.histories import START, History, stored
from tests.wire.samples import byte

NOW = START + 3_600_000
NEXT = byte(9)


def head_at(history: History, size: int) -> LogHead:
    tree = Frontier()
    for entry in history.entries[:size]:
        tree.append(leaf_hash(entry))
    return tree.head


def remembered(
    history: History, *sizes: int, how: How = How.PULLED, boot: bytes = b""
) -> list[Vouched]:
    return [Vouched.of(RememberedHead(head_at(history, size), how, START, boot)) for size in sizes]


def signed(history: History, size: int) -> Vouched:
    return Vouched(head_at(history, size), "signed by boot 01")


def gone_through(history: History, vouched: list[Vouched], boot: bytes = NEXT) -> Replay:
    return replay(history.entries, vouched, boot)


def decide(found: Replay, boot: bytes = NEXT, **options: bool) -> Continued:
    return continued(found, boot, now_ms=NOW, **options)


def test_a_history_that_is_remembered_whole_is_continued() -> None:
    history = History().boot(1, 9).boot(2, 4)
    found = gone_through(history, remembered(history, 3, 10, 15))
    says = decide(found)
    assert says == Continued(says.log, START + 140, EMPTY_LOG, EMPTY_LOG)
    assert says.log.head == history.tree.head


def test_the_first_boot_of_all_begins_an_empty_log() -> None:
    says = decide(replay([], [], NEXT))
    assert (says.log.head, says.not_before) == (EMPTY_LOG, 0)


def test_a_boots_own_leaves_are_not_what_it_continues() -> None:
    history = History().boot(1, 4).boot(2, 4)
    says = decide(gone_through(history, remembered(history, 5, 10), byte(2)), byte(2))
    assert says.log.head == head_at(history, 5)
    assert says.not_before == START + 40, "the time of the newest leaf that is continued"


def test_a_record_is_continued_with_the_states_of_its_newest_leaf_but_not_of_this_boots() -> None:
    history = History().boot(1, 2)
    assert decide(gone_through(history, remembered(history, 3))).root == bytes(32)
    for kind, root in ((Kind.SYNC, 1), (Kind.RETURNS, 2)):
        history.add(kind, byte(root))
        size = len(history.entries)
        assert decide(gone_through(history, remembered(history, size))).root == byte(root)
    history.boot(2, 1)
    history.add(Kind.SYNC, byte(3))
    vouched = remembered(history, len(history.entries))
    assert decide(gone_through(history, vouched, byte(2)), byte(2)).root == byte(2)
    assert decide(gone_through(history, vouched)).root == byte(3)


def test_an_old_copy_is_shorter_and_says_by_how_much() -> None:
    history = History().boot(1, 19)
    vouched = remembered(history, 5, 20)
    old = replace(history, entries=history.entries[:12])
    with pytest.raises(HistoryShorter, match="newest 8 leaves") as error:
        decide(gone_through(old, vouched))
    assert "20 leaves (pulled on 2027-01-15" in str(error.value.expected)
    assert "12 leaves" in str(error.value.actual)
    with pytest.raises(HistoryShorter, match="newest 20 leaves"):
        decide(replay([], vouched, NEXT))


def test_another_vouched_history_is_a_fork_and_says_from_where() -> None:
    history = History().boot(1, 9)
    other = history.copy().boot(2, 9)
    history.boot(3, 5)
    vouched = [*remembered(history, 10, 14), signed(other, 20)]
    with pytest.raises(HistoryForked, match="agree on the first 10 leaves") as error:
        decide(gone_through(other, vouched))
    assert "part before leaf 14" in error.value.what
    assert "in all 4 known leaves" in str(error.value.actual)


def test_a_fork_that_is_shorter_too_is_named_a_fork() -> None:
    history = History().boot(1, 9)
    other = history.copy().boot(2, 4)
    history.boot(3, 15)
    vouched = [*remembered(history, 12, 26), signed(other, 15)]
    with pytest.raises(HistoryForked, match="11 leaves shorter"):
        decide(gone_through(other, vouched))


def test_an_edited_leaf_is_named() -> None:
    history = History().boot(1, 19)
    vouched = remembered(history, 5, 20)
    edited = history.copy()
    edited.entries[11] = History().boot(1, 19).entries[11][:-1] + b"\x01"
    edited = replace(edited)
    with pytest.raises(HistoryEdited, match="first 5 leaves, and they part before leaf 20"):
        decide(gone_through(edited, vouched))


def test_leaf_and_tile_that_differ_are_no_history() -> None:
    history = History().boot(1, 19)
    storage = stored(history.entries)
    reader = LogReader(storage, history.tree.head)
    path = next(path for path in storage if path.startswith("tile/0/"))
    storage[path] = bytes(32) + storage[path][32:]
    found = replay(history.entries, remembered(history, 20), NEXT, lambda at: reader.hashes(0, at))
    with pytest.raises(StoredLogDisordered, match="not in order") as error:
        decide(found)
    assert "leaf 0" in str(error.value.actual)


@pytest.mark.parametrize("abandon", [False, True])
def test_a_log_in_disorder_is_not_continued(abandon: bool) -> None:
    history = History().boot(1, 4)
    history.put(b"no leaf")
    vouched = remembered(history, 6)
    if abandon:
        vouched += remembered(History().boot(1, 9).boot(2, 9), 20)
    with pytest.raises(StoredLogDisordered):
        decide(gone_through(history, vouched), abandon=abandon)


def test_leaves_that_nothing_vouches_for_need_a_word() -> None:
    history = History().boot(1, 9)
    found = gone_through(history, remembered(history, 4))
    with pytest.raises(LeavesUnsigned, match="newest 6 of the 10"):
        decide(found)
    assert decide(found, unsigned=True).log.head == history.tree.head
    with pytest.raises(LeavesUnsigned, match="newest 10 of the 10"):
        decide(gone_through(history, []))


def test_a_boots_own_leaves_need_no_vouching_yet() -> None:
    history = History().boot(1, 9).boot(2, 5)
    says = decide(gone_through(history, remembered(history, 10), byte(2)), byte(2))
    assert says.log.head == head_at(history, 10)


def test_giving_up_is_said_in_the_permit() -> None:
    history = History().boot(1, 19)
    vouched = remembered(history, 5, 12, 20)
    old = replace(history, entries=history.entries[:12])
    says = decide(gone_through(old, vouched), abandon=True)
    assert says.abandons == history.tree.head
    assert says.log.head == head_at(history, 12)
    says = decide(replay([], vouched, NEXT), abandon=True)
    assert (says.abandons, says.log.head) == (history.tree.head, EMPTY_LOG)


def test_what_was_given_up_is_said_until_it_stands_in_the_log() -> None:
    """A host that swallows the permit must not swallow what it says, nor make it say less."""
    history = History().boot(1, 19)
    gone = Vouched.gone(Abandoned(history.tree.head, "the disk burnt", START, byte(2)))
    old = replace(history, entries=history.entries[:12])
    vouched = [*remembered(history, 12), gone]
    for boot in (byte(2), NEXT):
        assert decide(gone_through(old, vouched, boot), boot).abandons == history.tree.head
    assert decide(gone_through(old, vouched), abandon=True).abandons == history.tree.head
    assert decide(gone_through(history, vouched)).abandons == EMPTY_LOG, "it was found again"
    onwards = History().boot(1, 11).boot(2, 3)
    vouched = [*remembered(onwards, 16), gone]
    assert decide(gone_through(onwards, vouched)).abandons == EMPTY_LOG, "the boot's leaf says it"
    with pytest.raises(HistoryShorter):
        decide(gone_through(History().boot(1, 11), [*vouched]))


def test_nothing_is_given_up_by_habit() -> None:
    history = History().boot(1, 9)
    with pytest.raises(NothingAbandoned):
        decide(gone_through(history, remembered(history, 10)), abandon=True)


def test_leaves_of_a_running_boot_may_still_wait_there() -> None:
    """A further permit of a boot names the same history, whatever it added since."""
    history = History().boot(1, 9).boot(2, 20)
    shown = remembered(history, 25, 31, how=How.SHOWN, boot=byte(2))
    partly = replace(history, entries=history.entries[:14])
    says = decide(gone_through(partly, [*remembered(history, 10), *shown], byte(2)), byte(2))
    assert (says.log.head, says.unpulled) == (head_at(history, 10), history.tree.head)
    with pytest.raises(HistoryShorter):
        decide(gone_through(partly, [*remembered(history, 10), *shown]))


def test_what_a_running_boot_is_said_to_have_added_must_agree_where_it_is_stored() -> None:
    history = History().boot(1, 9)
    other = history.copy().boot(2, 20)
    history.boot(2, 2)
    history.add(Kind.KILL)
    shown = remembered(other, 14, how=How.SHOWN, boot=byte(2))
    with pytest.raises(HistoryRefused):
        decide(gone_through(history, [*remembered(history, 10), *shown], byte(2)), byte(2))


def test_a_history_named_in_a_permit_of_this_boot_cannot_wait_there() -> None:
    history = History().boot(1, 19)
    named = remembered(history, 20, how=How.PERMIT, boot=NEXT)
    old = replace(history, entries=history.entries[:12])
    with pytest.raises(HistoryShorter):
        decide(gone_through(old, [*remembered(history, 12), *named]))


def test_a_boot_that_another_one_followed_is_not_permitted_again() -> None:
    history = History().boot(1, 4).boot(2, 4)
    with pytest.raises(BootSuperseded):
        decide(gone_through(history, remembered(history, 5, 10), byte(1)), byte(1))


@pytest.mark.parametrize(
    ("spoil", "refused"),
    [
        (lambda now: now, False),
        (lambda now: now + 110_000, False),
        (lambda now: now + 130_000, True),
    ],
)
def test_a_log_from_the_future_is_refused(spoil: Callable[[int], int], refused: bool) -> None:
    history = History().boot(1)
    history.add(Kind.SIGNED, time_ms=spoil(NOW))
    found = gone_through(history, remembered(history, 2))
    if refused:
        with pytest.raises(LogDatedAhead):
            decide(found)
    else:
        assert decide(found).not_before == spoil(NOW)


def test_an_impossible_time_is_refused_and_can_be_told() -> None:
    history = History().boot(1)
    history.add(Kind.SIGNED, time_ms=(1 << 64) - 1)
    with pytest.raises(LogDatedAhead, match="future"):
        decide(gone_through(history, remembered(history, 2)))
