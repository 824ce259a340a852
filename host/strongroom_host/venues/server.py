"""The venues as a server: TLS on a loopback socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import datetime
import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import uvicorn

from strongroom_host.testnet.certificates import issued_or_kept
from strongroom_host.testnet.faults import Connections
from strongroom_host.testnet.server import PortBusy, ServerDidNotStart
from strongroom_host.venues.app import ADMIN_HOST, build_app
from strongroom_host.venues.faults import Faults
from strongroom_host.venues.venue import Venue
from strongroom_host.venues.world import VenueClock, World

__all__ = ["VenuesServer"]

_START_TIMEOUT_S: Final = 20.0


class VenuesServer:
    """All venues on one port; the certificate covers every name they answer to.

    `folder` receives the CA certificate and the server's key. Use it as a context manager, or call
    `start` and `stop`. `mapping` is what a CONNECT proxy needs to lead the real names here.
    """

    def __init__(
        self,
        world: World,
        venues: Sequence[Venue],
        folder: Path,
        *,
        clock: VenueClock,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.world, self.venues, self.clock = world, venues, clock
        self.host, self.port = host, port
        self.faults = Faults()
        self.admin_token = secrets.token_urlsafe(24)
        self.names = tuple(name for venue in venues for name in venue.hosts)
        self._connections = Connections()
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.datetime.now(datetime.UTC)
        self._certificate = issued_or_kept(folder, (*self.names, ADMIN_HOST), now)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    @property
    def ca_path(self) -> Path:
        """The certificate that clients must trust."""
        return self._certificate.ca

    @property
    def mapping(self) -> dict[str, tuple[str, int]]:
        """Where each ``name:443`` is to be found instead; valid once started."""
        return {f"{name}:443": (self.host, self.port) for name in (*self.names, ADMIN_HOST)}

    def start(self) -> VenuesServer:
        """Listen and serve; returns when connections are taken.

        Raises:
            PortBusy: the port is taken or may not be bound.
            ServerDidNotStart: the server did not come up.
        """
        # With the protocol named, asyncio sets TCP_NODELAY: no answer waits for an acknowledgement.
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
        self._socket, self.port = listener, listener.getsockname()[1]
        server = uvicorn.Server(self._uvicorn_config())
        self._server = server
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])),
            name="venues",
            daemon=True,
        )
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise ServerDidNotStart("the venues' server did not start")
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

    def __enter__(self) -> VenuesServer:
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
        app = build_app(
            self.world, self.venues, self.faults, self.clock, self._connections, self.admin_token
        )
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
