"""Where the store port listens, and for whom: the egress proxy, which maps a name to it."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRWPair
from pathlib import Path
from typing import Final

from strongroom_wire.encoding import uint

from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.desk import Desk
from strongroom_host.record_store.errors import DatabaseUnavailable, StoreError
from strongroom_host.record_store.port import MAX_MESSAGE, PageKeeper, StorePort
from strongroom_host.record_store.queue import JobQueue

__all__ = ["Address", "serve_stream", "serving"]

Address = tuple[str, int] | Path
"""A TCP address, or where a Unix socket is."""
_MODE: Final = 0o660
_TICK_S: Final = 5.0
_numbers = itertools.count(1)


def serve_stream(stream: BufferedRWPair, port: StorePort) -> None:
    """Answers one connection's requests until it ends, breaks the protocol, or has no database."""
    while (
        not port.broken
        and len(head := stream.read(4)) == 4
        and (size := uint(head, 4)) <= MAX_MESSAGE
    ):
        request = stream.read(size)
        if len(request) < size:
            return
        answer = port.answer(request)
        stream.write(len(answer).to_bytes(4) + answer)
        stream.flush()


@contextmanager
def serving(
    dsn: str,
    address: Address = ("127.0.0.1", 0),
    desk: Desk | None = None,
    log: PageKeeper | None = None,
) -> Iterator[tuple[str, int]]:
    """Serves the port until the block ends, a thread and a database connection for each of the
    record's; yields where (of a Unix socket: its path and 0). The egress proxy maps a name to it.

    Raises:
        OSError: the address is taken.
    """
    desk = desk or Desk()
    with _listening(address) as listener:
        served: dict[socket.socket, threading.Thread] = {}
        accepting = threading.Thread(
            target=_accept, args=(listener, dsn, desk, log, served), daemon=True
        )
        renewing = threading.Thread(target=_renew, args=(dsn, desk), daemon=True)
        accepting.start()
        renewing.start()
        try:
            yield (str(address), 0) if isinstance(address, Path) else listener.getsockname()[:2]
        finally:
            desk.close()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            renewing.join()
            for sock, thread in served.items():
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                thread.join()


@contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    if not isinstance(address, Path):
        with socket.create_server(address) as listener:
            yield listener
        return
    with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(address))
        except ConnectionRefusedError:
            address.unlink()  # what a crash left
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        address.chmod(_MODE)  # before anybody can connect
        listener.listen()
        try:
            yield listener
        finally:
            address.unlink(missing_ok=True)


def _accept(
    listener: socket.socket,
    dsn: str,
    desk: Desk,
    log: PageKeeper | None,
    served: dict[socket.socket, threading.Thread],
) -> None:
    with suppress(OSError):
        while True:
            sock, _ = listener.accept()
            served[sock] = threading.Thread(target=_serve, args=(sock, dsn, desk, log), daemon=True)
            served[sock].start()
            for ended in [each for each, thread in served.items() if not thread.is_alive()]:
                del served[ended]


def _renew(dsn: str, desk: Desk) -> None:
    """Keeps the leases of silent connections, and the schedule, while nobody asks for a job."""
    while not desk.wait(min(desk.limits.lease_seconds / 4, _TICK_S)):
        with suppress(StoreError, DatabaseUnavailable), connect(dsn, "strongroom leases") as open_:
            queue = JobQueue(open_, "leases", desk.limits)
            while True:
                desk.tick(queue)
                desk.renew(queue)
                if desk.wait(min(desk.limits.lease_seconds / 4, _TICK_S)):
                    return


def _serve(sock: socket.socket, dsn: str, desk: Desk, log: PageKeeper | None) -> None:
    worker = f"{socket.gethostname()[:64]} {os.getpid()} {next(_numbers)}"
    with (
        suppress(OSError, DatabaseUnavailable),
        sock,
        connect(dsn, "strongroom store port") as open_,
        sock.makefile("rwb") as stream,
    ):
        port = StorePort(open_, desk, log, worker)
        try:
            serve_stream(stream, port)
        finally:
            port.close()
