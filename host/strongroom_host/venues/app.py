"""Every venue behind one TLS port, told apart by the host name that the client asks for."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Host, Route, Router

from strongroom_host.testnet.faults import Connections
from strongroom_host.venues.errors import ConfigError, Refused
from strongroom_host.venues.faults import Fault, FaultInjector, FaultKind, Faults
from strongroom_host.venues.history import plain
from strongroom_host.venues.venue import Call, Handler, Reply, Venue
from strongroom_host.venues.world import VenueClock, World

__all__ = ["ADMIN_HEADER", "ADMIN_HOST", "MAX_BODY", "build_app"]

MAX_BODY: Final = 64 * 1024
ADMIN_HEADER: Final = "X-Venues-Admin"
ADMIN_HOST: Final = "admin.venues"


class _Fault(msgspec.Struct, forbid_unknown_fields=True):
    kind: FaultKind
    path: str
    host: str = ""
    count: int = 1
    after: int = 0
    status: int = 502
    seconds: float = 0.0


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    advance_ms: int


def build_app(
    world: World,
    venues: Iterable[Venue],
    faults: Faults,
    clock: VenueClock,
    connections: Connections,
    admin_token: str,
) -> Starlette:
    """The venues as one ASGI application, with the operator's switches on a host of their own."""
    routes: list[BaseRoute] = []
    for venue in venues:
        router = Router(
            [
                _route(venue, method, path, handler, faults, clock)
                for method, path, handler in venue.routes()
            ]
            + [_route(venue, "", "/{rest:path}", _nothing(venue), faults, clock)]
        )
        routes += [Host(host, app=router) for host in venue.hosts]
    admin = _Admin(world, faults, clock, admin_token)
    routes.append(Host(ADMIN_HOST, app=Router(admin.routes())))
    return Starlette(
        routes=routes,
        middleware=[Middleware(FaultInjector, faults=faults, connections=connections)],
    )


def _nothing(venue: Venue) -> Handler:
    def handler(call: Call) -> object:
        raise venue.unknown(call)

    return handler


def _route(
    venue: Venue, method: str, path: str, handler: Handler, faults: Faults, clock: VenueClock
) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            body = await _read(request)
            call = Call(
                method=request.method,
                host=request.headers.get("host", "").rsplit(":", 1)[0].lower(),
                path=request.scope["raw_path"].decode("ascii"),
                query=request.scope["query_string"].decode("ascii", "replace"),
                headers=request.headers,
                body=body,
                places=request.path_params,
                now_ms=clock(),
                client=request.client.host if request.client else "",
                faults=faults,
            )
            return _answer(handler(call))
        except Refused as refusal:
            return _answer(Reply(refusal.body, refusal.headers), refusal.status)

    methods = [method] if method else ["GET", "POST", "PUT", "DELETE"]
    return Route(path, endpoint, methods=methods, name=f"{venue.name} {method} {path}")


def _answer(content: object, status: int = 200) -> Response:
    reply = content if isinstance(content, Reply) else Reply(content)
    raw = reply.content if isinstance(reply.content, bytes) else msgspec.json.encode(reply.content)
    return Response(raw, status, dict(reply.headers), reply.media_type)


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise Refused("request body too large", status=413, body={"msg": "body too large"})
        chunks.append(chunk)
    return b"".join(chunks)


class _Admin:
    """The operator's switches. None of this exists on a real venue."""

    def __init__(self, world: World, faults: Faults, clock: VenueClock, token: str) -> None:
        self._world, self._faults, self._clock, self._token = world, faults, clock, token

    def routes(self) -> list[Route]:
        return [
            Route("/faults", self._arm, methods=["POST"]),
            Route("/faults", self._clear, methods=["DELETE"]),
            Route("/clock", self._advance, methods=["POST"]),
            Route("/truth/{venue}/{name}", self._truth, methods=["GET"]),
        ]

    def _refusal(self, request: Request) -> Response | None:
        given = request.headers.get(ADMIN_HEADER, "")
        if hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        return _answer({"error": "not the operator"}, 401)

    async def _arm(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        try:
            given = msgspec.json.decode(await _read(request), type=_Fault)
            self._faults.arm(Fault(**msgspec.structs.asdict(given)))
        except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as error:
            return _answer({"error": f"invalid fault: {error}"}, 400)
        return _answer({"armed": given.kind.value})

    async def _clear(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        self._faults.clear()
        return _answer({"armed": None})

    async def _advance(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        try:
            given = msgspec.json.decode(await _read(request), type=_Clock)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return _answer({"error": f"invalid clock: {error}"}, 400)
        self._clock.advance(given.advance_ms)
        return _answer({"now_ms": self._clock()})

    async def _truth(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        places: Mapping[str, str] = request.path_params
        try:
            account = self._world.named(places["venue"], places["name"])
        except ConfigError as error:
            return _answer({"error": str(error)}, 404)
        return _answer(plain(account.history, self._clock()))
