"""A venue's bad days, on demand: what breaks on the way, and what a venue says that is not so.

A fault is armed for a host and a path and fires `count` times. Faults of the *way* concern the
answer as bytes; faults of the *word* change which rows a well-formed answer holds.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from strongroom_host.testnet.faults import Connections
from strongroom_host.venues.errors import ConfigError
from strongroom_host.venues.history import Fill, Flow, History, Move

__all__ = ["Fault", "FaultInjector", "FaultKind", "Faults", "alike", "disturbed"]

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
_Event = TypeVar("_Event", bound=Fill | Flow | Move)

_DAY_MS: Final = 86_400_000


class FaultKind(enum.Enum):
    """What goes wrong."""

    STATUS = "status"
    """Answered with `status` and an HTML page, as a gateway does that lost its origin."""
    DROP = "drop"
    """The connection is cut before an answer."""
    DELAY = "delay"
    """Answered `seconds` late."""
    TRUNCATE = "truncate"
    """The connection is cut in the middle of the body."""
    MALFORMED = "malformed"
    """The body ends in the middle, and its length says that this is all."""
    REPLAY = "replay"
    """The last good answer of this path comes again, whatever was asked for."""

    LOST = "lost"
    """An empty page where there are rows."""
    HOLE = "hole"
    """One row in the middle of the page is missing."""
    DOUBLED = "doubled"
    """One row comes twice."""
    FUTURE = "future"
    """Rows lie a day ahead of the venue's own clock."""
    FOREIGN = "foreign"
    """Rows of somebody else's account."""


_OF_THE_WAY: Final = frozenset(
    {
        FaultKind.STATUS,
        FaultKind.DROP,
        FaultKind.DELAY,
        FaultKind.TRUNCATE,
        FaultKind.MALFORMED,
        FaultKind.REPLAY,
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One armed fault. `host` empty means any; it meets paths that begin with `path`.

    `after` lets so many requests pass first.
    """

    kind: FaultKind
    path: str
    host: str = ""
    count: int = 1
    after: int = 0
    status: int = 502
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1 or self.after < 0 or not 400 <= self.status <= 599:
            raise ConfigError("a fault needs count >= 1, after >= 0, status 400 to 599")
        if not 0 <= self.seconds <= 600:
            raise ConfigError("a fault lasts 0 to 600 seconds", actual=self.seconds)


@dataclass(slots=True)
class Faults:
    """The armed faults, first armed first fired."""

    _armed: list[Fault] = field(default_factory=list)

    def arm(self, fault: Fault) -> None:
        """Add a fault."""
        self._armed.append(fault)

    def clear(self) -> None:
        """Forget every fault."""
        self._armed.clear()

    def of_the_way(self, host: str, path: str) -> Fault | None:
        """What this request meets as bytes, counted off."""
        return self._fire(host, path, way=True)

    def of_the_word(self, host: str, path: str) -> Fault | None:
        """What this request meets as rows, counted off."""
        return self._fire(host, path, way=False)

    def _fire(self, host: str, path: str, *, way: bool) -> Fault | None:
        for position, fault in enumerate(self._armed):
            if (fault.kind in _OF_THE_WAY) is not way or not path.startswith(fault.path):
                continue
            if fault.host not in ("", host):
                continue
            if fault.after:
                self._armed[position] = replace(fault, after=fault.after - 1)
                continue
            if fault.count == 1:
                del self._armed[position]
            else:
                self._armed[position] = replace(fault, count=fault.count - 1)
            return fault
        return None


def disturbed(fault: Fault, rows: Sequence[_Event], stranger: Sequence[_Event]) -> list[_Event]:
    """The rows of a page as a venue tells them under that fault."""
    found = list(rows)
    if fault.kind is FaultKind.LOST:
        return []
    if fault.kind is FaultKind.HOLE:
        del found[len(found) // 2 : len(found) // 2 + 1]
    elif fault.kind is FaultKind.DOUBLED:
        found[:1] = found[:1] * 2
    elif fault.kind is FaultKind.FUTURE:
        found = [replace(row, time_ms=row.time_ms + _DAY_MS) for row in found]
    elif fault.kind is FaultKind.FOREIGN:
        found = list(stranger[: len(found)])
    return found


def alike(history: History, page: Sequence[_Event]) -> list[Fill | Flow | Move]:
    """Rows of another history that could stand on that page."""
    instruments = {row.instrument for row in page if isinstance(row, Fill)}
    kinds = {row.kind for row in page if isinstance(row, Flow)}
    ways = {(row.source, row.target) for row in page if isinstance(row, Move)}
    found: list[Fill | Flow | Move] = [f for f in history.fills if f.instrument in instruments]
    found += [flow for flow in history.flows if flow.kind in kinds]
    found += [move for move in history.moves if (move.source, move.target) in ways]
    return found


class FaultInjector:
    """ASGI middleware in front of the venues."""

    def __init__(self, app: _App, faults: Faults, connections: Connections) -> None:
        self._app = app
        self._faults = faults
        self._connections = connections
        self._last: dict[tuple[str, str], list[_Message]] = {}

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass the request on, or do to its answer what the fault says."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        place = _host(scope), str(scope["path"])
        fault = self._faults.of_the_way(*place)
        held: list[_Message] = []

        async def hold(message: _Message) -> None:
            held.append(message)

        if fault is not None and fault.kind is FaultKind.STATUS:
            await _answer(send, fault.status)
            return
        if fault is not None and fault.kind is FaultKind.REPLAY and place in self._last:
            held = self._last[place]
        else:
            await self._app(scope, receive, hold)
            if held[0]["status"] == 200:
                self._last[place] = held
        if fault is None or fault.kind is FaultKind.REPLAY:
            await _pass_on(send, held)
        elif fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds)
            await _pass_on(send, held)
        elif fault.kind is FaultKind.DROP:
            await self._cut(scope, receive, flush=False)
        else:
            await self._halve(scope, receive, send, held, fault.kind)

    async def _halve(
        self, scope: _Scope, receive: _Receive, send: _Send, held: list[_Message], kind: FaultKind
    ) -> None:
        start, body = held[0], held[1]["body"]
        half = body[: len(body) // 2]
        if kind is FaultKind.MALFORMED:
            headers = [(n, v) for n, v in start["headers"] if n != b"content-length"]
            start = {**start, "headers": [*headers, (b"content-length", b"%d" % len(half))]}
            await send(start)
            await send({"type": "http.response.body", "body": half})
        else:
            await send(start)
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await self._cut(scope, receive, flush=True)

    async def _cut(self, scope: _Scope, receive: _Receive, *, flush: bool) -> None:
        self._connections.cut(tuple(scope["client"]), flush=flush)
        # uvicorn must have seen the loss before this returns, or it answers 500 by itself.
        while (await receive())["type"] != "http.disconnect":
            pass


def _host(scope: _Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            text: str = value.decode("latin-1").rsplit(":", 1)[0].lower()
            return text
    return ""


async def _pass_on(send: _Send, held: Sequence[_Message]) -> None:
    for message in held:
        await send(message)


async def _answer(send: _Send, status: int) -> None:
    body = b"<html><head><title>%d</title></head><body>bad gateway</body></html>" % status
    headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(body))]
    if status == 429:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
