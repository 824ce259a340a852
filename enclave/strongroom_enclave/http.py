"""HTTPS to a venue's hosts, one request at a time; every byte and every second is bounded.

No error here names a path, a header or a body: signatures, symbols and balances are in them.
"""

import http.client
import ssl
import time
from collections.abc import Callable, Mapping
from io import BufferedReader, RawIOBase
from typing import Any, Final, cast

from msgspec import Struct
from strongroom_wire.errors import Code, Refused, require
from strongroom_wire.manifest import Egress

# Opens a TLS connection to a venue: `strongroom_enclave.tls.connected` over one to the proxy.
Dial = Callable[[Egress], ssl.SSLSocket]

_MAX_BODY: Final = 16 * 1024 * 1024
_MAX_ANSWER: Final = _MAX_BODY + 1024 * 1024
_DEADLINE_MS: Final = 30_000
_SCHEME: Final = "https://"
# The first that fits.
_CODES: Final = (
    (ssl.SSLError, Code.VENUE_TLS),
    ((OSError, http.client.IncompleteRead), Code.VENUE_UNREACHABLE),
    (Exception, Code.VENUE_REFUSED),
)


class Answer(Struct, frozen=True):
    """What a venue answered, of whatever status. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Wire(RawIOBase):
    """A connection's bytes up to a time and a number: a venue that drips has no more than that."""

    def __init__(self, stream: ssl.SSLSocket) -> None:
        self._stream, self._room, self.begun = stream, _MAX_ANSWER, False
        self._end_ns = time.monotonic_ns() + _DEADLINE_MS * 1_000_000

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_ns = self._end_ns - time.monotonic_ns()
        if left_ns <= 0 or self._room <= 0:
            raise TimeoutError("too slow or too long")
        self._stream.settimeout(left_ns / 1_000_000_000)
        count = self._stream.recv_into(buffer)
        self._room -= count
        self.begun = self.begun or count > 0
        return count

    def makefile(self, _mode: str) -> BufferedReader:
        """Returns itself, buffered: the part of a socket that `http.client` asks for."""
        return BufferedReader(self)


def exchange(
    dial: Callable[[], ssl.SSLSocket], request: bytes
) -> tuple[Answer, ssl.SSLSocket | None]:
    """Returns the answer to one whole request, and the connection where it can be used again.

    Redirects are answers like any other.

    Raises:
        Refused: VENUE_TLS; VENUE_UNREACHABLE when there is no whole answer in time; VENUE_REFUSED
            when it is no HTTP or too long.
    """
    stream = wire = None
    try:
        stream = dial()
        stream.settimeout(_DEADLINE_MS / 1000)
        wire = _Wire(stream)
        stream.sendall(request)
        response = http.client.HTTPResponse(cast(Any, wire))
        response.begin()
        body = response.read(_MAX_BODY)
        # An end that is not marked could be anywhere: whoever cuts the connection sets it.
        if not (response.isclosed() and (response.chunked or response.length == 0)):
            raise http.client.IncompleteRead(b"")
        headers = {name.lower(): value for name, value in response.getheaders()}
        kept, stream = (None, stream) if response.will_close else (stream, None)
        return Answer(response.status, headers, body), kept
    except (OSError, http.client.HTTPException) as error:
        code = next(code for kinds, code in _CODES if isinstance(error, kinds))
        kind = Refused if wire is None or wire.begun else _StaleConnection
        raise kind(code, "venue", "an answer", type(error).__name__) from error
    finally:
        if stream:
            stream.close()


class Http:
    """A client for the hosts that it is given, with one connection to each kept open."""

    def __init__(self, hosts: Mapping[str, Egress], dial: Dial) -> None:
        self._hosts, self._dial = hosts, dial
        self._open: dict[str, ssl.SSLSocket] = {}

    def close(self) -> None:
        """Closes every connection."""
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    def request(self, method: str, url: str, headers: Mapping[str, str], body: str) -> Answer:
        """Returns the answer to one request.

        A connection that the venue closed while it was idle is replaced once, for a GET.

        Raises:
            Refused: VENUE_NOT_ALLOWED for any other host; else as `exchange`.
        """
        host, _, path = url.removeprefix(_SCHEME).partition("/")
        require(url.startswith(_SCHEME) and host in self._hosts, Code.VENUE_NOT_ALLOWED, "host")
        payload = body.encode()
        fields = {**headers, "Host": host, "Accept-Encoding": "identity"}
        if payload or method != "GET":
            fields["Content-Length"] = str(len(payload))
        lines = [f"{method} /{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        plain = all(line.isascii() and line.isprintable() for line in lines)
        require(plain and lines[0].count(" ") == 2, Code.INTERNAL, "characters of a request")
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + payload
        kept = self._open.pop(host, None)
        try:
            answer, stream = exchange(lambda: kept or self._dial(self._hosts[host]), request)
        except _StaleConnection:
            if kept is None or method != "GET":
                raise
            answer, stream = exchange(lambda: self._dial(self._hosts[host]), request)
        if stream:
            self._open[host] = stream
        return answer


class _StaleConnection(Refused):
    """Nothing of an answer came: the venue may have closed the connection before the request."""
