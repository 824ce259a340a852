"""Carries the enclave's three listeners to TCP, so that an owner can be on another machine.

Bytes only: what protects them (mutual TLS, sealed frames, signed receipts) ends in the enclave and
in whoever connects. Reachable on loopback unless the operator says otherwise, since anybody who
reaches the bootstrap port may load a manifest into a boot that has none.
"""

import asyncio
import socket
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from strongroom_host.egress.tunnel import End, Flow, join
from strongroom_host.enclave_client.address import Address, EnclaveAddress, UnixAddress
from strongroom_host.errors import BadInput
from strongroom_host.runners.errors import ListenFailed

__all__ = ["ForwardLimits", "PortForwarder", "parse_listen"]

_NAMES: Final = ("bootstrap", "control", "frames")
_BUFFER: Final = 64 * 1024
_BACKLOG: Final = 64
_LINGER_S: Final = 1.0
_TRIES: Final = 64
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class ForwardLimits:
    """Connections on all ports together, and times in seconds.

    A quiet connection is no dead one (a bot may wait for hours): keep-alive probes find the dead,
    and `idle_s` only bounds what they miss.
    """

    connections: int = 128
    connect_s: float = 5.0
    idle_s: float = 86_400.0


class PortForwarder:
    """Three consecutive TCP ports joined to an enclave's listeners; an async context manager.

    Attributes:
        counts: ``opened``, ``busy``, ``refused`` (the enclave does not listen there yet), how
            connections ended (``closed``, ``reset``, ``idle``), ``bytes_up``, ``bytes_down``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        enclave: EnclaveAddress,
        limits: ForwardLimits | None = None,
    ) -> None:
        """Listens on nothing yet.

        Args:
            host: Address to listen on.
            port: The first of three ports; 0 takes any three in a row that are free.
            enclave: Where the bytes go.
            limits: Counts and times.
        """
        self._host, self._port, self._limits = host, port, limits or ForwardLimits()
        self._targets = (enclave.bootstrap, enclave.control, enclave.frames)
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

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

            async def accept(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                target: Address = target,
            ) -> None:
                await self._accept((reader, writer), target)

            server = await asyncio.start_server(accept, sock=listener, limit=_BUFFER)
            self._servers.append(server)

    async def stop(self) -> None:
        """Closes the listeners and cuts every connection."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

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

    async def _accept(self, client: _Streams, target: Address) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("connections are served in tasks")
        self._tasks.add(task)
        try:
            if len(self._tasks) > self._limits.connections:
                self.counts["busy"] += 1
                _reset(client[1])
                return
            _keep_alive(client[1])
            await self._serve(client, target)
        except asyncio.CancelledError:
            _reset(client[1])  # only `stop` cancels, and it waits for nobody
        finally:
            self._tasks.discard(task)
            await _close(client[1])

    async def _serve(self, client: _Streams, target: Address) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_s):
                enclave = await _open(target)
        except (TimeoutError, OSError):
            self.counts["refused"] += 1
            _reset(client[1])
            return
        self.counts["opened"] += 1
        flow = Flow()
        try:
            end = await join(client, enclave, flow, self._limits.idle_s)
            self.counts[end.value] += 1
            if end is not End.CLOSED:
                _reset(client[1])
                enclave[1].transport.abort()
        finally:
            self.counts["bytes_up"] += flow.up
            self.counts["bytes_down"] += flow.down
            await _close(enclave[1])


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


async def _open(target: Address) -> _Streams:
    if isinstance(target, UnixAddress):
        return await asyncio.open_unix_connection(str(target.path), limit=_BUFFER)
    return await asyncio.open_connection(target.host, target.port, limit=_BUFFER)


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Breaks a connection so that the other side sees it broken: an orderly end would look like
    an answer that ends there."""
    connection: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError, ValueError):  # closed meanwhile; uvloop says so by a ValueError
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Closes after the last bytes went out, or soon: a peer that reads nothing is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(_LINGER_S):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except OSError:
        pass
