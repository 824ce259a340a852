"""What all endpoint groups share: one call, its raw body, and the way refusals become answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from strongroom_host.testnet.auth import ApiKey
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.errors import ApiError, HeartbeatMismatch

__all__ = ["MAX_BODY", "Call", "Handler", "json_response", "route"]

MAX_BODY: Final = 512 * 1024


class BodyTooLarge(ApiError):
    """The request body exceeds what the server buffers."""

    status: ClassVar[int] = 413

    def __init__(self) -> None:
        super().__init__("request body too large", expected=MAX_BODY)


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose body was read whole, byte for byte as it was sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    parameters: Mapping[str, str]
    body: bytes

    def l2(self, clob: Clob) -> ApiKey:
        """The API key that authenticates this call.

        Raises:
            Unauthorized: none does.
        """
        return clob.auth.l2(self.headers, self.method, self.path, self.body, clob.now_s)


Handler = Callable[[Call], Awaitable[Response]]


def json_response(
    body: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`body` as compact JSON."""
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json",
    )


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise BodyTooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def route(clob: Clob, method: str, path: str, handler: Handler) -> Route:
    """A route that reads the body, lets time pass, and answers refusals as the venue does."""

    async def endpoint(request: Request) -> Response:
        try:
            call = Call(
                method=request.method,
                path=request.url.path,
                headers=request.headers,
                query=request.query_params,
                parameters=request.path_params,
                body=await _read(request),
            )
            clob.advance()
            return await handler(call)
        except HeartbeatMismatch as error:
            body = {"error_msg": error.what, "heartbeat_id": error.expected}
            return json_response(body, status=error.status)
        except ApiError as error:
            headers = {"Retry-After": "1"} if error.status == 429 else None
            return json_response({"error": error.what}, status=error.status, headers=headers)

    return Route(path, endpoint, methods=[method])
