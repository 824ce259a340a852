"""Links between the enclave's processes: messages over a connected stream socket.

Message: u32 length of what follows, u16 kind, u32 request number, payload; big-endian. Each end is
inherited across exec as a file descriptor, so that no other process can connect to it.
"""

import struct
from collections.abc import Callable
from socket import socket
from typing import Final, NamedTuple

from strongroom_wire.encoding import MAX_STATEMENT

__all__ = ["Link", "LinkClosed", "Message", "Stream", "inherited_listener", "open_tunnel"]

MAX_MESSAGE: Final = MAX_STATEMENT + 4096
_HEAD: Final = struct.Struct(">IHI")
_MAX_PROXY_HEAD: Final = 4096


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
        size, kind, request = _HEAD.unpack(_exactly(self._socket, _HEAD.size))
        if not 6 <= size <= MAX_MESSAGE + 6:
            raise LinkClosed(f"message of {size} bytes")
        return Message(kind, request, _exactly(self._socket, size - 6))

    def close(self) -> None:
        """Closes this end; the other one sees the end of the stream."""
        self._socket.close()


class Stream:
    """A host's connection on the fast channel: u32 length and message, answered in order.

    It never blocks: what is incomplete waits in a bounded buffer, and a host that does not take its
    answers loses the connection.
    """

    def __init__(self, sock: socket) -> None:
        self._socket, self._buffer = sock, bytearray()
        sock.setblocking(False)

    @classmethod
    def accepted(cls, listener: socket, room: bool) -> "Stream | None":
        """Returns the next connection, or None if it vanished or there is no room for it."""
        try:
            sock = listener.accept()[0]
        except OSError:
            return None
        if room:
            return cls(sock)
        sock.close()
        return None

    def fileno(self) -> int:
        """The descriptor, for `poll`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def exchange(self, limit: int, serve: Callable[[bytes], tuple[bytes, bool]]) -> bool:
        """Answers every complete message of at most `limit` bytes; returns whether to go on."""
        buffer = self._buffer
        try:
            chunk = self._socket.recv(65536)
            buffer += chunk
            while len(buffer) >= 4:
                if (size := int.from_bytes(buffer[:4])) > limit:
                    return False
                if len(buffer) < 4 + size:
                    break
                reply, healthy = serve(bytes(buffer[4 : 4 + size]))
                del buffer[: 4 + size]
                self._socket.sendall(len(reply).to_bytes(4, "big") + reply)
                if not healthy:
                    return False
        except OSError:
            return False
        return bool(chunk)


def inherited_listener(descriptor: str) -> socket:
    """Returns the listening socket whose descriptor number is on the command line."""
    listener = socket(fileno=int(descriptor))
    listener.setblocking(False)
    return listener


def open_tunnel(descriptor: str, host: str, port: int, timeout: float) -> socket:
    """Returns an inherited connection to the host's proxy, after HTTP CONNECT to `host:port`.

    Raises:
        OSError: the proxy is gone or refuses; it is the host's, so its reason proves nothing.
    """
    sock = socket(fileno=int(descriptor))
    sock.settimeout(timeout)
    sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows belongs to TLS
        if len(head) > _MAX_PROXY_HEAD or not (byte := sock.recv(1)):
            raise ConnectionError("proxy closed or answered too much")
        head += byte
    if head[:12] not in (b"HTTP/1.1 200", b"HTTP/1.0 200"):
        raise ConnectionError("proxy refused")
    return sock


def _exactly(sock: socket, size: int) -> bytes:
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
