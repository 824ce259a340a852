"""All connections of a guest: who has which address, how many there may be, what has a deadline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom_host.vsock.connection import Connection, Key, State

__all__ = ["PARENT_CID", "Limits", "Table"]

PARENT_CID: Final = 3
"""The parent instance, as a Nitro enclave knows it; what we say we are."""

_FIRST_PORT: Final = 1 << 30
_LAST_PORT: Final = 1 << 31
"""Ports that connections of host clients come from; above those that services have."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts; `window` in bytes per connection; times in seconds.

    The guest's connections and the host's are counted apart: neither can use up the other's.
    """

    connections: int = 256
    window: int = 256 * 1024
    resets: int = 1024
    request_s: float = 10.0
    """Until the guest answers a request, or the host's service has room for one."""
    linger_s: float = 8.0
    """Until the guest confirms an end; the time Linux waits as well."""
    drain_s: float = 60.0
    """Without a byte being taken, after which what a gone guest left for a host client is lost."""


class Table:
    """The connections. Changes their `state` to GONE or DRAINING; the rest is the device's."""

    def __init__(self, limits: Limits) -> None:
        """Empty."""
        self._limits = limits
        self._by_key: dict[Key, Connection] = {}
        self._draining: set[Connection] = set()
        self._deadlines: dict[Connection, float] = {}
        self._count = {True: 0, False: 0}
        self._next_port = _FIRST_PORT

    def __len__(self) -> int:
        """Returns how many there are, in any state."""
        return len(self._by_key) + len(self._draining)

    def __iter__(self) -> Iterator[Connection]:
        """Iterates over all there are now, whatever becomes of them meanwhile."""
        return iter([*self._by_key.values(), *self._draining])

    def find(self, key: Key) -> Connection | None:
        """Returns the connection that has that address."""
        return self._by_key.get(key)

    def add(self, key: Key, state: State) -> Connection | None:
        """Returns a new connection, or None if its side has too many."""
        connection = Connection(key, state, self._limits.window)
        if self._count[connection.by_host] >= self._limits.connections:
            return None
        self._count[connection.by_host] += 1
        self._by_key[key] = connection
        return connection

    def free_key(self, guest_port: int) -> Key:
        """Returns an address that no connection has, from the least recently used port."""
        while True:
            key = Key(PARENT_CID, self._next_port, guest_port)
            self._next_port += 1
            if self._next_port == _LAST_PORT:
                self._next_port = _FIRST_PORT
            if key not in self._by_key:
                return key

    def drain(self, connection: Connection) -> None:
        """Takes a connection's address away; what it holds for the host is still to be moved."""
        del self._by_key[connection.key]
        connection.state = State.DRAINING
        self._draining.add(connection)

    def remove(self, connection: Connection) -> bool:
        """Forgets a connection; returns whether there was anything to forget."""
        if connection.state is State.GONE:
            return False
        if connection.state is State.DRAINING:
            self._draining.discard(connection)
        else:
            del self._by_key[connection.key]
        self._count[connection.by_host] -= 1
        self._deadlines.pop(connection, None)
        connection.state = State.GONE
        return True

    def expect(self, connection: Connection, deadline: float | None) -> None:
        """Sets or clears when the state that a connection is in has lasted too long."""
        if deadline is None:
            self._deadlines.pop(connection, None)
        else:
            self._deadlines[connection] = deadline

    def overdue(self, now: float) -> list[Connection]:
        """Returns the connections whose deadline has come."""
        return [connection for connection, due in self._deadlines.items() if due <= now]

    def dialling(self) -> list[Connection]:
        """Returns the connections whose service had no room for them yet."""
        return [c for c in self._deadlines if c.state is State.DIALLING]

    def next_deadline(self) -> float | None:
        """Returns the earliest deadline."""
        return min(self._deadlines.values(), default=None)
