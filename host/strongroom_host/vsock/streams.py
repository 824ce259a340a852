"""The host's end of a connection: a byte stream that never blocks."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

__all__ = ["DialBusy", "DialRefused", "SocketStream", "Stream", "StreamBroken"]

_PIECES: Final = 512
"""Written in one system call: half of what Linux takes (IOV_MAX)."""


class StreamBroken(Exception):
    """The other end is gone; an event to handle, never shown to a person."""


class DialRefused(Exception):
    """Nobody listens there."""


class DialBusy(Exception):
    """Somebody listens and has no room at the moment."""


class Stream(Protocol):
    """What a device needs of a stream."""

    def write(self, pieces: Sequence[memoryview | bytearray]) -> int:
        """Returns how many bytes of the pieces were taken; 0 if there is no room now.

        Raises:
            StreamBroken: the other end does not read any more.
        """

    def read_into(self, buffers: Sequence[memoryview]) -> int | None:
        """Fills buffers in order; returns how many bytes, 0 at the end, None if there are none now.

        Raises:
            StreamBroken: the other end broke off.
        """

    def end_writing(self) -> None:
        """Tells the other end that no more comes."""

    def end_reading(self) -> None:
        """Tells the other end that nothing more is read."""

    def close(self) -> None:
        """Ends both directions."""


class SocketStream:
    """A connected stream socket as a `Stream`."""

    def __init__(self, sock: socket.socket, closed: Callable[[], None]) -> None:
        """Takes the socket over; `closed` is called before it is closed."""
        sock.setblocking(False)
        self._socket, self._closed = sock, closed

    def write(self, pieces: Sequence[memoryview | bytearray]) -> int:
        """See `Stream.write`."""
        try:
            return self._socket.sendmsg(pieces[:_PIECES])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise StreamBroken from error

    def read_into(self, buffers: Sequence[memoryview]) -> int | None:
        """See `Stream.read_into`."""
        try:
            return self._socket.recvmsg_into(buffers)[0]
        except BlockingIOError:
            return None
        except OSError as error:
            raise StreamBroken from error

    def end_writing(self) -> None:
        """See `Stream.end_writing`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def end_reading(self) -> None:
        """See `Stream.end_reading`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """See `Stream.close`."""
        self._closed()
        self._socket.close()
