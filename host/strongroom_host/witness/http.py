"""A witness over HTTP: `add-checkpoint` and the monitoring call of C2SP tlog-witness, `add-boot`.

Anybody may call. Nothing here is secret, and what a caller can bring about is for `signing` to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from strongroom_wire.encoding import MAX_STATEMENT

from strongroom_host.log.submissions import ADD_BOOT, ADD_CHECKPOINT, MAX_SUBMISSION, SIZE_TYPE
from strongroom_host.witness.errors import (
    MemoryBroken,
    Refusal,
    RequestMalformed,
    RequestTooLarge,
    SizeConflict,
)
from strongroom_host.witness.signing import Witness

__all__ = ["BODY_DEADLINE_S", "build_app"]

BODY_DEADLINE_S: Final = 15.0
"""How long a caller may take to send a body."""
_TEXT: Final = "text/plain; charset=utf-8"


def build_app(witness: Witness, report: Callable[[str], None] = lambda _line: None) -> Starlette:
    """The witness as an ASGI application; `report` is told of each refusal, in a line."""

    async def add_checkpoint(request: Request) -> Response:
        return await answer(request, MAX_SUBMISSION, witness.add_checkpoint)

    async def add_boot(request: Request) -> Response:
        def accept(body: bytes) -> bytes:
            return "".join(f"{key}\n" for key in witness.add_boot(body)).encode()

        return await answer(request, MAX_STATEMENT, accept)

    async def checkpoint(request: Request) -> Response:
        found = await run_in_threadpool(witness.checkpoint, request.path_params["origin"])
        if found is None:
            return _text(404, "no head of this log was cosigned here\n")
        return Response(found, headers={"Content-Type": _TEXT, "Cache-Control": "no-cache"})

    async def answer(request: Request, limit: int, decide: Callable[[bytes], bytes]) -> Response:
        try:
            body = await _body(request, limit)
            found = await run_in_threadpool(decide, body)
        except SizeConflict as error:
            return Response(f"{error.size}\n", error.status, {"Content-Type": SIZE_TYPE})
        except Refusal as error:
            report(f"{request.url.path}: {error.status}: {error.what}")
            return _text(error.status, f"{error.what}\n")
        except MemoryBroken as error:
            report(f"{error.what}: {error.actual}")
            return _text(503, "this witness cannot remember now, so it does not sign\n")
        return Response(found, headers={"Content-Type": _TEXT})

    async def other(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return _text(status, "no such call\n")

    return Starlette(
        routes=[
            Route(f"/{ADD_CHECKPOINT}", add_checkpoint, methods=["POST"]),
            Route(f"/{ADD_BOOT}", add_boot, methods=["POST"]),
            Route("/{origin}/checkpoint", checkpoint),
        ],
        exception_handlers={404: other, 405: other},
    )


async def _body(request: Request, limit: int) -> bytes:
    """The body, read no further than `limit` bytes and no longer than the deadline."""
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            async for chunk in request.stream():
                found += chunk
                if len(found) > limit:
                    raise RequestTooLarge("the body is too large", expected=limit)
    except TimeoutError as error:
        raise RequestMalformed("the body did not come in time") from error
    except ClientDisconnect as error:
        raise RequestMalformed("the caller went away") from error
    return bytes(found)


def _text(status: int, text: str) -> Response:
    return Response(text, status, {"Content-Type": _TEXT})
