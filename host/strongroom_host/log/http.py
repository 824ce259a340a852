"""A log over HTTP as C2SP tlog-tiles lays it out, so that any client of that document reads it.

Nothing here is trusted or secret: whoever reads verifies, and leaves disclose nothing.
"""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from strongroom_host.log.boots import BOOTS_INDEX, parse_boot_path
from strongroom_host.log.errors import PathMalformed
from strongroom_host.log.tiles import CHECKPOINT, WITNESSED, Tile
from strongroom_host.log.tree import Storage

__all__ = ["build_app"]

_UNCHANGING: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_CHANGING: Final = {"Cache-Control": "no-cache"}


def build_app(storage: Storage) -> Starlette:
    """The log in `storage` as an ASGI application: `/checkpoint`, `/tile/...`, the evidence of its
    boots under `/boots/`, and the last checkpoint with a quorum as `/witnessed`, GET and HEAD."""

    async def checkpoint(_request: Request) -> Response:
        return await _checkpoint(storage, CHECKPOINT)

    async def witnessed(_request: Request) -> Response:
        return await _checkpoint(storage, WITNESSED)

    async def tile(request: Request) -> Response:
        path = "tile/" + request.path_params["path"]
        try:
            Tile.parse(path)  # what is no tile's path never reaches the storage
        except PathMalformed:
            return Response("no such tile\n", 404, _CHANGING)
        data = await run_in_threadpool(storage.read, path)
        if data is None:
            return Response("no such tile\n", 404, _CHANGING)
        return Response(data, headers=_UNCHANGING, media_type="application/octet-stream")

    async def boot(request: Request) -> Response:
        path = "boots/" + request.path_params["path"]
        known = path == BOOTS_INDEX or parse_boot_path(path) is not None
        data = await run_in_threadpool(storage.read, path) if known else None
        if data is None:
            return Response("no such evidence\n", 404, _CHANGING)
        kind = "application/json" if path != BOOTS_INDEX else "text/plain; charset=utf-8"
        return Response(data, headers=_CHANGING, media_type=kind)

    return Starlette(
        routes=[
            Route(f"/{CHECKPOINT}", checkpoint),
            Route(f"/{WITNESSED}", witnessed),
            Route("/tile/{path:path}", tile),
            Route("/boots/{path:path}", boot),
        ],
    )


async def _checkpoint(storage: Storage, path: str) -> Response:
    data = await run_in_threadpool(storage.read, path)
    if data is None:
        return Response("no such checkpoint was published yet\n", 404, _CHANGING)
    return Response(data, headers=_CHANGING, media_type="text/plain; charset=utf-8")
