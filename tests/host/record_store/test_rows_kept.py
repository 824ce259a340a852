"""Rows, states and leaves: kept in order, once, and never replaced."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.connections import (
    account_of,
    add_key,
    add_user,
    connect_account,
    keys_of,
    retire_key,
)
from strongroom_host.record_store.errors import (
    AccountUnknown,
    DatabaseRefused,
    RowsConflict,
    RowsLeaveGap,
)
from strongroom_host.record_store.leaves import (
    get_leaves,
    leaf_count,
    newest_head,
    put_head,
    put_leaves,
)
from strongroom_host.record_store.rows import ExchangeConnection
from strongroom_host.record_store.store import RecordStore, RowTable, SealedRow

from tests.host.record_store.content import KEYS, add_account, two_accounts
from tests.host.record_store.databases import Database, Server

TRADES, FLOWS = RowTable.TRADES, RowTable.CASH_FLOWS


def sealed(number: int, mark: bytes = b"") -> SealedRow:
    name = number.to_bytes(32, "big")
    return SealedRow(name, KEYS["ada"], bytes(12), b"\0\n\\t\xff" * 8 + mark + name)


ROWS = [sealed(number) for number in range(20)]


@pytest.fixture
def store(database: Database) -> Iterator[RecordStore]:
    with database.as_enclave() as connection:
        two_accounts(connection)
        yield RecordStore(connection)


def test_rows_come_back_as_they_went_in(store: RecordStore) -> None:
    assert store.put(TRADES, "ada-spot", 0, ROWS) == 20
    assert store.get(TRADES, "ada-spot", 0, 100) == ROWS
    assert store.get(TRADES, "ada-spot", 7, 5) == ROWS[7:12]
    assert store.get(TRADES, "ada-spot", 20, 5) == store.get(TRADES, "ada-spot", 0, 0) == []
    assert store.get(FLOWS, "ada-spot", 0, 9) == store.get(TRADES, "bob-perp", 0, 9) == []
    assert store.count(TRADES, "ada-spot") == 20


def test_what_is_there_may_be_put_again_and_not_replaced(store: RecordStore) -> None:
    store.put(TRADES, "ada-spot", 0, ROWS[:10])
    assert store.put(TRADES, "ada-spot", 5, ROWS[5:15]) == 15
    assert store.put(TRADES, "ada-spot", 0, ROWS[:3]) == 15
    for first, rows in [(9, [sealed(9, b"x")]), (0, ROWS[1:2]), (14, [ROWS[15]])]:
        with pytest.raises(RowsConflict):
            store.put(TRADES, "ada-spot", first, rows)
    with pytest.raises(RowsLeaveGap):
        store.put(TRADES, "ada-spot", 16, ROWS[16:])
    with pytest.raises(RowsLeaveGap):
        store.put(TRADES, "ada-spot", -1, ROWS)
    assert store.get(TRADES, "ada-spot", 0, 99) == ROWS[:15]


def test_a_refused_batch_leaves_nothing(store: RecordStore) -> None:
    bad = [*ROWS[:5], replace(ROWS[5], nonce=b"short")]
    with pytest.raises(DatabaseRefused):
        store.put(TRADES, "ada-spot", 0, bad)
    with pytest.raises(DatabaseRefused):  # one row twice
        store.put(TRADES, "ada-spot", 0, [ROWS[0], ROWS[0]])
    assert store.count(TRADES, "ada-spot") == 0
    assert store.put(TRADES, "ada-spot", 0, ROWS) == 20


def test_an_unknown_account_has_no_rows_or_states(store: RecordStore) -> None:
    with pytest.raises(AccountUnknown):
        store.put(TRADES, "nobody", 0, ROWS)
    with pytest.raises(AccountUnknown):
        store.put_state("nobody", bytes(32), ROWS[0])


@pytest.fixture(scope="module")
def shared(postgres: Server) -> Database:
    database = postgres.fresh()
    with database.as_enclave() as connection:
        two_accounts(connection)
    return database


@given(
    cuts=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=8),
    table=st.sampled_from(RowTable),
)
def test_any_order_of_overlapping_batches_ends_alike(
    shared: Database, cuts: list[tuple[int, int]], table: RowTable
) -> None:
    with connect(shared.enclave, "test") as connection:
        account = f"cut-{hash((tuple(cuts), table))}"
        try:
            add_account(connection, account, "ada", KEYS["ada"])
        except Exception:  # noqa: BLE001  # shrinking asks twice
            return
        store, stored = RecordStore(connection), 0
        for first, last in [*cuts, (0, 20)]:
            rows = ROWS[first:last]
            if first > stored:
                with pytest.raises(RowsLeaveGap):
                    store.put(table, account, first, rows)
            else:
                stored = max(stored, first + len(rows))
                assert store.put(table, account, first, rows) == stored
        assert store.get(table, account, 0, 99) == ROWS


def test_two_writers_of_one_account_take_turns(database: Database) -> None:
    with database.as_enclave() as connection:
        two_accounts(connection)
    ends: list[int] = []

    def write() -> None:
        with connect(database.enclave, "test") as connection:
            store = RecordStore(connection)
            ends.extend(store.put(TRADES, "ada-spot", 0, ROWS[:size]) for size in range(21))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 63
    with database.as_enclave() as connection:
        assert RecordStore(connection).get(TRADES, "ada-spot", 0, 99) == ROWS


# --- states


def root(number: int) -> bytes:
    return number.to_bytes(32)


def test_states_follow_each_other_and_count_from_their_leaf_on(store: RecordStore) -> None:
    assert [store.put_state("ada-spot", root(n), sealed(n)) for n in range(3)] == [0, 1, 2]
    assert store.put_state("ada-spot", root(2), sealed(2)) == 2, "again"
    assert store.put_state("bob-perp", root(7), sealed(7)) == 0
    assert store.states_at("log", root(1)) == []
    assert store.log_state("log", 0, root(1))
    assert store.log_state("log", 3, root(7))
    assert not store.log_state("log", 4, root(9))

    def at(number: int, origin: str = "log") -> list[tuple[str, int, bytes]]:
        found = store.states_at(origin, root(number))
        return [(state.account, state.version, state.ciphertext) for state in found]

    ada, bob = ("ada-spot", 1, sealed(1).ciphertext), ("bob-perp", 0, sealed(7).ciphertext)
    assert at(1) == [ada]
    assert at(7) == [ada, bob]
    assert at(2) == [], "put and never logged"
    assert at(7, "another log") == []
    assert store.log_state("log", 5, root(2))
    assert at(7) == [ada, bob], "what is newer than the root does not count for it"
    assert at(2) == [("ada-spot", 2, sealed(2).ciphertext), bob]
    assert store.log_state("another log", 9, root(1))
    assert at(1) == [ada], "places in another log say nothing"


def test_a_state_that_was_put_twice_is_logged_once_it_is_the_newest(store: RecordStore) -> None:
    store.put_state("ada-spot", root(1), sealed(1))
    store.put_state("ada-spot", root(2), sealed(2))
    store.put_state("ada-spot", root(1), sealed(1))
    assert store.log_state("log", 0, root(1))
    assert [state.version for state in store.states_at("log", root(1))] == [2]


def test_old_states_may_go_and_the_newest_and_those_that_count_never(database: Database) -> None:
    with database.as_enclave() as connection:
        two_accounts(connection)
        store = RecordStore(connection)
        for version in range(20):
            store.put_state("ada-spot", root(version), sealed(version))
        assert store.prune_states("ada-spot") == 0, "none counts yet"
        store.log_state("log", 0, root(2))
        assert store.prune_states("ada-spot") == 2
        store.log_state("log", 1, root(19))
        assert store.prune_states("ada-spot") == 2
        assert store.prune_states("ada-spot") == 0
        assert len(store.states_at("log", root(19))) == 1
        for version in range(20, 50):
            store.put_state("ada-spot", root(version), sealed(version))
            store.prune_states("ada-spot")
        assert len(store.states_at("log", root(19))) == 1
    for dsn in (database.enclave, database.migrate):
        for version in (19, 49):
            with connect(dsn, "test") as connection, pytest.raises(Exception, match="newest 16"):
                connection.execute("DELETE FROM account_states WHERE version = %s", [version])


# --- the log


def test_leaves_are_kept_in_order_and_never_replaced(database: Database) -> None:
    with database.as_enclave() as connection:
        leaves = [bytes([number]) * 40 for number in range(8)]
        assert put_leaves(connection, "log/record", 0, leaves[:5]) == 5
        assert put_leaves(connection, "log/record", 3, leaves[3:]) == 8
        assert put_leaves(connection, "log/record", 0, leaves[:2]) == 8
        assert get_leaves(connection, "log/record", 2, 3) == leaves[2:5]
        assert leaf_count(connection, "log/other") == 0
        with pytest.raises(RowsConflict):
            put_leaves(connection, "log/record", 7, [b"other"])
        with pytest.raises(RowsLeaveGap):
            put_leaves(connection, "log/record", 9, leaves)
        assert newest_head(connection, "log/record") is None
        put_head(connection, "log/record", 5, b"five")
        put_head(connection, "log/record", 8, b"eight")
        put_head(connection, "log/record", 8, b"other")
        assert newest_head(connection, "log/record") == (8, b"eight")


# --- connections


def test_accounts_and_keys_are_connected_once(database: Database) -> None:
    with database.as_enclave() as connection:
        add_user(connection, "ada")
        add_user(connection, "ada")
        add_key(connection, "ada", b"k" * 16, b"w" * 60)
        add_key(connection, "ada", b"k" * 16, b"w" * 60)
        with pytest.raises(RowsConflict):
            add_key(connection, "ada", b"k" * 16, b"v" * 60)
        row = ExchangeConnection(
            account="a",
            user_id="ada",
            venue="kraken",
            environment="live",
        )
        connect_account(connection, row)
        connect_account(connection, row)
        with pytest.raises(RowsConflict):
            connect_account(connection, replace(row, venue="bybit"))
        with pytest.raises(DatabaseRefused):
            connect_account(connection, replace(row, account="b", environment="real"))
        add_key(connection, "ada", b"l" * 16, b"x" * 60)
        retire_key(connection, b"k" * 16)
        with pytest.raises(AccountUnknown):
            account_of(connection, "b")
        assert account_of(connection, "a").venue == "kraken"
        retired = {key.id: key.retired_at is not None for key in keys_of(connection, "ada")}
        assert retired == {b"k" * 16: True, b"l" * 16: False}
