"""Faults on demand: the answers a client gets on a bad day.

A `Fault` is armed for a method and path and fires `count` times. *After* faults process the
request first, so that the outcome exists and only the client does not know it.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from strongroom_host.testnet.errors import ConfigError

__all__ = ["Connections", "Fault", "FaultInjector", "FaultKind", "Faults"]

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
_Peer = tuple[str, int]


class FaultKind(enum.Enum):
    """What happens to the request."""

    DROP_BEFORE = "drop_before"
    """The connection is cut; nothing was processed."""
    DROP_AFTER = "drop_after"
    """Processed, then the connection is cut without an answer."""
    DELAY_BEFORE = "delay_before"
    """Processed `seconds` late."""
    DELAY_AFTER = "delay_after"
    """Processed at once, answered `seconds` late."""
    STATUS_BEFORE = "status_before"
    """Answered with `status`; nothing was processed."""
    STATUS_AFTER = "status_after"
    """Processed, then answered with `status` as a gateway does that lost its origin."""
    TRUNCATE = "truncate"
    """Processed, then cut in the middle of the answer's body."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One armed fault. `path` is exact; `seconds` and `status` belong to some kinds only."""

    kind: FaultKind
    method: str = "POST"
    path: str = "/order"
    count: int = 1
    status: int = 502
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1 or not 400 <= self.status <= 599 or not 0 <= self.seconds <= 600:
            raise ConfigError("a fault needs count >= 1, status 400 to 599, 0 to 600 seconds")


class Faults:
    """The armed faults, first armed first fired."""

    def __init__(self) -> None:
        self._armed: list[tuple[Fault, int]] = []

    def arm(self, fault: Fault) -> None:
        """Add a fault."""
        self._armed.append((fault, fault.count))

    def clear(self) -> None:
        """Forget every fault."""
        self._armed.clear()

    def fire(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted off."""
        for position, (fault, left) in enumerate(self._armed):
            if (fault.method, fault.path) == (method, path):
                if left == 1:
                    del self._armed[position]
                else:
                    self._armed[position] = (fault, left - 1)
                return fault
        return None


class Connections:
    """The transports of open connections by peer, since ASGI gives no way to cut one."""

    def __init__(self) -> None:
        self._transports: dict[_Peer, asyncio.Transport] = {}

    def __len__(self) -> int:
        return len(self._transports)

    def protocol(self) -> type[H11Protocol]:
        """A uvicorn protocol class that enters its connections here."""
        transports = self._transports

        class TrackedProtocol(H11Protocol):
            def connection_made(  # type: ignore[override]  # as uvicorn itself narrows it
                self, transport: asyncio.Transport
            ) -> None:
                super().connection_made(transport)
                if self.client is not None:
                    transports[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    transports.pop(self.client, None)
                super().connection_lost(exc)

        return TrackedProtocol

    def cut(self, peer: _Peer, *, flush: bool) -> None:
        """Close the connection of `peer`; without `flush`, unsent bytes are thrown away."""
        transport = self._transports.get(peer)
        if transport is not None:
            if flush:
                transport.close()
            else:
                transport.abort()


class FaultInjector:
    """ASGI middleware in front of the application."""

    def __init__(self, app: _App, faults: Faults, connections: Connections) -> None:
        self._app = app
        self._faults = faults
        self._connections = connections

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass the request on, or do to it what the fault says."""
        fault = (
            self._faults.fire(scope["method"], scope["path"]) if scope["type"] == "http" else None
        )
        if fault is None:
            await self._app(scope, receive, send)
            return
        kind = fault.kind
        if kind is FaultKind.DELAY_BEFORE:
            await asyncio.sleep(fault.seconds)
            await self._app(scope, receive, send)
            return
        if kind is FaultKind.DROP_BEFORE:
            await self._cut(scope, receive, flush=False)
            return
        if kind is FaultKind.STATUS_BEFORE:
            await _answer(send, fault.status)
            return
        held: list[_Message] = []

        async def hold(message: _Message) -> None:
            held.append(message)

        await self._app(scope, receive, hold)
        if kind is FaultKind.DROP_AFTER:
            await self._cut(scope, receive, flush=False)
        elif kind is FaultKind.STATUS_AFTER:
            await _answer(send, fault.status)
        elif kind is FaultKind.TRUNCATE:
            start, body = held[0], held[1]
            await send(start)
            half = body["body"][: len(body["body"]) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await self._cut(scope, receive, flush=True)
        else:
            await asyncio.sleep(fault.seconds)
            for message in held:
                await send(message)

    async def _cut(self, scope: _Scope, receive: _Receive, *, flush: bool) -> None:
        self._connections.cut(tuple(scope["client"]), flush=flush)
        # uvicorn must have seen the loss before this returns, or it answers 500 by itself.
        while (await receive())["type"] != "http.disconnect":
            pass


async def _answer(send: _Send, status: int) -> None:
    body = b'{"error":"injected fault"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 429:
        headers += [(b"retry-after", b"1"), (b"poly-ratelimit-remaining", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
