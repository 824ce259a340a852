"""A connection to the database per thread and role: a call does not wait for a login."""

from __future__ import annotations

import threading
from contextlib import suppress

from strongroom_host.record_store.connecting import Connection, connect

__all__ = ["Lending"]


class Lending:
    """Connections of one role, a thread's own each; one that broke is made anew.

    Args:
        dsn: How the role logs in.
        read_only: Whether the server refuses every change through them.
    """

    def __init__(self, dsn: str, *, read_only: bool = False) -> None:
        self._dsn, self._read_only = dsn, read_only
        self._own = threading.local()
        self._all: list[Connection] = []
        self._lock = threading.Lock()

    def connection(self) -> Connection:
        """Returns this thread's connection.

        Raises:
            DatabaseUnavailable: nobody answers.
        """
        found: Connection | None = getattr(self._own, "connection", None)
        if found is not None and not found.closed and not found.broken:
            return found
        if found is not None:
            with self._lock, suppress(ValueError):
                self._all.remove(found)
        made = connect(self._dsn, "strongroom record calls")
        if self._read_only:
            made.execute("SET default_transaction_read_only = on")
        with self._lock:
            self._all.append(made)
        self._own.connection = made
        return made

    def close(self) -> None:
        """Ends all connections."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
