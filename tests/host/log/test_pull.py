"""Pulling a running boot's log: what is stored leads to its signed head, or nothing is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from strongroom_host.log.errors import (
    CheckpointMalformed,
    HeadsInconsistent,
    LogError,
    PositionMissed,
    SignatureWrong,
)
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey
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
        self.asked: list[int] = []

    def ask(self, start: int) -> bytes:
        self.asked.append(start)
        text = checkpoint_text(self.origin, self.history.tree.head)
        entries = self.history.entries[max(start, self.oldest) :][:7]
        signature = private_key(self.boot).sign(text)
        return LogPage(text, signature, tuple(map(Entry, entries))).serialise()


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
