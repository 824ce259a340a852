"""A witness on a socket, until a signal: TLS of its own, or behind a proxy that ends TLS."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette

from strongroom_host.errors import BadInput
from strongroom_host.witness.errors import PortBusy

__all__ = ["Certificate", "listen", "parse_address", "serve"]

_MAX_CONNECTIONS: Final = 512
_MAX_HEADERS: Final = 16 * 1024
_KEEP_ALIVE_S: Final = 75


class _Server(uvicorn.Server):
    """One that leaves the signals to us: uvicorn raises each again when it has stopped."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: the chain, and its private key."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """The server side of TLS 1.2 and above.

        Raises:
            BadInput: the files are none, or do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.chain, self.key)
        except (OSError, ssl.SSLError) as error:
            raise BadInput(
                "the certificate cannot be used",
                actual=error,
                remedy="give a PEM chain and the unencrypted private key that belongs to it",
            ) from error
        return context


def parse_address(text: str) -> tuple[str, int]:
    """Host and port written as ``ADDRESS:PORT``, an IPv6 address in brackets.

    Raises:
        BadInput: another shape.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise BadInput(
            f"{text!r} is not an address to listen on", expected="ADDRESS:PORT; port 0 takes any"
        )
    return host, int(port)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        PortBusy: the address is taken, or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it, every answer (head and
    # body are two writes) waits for a delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortBusy(
            f"cannot listen on {host}:{port}",
            actual=error,
            remedy="stop what holds the port, or name another one with --listen",
        ) from error
    return listener


def serve(
    app: Starlette,
    listener: socket.socket,
    certificate: Certificate | None = None,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Answers on `listener` until SIGINT or SIGTERM; requests under way are finished."""
    context = None if certificate is None else certificate.context()
    config = uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        h11_max_incomplete_event_size=_MAX_HEADERS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=10,
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )

    async def run() -> None:
        server = _Server(config)

        def stop() -> None:
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if server.started:
            started()
        await serving

    asyncio.run(run())
