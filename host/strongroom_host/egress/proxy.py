"""The HTTP CONNECT proxy through which enclaves reach venues. It carries bytes and reads none.

TLS ends inside the enclave: what passes here is ciphertext. The proxy answers 200 and joins the
two streams, or refuses with a status that says why:

| status | reason | counted as |
| --- | --- | --- |
| 400 | no HTTP request head, or no ``host:port`` | malformed |
| 403 | not on the allow-list, or it resolves to a private address | forbidden, private |
| 405 | a method other than CONNECT | method |
| 408 | the head did not arrive in time | slow |
| 431 | the head is longer than 8 KiB | oversized |
| 502 | the name does not resolve, or nothing answers there | unresolved, unreachable |
| 503 | too many tunnels | busy |
| 504 | connecting took too long | timeout |
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_host.egress.targets import (
    MAX_HEAD,
    InvalidTarget,
    MalformedConnect,
    MethodRefused,
    Place,
    Target,
    parse_connect,
    public_address,
    targets,
)
from strongroom_host.egress.tunnel import End, Flow, join
from strongroom_host.errors import BadInput, EnvironmentFault

__all__ = ["EgressLimits", "EgressProxy", "ListenFailed"]

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_BUFFER: Final = 64 * 1024
_LINGER_S: Final = 5.0


class ListenFailed(EnvironmentFault):
    """The proxy's socket cannot be bound."""


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """Times in seconds. `tunnels` counts every connection from its first byte. A mapped destination
    is the operator's own, where a dead peer shows by itself: it may be silent for longer."""

    tunnels: int = 256
    head_s: float = 10.0
    connect_s: float = 10.0
    idle_s: float = 120.0
    mapped_idle_s: float = 3600.0


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class EgressProxy:
    """One proxy, listening on a Unix socket, a TCP address, or both.

    Args:
        allow: Destinations as ``host:port``; everything else is refused.
        unix_path: Socket to listen on. A stale socket there is replaced; anything else is not.
        unix_mode: Permissions of that socket.
        tcp: Address to listen on; port 0 picks one (see `tcp_address`).
        mapping: Destinations that lead elsewhere, such as ``{"clob.testnet:443": ("127.0.0.1",
            port)}``; to an address or a Unix socket. Only these may lead to private addresses.
        limits: Times and counts.

    Attributes:
        counts: How often each reason of the table, ``opened``, and each end of a tunnel
            (``closed``, ``reset``, ``idle``) occurred; ``bytes_up`` and ``bytes_down``.
    """

    def __init__(
        self,
        allow: Iterable[str],
        *,
        unix_path: Path | None = None,
        unix_mode: int = 0o660,
        tcp: tuple[str, int] | None = None,
        mapping: Mapping[str, Place] | None = None,
        limits: EgressLimits | None = None,
    ) -> None:
        if unix_path is None and tcp is None:
            raise BadInput("the egress proxy needs a Unix socket or a TCP address")
        self._allowed, self._mapped = targets(allow, mapping or {})
        self._unix_path, self._unix_mode, self._tcp = unix_path, unix_mode, tcp
        self._limits = limits or EgressLimits()
        self._servers: list[asyncio.Server] = []
        self._tunnels: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

    @property
    def tcp_address(self) -> tuple[str, int]:
        """The TCP address listened on.

        Raises:
            BadInput: the proxy does not listen on TCP, or is not started.
        """
        for server in self._servers:
            for listener in server.sockets:
                if listener.family in (socket.AF_INET, socket.AF_INET6):
                    host, port = listener.getsockname()[:2]
                    return host, port
        raise BadInput("the egress proxy does not listen on TCP")

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenFailed: a socket cannot be bound; nothing is left listening.
        """
        try:
            if self._unix_path is not None:
                _remove_stale(self._unix_path)
                self._servers.append(
                    await asyncio.start_unix_server(
                        self._accept, str(self._unix_path), limit=MAX_HEAD
                    )
                )
                self._unix_path.chmod(self._unix_mode)
            if self._tcp is not None:
                host, port = self._tcp
                self._servers.append(
                    await asyncio.start_server(self._accept, host, port, limit=MAX_HEAD)
                )
        except OSError as error:
            await self.stop()
            raise ListenFailed(
                "the egress proxy cannot listen",
                expected=self._unix_path or self._tcp,
                actual=error,
            ) from error

    async def stop(self) -> None:
        """Stop listening and cut every tunnel."""
        for server in self._servers:
            server.close()
        for tunnel in list(self._tunnels):
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        if self._servers and self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)
        self._servers.clear()

    async def __aenter__(self) -> EgressProxy:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("connections are served in tasks")
        self._tunnels.add(task)
        try:
            await self._serve((reader, writer))
        except asyncio.CancelledError:
            writer.transport.abort()  # only `stop` cancels, and it does not wait for slow readers
        finally:
            self._tunnels.discard(task)
            await _close(writer)

    async def _serve(self, client: _Streams) -> None:
        remote: _Streams | None = None
        try:
            if len(self._tunnels) > self._limits.tunnels:
                raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy")
            target = await self._read_target(client[0])
            remote = await self._connect(target)
            client[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.counts["opened"] += 1
            limits = self._limits
            idle_s = limits.mapped_idle_s if target in self._mapped else limits.idle_s
            end = await self._tunnel(client, remote, idle_s)
            self.counts[end.value] += 1
        except _Refused as refused:
            self.counts[refused.reason] += 1
            await _refuse(client, refused)
        except OSError:
            self.counts[End.RESET.value] += 1
        finally:
            if remote is not None:
                await _close(remote[1])

    async def _tunnel(self, client: _Streams, remote: _Streams, idle_s: float) -> End:
        flow = Flow()
        try:
            return await join(client, remote, flow, idle_s)
        finally:
            self.counts["bytes_up"] += flow.up
            self.counts["bytes_down"] += flow.down

    async def _read_target(self, reader: asyncio.StreamReader) -> Target:
        try:
            async with asyncio.timeout(self._limits.head_s):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise _Refused(HTTPStatus.REQUEST_TIMEOUT, "slow") from None
        except asyncio.LimitOverrunError:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "oversized") from None
        except asyncio.IncompleteReadError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "malformed") from None
        if len(head) > MAX_HEAD:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "oversized")
        try:
            target = parse_connect(head)
        except MethodRefused:
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method") from None
        except (MalformedConnect, InvalidTarget):
            raise _Refused(HTTPStatus.BAD_REQUEST, "malformed") from None
        if target not in self._allowed:
            raise _Refused(HTTPStatus.FORBIDDEN, "forbidden")
        return target

    async def _connect(self, target: Target) -> _Streams:
        mapped = self._mapped.get(target)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                if mapped is not None:
                    return await _open_mapped(mapped)
                return await _open_first(await _resolve(target), target.port)
        except TimeoutError:
            raise _Refused(HTTPStatus.GATEWAY_TIMEOUT, "timeout") from None
        except OSError:
            raise _Refused(HTTPStatus.BAD_GATEWAY, "unreachable") from None


async def _resolve(target: Target) -> list[str]:
    """The public addresses of a destination, in the resolver's order.

    What was resolved is what is connected to: a second look-up could answer differently.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise _Refused(HTTPStatus.BAD_GATEWAY, "unresolved") from None
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    public = [address for address in addresses if public_address(address)]
    if not public:
        raise _Refused(HTTPStatus.FORBIDDEN, "private")
    return public


async def _open_first(addresses: list[str], port: int) -> _Streams:
    error: OSError | None = None
    for address in addresses:
        try:
            return await _open(address, port)
        except OSError as failed:
            error = failed
    raise error or OSError("no address")


async def _open_mapped(place: Place) -> _Streams:
    if isinstance(place, Path):
        return await asyncio.open_unix_connection(str(place), limit=_BUFFER)
    return await _open(*place)


async def _open(host: str, port: int) -> _Streams:
    reader, writer = await asyncio.open_connection(host, port, limit=_BUFFER)
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return reader, writer


async def _refuse(client: _Streams, refused: _Refused) -> None:
    status = refused.status
    body = f"egress: {refused.reason}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        client[1].write(head.encode() + body)
        client[1].write_eof()
        # Unread input makes the kernel reset the connection, and the answer with it.
        async with asyncio.timeout(1.0):
            while await client[0].read(_BUFFER):
                pass


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close after the last bytes went out, or soon: a peer that reads nothing is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(_LINGER_S):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except OSError:
        pass


def _remove_stale(path: Path) -> None:
    """Remove a socket nobody listens on.

    Raises:
        OSError: the path is something else, or in use.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(f"{path} is in use")
