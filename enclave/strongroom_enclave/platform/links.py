"""Connections: links between our processes, the fast channel's streams, the tunnel to a venue.

All descriptors come from init, across exec or passed on: no worker opens a connection by itself.
A message on a link is a u32 length of what follows: u16 kind, u32 request number, payload;
big-endian.
"""

import struct
from collections.abc import Callable
from select import select
from socket import MSG_DONTWAIT, recv_fds, send_fds, socket, socketpair
from threading import Lock
from typing import NamedTuple

from strongroom_wire.encoding import MAX_STATEMENT

_MAX_MESSAGE = MAX_STATEMENT + 4096
_HEAD = struct.Struct(">HI")
_MAX_PROXY_HEAD = 4096


class LinkClosed(Exception):
    """The process at the other end is gone, too slow, or does not speak this protocol."""


class Message(NamedTuple):
    """One message; `kind` is a `strongroom_enclave.messages.Kind`."""

    kind: int
    request: int
    payload: bytes


class Link:
    """One end of a link, by descriptor number. Any thread may `send`; the rest is for one."""

    def __init__(self, descriptor: int) -> None:
        self._socket, self.unsent, self._turn = socket(fileno=descriptor), bytearray(), Lock()
        self.fileno, self.close = self._socket.fileno, self._socket.close

    def send(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        """Sends one message, waiting for room if the other end is slow, or raises `LinkClosed`."""
        try:
            with self._turn:
                self._socket.sendall(_message(kind, request, payload))
        except OSError as error:
            raise LinkClosed(str(error)) from error

    def post(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        """Sends one message as far as there is room for it; the rest is `unsent` until `flush`."""
        self.unsent += _message(kind, request, payload)
        self.flush()

    def flush(self) -> None:
        """Sends as much of the rest as there is room for. If nobody is there, `receive` says so."""
        try:
            del self.unsent[: self._socket.send(self.unsent, MSG_DONTWAIT)]
        except BlockingIOError:
            pass
        except OSError:
            self.unsent.clear()

    def receive(self, timeout: float | None = None) -> Message:
        """Returns the next message, waiting at most `timeout` seconds for its start.

        Raises:
            LinkClosed: end of stream, time-out, or a length out of bounds.
        """
        try:
            if not select([self._socket], [], [], timeout)[0]:
                raise LinkClosed("time-out")
            size = int.from_bytes(self._read(4))
            if not _HEAD.size <= size <= _MAX_MESSAGE:
                raise LinkClosed(f"{size} bytes")
            data = self._read(size)
            kind, request = _HEAD.unpack_from(data)
            return Message(kind, request, data[_HEAD.size :])
        except (OSError, ValueError) as error:  # the latter if it was closed at this end
            raise LinkClosed(str(error)) from error

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (part := self._socket.recv(size - len(data))):
                raise LinkClosed("end of stream")
            data += part
        return data


def _message(kind: int, request: int, payload: bytes) -> bytes:
    return (_HEAD.size + len(payload)).to_bytes(4) + _HEAD.pack(kind, request) + payload


class Stream:
    """A host's connection on the fast channel: u32 length and message, answered in order.

    It never blocks: what is incomplete waits in a bounded buffer, and a host that does not take its
    answers loses the connection.
    """

    def __init__(self, sock: socket) -> None:
        self._socket, self._buffer = sock, bytearray()
        sock.setblocking(False)
        self.fileno, self.close = sock.fileno, sock.close

    def exchange(self, limit: int, serve: Callable[[bytes], tuple[bytes, bool]]) -> bool:
        """Answers every complete message of at most `limit` bytes; returns whether to go on."""
        buffer = self._buffer
        try:
            chunk = self._socket.recv(65536)
            buffer += chunk
            while len(buffer) >= 4 and (size := int.from_bytes(buffer[:4])) <= len(buffer) - 4:
                reply, healthy = serve(bytes(buffer[4 : 4 + size]))
                del buffer[: 4 + size]
                self._socket.sendall(len(reply).to_bytes(4, "big") + reply)
                if not healthy:
                    return False
        except OSError:
            return False
        return bool(chunk) and int.from_bytes(buffer[:4].ljust(4, b"\0")) <= limit


class Exchange:
    """Init's end of what passes a worker the connections that it asks for; `theirs` is inherited.

    A worker that asks on without taking what it is passed is cut off, not waited for.
    """

    def __init__(self, connect: Callable[[], socket]) -> None:
        self._connect, (self._ours, self.theirs) = connect, socketpair()
        self._ours.setblocking(False)

    def serve(self) -> None:
        """Passes one connection on, with a byte; or the byte alone, if there is none to be had."""
        try:
            with self._connect() as connection:
                send_fds(self._ours, [b"\0"], [connection.fileno()])
        except OSError:
            self._ours.send(b"\0")


class Dialler:
    """A worker's way to the host's proxy: asks init, and takes what is passed. For any thread."""

    def __init__(self, ask: Callable[[], None], passed: socket) -> None:
        self._ask, self._passed = ask, passed

    def __call__(self) -> socket:
        """Returns a new connection to the host's proxy.

        Raises:
            OSError: there is none.
            LinkClosed: init is gone.
        """
        self._ask()  # whose connection comes first is all the same
        _, descriptors, _, _ = recv_fds(self._passed, 1, 1)
        if not descriptors:
            raise ConnectionError("no way to the host's proxy")
        return socket(fileno=descriptors[0])


def inherited(descriptor: str) -> socket:
    """Returns the connection or listener whose descriptor number is on the command line."""
    return socket(fileno=int(descriptor))


def open_tunnel(sock: socket, host: str, port: int, timeout: float) -> socket:
    """Returns a connection to the host's proxy after HTTP CONNECT to `host:port`; it is `sock`.

    Raises:
        OSError: the proxy is gone or refuses; it is the host's, so its reason proves nothing.
    """
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
