"""Where the store port listens, and for whom: the egress proxy, which maps a name to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRWPair

from strongroom_wire.encoding import uint

from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.errors import DatabaseUnavailable
from strongroom_host.record_store.port import MAX_MESSAGE, StorePort

__all__ = ["serve_stream", "serving"]


def serve_stream(stream: BufferedRWPair, port: StorePort) -> None:
    """Answers one connection's requests until it ends or breaks the protocol."""
    while len(head := stream.read(4)) == 4 and (size := uint(head, 4)) <= MAX_MESSAGE:
        request = stream.read(size)
        if len(request) < size:
            return
        answer = port.answer(request)
        stream.write(len(answer).to_bytes(4) + answer)
        stream.flush()


@contextmanager
def serving(dsn: str, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[tuple[str, int]]:
    """Serves the port until the block ends, a thread and a database connection for each of the
    record's; yields where. The egress proxy maps a name to it.

    Raises:
        OSError: the address is taken.
    """
    with socket.create_server(address) as listener:
        served: dict[socket.socket, threading.Thread] = {}
        accepting = threading.Thread(target=_accept, args=(listener, dsn, served), daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for sock, thread in served.items():
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                thread.join()


def _accept(
    listener: socket.socket, dsn: str, served: dict[socket.socket, threading.Thread]
) -> None:
    with suppress(OSError):
        while True:
            sock, _ = listener.accept()
            served[sock] = threading.Thread(target=_serve, args=(sock, dsn), daemon=True)
            served[sock].start()
            for ended in [each for each, thread in served.items() if not thread.is_alive()]:
                del served[ended]


def _serve(sock: socket.socket, dsn: str) -> None:
    with (
        suppress(OSError, DatabaseUnavailable),
        sock,
        connect(dsn, "strongroom store port") as open_,
        sock.makefile("rwb") as stream,
    ):
        serve_stream(stream, StorePort(open_))
