"""Carries the enclave's three listeners to TCP, so that an owner can be on another machine.

Bytes only: what protects them (mutual TLS, sealed frames, signed receipts) ends in the enclave and
in whoever connects. Reachable on loopback unless the operator says otherwise, since anybody who
reaches the bootstrap port may load a manifest into a boot that has none.
"""

import asyncio
import socket
from collections import Counter
from types import TracebackType
from typing import Final

from strongroom_host.enclave_client.address import Address, EnclaveAddress, UnixAddress
from strongroom_host.errors import BadInput
from strongroom_host.runners.errors import ListenFailed
from strongroom_host.runners.joiner import BUFFER, Joiner, JointLimits, Streams

__all__ = ["PortForwarder", "parse_listen"]

_NAMES: Final = ("bootstrap", "control", "frames")
_BACKLOG: Final = 64
_TRIES: Final = 64


class PortForwarder:
    """Three consecutive TCP ports joined to an enclave's listeners; an async context manager.

    Attributes:
        counts: See `Joiner`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        enclave: EnclaveAddress,
        limits: JointLimits | None = None,
    ) -> None:
        """Listens on nothing yet.

        Args:
            host: Address to listen on.
            port: The first of three ports; 0 takes any three in a row that are free.
            enclave: Where the bytes go.
            limits: Counts and times.
        """
        self._host, self._port, self._joiner = host, port, Joiner(limits)
        self._targets = (enclave.bootstrap, enclave.control, enclave.frames)
        self.counts: Counter[str] = self._joiner.counts

    @property
    def port(self) -> int:
        """The first of the three ports; a real one once started."""
        return self._port

    @property
    def address(self) -> str:
        """What clients give as the enclave's address."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Listens.

        Raises:
            ListenFailed: a port cannot be bound; nothing is left listening.
        """
        listeners = _bind_row(self._host, self._port)
        self._port = listeners[0].getsockname()[1]
        for listener, target in zip(listeners, self._targets, strict=True):

            async def dial(target: Address = target) -> Streams:
                return await _open(target)

            await self._joiner.lead(listener, dial)

    async def stop(self) -> None:
        """Closes the listeners and cuts every connection."""
        await self._joiner.stop()

    async def __aenter__(self) -> "PortForwarder":
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def parse_listen(text: str) -> tuple[str, int]:
    """Returns address and first port written as ``ADDRESS:PORT``; port 0 takes free ones.

    Raises:
        BadInput: another shape, or no room for three ports.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) <= 65533):
        raise BadInput(
            f"{text!r} is not an address to listen on",
            expected="ADDRESS:PORT, for instance 127.0.0.1:7700 (the two ports after it are used"
            " as well), or port 0 for any free ones",
            remedy="correct --listen",
        )
    return host, int(port)


def _bind_row(host: str, port: int) -> list[socket.socket]:
    """Returns three listening sockets on consecutive ports.

    Raises:
        ListenFailed: naming the port that is not to be had.
    """
    for attempt in range(_TRIES):
        bound: list[socket.socket] = []
        try:
            bound.append(_bind(host, port))
            base = bound[0].getsockname()[1]
            for offset in (1, 2):
                bound.append(_bind(host, base + offset))
            return bound
        except (OSError, OverflowError) as error:
            for sock in bound:
                sock.close()
            if port or attempt == _TRIES - 1:
                busy = port + len(bound)
                name = _NAMES[len(bound)]
                raise ListenFailed(
                    f"cannot listen on {host}:{busy} ({name}): {_reason(error)}",
                    remedy=f"find what holds it with `ss -ltnp 'sport = :{busy}'`, or choose"
                    " others, for instance --listen 127.0.0.1:0",
                ) from error
    raise ListenFailed(f"no three free ports in a row on {host}", remedy="name some with --listen")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Ports of a connection that ended a minute ago are free; ports somebody listens on are not.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


async def _open(target: Address) -> Streams:
    if isinstance(target, UnixAddress):
        return await asyncio.open_unix_connection(str(target.path), limit=BUFFER)
    return await asyncio.open_connection(target.host, target.port, limit=BUFFER)
