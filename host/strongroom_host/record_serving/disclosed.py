"""What was disclosed of a user's accounts, asked for with the gateway's own login.

The same rows that readers get over HTTP, under the same row-level security: this service has a
login that reads more, and does not use it for anything that is answered.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from psycopg.rows import class_row

from strongroom_host.record_store.connecting import Connection, connect, statement, transaction
from strongroom_host.record_store.publishing import see_users
from strongroom_host.record_store.rows import BalanceSnapshot, HourlyReturn

__all__ = ["MOST", "Disclosed", "Totals"]

MOST: Final = 20_000
"""Periods in one answer."""
_TOTALS: Final = """
SELECT currency, sum(realised) AS realised, sum(fees) AS fees, sum(trades)::bigint AS trades
FROM hourly_returns WHERE user_id = %(user)s AND (%(venue)s = '' OR venue = %(venue)s)
GROUP BY currency ORDER BY currency
"""
# The newest period of each account: from one account's name to the next by the primary key.
_NEWEST: Final = """
SELECT newest.currency, newest.closing, newest.unrealised,
  newest.start_ms + newest.hours * 3600000::bigint
FROM (SELECT DISTINCT account FROM balance_snapshots WHERE user_id = %(user)s
      UNION SELECT DISTINCT account FROM hourly_returns WHERE user_id = %(user)s) AS named
CROSS JOIN LATERAL (
  SELECT * FROM hourly_returns WHERE account = named.account ORDER BY start_ms DESC LIMIT 1
) AS newest
WHERE %(venue)s = '' OR newest.venue = %(venue)s
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


class Disclosed:
    """Reads as the role `gateway`, a connection per thread.

    Raises:
        DatabaseUnavailable, DatabaseRefused: from each call.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._own = threading.local()
        self._all: list[Connection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ends all connections."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    def returns(self, user: str, venue: str, first_ms: int, end_ms: int) -> list[HourlyReturn]:
        """Returns a user's periods that begin in a span, in order of time, `MOST` + 1 at most."""
        asked = {"user": user, "venue": venue, "first": first_ms, "end": end_ms, "most": MOST + 1}
        with (
            self._seeing(user) as connection,
            connection.cursor(row_factory=class_row(HourlyReturn)) as cursor,
        ):
            return cursor.execute(statement(_RETURNS), asked).fetchall()

    def totals(self, user: str, venue: str) -> list[Totals]:
        """Returns what a user's accounts add up to, by currency."""
        with self._seeing(user) as connection:
            sums = connection.execute(_TOTALS, {"user": user, "venue": venue}).fetchall()
            ends = connection.execute(_NEWEST, {"user": user, "venue": venue}).fetchall()
        return [
            Totals(
                currency,
                max((end for of, _, _, end in ends if of == currency), default=0),
                _sum([closing for of, closing, _, _ in ends if of == currency]),
                _sum([level for of, _, level, _ in ends if of == currency]),
                realised,
                fees,
                trades,
            )
            for currency, realised, fees, trades in sums
        ]

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
        connection = self._connection()
        with transaction(connection):
            connection.execute("SET TRANSACTION READ ONLY")
            see_users(connection, [user])
            yield connection

    def _connection(self) -> Connection:
        found: Connection | None = getattr(self._own, "connection", None)
        if found is not None and not found.closed and not found.broken:
            return found
        if found is not None:
            with self._lock, suppress(ValueError):
                self._all.remove(found)
        made = connect(self._dsn, "strongroom record calls")
        with self._lock:
            self._all.append(made)
        self._own.connection = made
        return made


def _sum(numbers: Sequence[Decimal | None]) -> Decimal | None:
    """Adds up, unless one is not known: a sum of the rest would be taken for all of it."""
    known = [number for number in numbers if number is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(numbers) else None
