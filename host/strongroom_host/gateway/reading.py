"""What the gateway asks the database: rows of two tables, of whom the request may see."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from strongroom_host.gateway.errors import AccountHidden, NothingThere, RangeTooLong
from strongroom_host.gateway.keys import Access
from strongroom_host.gateway.privileges import require_gateway
from strongroom_host.metrics.series import Flag, Period, Series
from strongroom_host.record_store.connecting import Connection, connect, statement, transaction
from strongroom_host.record_store.errors import DatabaseUnavailable
from strongroom_host.record_store.publishing import see_users
from strongroom_host.record_store.rows import BalanceSnapshot, HourlyReturn

__all__ = ["MAX_PERIODS", "Account", "Reader", "Span"]

MAX_PERIODS: Final = 100_000
"""Of one computed answer: eleven years of hours."""
_SECONDS: Final = "SET LOCAL statement_timeout = '10s'"
_POOL: Final = 8
_WAIT_S: Final = 5.0

# From one account's name to the next by the primary key: the rows in between are not looked at.
_ACCOUNTS: Final = """
WITH RECURSIVE named AS (
  (SELECT account FROM hourly_returns WHERE account > %s ORDER BY account LIMIT 1)
  UNION ALL
  SELECT (SELECT r.account FROM hourly_returns r WHERE r.account > named.account
          ORDER BY r.account LIMIT 1) FROM named WHERE named.account IS NOT NULL
)
SELECT n.account, newest.user_id, newest.venue, newest.environment, newest.currency,
  oldest.start_ms, newest.start_ms + newest.hours * 3600000::bigint, newest.leaf_index
FROM (SELECT account FROM named WHERE account IS NOT NULL LIMIT %s) n
CROSS JOIN LATERAL (SELECT * FROM hourly_returns r WHERE r.account = n.account
                    ORDER BY r.start_ms DESC LIMIT 1) newest
CROSS JOIN LATERAL (SELECT r.start_ms FROM hourly_returns r WHERE r.account = n.account
                    ORDER BY r.start_ms LIMIT 1) oldest
ORDER BY n.account
"""
_KNOWN: Final = "SELECT 1 FROM hourly_returns WHERE account = %s LIMIT 1"
_PERIODS: Final = (
    "SELECT start_ms, hours, value, flags, closing FROM hourly_returns "
    "WHERE account = %s AND start_ms >= %s AND start_ms < %s ORDER BY start_ms LIMIT %s"
)
_RECEIPT: Final = (
    "WHERE account = %(account)s AND leaf_index = (SELECT leaf_index FROM hourly_returns "
    "WHERE account = %(account)s AND start_ms = %(start)s) ORDER BY position"
)
_RANGE: Final = "WHERE account = %s AND {time} >= %s AND {time} < %s ORDER BY {time} LIMIT %s"


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its oldest and newest disclosed periods show it."""

    account: str
    user: str
    venue: str
    environment: str
    currency: str
    start_ms: int
    end_ms: int
    newest_leaf: int


@dataclass(frozen=True, slots=True)
class Span:
    """From a time on, and before another; ms since the epoch."""

    from_ms: int
    until_ms: int


class Reader:
    """Connections that can do nothing but read what was disclosed.

    `dsn` finds the DSN of a login: of "" the gateway's own, else of a limited reader's.
    """

    def __init__(self, dsn: Callable[[str], str]) -> None:
        self._dsn = dsn
        self._idle: dict[str, queue.LifoQueue[Connection | None]] = {}

    def close(self) -> None:
        """Ends all connections that nobody uses."""
        for pool in self._idle.values():
            while not pool.empty():
                if (connection := pool.get_nowait()) is not None:
                    connection.close()

    def check(self) -> None:
        """Proves that the gateway's own login reaches the database, and can do nothing else.

        Raises:
            PrivilegesTooWide, DatabaseOutdated, DatabaseUnavailable, DatabaseRefused: see
                `require_gateway`.
        """
        with self._lent("") as connection:
            require_gateway(connection)

    def accounts(self, access: Access, after: str, limit: int) -> list[Account]:
        """Returns accounts by name, those after `after`."""
        with self._seeing(access) as connection:
            rows = connection.execute(_ACCOUNTS, [after, limit]).fetchall()
        return [Account(*row) for row in rows]

    def returns(self, access: Access, account: str, span: Span, limit: int) -> list[HourlyReturn]:
        """Returns periods in order of time, `limit` at most.

        Raises:
            AccountHidden: the account has none that may be seen.
        """
        text = statement(f"{HourlyReturn.SELECT} {_RANGE.format(time='start_ms')}")
        with self._seeing(access) as connection:
            _require_known(connection, account)
            with connection.cursor(row_factory=class_row(HourlyReturn)) as cursor:
                return cursor.execute(
                    text, [account, span.from_ms, span.until_ms, limit]
                ).fetchall()

    def balances(
        self, access: Access, account: str, span: Span, limit: int
    ) -> list[BalanceSnapshot]:
        """Returns balances in order of time, `limit` at most; see `returns`."""
        text = statement(f"{BalanceSnapshot.SELECT} {_RANGE.format(time='at_ms')}")
        with self._seeing(access) as connection:
            _require_known(connection, account)
            with connection.cursor(row_factory=class_row(BalanceSnapshot)) as cursor:
                return cursor.execute(
                    text, [account, span.from_ms, span.until_ms, limit]
                ).fetchall()

    def series(self, access: Access, account: str, span: Span) -> Series:
        """Returns all periods of a span, holes visible.

        Raises:
            AccountHidden: see `returns`.
            NothingThere: none is in the span.
            RangeTooLong: more than 100,000 are.
            SeriesInvalid: the database's rows contradict each other.
        """
        with self._seeing(access) as connection:
            _require_known(connection, account)
            rows = connection.execute(
                _PERIODS, [account, span.from_ms, span.until_ms, MAX_PERIODS + 1]
            ).fetchall()
        if not rows:
            raise NothingThere("nothing was disclosed of that time")
        if len(rows) > MAX_PERIODS:
            raise RangeTooLong(
                "the range has too many periods",
                expected=f"at most {MAX_PERIODS}",
                remedy="ask for a shorter one, with from_ms and until_ms",
            )
        return Series.of(
            Period(start, hours, value, Flag(flags), closing)
            for start, hours, value, flags, closing in rows
        )

    def evidence(self, access: Access, account: str, start_ms: int) -> list[HourlyReturn]:
        """Returns the periods of the receipt that the one beginning then is of, by position.

        Raises:
            AccountHidden: see `returns`.
            NothingThere: no period begins then.
        """
        text = statement(f"{HourlyReturn.SELECT} {_RECEIPT}")
        with self._seeing(access) as connection:
            _require_known(connection, account)
            with connection.cursor(row_factory=class_row(HourlyReturn)) as cursor:
                rows = cursor.execute(text, {"account": account, "start": start_ms}).fetchall()
        if not rows:
            raise NothingThere(
                "no disclosed period begins then",
                remedy="name the start of one that is listed (`strongroom record returns`)",
            )
        return rows

    @contextmanager
    def _seeing(self, access: Access) -> Iterator[Connection]:
        """One read-only transaction that sees whom the request may see."""
        with self._lent(access.login) as connection, transaction(connection):
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(_SECONDS)
            see_users(connection, access.users)
            yield connection

    @contextmanager
    def _lent(self, login: str) -> Iterator[Connection]:
        pool = self._idle.get(login) or self._idle.setdefault(login, _places())
        try:
            connection = pool.get(timeout=_WAIT_S)
        except queue.Empty:
            raise DatabaseUnavailable("all connections to the database are in use") from None
        try:
            if connection is None or connection.closed:
                connection = None
                connection = self._opened(login)
            yield connection
        finally:
            broken = connection is None or connection.closed
            pool.put(None if broken else connection)
            if broken:
                _forget(pool)

    def _opened(self, login: str) -> Connection:
        connection = connect(self._dsn(login), "strongroom gateway")
        try:
            require_gateway(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _forget(pool: queue.LifoQueue[Connection | None]) -> None:
    """Where one connection broke the server went away, and with it all others of that time."""
    taken = list[Connection | None]()
    with suppress(queue.Empty):
        while True:
            taken.append(pool.get_nowait())
    for connection in taken:
        if connection is not None:
            connection.close()
        pool.put(None)


def _places() -> queue.LifoQueue[Connection | None]:
    pool = queue.LifoQueue[Connection | None](_POOL)
    for _ in range(_POOL):
        pool.put(None)
    return pool


def _require_known(connection: Connection, account: str) -> None:
    if connection.execute(_KNOWN, [account]).fetchone() is None:
        raise AccountHidden(
            "no such account, or none that this key may see",
            remedy="GET /v1/accounts lists those that it may, `strongroom record status` all",
        )
