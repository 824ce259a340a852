"""Links between the enclave's processes: messages over a connected stream socket.

Message: u32 length of what follows, u16 kind, u32 request number, payload; big-endian. Each end is
inherited across exec as a file descriptor, so that no other process can connect to it.
"""

import struct
from socket import socket
from typing import Final, NamedTuple

from strongroom_wire.encoding import MAX_STATEMENT

__all__ = ["MAX_MESSAGE", "Link", "LinkClosed", "Message", "receive_exactly"]

MAX_MESSAGE: Final = MAX_STATEMENT + 4096
_HEAD: Final = struct.Struct(">IHI")


class LinkClosed(Exception):
    """The process at the other end is gone, too slow, or does not speak this protocol."""


class Message(NamedTuple):
    """One message; `kind` is a `strongroom_enclave.messages.Kind`."""

    kind: int
    request: int
    payload: bytes


class Link:
    """One end of a link. Not thread-safe: a process reads and writes it from one thread each."""

    def __init__(self, sock: socket) -> None:
        self._socket = sock

    @classmethod
    def inherited(cls, descriptor: str) -> "Link":
        """Returns the link whose descriptor number the supervisor put on the command line."""
        return cls(socket(fileno=int(descriptor)))

    def fileno(self) -> int:
        """The descriptor, for `select`."""
        return self._socket.fileno()

    def send(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        """Sends one message, waiting for room if the other end is slow.

        Raises:
            LinkClosed: the other end is gone, or the message exceeds `MAX_MESSAGE`.
        """
        if len(payload) > MAX_MESSAGE:
            raise LinkClosed(f"message of {len(payload)} bytes, at most {MAX_MESSAGE}")
        try:
            self._socket.sendall(_HEAD.pack(len(payload) + 6, kind, request) + payload)
        except OSError as error:
            raise LinkClosed(str(error)) from error

    def receive(self, timeout: float | None = None) -> Message:
        """Returns the next message, waiting at most `timeout` seconds.

        Raises:
            LinkClosed: end of stream, time-out, or a length out of bounds.
        """
        self._socket.settimeout(timeout)
        size, kind, request = _HEAD.unpack(receive_exactly(self._socket, _HEAD.size))
        if not 6 <= size <= MAX_MESSAGE + 6:
            raise LinkClosed(f"message of {size} bytes")
        return Message(kind, request, receive_exactly(self._socket, size - 6))

    def close(self) -> None:
        """Closes this end; the other one sees the end of the stream."""
        self._socket.close()


def receive_exactly(sock: socket, size: int) -> bytes:
    """Returns the next `size` bytes of a stream, or raises `LinkClosed`."""
    data = bytearray()
    try:
        while len(data) < size:
            if not (chunk := sock.recv(min(size - len(data), 65536))):
                raise LinkClosed("end of stream")
            data += chunk
    except OSError as error:
        raise LinkClosed(str(error)) from error
    return bytes(data)
