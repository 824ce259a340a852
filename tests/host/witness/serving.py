"""Servers on loopback for a test: real witnesses, and ones that answer what no witness should."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strongroom_host.witness.http import build_app

from tests.host.witness.logs import Station

__all__ = ["answering", "served", "serving", "silent"]


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Serve an application in a thread; give its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, ws="none", lifespan="off", access_log=False, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.002)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.close()


@contextmanager
def serving(station: Station) -> Iterator[str]:
    """Serve a witness; give its address."""
    with served(build_app(station.witness)) as url:
        yield url


Answer = Callable[[str, bytes], Response]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Serve whatever `answer` makes of a path and body."""

    async def any_call(request: Request) -> Response:
        return answer(request.url.path, await request.body())

    route = Route("/{path:path}", any_call, methods=["GET", "POST"])
    with served(Starlette(routes=[route])) as url:
        yield url


@contextmanager
def silent(drip: bytes = b"", every_s: float = 0.05) -> Iterator[str]:
    """Take connections and say nothing, or a byte of `drip` from time to time, over and over."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped, taken = threading.Event(), list[socket.socket]()

    def take() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            taken.append(connection)
            threading.Thread(target=feed, args=(connection,), daemon=True).start()

    def feed(connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n" if drip else b"")
            while drip and not stopped.wait(every_s):
                connection.sendall(drip)
        except OSError:
            return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in taken:
            connection.close()
        thread.join(5)
