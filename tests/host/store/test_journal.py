"""The journal: what is stored, what is refused, and what a restart makes of it."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.store import (
    AlreadyJournalled,
    Journal,
    JournalBroken,
    JournalBusy,
    OrderState,
    SequenceReused,
    UnknownOrder,
    WrongTransition,
)
from strongroom_host.store.states import TRANSITIONS
from strongroom_host.venue import SignedRequest
from strongroom_wire.pages import Entry


def signed(sequence: int, *names: str, request: bytes = b"request") -> SignedRequest:
    hashes = tuple(name.encode().ljust(32, b".") for name in names or (f"order {sequence}",))
    return SignedRequest(hashes, request + str(sequence).encode(), sequence)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path, now_ns=lambda: 7) as opened:
        yield opened


def state_of(journal: Journal, request: SignedRequest) -> list[OrderState]:
    return [journal.get(item).state for item in request.order_hashes]


def test_a_request_is_stored_with_digest_sequence_and_orders(journal: Journal) -> None:
    request = signed(3, "a", "b")
    journal.prepare(request)
    first, second = journal.entries()
    assert (first.order_hash, second.order_hash) == request.order_hashes
    assert first.digest == second.digest == request.digest
    assert (first.sequence, first.sent_ns, first.updated_ns) == (3, None, 7)
    assert first.state is OrderState.PREPARED
    assert journal.unresolved() == ()


def test_sending_is_one_step_or_two(journal: Journal) -> None:
    two, one = signed(1), signed(2)
    journal.prepare(two)
    journal.mark_sent(two)
    journal.prepare(one, sending=True)
    for request in (two, one):
        assert state_of(journal, request) == [OrderState.SENT]
        steps = journal.history(request.order_hashes[0])
        assert [step.after for step in steps] == [OrderState.PREPARED, OrderState.SENT]
        assert steps[0].before is None
    assert [entry.sequence for entry in journal.unresolved()] == [1, 2]
    assert journal.get(one.order_hashes[0]).sent_ns == 7


def test_nothing_that_may_have_left_is_prepared_again(journal: Journal) -> None:
    request = signed(1)
    journal.prepare(request)
    journal.prepare(request)
    journal.mark_sent(request)
    with pytest.raises(AlreadyJournalled):
        journal.prepare(request)
    with pytest.raises(WrongTransition):
        journal.mark_sent(request)
    journal.record([(request.order_hashes[0], OrderState.UNSENT, "no connection")])
    assert journal.get(request.order_hashes[0]).sent_ns is None
    journal.prepare(request, sending=True)
    journal.record([(request.order_hashes[0], OrderState.UNKNOWN, "")])
    with pytest.raises(AlreadyJournalled):
        journal.prepare(request, sending=True)


def test_a_hash_belongs_to_one_request_and_a_sequence_to_one_text(journal: Journal) -> None:
    journal.prepare(signed(1, "a"))
    with pytest.raises(AlreadyJournalled):
        journal.prepare(signed(2, "b", "a"))
    with pytest.raises(UnknownOrder):  # the refused request left nothing behind
        journal.get(b"b".ljust(32, b"."))
    with pytest.raises(SequenceReused):
        journal.prepare(signed(1, "c", request=b"other bytes"))
    with pytest.raises(AlreadyJournalled):
        journal.prepare(signed(1, "c"))
    journal.prepare(signed(2, "b"))


def test_changes_apply_whole_or_not_at_all(journal: Journal) -> None:
    request = signed(1, "a", "b")
    journal.prepare(request, sending=True)
    first, second = request.order_hashes
    with pytest.raises(WrongTransition):
        journal.record(
            [(first, OrderState.ACCEPTED, ""), (second, OrderState.FILLED, "not from here")]
        )
    with pytest.raises(UnknownOrder):
        journal.record([(first, OrderState.ACCEPTED, ""), (bytes(32), OrderState.ACCEPTED, "")])
    assert state_of(journal, request) == [OrderState.SENT, OrderState.SENT]
    assert len(journal.history(first)) == 2


def test_a_restart_knows_what_was_not_sent_and_what_may_have_been(path: Path) -> None:
    prepared, sent, accepted = signed(1), signed(2), signed(3)
    with Journal(path) as before:
        before.prepare(prepared)
        before.prepare(sent, sending=True)
        before.prepare(accepted, sending=True)
        before.record([(accepted.order_hashes[0], OrderState.ACCEPTED, "live")])
    with Journal(path) as after:
        assert state_of(after, prepared) == [OrderState.UNSENT]
        assert state_of(after, sent) == [OrderState.UNKNOWN]
        assert state_of(after, accepted) == [OrderState.ACCEPTED]
        assert [entry.sequence for entry in after.unresolved()] == [2]
        after.prepare(prepared, sending=True)
        with pytest.raises(AlreadyJournalled):
            after.prepare(sent, sending=True)
    with Journal(path) as again:
        steps = again.history(sent.order_hashes[0])
        assert [step.after.value for step in steps] == ["prepared", "sent", "unknown"]


def test_one_process_at_a_time(path: Path) -> None:
    with Journal(path), pytest.raises(JournalBusy):
        Journal(path)
    Journal(path).close()


def test_commits_wait_for_the_disk(journal: Journal) -> None:
    read = journal._database.execute
    assert read("PRAGMA journal_mode").fetchone() == ("wal",)
    assert read("PRAGMA synchronous").fetchone() == (2,)
    assert read("PRAGMA foreign_keys").fetchone() == (1,)


def test_files_are_private(path: Path, journal: Journal) -> None:
    journal.prepare(signed(1))
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_unusable_files_are_named(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database" * 100)
    missing = tmp_path / "missing" / "journal.db"
    folder = tmp_path / "folder.db"
    folder.mkdir()
    for path in (garbage, missing, folder):
        with pytest.raises(JournalBroken):
            Journal(path)
    garbage.unlink()
    Journal(garbage).close()  # the lock was let go


def test_what_the_log_says_is_stored_with_the_request(path: Path) -> None:
    with Journal(path) as journal:
        journal.prepare(replace(signed(2), entry=Entry(b"leaf two", b"opening two")))
        journal.prepare(signed(3))
        journal.prepare(replace(signed(1), entry=Entry(b"leaf one", b"")))
    with Journal(path) as journal:
        assert list(journal.logged()) == [
            Entry(b"leaf one", b""),
            Entry(b"leaf two", b"opening two"),
        ]


def test_a_journal_of_the_first_version_is_taken_over(path: Path) -> None:
    with Journal(path) as journal:
        journal.prepare(signed(1), sending=True)
        journal.record([(signed(1).order_hashes[0], OrderState.ACCEPTED, "")])
    with sqlite3.connect(path) as database:
        for column in ("leaf", "opening"):
            database.execute(f"ALTER TABLE requests DROP COLUMN {column}")
        database.execute("PRAGMA user_version = 1")
    database.close()
    for _ in range(2):
        with Journal(path) as journal:
            assert state_of(journal, signed(1)) == [OrderState.ACCEPTED]
            assert list(journal.logged()) == []
    with Journal(path) as journal:
        journal.prepare(replace(signed(2), entry=Entry(b"leaf", b"opening")))
        assert list(journal.logged()) == [Entry(b"leaf", b"opening")]


def test_another_version_is_not_touched(path: Path) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 3")
    database.close()
    for _ in range(2):
        with pytest.raises(JournalBroken):
            Journal(path)


def test_a_full_disk_is_an_error_and_not_a_lie(journal: Journal) -> None:
    journal.prepare(signed(1))
    (pages,) = journal._database.execute("PRAGMA page_count").fetchone()
    journal._database.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for sequence in range(2, 1000):
            journal.prepare(signed(sequence, *(f"{sequence} {number}" for number in range(15))))

    with pytest.raises(JournalBroken):
        fill()
    journal._database.execute("PRAGMA max_page_count = 100000")
    counts = {len([e for e in journal.entries() if e.sequence == s]) for s in range(2, 1000)}
    assert counts <= {0, 15}
    journal.prepare(signed(1000))


@given(st.lists(st.sampled_from(list(OrderState)), max_size=12))
def test_only_the_tables_steps_are_taken(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[OrderState]
) -> None:
    request = signed(1)
    (order_hash,) = request.order_hashes
    with Journal(tmp_path_factory.mktemp("walk") / "journal.db") as journal:
        journal.prepare(request)
        state = OrderState.PREPARED
        for target in wanted:
            if target in TRANSITIONS[state]:
                journal.record([(order_hash, target, "")])
                state = target
            else:
                with pytest.raises(WrongTransition):
                    journal.record([(order_hash, target, "")])
            assert journal.get(order_hash).state is state
        path = [step.after for step in journal.history(order_hash)]
        assert path[-1] is state
        for before, after in itertools.pairwise(path):
            assert after in TRANSITIONS[before]
