"""What is published is exact, its account's own user's, and never another."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from psycopg.rows import class_row
from strongroom_host.record_store.connecting import Connection, connect, statement
from strongroom_host.record_store.errors import (
    AccountUnknown,
    DatabaseRefused,
    NumberNotExact,
    RowsConflict,
)
from strongroom_host.record_store.publishing import publish, see_users
from strongroom_host.record_store.rows import HourlyReturn

from tests.host.record_store.content import period, snapshot, two_accounts
from tests.host.record_store.databases import Database

PERIODS = [period("ada-spot", "ada", hour) for hour in range(4)]
BALANCES = [snapshot("ada-spot", "ada", hour) for hour in range(4)]


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with database.as_enclave() as connection:
        two_accounts(connection)
        yield connection


def stored(connection: Connection) -> list[HourlyReturn]:
    with connection.cursor(row_factory=class_row(HourlyReturn)) as cursor:
        text = statement(f"{HourlyReturn.SELECT} ORDER BY start_ms")
        return [replace(row, created_at=None) for row in cursor.execute(text)]


def test_published_once_and_again_without_effect(connection: Connection) -> None:
    assert publish(connection, PERIODS[:2], BALANCES[:2]) == 4
    assert publish(connection, PERIODS, BALANCES) == 4
    assert publish(connection, PERIODS, BALANCES) == 0
    assert stored(connection) == PERIODS


@pytest.mark.parametrize(
    "change",
    [
        {"value": Decimal("0.002000000000")},
        {"value": None},
        {"closing": Decimal(999)},
        {"flags": 16},
        {"encoded": b"another row"},
        {"leaf_index": 77},
    ],
)
def test_what_was_published_stays(connection: Connection, change: dict[str, object]) -> None:
    publish(connection, PERIODS)
    other = replace(PERIODS[1], **change)  # type: ignore[arg-type]
    with pytest.raises(RowsConflict):
        publish(connection, [other, period("ada-spot", "ada", 9)])
    assert stored(connection) == PERIODS


def test_a_balance_stays_too(connection: Connection) -> None:
    publish(connection, [], BALANCES)
    with pytest.raises(RowsConflict):
        publish(connection, [], [replace(BALANCES[0], equity=Decimal(1))])


def test_two_rows_of_one_time_are_refused(connection: Connection) -> None:
    with pytest.raises(RowsConflict):
        publish(connection, [PERIODS[0], PERIODS[0]])


@pytest.mark.parametrize("number", ["0.0000000000001", "NaN", "Infinity", "1e395"])
def test_a_number_that_would_be_rounded_is_refused(connection: Connection, number: str) -> None:
    with pytest.raises(NumberNotExact):
        publish(connection, [replace(PERIODS[0], value=Decimal(number))])
    with pytest.raises(NumberNotExact):
        publish(connection, [], [replace(BALANCES[0], equity=Decimal("1e-19"))])
    for name in ("closing", "opening", "flows", "pnl", "realised", "unrealised", "fees", "funding"):
        changed = {name: Decimal("0.0000000000000000001")}
        with pytest.raises(NumberNotExact):
            publish(connection, [replace(PERIODS[0], **changed)])  # type: ignore[arg-type]
    assert stored(connection) == []


def test_long_numbers_come_back_to_the_last_digit(connection: Connection) -> None:
    whole = Decimal("123456789" * 15 + ".123456789012345678")
    row = replace(PERIODS[0], closing=whole, pnl=-whole, value=Decimal("-1.000000000000"))
    publish(connection, [row])
    [found] = stored(connection)
    assert (found.closing, found.pnl) == (whole, -whole)
    assert str(found.value) == "-1.000000000000"


def test_a_row_cannot_be_shown_to_another_s_user(connection: Connection) -> None:
    with pytest.raises(DatabaseRefused):
        publish(connection, [replace(PERIODS[0], user_id="bob")])
    with pytest.raises(DatabaseRefused):
        publish(connection, [], [replace(BALANCES[0], user_id="bob")])
    with pytest.raises(AccountUnknown):
        publish(connection, [period("nobody", "ada", 0)])


def test_a_transaction_of_the_gateway_says_whom_it_sees(
    connection: Connection, database: Database
) -> None:
    publish(connection, [*PERIODS, period("bob-perp", "bob", 0)])

    def seen(users: list[str] | None) -> int:
        with connect(database.gateway, "test") as gateway, gateway.transaction():
            see_users(gateway, users)
            return len(gateway.execute("SELECT 1 FROM hourly_returns").fetchall())

    assert (seen(None), seen(["ada"]), seen(["bob", "ada"]), seen([])) == (5, 4, 5, 0)
    # A name that would mean more than itself is nobody's.
    assert (seen(["*"]), seen(["*", ","]), seen(["bob,ada"])) == (0, 0, 0)
