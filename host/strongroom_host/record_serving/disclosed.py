"""What was disclosed of a user's accounts, asked for with the gateway's own login.

The same rows that readers get over HTTP, under the same row-level security: this service has a
login that reads more, and does not use it for anything that is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from functools import reduce
from typing import Final

from psycopg.rows import args_row, class_row

from strongroom_host.record_serving.lending import Lending
from strongroom_host.record_store.connecting import Connection, statement, transaction
from strongroom_host.record_store.publishing import see_users
from strongroom_host.record_store.rows import BalanceSnapshot, HourlyReturn

__all__ = ["MOST", "Disclosed", "Totals"]

_EXACT: Final = Context(prec=1000)
"""Sums and products in it lose no digit: columns have 400."""
MOST: Final = 20_000
"""Periods in one answer."""
# What the leaves after one disclosed. Rows are never changed, so what is known of those before is
# gone on with: the index on account and leaf leads to the new ones alone.
_SINCE: Final = """
WITH fresh AS MATERIALIZED (
  SELECT * FROM hourly_returns WHERE account = %s AND leaf_index > %s
), newest AS (SELECT * FROM fresh ORDER BY start_ms DESC LIMIT 1)
SELECT sums.*, newest.currency, newest.start_ms + newest.hours * 3600000::bigint,
  newest.closing, newest.unrealised
FROM newest CROSS JOIN (
  SELECT max(leaf_index), sum(realised), sum(fees), sum(trades)::bigint FROM fresh
) AS sums
"""
_RETURNS: Final = (
    f"{HourlyReturn.SELECT} WHERE user_id = %(user)s AND (%(venue)s = '' OR venue = %(venue)s)"
    " AND start_ms >= %(first)s AND start_ms < %(end)s ORDER BY start_ms, account LIMIT %(most)s"
)
_SNAPSHOT: Final = (
    f"{BalanceSnapshot.SELECT} WHERE account = ANY (%s) ORDER BY at_ms DESC, account LIMIT 1"
)
_NEW: Final = (
    "SELECT count(*), coalesce(sum(trades), 0)::bigint FROM hourly_returns"
    " WHERE account = %s AND leaf_index > %s"
)
_LEAF: Final = "SELECT coalesce(max(leaf_index), -1) FROM hourly_returns WHERE account = %s"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the periods of some accounts in one currency; None where nothing was disclosed.

    `equity` and `unrealised` are of each account's newest period, `end_ms` is the latest end.
    """

    currency: str
    end_ms: int
    equity: Decimal | None
    unrealised: Decimal | None
    realised: Decimal | None
    fees: Decimal | None
    trades: int | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What an account's rows add up to up to a leaf of the log, and its newest one."""

    leaf: int
    realised: Decimal | None
    fees: Decimal | None
    trades: int | None
    currency: str
    end_ms: int
    closing: Decimal | None
    unrealised: Decimal | None


class Disclosed:
    """Reads as the role `gateway`, a connection per thread.

    Raises:
        DatabaseUnavailable, DatabaseRefused: from each call.
    """

    def __init__(self, dsn: str) -> None:
        self._lending = Lending(dsn, read_only=True)
        self._known: dict[tuple[str, str], _Known] = {}

    def close(self) -> None:
        """Ends all connections."""
        self._lending.close()

    def returns(self, user: str, venue: str, first_ms: int, end_ms: int) -> list[HourlyReturn]:
        """Returns a user's periods that begin in a span, in order of time, `MOST` + 1 at most."""
        asked = {"user": user, "venue": venue, "first": first_ms, "end": end_ms, "most": MOST + 1}
        with (
            self._seeing(user) as connection,
            connection.cursor(row_factory=class_row(HourlyReturn)) as cursor,
        ):
            return cursor.execute(statement(_RETURNS), asked).fetchall()

    def totals(self, user: str, accounts: Sequence[str]) -> list[Totals]:
        """Returns what these accounts of a user add up to, by currency."""
        by_currency: dict[str, list[_Known]] = {}
        for account in accounts:
            if (known := self._up_to_date(user, account)) is not None:
                by_currency.setdefault(known.currency, []).append(known)
        return [
            Totals(
                currency,
                max(known.end_ms for known in each),
                _whole([known.closing for known in each]),
                _whole([known.unrealised for known in each]),
                _sum([known.realised for known in each]),
                _sum([known.fees for known in each]),
                _count([known.trades for known in each]),
            )
            for currency, each in sorted(by_currency.items())
        ]

    def _up_to_date(self, user: str, account: str) -> _Known | None:
        before = self._known.get((user, account))
        with (
            self._seeing(user) as connection,
            connection.cursor(row_factory=args_row(_Known)) as cursor,
        ):
            cursor.execute(_SINCE, [account, -1 if before is None else before.leaf])
            found = cursor.fetchone()
        if found is None:
            return before
        if before is not None:
            newest = found if found.end_ms > before.end_ms else before
            found = replace(
                newest,
                leaf=found.leaf,
                realised=_sum([before.realised, found.realised]),
                fees=_sum([before.fees, found.fees]),
                trades=_count([before.trades, found.trades]),
            )
        self._known[user, account] = found
        return found

    def newest_leaf(self, user: str, account: str) -> int:
        """Returns the newest leaf that disclosed something of an account, -1 if none did."""
        with self._seeing(user) as connection:
            found = connection.execute(_LEAF, [account]).fetchone()
        return -1 if found is None else int(found[0])

    def since(self, user: str, account: str, leaf: int) -> tuple[int, int]:
        """Returns how many periods later leaves disclosed, and how many trades those tell of."""
        with self._seeing(user) as connection:
            found = connection.execute(_NEW, [account, leaf]).fetchone()
        return (0, 0) if found is None else (int(found[0]), int(found[1]))

    def snapshot(self, user: str, accounts: Sequence[str]) -> BalanceSnapshot | None:
        """Returns the newest balance of these accounts."""
        with (
            self._seeing(user) as connection,
            connection.cursor(row_factory=class_row(BalanceSnapshot)) as cursor,
        ):
            return cursor.execute(statement(_SNAPSHOT), [list(accounts)]).fetchone()

    @contextmanager
    def _seeing(self, user: str) -> Iterator[Connection]:
        connection = self._lending.connection()
        with transaction(connection):
            see_users(connection, [user])
            yield connection


def _sum(numbers: Sequence[Decimal | None]) -> Decimal | None:
    """Adds up, exactly, what was disclosed of them."""
    known = [number for number in numbers if number is not None]
    return reduce(_EXACT.add, known) if known else None


def _count(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _whole(numbers: Sequence[Decimal | None]) -> Decimal | None:
    """Adds up, unless one is not known: a sum of the rest would be taken for all of it."""
    return None if None in numbers else _sum(numbers)
