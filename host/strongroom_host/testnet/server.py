"""The testnet as a server: TLS on a loopback socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import datetime
import os
import secrets
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from strongroom_host.testnet.app import build_app
from strongroom_host.testnet.certificates import issued_or_kept
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.config import TestnetConfig
from strongroom_host.testnet.faults import Connections, Faults
from strongroom_host.testnet.serving import LoopbackServer

__all__ = ["TestnetServer", "unix_ms"]

_SWEEP_S: Final = 0.25


def unix_ms() -> int:
    """Unix milliseconds now."""
    return time.time_ns() // 1_000_000


class TestnetServer(LoopbackServer):
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
        self.admin_token = secrets.token_urlsafe(24)
        self.faults = Faults()
        folder.mkdir(parents=True, exist_ok=True)
        self.clob = Clob(config, clock, _master_secret(folder / "master.secret"))
        certificate = issued_or_kept(folder, names, datetime.datetime.now(datetime.UTC))
        super().__init__("testnet", certificate, Connections(), host, port)

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

    def _app(self) -> ASGIApp:
        return build_app(self.clob, self.faults, self._connections, self.admin_token)

    async def _beside(self) -> None:
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
