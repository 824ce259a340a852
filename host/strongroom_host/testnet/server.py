"""The testnet as a server: TLS on a loopback socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import datetime
import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

from starlette.types import ASGIApp

from strongroom_host.errors import EnvironmentFault
from strongroom_host.testnet.app import build_app
from strongroom_host.testnet.certificates import issued_or_kept
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.config import TestnetConfig
from strongroom_host.testnet.faults import Connections, Faults
from strongroom_host.testnet.market_channel import MarketChannel
from strongroom_host.testnet.mover import Mover
from strongroom_host.testnet.serving import LoopbackServer, listen

__all__ = ["ChannelUnavailable", "Moves", "TestnetServer", "unix_ms"]

_SWEEP_S: Final = 0.25


def unix_ms() -> int:
    """Unix milliseconds now."""
    return time.time_ns() // 1_000_000


class ChannelUnavailable(EnvironmentFault):
    """The market channel cannot be served here."""


@dataclass(frozen=True, slots=True)
class Moves:
    """That the house moves its markets: with which seed, and a step every how many seconds."""

    seed: int
    every_s: float = 0.1


class TestnetServer(LoopbackServer):
    """One venue on one port, and its market channel on another if `market_port` is given (0: any).

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
        market_port: int | None = None,
        moves: Moves | None = None,
    ) -> None:
        self.folder = folder
        self._asked_market_port, self._moves = market_port, moves
        self._market_socket: socket.socket | None = None
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
    def market_url(self) -> str:
        """URL of the market channel; valid once started with a `market_port`."""
        if self._market_socket is None:
            return ""
        return f"wss://{self.host}:{self._market_socket.getsockname()[1]}/ws/market"

    def start(self) -> Self:
        """Listen and serve; returns when connections are taken.

        Raises:
            ChannelUnavailable: a package for the market channel is missing.
            PortBusy: a port is taken or may not be bound.
            ServerDidNotStart: the server did not come up.
        """
        if self._asked_market_port is not None:
            if find_spec("picows") is None:
                raise ChannelUnavailable(
                    "the market channel needs the package picows",
                    remedy="install the extra `trading`, or leave the market port out",
                )
            self._market_socket = listen(self.host, self._asked_market_port)
        return super().start()

    def stop(self) -> None:
        """Stop serving and wait for the thread."""
        super().stop()
        if self._market_socket is not None:
            self._market_socket.close()
            self._market_socket = None

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
        """Serve the market channel and let time pass while nobody calls: a missed heartbeat must
        not wait for a request, nor a market that moves for a trader."""
        market = None
        if self._market_socket is not None:
            from strongroom_host.testnet.market_server import serve_market

            market = await serve_market(
                MarketChannel(self.clob), self._market_socket, self.server_context()
            )
        mover = None if self._moves is None else Mover(self.clob, self._moves.seed)
        pause = _SWEEP_S if self._moves is None else min(_SWEEP_S, self._moves.every_s)
        try:
            while True:
                await asyncio.sleep(pause)
                self.clob.advance()
                if mover is not None:
                    mover.step()
        finally:
            if market is not None:
                market.close()


def _master_secret(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        secret = secrets.token_bytes(32)
        file.write(secret)
    return secret
