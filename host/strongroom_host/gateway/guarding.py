"""What holds for every request whatever it asks: sizes, addresses' limits, headers, counting.

Outermost, so that nothing is answered without it: not a refusal, and not a defect.
"""

import sys
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strongroom_host.gateway.counting import Counts
from strongroom_host.gateway.errors import BodyTooLarge, TooManyRequests
from strongroom_host.gateway.limits import Buckets, Left, place_of
from strongroom_host.gateway.problems import code_of, problem

__all__ = ["LEFT", "MAX_BODY", "SECURITY_HEADERS", "Guard"]

MAX_BODY: Final = 4096
LEFT: Final = "strongroom.left"
"""Where in a request's scope its key's bucket is, for the headers."""

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_STRICT: Final = "max-age=31536000"
_DESCRIBED: Final = '</v1/completeness>; rel="describedby"'


class Guard:
    """ASGI middleware; `clock` returns ms since the epoch."""

    def __init__(
        self, app: ASGIApp, addresses: Buckets, counts: Counts, clock: Callable[[], int]
    ) -> None:
        self._app = app
        self._addresses = addresses
        self._counts = counts
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        started, status, brought = self._clock(), 0, 0
        headers = Headers(scope=scope)

        async def counted() -> Message:
            nonlocal brought
            message = await receive()
            brought += len(message.get("body", b""))
            if brought > MAX_BODY:
                raise _too_large(brought)
            return message

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._dress(scope, MutableHeaders(scope=message))
            await send(message)

        try:
            place = place_of((scope.get("client") or ("nowhere", 0))[0])
            scope[LEFT] = self._addresses.take(place, started)
            length = headers.get("content-length", "0")
            if not length.isdecimal() or int(length) > MAX_BODY:
                raise _too_large(length)
            await self._app(scope, counted, guarded)
        except Exception as raised:  # noqa: BLE001  whatever it is, no text of it leaves
            # The framework has an error of its own for a body that ended in one.
            error = _too_large(brought) if brought > MAX_BODY else raised
            code = code_of(error)
            self._counts.refusal(code)
            if isinstance(error, TooManyRequests):
                scope[LEFT] = Left(error.limit, 0, error.retry_after)
            if code == "defect":
                # Its class alone: the text may hold what somebody asked for.
                sys.stderr.write(f"gateway: defect: {type(error).__name__}\n")
            if not status:
                await problem(error)(scope, receive, guarded)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            took = max(0, self._clock() - started)
            self._counts.request(str(route), str(scope["method"]), status, took)

    def _dress(self, scope: Scope, headers: MutableHeaders) -> None:
        for name, value in SECURITY_HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
        headers.append("Link", _DESCRIBED)
        if scope.get("scheme") == "https":
            headers["Strict-Transport-Security"] = _STRICT
        if (left := scope.get(LEFT)) is not None:
            for name, value in left.headers.items():
                headers[name] = value


def _too_large(actual: object) -> BodyTooLarge:
    return BodyTooLarge(
        "the request is too large", expected=f"at most {MAX_BODY} bytes", actual=actual
    )
