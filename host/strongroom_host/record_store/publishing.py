"""What was disclosed: periods and balances, for readers. Published once, and never another way."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, TypeVar

from psycopg.rows import class_row

from strongroom_host.record_store.connecting import Connection, statement, transaction
from strongroom_host.record_store.errors import NumberNotExact, RowsConflict
from strongroom_host.record_store.rows import BalanceSnapshot, HourlyReturn
from strongroom_host.record_store.store import own_account

__all__ = ["publish", "see_users"]

Row = TypeVar("Row", HourlyReturn, BalanceSnapshot)

_USER: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_RETURN_PLACES: Final = 12
_MONEY_PLACES: Final = 18
_DIGITS: Final = 400
"""Places and digits of the numeric columns, as in prisma/schema.prisma."""


def publish(
    connection: Connection,
    returns: Sequence[HourlyReturn],
    snapshots: Sequence[BalanceSnapshot] = (),
) -> int:
    """Stores disclosed periods and balances, all or none; returns how many were not there yet.

    As the role `enclave`. That a row is shown to its account's own user is the database's check.

    Raises:
        AccountUnknown: no such account was connected.
        NumberNotExact: a number does not fit its column as it is.
        RowsConflict: something else was published for that time already.
        DatabaseRefused: the user is not the account's, or the row has no possible shape.
    """
    for row in returns:
        _require_exact("value", row.value, _RETURN_PLACES)
        for name in _MONEY:
            _require_exact(name, getattr(row, name), _MONEY_PLACES)
    for balance in snapshots:
        _require_exact("equity", balance.equity, _MONEY_PLACES)
    with transaction(connection):
        for account in sorted(
            {row.account for row in returns} | {row.account for row in snapshots}
        ):
            own_account(connection, account)
        return _put(connection, HourlyReturn, "start_ms", returns) + _put(
            connection, BalanceSnapshot, "at_ms", snapshots
        )


def see_users(connection: Connection, users: Iterable[str] | None) -> None:
    """Lets the rest of this transaction, as the role `gateway`, see these users; None is all.

    A transaction that does not say sees nobody. Outside of a transaction it has no effect.
    """
    # What no user can be called would mean something else in the list: "*", or two with a comma.
    named = "*" if users is None else ",".join(filter(_USER.fullmatch, users))
    connection.execute("SELECT set_config('strongroom.users', %s, true)", [named])


_MONEY: Final = (
    "closing",
    "opening",
    "flows",
    "pnl",
    "realised",
    "unrealised",
    "fees",
    "funding",
)


def _put(connection: Connection, kind: type[Row], time: str, rows: Sequence[Row]) -> int:
    given = {(row.account, getattr(row, time)): row for row in rows}
    if len(given) != len(rows):
        raise RowsConflict(f"two rows of {kind.TABLE} are of one account and time")
    new = dict(given)
    for account in sorted({account for account, _ in given}):
        times = [at for of, at in given if of == account]
        text = statement(f"{kind.SELECT} WHERE account = %s AND {time} = ANY(%s)")
        with connection.cursor(row_factory=class_row(kind)) as cursor:
            for old in cursor.execute(text, [account, times]):
                offered = new.pop((account, getattr(old, time)))
                if any(getattr(old, name) != getattr(offered, name) for name in kind.GIVEN):
                    raise RowsConflict(
                        f"{kind.TABLE} of {account} at {getattr(old, time)} is another one already"
                    )
    with connection.cursor() as cursor:
        values = [{name: getattr(row, name) for name in kind.GIVEN} for row in new.values()]
        cursor.executemany(statement(kind.INSERT), values)
    return len(new)


def _require_exact(name: str, number: Decimal | None, places: int) -> None:
    """Refuses what a numeric column would round or not hold: a server rounds without a word."""
    if number is None:
        return
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -places or number.adjusted() >= _DIGITS - places:
        raise NumberNotExact(
            f"{name} does not fit its column as it is",
            expected=f"a finite number of at most {places} decimals",
            actual=number,
        )
