"""Two ASGI applications: what readers ask, and what the operator's monitoring asks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.telemetry import TelemetryConfig
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from strongroom_host.errors import HostError
from strongroom_host.gateway.access import Gate
from strongroom_host.gateway.counting import CONTENT_TYPE, Counts
from strongroom_host.gateway.cursors import Cursors
from strongroom_host.gateway.errors import UnsafeAddress
from strongroom_host.gateway.guarding import Guard
from strongroom_host.gateway.keys import KeyStore
from strongroom_host.gateway.limits import Buckets, Rate
from strongroom_host.gateway.problems import PROBLEM_TYPE, Problem
from strongroom_host.gateway.reading import Reader
from strongroom_host.gateway.routes import Interface, routes
from strongroom_host.gateway.tokens import TokenSigner
from strongroom_host.log.tree import Storage

__all__ = ["Gateway", "Limits"]

_VERSION: Final = "1.0.0"
_SILENT: Final = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)
"""The framework would else tell whatever OpenTelemetry finds in the environment who asked what."""
_FRONT: Final = """\
Strongroom gateway: what was disclosed of track records, and the evidence for it.

/openapi.json       what can be asked under /v1/, and how
/v1/accounts        with a key: Authorization: Bearer srk_... (whoever runs this gateway makes it)
/v1/completeness    what completeness means, and does not
/v1/log/checkpoint  the record's log, for anybody (C2SP tlog-tiles)
/health/ready       whether it can be asked

Nothing said here has to be believed: `strongroom record prove --gateway` puts one return into a
file, and `strongroom record verify` proves it without asking anybody.
"""
"""A page for whoever opens the address; it has no scripts, as nothing here has."""
_REFUSALS: Final = {
    400: "A cursor of another listing",
    401: "No key or token in force",
    403: "A key for something else",
    404: "Nothing there, or nothing that this key may see",
    413: "A request that is too large",
    422: "A parameter that is not what it should be",
    429: "Too many requests; Retry-After says when",
    500: "The gateway is at fault",
    503: "The database cannot be reached; Retry-After says when to ask again",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a key and an address may ask."""

    key: Rate
    address: Rate


class Gateway:
    """Both applications over one set of keys, one reader and one set of counts.

    `clock` returns ms since the epoch; `log` is served as it is, and from `log_folder` proofs are
    made; `origins` are those of web pages that may ask.

    Raises:
        UnsafeAddress: an origin is none, or is all of them.
    """

    def __init__(
        self,
        keys: KeyStore,
        reader: Reader,
        clock: Callable[[], int],
        limits: Limits,
        *,
        log: Storage | None = None,
        log_folder: Path | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        self._keys = keys
        self._reader = reader
        self._clock = clock
        self.counts = Counts()
        tokens = TokenSigner(keys.secret("tokens"))
        gate = Gate(keys, tokens, Buckets(limits.key), clock)
        cursors = Cursors(keys.secret("cursors"))
        interface = Interface(gate, reader, tokens, cursors, log, clock, log_folder)
        self.app = _Documented(
            title="Strongroom gateway",
            version=_VERSION,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            telemetry=_SILENT,
        )
        # Guard alone makes refusals of errors, so that all of them have one shape and are counted.
        self.app.add_exception_handler(RequestValidationError, _raise)
        self.app.add_exception_handler(HTTPException, _raise)
        self.app.include_router(routes(interface), responses=_responses())
        self._add_front()
        self._add_health()
        self.app.add_middleware(
            Guard, addresses=Buckets(limits.address), counts=self.counts, clock=clock
        )
        if origins:
            self._allow(origins)

    @property
    def monitoring(self) -> Starlette:
        """`/metrics` alone: for a port that readers do not reach."""

        def metrics(_request: Request) -> Response:
            text = self.counts.text(database_ready=self._ready(), active_keys=self._active())
            return Response(text, media_type=CONTENT_TYPE)

        return Starlette(routes=[Route("/metrics", metrics)])

    def _add_front(self) -> None:
        @self.app.get("/", include_in_schema=False)
        async def front() -> Response:
            return Response(_FRONT, media_type="text/plain; charset=utf-8")

    def _add_health(self) -> None:
        @self.app.get("/health/live", summary="The process answers", response_class=Response)
        async def live() -> Response:
            return Response("alive\n", media_type="text/plain")

        @self.app.get(
            "/health/ready",
            summary="It can be asked: the database answers, and may do nothing else",
            response_class=Response,
            responses={503: {"description": "It cannot; why is for its operator to see"}},
        )
        async def ready() -> Response:
            fit = await run_in_threadpool(self._ready)
            return Response("ready\n" if fit else "not ready\n", 200 if fit else 503,
                            media_type="text/plain")  # fmt: skip

    def _ready(self) -> bool:
        try:
            self._reader.check()
            self._keys.listed()
        except HostError:
            return False
        return True

    def _active(self) -> int:
        now_ms = self._clock()
        return sum(key.state(now_ms) == "active" for key in self._keys.listed())

    def _allow(self, origins: Sequence[str]) -> None:
        for origin in origins:
            scheme, _, host = origin.partition("://")
            if scheme not in ("https", "http") or not host or "*" in origin or "/" in host:
                raise UnsafeAddress(
                    f"{origin!r} is no web page's origin",
                    expected="https://HOST, without a path and without *",
                )
        # Outside of Guard, so that a page can read why it was refused. Without credentials: keys
        # are headers, and no cookie means anything here.
        self.app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "If-None-Match", "X-API-Key"],
            expose_headers=["ETag", "Link", "Retry-After", "X-RateLimit-Limit",
                            "X-RateLimit-Remaining", "X-RateLimit-Reset"],
        )  # fmt: skip


class _Documented(FastAPI):
    """Its description has our refusals in the place of the framework's."""

    def openapi(self) -> dict[str, Any]:
        """Returns the OpenAPI document."""
        if not self.openapi_schema:
            made = get_openapi(title=self.title, version=self.version, routes=self.routes)
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["Problem"] = Problem.model_json_schema()
            self.openapi_schema = made
        return self.openapi_schema


def _responses() -> dict[int | str, dict[str, Any]]:
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": text, "content": content} for status, text in _REFUSALS.items()}


def _raise(_request: Request, error: Exception) -> Response:
    raise error
