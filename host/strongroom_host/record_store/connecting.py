"""Connections to PostgreSQL: made in one way, and their failures in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from strongroom_host.record_store.errors import DatabaseRefused, DatabaseUnavailable

__all__ = ["Connection", "connect", "guarded", "statement", "transaction"]

Connection = psycopg.Connection[TupleRow]

_CONNECT_SECONDS: Final = 10
# Keyed to the driver's own style; a DSN may say otherwise.
_SESSION: Final = "-c timezone=UTC -c statement_timeout=600000 -c lock_timeout=60000"


def statement(text: str) -> sql.SQL:
    """Returns a statement made of our own constants, never of anything from outside."""
    return sql.SQL(text)


def connect(dsn: str, name: str) -> Connection:
    """Returns a connection in autocommit mode; `name` is how the server lists it.

    Raises:
        DatabaseUnavailable: nobody answers, or the password is wrong.
    """
    try:
        return psycopg.connect(
            dsn,
            autocommit=True,
            application_name=name,
            connect_timeout=_CONNECT_SECONDS,
            options=_SESSION,
        )
    except psycopg.Error as error:
        raise _unavailable(error) from error


@contextmanager
def guarded(connection: Connection) -> Iterator[Connection]:
    """Has failures told in our words; a statement outside of a transaction is one of its own.

    Raises:
        DatabaseRefused: the server refused a statement, or another one was in its way too long.
        DatabaseUnavailable: the connection broke; what was committed is not known.
    """
    try:
        yield connection
    except psycopg.Error as error:
        if connection.closed:
            raise _unavailable(error) from error
        raise DatabaseRefused(
            "the database refused a statement",
            actual=f"{error.sqlstate or 'no code'}: {error.diag.message_primary or error}",
            remedy="`strongroom db status` says whether it is of this version",
        ) from error


@contextmanager
def transaction(connection: Connection) -> Iterator[Connection]:
    """One transaction: all of it, or nothing; see `guarded` for errors."""
    with guarded(connection), connection.transaction():
        yield connection


def _unavailable(error: psycopg.Error) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "the database cannot be reached",
        actual=str(error).strip() or type(error).__name__,
        remedy="check that it runs (`strongroom db run`) and who may log in",
    )
