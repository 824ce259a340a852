"""Connections on any number of listeners, each joined byte for byte to one that it leads to.

Bytes only: what protects them ends in the enclave and in whoever connects. One place for what every
such joint must get right: a bound on all of them together, a time for the other side to answer, an
end that the other side sees as what it was.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from strongroom_host.egress.tunnel import End, Flow, join

__all__ = ["BUFFER", "Dial", "Joiner", "JointLimits", "Streams"]

BUFFER: Final = 64 * 1024
"""Bytes that each direction of a connection holds at most, about."""

_LINGER_S: Final = 1.0
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[], Awaitable[Streams]]
"""Opens a connection to the other side, or raises OSError."""


@dataclass(frozen=True, slots=True)
class JointLimits:
    """Connections on all listeners together, and times in seconds.

    A quiet connection is no dead one (a bot may wait for hours): keep-alive probes find the dead,
    and `idle_s` only bounds what they miss.
    """

    connections: int = 128
    connect_s: float = 5.0
    idle_s: float = 86_400.0


def _everybody(_: object) -> bool:
    return True


class Joiner:
    """Listeners and what they lead to.

    Attributes:
        counts: ``opened``, ``busy``, ``stranger`` (who may not connect), ``refused`` (the other
            side does not listen yet), how connections ended (``closed``, ``reset``, ``idle``),
            ``bytes_up``, ``bytes_down``.
    """

    def __init__(self, limits: JointLimits | None = None) -> None:
        self._limits = limits or JointLimits()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

    async def lead(
        self,
        listener: socket.socket,
        dial: Dial,
        admit: Callable[[object], bool] = _everybody,
    ) -> None:
        """Serves a listening socket, which it closes at the end.

        Args:
            listener: Bound and listening.
            dial: Opens the other side, once for each connection.
            admit: Told the address of who connects; whom it does not admit gets a reset.
        """

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._accept((reader, writer), dial, admit)

        server = await asyncio.start_server(accept, sock=listener, limit=BUFFER)
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

    async def _accept(self, client: Streams, dial: Dial, admit: Callable[[object], bool]) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("connections are served in tasks")
        self._tasks.add(task)
        try:
            if not admit(client[1].get_extra_info("peername")):
                self.counts["stranger"] += 1
                _reset(client[1])
                return
            if len(self._tasks) > self._limits.connections:
                self.counts["busy"] += 1
                _reset(client[1])
                return
            _keep_alive(client[1])
            await self._serve(client, dial)
        except asyncio.CancelledError:
            _reset(client[1])  # only `stop` cancels, and it waits for nobody
        finally:
            self._tasks.discard(task)
            await _close(client[1])

    async def _serve(self, client: Streams, dial: Dial) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_s):
                enclave = await dial()
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


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    if connection.family in _INTERNET:
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
