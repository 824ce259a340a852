"""A client's socket: datagrams to one relay and from it, and nothing that ever fails loudly.

A datagram that the network refuses is a lost one: whoever needs it asks again, or finds out in the
end. So sending and receiving raise nothing.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Final

from strongroom_host.relay.errors import RelayUnreachable

__all__ = ["Line"]

_LARGEST: Final = 65_535
_BUFFER: Final = 1 << 20


class Line:
    """A UDP socket that takes datagrams from one address alone.

    Args:
        address: IP address or name, and port.
        clock: Monotonic nanoseconds.

    Raises:
        RelayUnreachable: the address cannot be resolved, or no way leads there.
    """

    __slots__ = ("_clock", "_poll", "_socket")

    def __init__(self, address: tuple[str, int], clock: Callable[[], int]) -> None:
        self._clock = clock
        self._socket = _connected(address)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def send(self, datagram: bytes) -> None:
        """Sends a datagram, or loses it."""
        try:  # noqa: SIM105  a context manager costs half as much as sending
            self._socket.send(datagram)
        except OSError:
            pass

    def next(self) -> bytes | None:
        """The next datagram, if one is there; an error of the network is none."""
        try:
            return self._socket.recv(_LARGEST)
        except OSError:
            return None

    def wait(self, until_ns: int) -> bool:
        """Whether something came, an error perhaps, before `until_ns`."""
        left_ms = (until_ns - self._clock()) / 1e6
        return left_ms > 0 and bool(self._poll.poll(left_ms))


def _connected(address: tuple[str, int]) -> socket.socket:
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, target = found[0]
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        made.connect(target)
    except OSError as error:
        raise RelayUnreachable(
            f"cannot send to {address[0]}:{address[1]}",
            actual=error,
            remedy="check the relay's address",
        ) from error
    return made
