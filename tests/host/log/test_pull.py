"""Pulling a running boot's log: what is stored leads to its signed head, or nothing is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from strongroom_host.errors import EnvironmentFault
from strongroom_host.log.errors import (
    CheckpointMalformed,
    HeadsInconsistent,
    LogError,
    LogForked,
    LogShorter,
    OpeningWrong,
    PositionMissed,
    SignatureWrong,
)
from strongroom_host.log.files import LogFiles
from strongroom_host.log.incoming import Incoming
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.openings import Openings
from strongroom_host.log.pull import continued_by, pull
from strongroom_wire.bundle import EMPTY_LOG
from strongroom_wire.checkpoint import checkpoint_text
from strongroom_wire.errors import Malformed
from strongroom_wire.leaves import Kind
from strongroom_wire.pages import Entry, LogPage

from tests.host.log.histories import ORIGIN, History, key_of
from tests.wire.samples import byte, private_key


class Enclave:
    """Answers READ_LOG for a history, a few leaves at a time, and forgets the oldest."""

    def __init__(self, history: History, boot: int = 1, oldest: int = 0) -> None:
        self.history, self.boot, self.oldest = history, boot, oldest
        self.origin = ORIGIN
        self.opened = self.forgetful = False
        self.broken_at = 1 << 64
        self.asked: list[int] = []

    def ask(self, start: int) -> bytes:
        self.asked.append(start)
        if start >= self.broken_at:
            raise EnvironmentFault("the enclave is gone")
        if self.forgetful:  # whoever asks from here on has what is before
            self.oldest = max(self.oldest, start)
        text = checkpoint_text(self.origin, self.history.tree.head)
        first, openings = max(start, self.oldest), self.history.openings
        entries = tuple(
            Entry(leaf, openings[index] if self.opened else b"")
            for index, leaf in enumerate(self.history.entries[first:][:7], first)
        )
        signature = private_key(self.boot).sign(text)
        return LogPage(text, signature, entries).serialise()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[LogFiles]:
    with LogFiles(tmp_path / "log") as files:
        yield files


def test_all_pages_are_stored_and_the_head_published(files: LogFiles) -> None:
    history = History().boot(1, 30)
    enclave = Enclave(history)
    assert pull(files, enclave.ask, key_of(1)).head == history.tree.head
    assert files.head == history.tree.head
    assert files.published == 31
    assert enclave.asked == [0, 7, 14, 21, 28]
    assert list(files.reader().entries()) == history.entries


def test_only_what_is_new_is_asked_for(files: LogFiles) -> None:
    history = History().boot(1, 10)
    enclave = Enclave(history)
    pull(files, enclave.ask, key_of(1))
    history.add(Kind.SIGNED)
    enclave.asked.clear()
    assert pull(files, enclave.ask, key_of(1)).head.size == 12
    assert enclave.asked == [11]
    assert pull(files, enclave.ask, key_of(1)).head == files.head


def test_the_next_boot_is_pulled_onto_the_last(files: LogFiles) -> None:
    history = History().boot(1, 5)
    pull(files, Enclave(history).ask, key_of(1))
    history.boot(2, 3)
    pull(files, Enclave(history, 2, oldest=6).ask, key_of(2))
    assert files.head == history.tree.head


def test_a_boot_that_did_not_continue_this_log_is_refused(files: LogFiles) -> None:
    pull(files, Enclave(History().boot(1, 5)).ask, key_of(1))
    before = files.head
    with pytest.raises(HeadsInconsistent):
        pull(files, Enclave(History().boot(2, 20), 2).ask, key_of(2))
    assert files.head == before


@pytest.mark.parametrize("at", [1, 5, 11])
def test_one_changed_leaf_stores_nothing(files: LogFiles, at: int) -> None:
    history = History().boot(1, 11)
    other = history.copy()
    other.entries[at] = History().boot(1, 5).boot(2, 11).entries[at + 1]
    with pytest.raises(LogError):
        pull(files, Enclave(other).ask, key_of(1))
    assert files.head == EMPTY_LOG


@pytest.mark.parametrize("drop", [0, 1, 6, 10])
def test_a_dropped_leaf_stores_nothing(files: LogFiles, drop: int) -> None:
    history = History().boot(1, 10)
    del history.entries[drop]
    with pytest.raises(LogError):
        pull(files, Enclave(history).ask, key_of(1))
    assert files.head == EMPTY_LOG


def test_forgotten_leaves_are_named(files: LogFiles) -> None:
    with pytest.raises(PositionMissed) as error:
        pull(files, Enclave(History().boot(1, 10), oldest=4).ask, key_of(1))
    assert (error.value.expected, error.value.actual) == (0, 4)
    assert files.head == EMPTY_LOG


def test_a_head_that_another_key_signed_is_refused(files: LogFiles) -> None:
    enclave = Enclave(History().boot(1, 3), boot=9)
    with pytest.raises(SignatureWrong):
        pull(files, enclave.ask, key_of(1))
    assert files.head == EMPTY_LOG


def test_the_log_of_another_account_is_refused(files: LogFiles) -> None:
    enclave = Enclave(History().boot(1, 3))
    enclave.origin = "strongroom.log/signer/other"
    with pytest.raises(CheckpointMalformed):
        pull(files, enclave.ask, key_of(1))
    with pytest.raises(CheckpointMalformed):
        pull(files, Enclave(History().boot(1, 3)).ask, VerifierKey("other", key_of(1).key))


@pytest.mark.parametrize("page", [b"", b"noise"])
def test_what_is_no_page_is_refused(files: LogFiles, page: bytes) -> None:
    answer: Callable[[int], bytes] = lambda _: page  # noqa: E731
    with pytest.raises(Malformed):
        pull(files, answer, key_of(1))


def test_openings_come_along(files: LogFiles, tmp_path: Path) -> None:
    history = History().boot(1, 10)
    enclave = Enclave(history)
    enclave.opened = True
    with Openings(tmp_path, write=True) as openings:
        pull(files, enclave.ask, key_of(1), openings)
        assert dict(openings.items()) == history.openings
        history.add(Kind.SIGNED)
        pull(files, enclave.ask, key_of(1), openings)
        assert dict(openings.items()) == history.openings
        history.boot(2, 1)
        enclave = Enclave(history, 2)  # whoever asks may see no openings
        pull(files, enclave.ask, key_of(2), openings)
        assert max(index for index, _ in openings.items()) == 11


def test_an_opening_of_another_leaf_is_refused(files: LogFiles, tmp_path: Path) -> None:
    history = History().boot(1, 10)
    history.openings[3], history.openings[4] = history.openings[4], history.openings[3]
    enclave = Enclave(history)
    enclave.opened = True
    with Openings(tmp_path, write=True) as openings:
        with pytest.raises(OpeningWrong):
            pull(files, enclave.ask, key_of(1), openings)
        assert list(openings.items()) == []
    assert files.head == EMPTY_LOG


def test_an_enclave_that_went_back_is_named(files: LogFiles) -> None:
    """A boot was permitted on an old state of the log, and has as many leaves or fewer."""
    history = History().boot(1, 5)
    old = history.copy()
    history.boot(2, 9)
    pull(files, Enclave(history, 2).ask, key_of(2))
    before = files.head
    with pytest.raises(LogShorter, match="lacks the newest 10 leaves"):
        pull(files, Enclave(old).ask, key_of(1))
    with pytest.raises(LogForked, match="another history"):
        pull(files, Enclave(old.copy().boot(3, 2), 3).ask, key_of(3))
    with pytest.raises(LogForked, match="another history"):
        pull(files, Enclave(old.copy().boot(3, 9), 3).ask, key_of(3))
    assert files.head == before


def test_a_boot_that_continues_another_history_is_named(files: LogFiles) -> None:
    pull(files, Enclave(History().boot(1, 5)).ask, key_of(1))
    other = History().boot(2, 5).boot(3, 4)
    with pytest.raises(LogForked, match="this boot continues another history of 6 leaves"):
        pull(files, Enclave(other, 3).ask, key_of(3))
    with pytest.raises(PositionMissed, match="with which a boot begins"):
        pull(files, Enclave(History().boot(1, 20).boot(3, 4), 3, oldest=21).ask, key_of(3))


def test_what_was_asked_beyond_is_not_lost_when_the_puller_dies(files: LogFiles) -> None:
    """The enclave forgets what it was told to be safe; so nothing else may have been said."""
    history = History().boot(1, 30)
    enclave = Enclave(history)
    enclave.forgetful, enclave.broken_at = True, 14
    with pytest.raises(EnvironmentFault):
        pull(files, enclave.ask, key_of(1))
    assert files.head == EMPTY_LOG, "nothing that no head proves"
    assert enclave.oldest == 7
    enclave.broken_at = 1 << 64
    history.add(Kind.SIGNED)
    assert pull(files, enclave.ask, key_of(1)).head == history.tree.head
    assert list(files.reader().entries()) == history.entries
    assert not (files.folder / "incoming").exists()


@pytest.mark.parametrize("damage", ["cut", "junk", "edited", "gone"])
def test_pages_kept_aside_are_believed_nothing(files: LogFiles, damage: str) -> None:
    history = History().boot(1, 30)
    enclave = Enclave(history)
    enclave.forgetful, enclave.broken_at = True, 14
    with pytest.raises(EnvironmentFault):
        pull(files, enclave.ask, key_of(1))
    enclave.broken_at, path = 1 << 64, files.folder / "incoming"
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:700])
    elif damage == "junk":
        path.write_bytes(data + b"\0\0\0\x05hello123")
    elif damage == "edited":
        path.unlink()
        other = History().boot(2, 30)
        Incoming(files.folder).add(tuple(Entry(leaf) for leaf in other.entries[:14]))
    else:
        path.unlink()
    if damage == "junk":
        assert pull(files, enclave.ask, key_of(1)).head == history.tree.head
        return
    with pytest.raises(HeadsInconsistent if damage == "edited" else PositionMissed):
        pull(files, enclave.ask, key_of(1))
    assert files.head == EMPTY_LOG


def test_pages_that_come_after_a_crash_in_the_middle_of_one_are_found(tmp_path: Path) -> None:
    """The enclave forgets them once the next page is asked for, and a second crash may follow."""
    entries = [Entry(leaf) for leaf in History().boot(1, 9).entries]
    Incoming(tmp_path).add(tuple(entries[:3]))
    path = tmp_path / "incoming"
    path.write_bytes(path.read_bytes()[:-20])
    again = Incoming(tmp_path)
    again.add(tuple(entries[2:5]))
    again.add(tuple(entries[5:]))
    assert Incoming(tmp_path).entries() == dict(enumerate(entries))


def test_a_boot_continues_what_was_there_before_it(files: LogFiles) -> None:
    assert continued_by(files, byte(1)).head == EMPTY_LOG
    history = History().boot(1, 9)
    first = history.tree.head
    pull(files, Enclave(history).ask, key_of(1))
    assert continued_by(files, byte(1)).head == EMPTY_LOG, "a further permit of the same boot"
    assert continued_by(files, byte(2)).head == first
    pull(files, Enclave(history.boot(2, 4), 2).ask, key_of(2))
    assert continued_by(files, byte(2)).head == first
    assert continued_by(files, byte(3)).head == history.tree.head
