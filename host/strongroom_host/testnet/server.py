"""The testnet as a server: TLS on a loopback socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

import uvicorn

from strongroom_host.errors import EnvironmentFault
from strongroom_host.testnet.app import build_app
from strongroom_host.testnet.certificates import issued_or_kept
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.config import TestnetConfig
from strongroom_host.testnet.faults import Connections, Faults

__all__ = ["PortBusy", "ServerDidNotStart", "TestnetServer", "unix_ms"]

_START_TIMEOUT_S: Final = 20.0
_SWEEP_S: Final = 0.25


class PortBusy(EnvironmentFault):
    """The port cannot be listened on."""


class ServerDidNotStart(EnvironmentFault):
    """The server thread ended or hung before it took connections."""


def unix_ms() -> int:
    """Unix milliseconds now."""
    return time.time_ns() // 1_000_000


class TestnetServer:
    """One venue on one port.

    `folder` receives the CA certificate (``ca.pem``), the server's chain and key, and the secret
    that API keys derive from, so a restart in the same folder has the same CA and keys. Orders and
    balances live in memory. Use it as a context manager, or call `start` and `stop`.
    """

    __test__ = False

    def __init__(
        self,
        config: TestnetConfig,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        names: tuple[str, ...] = ("clob.testnet",),
        clock: Callable[[], int] = unix_ms,
    ) -> None:
        self.folder = folder
        self.host = host
        self.port = port
        self.admin_token = secrets.token_urlsafe(24)
        self.faults = Faults()
        folder.mkdir(parents=True, exist_ok=True)
        self.clob = Clob(config, clock, _master_secret(folder / "master.secret"))
        self._certificate = issued_or_kept(folder, names, datetime.datetime.now(datetime.UTC))
        self._connections = Connections()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    @property
    def url(self) -> str:
        """Base URL; valid once started."""
        return f"https://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many client connections are open now."""
        return len(self._connections)

    @property
    def ca_path(self) -> Path:
        """The certificate that clients must trust."""
        return self._certificate.ca

    def client_context(self) -> ssl.SSLContext:
        """A verifying client context that trusts this testnet's CA and nothing else."""
        return ssl.create_default_context(cafile=str(self.ca_path))

    def start(self) -> TestnetServer:
        """Listen and serve; returns when connections are taken.

        Raises:
            PortBusy: the port is taken or may not be bound.
            ServerDidNotStart: the server did not come up.
        """
        # asyncio sets TCP_NODELAY only where the protocol is named; without it, every answer
        # (head and body are two writes) waits 40 ms for a delayed acknowledgement.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError as error:
            listener.close()
            raise PortBusy(
                f"cannot listen on {self.host}:{self.port}",
                actual=error,
                remedy="stop what holds the port, or give --port 0",
            ) from error
        listener.listen(128)
        self._socket = listener
        self.port = listener.getsockname()[1]
        self._server = uvicorn.Server(self._uvicorn_config())
        self._thread = threading.Thread(
            target=self._run, args=(self._server, listener), name="testnet", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise ServerDidNotStart("the testnet server did not start")
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

    def __enter__(self) -> TestnetServer:
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

    def _uvicorn_config(self) -> uvicorn.Config:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate.chain, self._certificate.key)
        app = build_app(self.clob, self.faults, self._connections, self.admin_token)
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        return uvicorn.Config(
            app,
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

    def _run(self, server: uvicorn.Server, listener: socket.socket) -> None:
        async def serve() -> None:
            sweeper = asyncio.create_task(self._sweep())
            try:
                await server.serve(sockets=[listener])
            finally:
                sweeper.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sweeper

        asyncio.run(serve())

    async def _sweep(self) -> None:
        """Let time pass while nobody calls: a missed heartbeat must not wait for a request."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.clob.advance()


def _master_secret(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        secret = secrets.token_bytes(32)
        file.write(secret)
    return secret
