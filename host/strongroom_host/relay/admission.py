"""What the relay forwards: exactly one plain request to its venue, of a method and path it knows.

Narrower than HTTP/1.1 allows, so that no two readers of the same bytes can disagree about where the
request ends: one Host, at most one Content-Length, no transfer coding, no folded lines.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from strongroom_host.relay.reasons import Reason, Rejected

__all__ = ["CANCELS", "FORWARDED", "MAX_REQUEST", "Admitted", "Gate"]

MAX_REQUEST: Final = 64 * 1024
_MAX_HEAD: Final = 8 * 1024

CANCELS: Final = (
    "DELETE /order",
    "DELETE /orders",
    "DELETE /cancel-all",
    "DELETE /cancel-market-orders",
)
"""What only takes orders back. These alone may be left with the relay for later."""

FORWARDED: Final = (
    "POST /order",
    "POST /orders",
    *CANCELS,
    "POST /v1/heartbeats",
    "GET /data/order/0x{64 hex digits}",
    "GET /data/orders[?next_cursor=...]",
    "GET /data/trades[?next_cursor=...]",
)
"""The enclave's own requests; nothing else has a reason to come this way."""

_FIXED: Final = {
    line.encode(): line in CANCELS for line in FORWARDED if not line.startswith("GET ")
}
_QUERY: Final = re.compile(
    rb"GET /data/(?:order/0x[0-9a-f]{64}"
    rb"|(?:orders|trades)(?:\?next_cursor=[A-Za-z0-9%/_=-]{0,300})?)"
)
_HEAD: Final = re.compile(
    # Possessive: no byte can be matched in two ways, so nothing is ever tried again.
    rb"([A-Z]++ [!-~]++) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~]*+\r\n)++)\r\n"
)
_TELLING: Final = re.compile(
    rb"\r\n(host|content-length|connection|transfer-encoding|expect|upgrade|te|trailer):([^\r\n]*)"
)
_SIGNED: Final = b"\r\nPOLY_SIGNATURE: "
_REST: Final = re.compile(
    rb"\r\nPOLY_SIGNATURE: [A-Za-z0-9_=-]{1,128}\r\nPOLY_TIMESTAMP: [0-9]{1,16}"
    rb"\r\nContent-Length: ([0-9]{1,6})\r\n\r\n"
)
_MAX_KNOWN: Final = 64
_DIGITS: Final = re.compile(rb"[0-9]{1,6}")


class Admitted(NamedTuple):
    """A request that may go: its method, method and path (`line`), and whether it only cancels."""

    method: bytes
    line: bytes
    cancels: bool


class Gate:
    """Lets requests for one venue through.

    The enclave's requests of one kind begin with the same bytes, up to the signature. What was
    looked at whole once is not looked at again: a beginning that was part of an admitted request,
    and after it nothing but signature, time and length, is admitted for that. The length has to
    come after it: so it is not in the beginning, where it would be a second one.

    Args:
        host: The name that the Host header has to carry, with or without `port`.
        port: The venue's port.
        max_request: Bytes.
    """

    __slots__ = ("_hosts", "_known", "_last", "max_request")

    def __init__(self, host: str, port: int, max_request: int = MAX_REQUEST) -> None:
        name = host.lower().encode()
        self._hosts = (name, b"%s:%d" % (name, port))
        self._known: dict[bytes, Admitted] = {}
        self._last: tuple[bytes, Admitted] | None = None
        self.max_request = max_request

    def admit(self, request: bytes) -> Admitted:
        """What was asked for, proven to be one whole request that may be forwarded.

        Raises:
            Rejected: `REQUEST_TOO_LONG`, `NOT_A_REQUEST`, `WRONG_HOST` or `NOT_ALLOWED`.
        """
        if len(request) > self.max_request:
            raise Rejected(Reason.REQUEST_TOO_LONG, f"{len(request)} bytes")
        last = self._last
        if last is not None and request.startswith(last[0]):
            at = len(last[0])  # quicker than finding it; the beginning has no signature before it
            if _rest_is_plain(request, at):
                return last[1]
        at = request.find(_SIGNED, 0, _MAX_HEAD)
        plain = at > 0 and _rest_is_plain(request, at)
        beginning = request[:at] if plain else b""
        admitted = self._known.get(beginning) or self._examine(request)
        if plain:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[beginning] = admitted
            self._last = (beginning, admitted)
        return admitted

    def _examine(self, request: bytes) -> Admitted:
        """As `admit`, for a request within its size, of which nothing is known."""
        head = _HEAD.match(request, 0, _MAX_HEAD)
        if head is None:
            raise Rejected(Reason.NOT_A_REQUEST, "no whole head")
        # The line's end comes before the first header, so that each is found behind a line's end.
        self._check(_TELLING.findall(b"\r\n" + head[2].lower()), len(request) - head.end())
        line = head[1]
        cancels = _FIXED.get(line)
        if cancels is None:
            if not _QUERY.fullmatch(line):
                raise Rejected(Reason.NOT_ALLOWED, line[:80].decode("ascii"))
            cancels = False
        return Admitted(line.partition(b" ")[0], line, cancels)

    def _check(self, fields: list[tuple[bytes, bytes]], length: int) -> None:
        """Proves the fields that say where the request goes and where it ends."""
        hosts = 0
        stated: int | None = None
        for name, padded in fields:
            value = padded.strip(b" \t")
            if name == b"host":
                hosts += 1
                if hosts > 1:
                    raise Rejected(Reason.NOT_A_REQUEST, "two Host headers")
                if value not in self._hosts:
                    raise Rejected(Reason.WRONG_HOST, value[:80].decode("ascii"))
            elif name == b"content-length":
                if stated is not None or not _DIGITS.fullmatch(value):
                    raise Rejected(Reason.NOT_A_REQUEST, "an unclear Content-Length")
                stated = int(value)
            elif name != b"connection":
                raise Rejected(Reason.NOT_A_REQUEST, "a header that changes where it ends")
            elif value != b"keep-alive":
                raise Rejected(Reason.NOT_A_REQUEST, "a connection that does not stay")
        if not hosts:
            raise Rejected(Reason.NOT_A_REQUEST, "no Host header")
        if (stated or 0) != length:
            what = f"a body of {length} bytes instead of {stated or 0}"
            raise Rejected(Reason.NOT_A_REQUEST, what)


def _rest_is_plain(request: bytes, at: int) -> bool:
    """Whether signature, time, length and a body of that length follow, and nothing else."""
    rest = _REST.match(request, at)
    return rest is not None and len(request) - rest.end() == int(rest[1])
