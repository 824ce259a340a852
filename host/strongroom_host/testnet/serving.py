"""What our simulated venues share as servers: TLS on a loopback socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp

from strongroom_host.errors import EnvironmentFault
from strongroom_host.testnet.certificates import ServerCertificate
from strongroom_host.testnet.faults import Connections

__all__ = ["LoopbackServer", "PortBusy", "ServerDidNotStart", "listen"]

_START_TIMEOUT_S: Final = 20.0


class PortBusy(EnvironmentFault):
    """The port cannot be listened on."""


class ServerDidNotStart(EnvironmentFault):
    """The server thread ended or hung before it took connections."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one.

    Raises:
        PortBusy: the port is taken or may not be bound.
    """
    # asyncio sets TCP_NODELAY only where the protocol is named; without it, every answer
    # (head and body are two writes) waits 40 ms for a delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortBusy(
            f"cannot listen on {host}:{port}",
            actual=error,
            remedy="stop what holds the port, or give --port 0",
        ) from error
    listener.listen(128)
    return listener


class LoopbackServer:
    """Serves `_app` under one certificate. Use it as a context manager, or call `start` and `stop`.

    `port` is the one asked for (0: any), and once started the one that is listened on.
    """

    def __init__(
        self,
        name: str,
        certificate: ServerCertificate,
        connections: Connections,
        host: str,
        port: int,
    ) -> None:
        self.host, self.port = host, port
        self._name, self._certificate, self._connections = name, certificate, connections
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    def _app(self) -> ASGIApp:
        """What is served."""
        raise NotImplementedError

    async def _beside(self) -> None:
        """What runs as long as the server does; nothing, unless a venue says otherwise."""

    def start(self) -> Self:
        """Listen and serve; returns when connections are taken.

        Raises:
            PortBusy: the port is taken or may not be bound.
            ServerDidNotStart: the server did not come up.
        """
        listener = listen(self.host, self.port)
        self._socket, self.port = listener, listener.getsockname()[1]
        self._server = server = uvicorn.Server(self._uvicorn_config())
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(server, listener)), name=self._name, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise ServerDidNotStart(f"the server of the {self._name} did not start")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop serving and wait for the thread."""
        if self._server is not None:
            self._server.should_exit = True
            self._server.force_exit = True
        if self._thread is not None:
            self._thread.join(timeout=_START_TIMEOUT_S)
        if self._socket is not None:
            self._socket.close()
        self._server = self._thread = self._socket = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def server_context(self) -> ssl.SSLContext:
        """A fresh context that shows this server's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate.chain, self._certificate.key)
        return context

    def _uvicorn_config(self) -> uvicorn.Config:
        context = self.server_context()
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        return uvicorn.Config(
            self._app(),
            http=self._connections.protocol(),
            loop="asyncio",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=30,
            ssl_context_factory=lambda _config, _default: context,
        )

    async def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        beside = asyncio.create_task(self._beside())
        try:
            await server.serve(sockets=[listener])
        finally:
            beside.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beside
