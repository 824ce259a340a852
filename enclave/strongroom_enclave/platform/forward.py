"""Joins vsock to a Unix socket, byte for byte: gRPC cannot listen on vsock itself.

It reads nothing of what it carries. Connections beyond the limit wait unaccepted, so a host that
opens many denies service to itself.
"""

from contextlib import suppress
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, SHUT_WR, SOCK_STREAM, socket
from threading import BoundedSemaphore, Thread

_CHUNK = 65536
_CONNECTIONS = 64


def forward(listener: socket, target: Path) -> None:
    """Joins every connection of an inherited listener to the socket at `target`, for good."""
    listener.setblocking(True)
    room = BoundedSemaphore(_CONNECTIONS)
    while room.acquire():
        host, _ = listener.accept()
        Thread(target=_serve, args=(host, target, room), daemon=True).start()


def _serve(host: socket, target: Path, room: BoundedSemaphore) -> None:
    with host, socket(AF_UNIX, SOCK_STREAM) as server, suppress(OSError):
        server.connect(str(target))
        upward = Thread(target=_pump, args=(host, server), daemon=True)
        upward.start()
        _pump(server, host)
        upward.join()
    room.release()


def _pump(source: socket, sink: socket) -> None:
    """Carries one direction to its end; a failure in either ends both."""
    try:
        while data := source.recv(_CHUNK):
            sink.sendall(data)
        sink.shutdown(SHUT_WR)
    except OSError:
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)
