"""A venue's answers: read from the connection as they come, carried back as one message.

The usual answer (a Content-Length, nothing special) is read by one expression; everything else is
h11's to judge, which reads the same bytes from the beginning.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

import h11

from strongroom_host.relay.reasons import Reason, Rejected
from strongroom_host.venue import VenueResponse

__all__ = ["MAX_ANSWER", "AnswerReader", "Answered"]

MAX_ANSWER: Final = 1024 * 1024
_MAX_HEAD: Final = 16 * 1024
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)\r\n"
)
_PLAIN: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n")
_SPECIAL: Final = re.compile(rb"\r\n(?:transfer-encoding|connection|upgrade):")
_LENGTHS: Final = b"\r\ncontent-length:"
_BODILESS: Final = frozenset({b"204", b"205", b"304"})
_PACKED: Final = struct.Struct(">HIQQ")


class Answered(NamedTuple):
    """A whole answer. `fields` are its header lines, each ``name: value`` and CRLF.

    `relay_ns` is how long the relay had the request before it was written, `upstream_ns` how long
    it was from there to the whole answer; nanoseconds, 0 for not known.
    """

    status: int
    fields: bytes
    body: bytes
    relay_ns: int = 0
    upstream_ns: int = 0

    def pack(self) -> bytes:
        """As it travels: status u16, length of the fields u32, the two times u64, fields, body."""
        head = _PACKED.pack(self.status, len(self.fields), self.relay_ns, self.upstream_ns)
        return head + self.fields + self.body

    @classmethod
    def unpack(cls, data: bytes) -> Answered:
        """The inverse of `pack`.

        Raises:
            Rejected: cut off, or no HTTP status.
        """
        if len(data) < _PACKED.size:
            raise Rejected(Reason.MALFORMED, "an answer that is cut off")
        status, size, relay_ns, upstream_ns = _PACKED.unpack_from(data)
        end = _PACKED.size + size
        if not 100 <= status <= 999 or len(data) < end:
            raise Rejected(Reason.MALFORMED, "an answer that is cut off")
        return cls(status, data[_PACKED.size : end], data[end:], relay_ns, upstream_ns)

    def response(self) -> VenueResponse:
        """The answer as `VenueConnection.exchange` would return it."""
        lines = self.fields.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers = tuple((name.lower(), value.strip(" \t")) for name, _, value in pairs)
        return VenueResponse(self.status, headers, self.body)


class AnswerReader:
    """Reads one answer. `reusable` says, once it is whole, whether the connection is good for more.

    Args:
        method: Of the request.
        max_body: Bytes.
    """

    __slots__ = ("_data", "_machine", "_max", "_method", "_whole", "reusable")

    def __init__(self, method: bytes, max_body: int = MAX_ANSWER) -> None:
        self._method, self._max = method, max_body
        self._data = b""
        self._whole = 0
        self._machine: _Careful | None = None
        self.reusable = False

    def feed(self, data: bytes) -> Answered | None:
        """The answer, once it is whole.

        Raises:
            Rejected: `UPSTREAM_NOT_HTTP` or `ANSWER_TOO_LONG`.
        """
        if self._machine is not None:
            return self._careful(data)
        self._data += data
        if len(self._data) < self._whole:
            return None
        head = _HEAD.match(self._data)
        if head is None:
            if b"\r\n\r\n" not in self._data and len(self._data) <= _MAX_HEAD:
                return None
            return self._hand_over()
        fields = b"\r\n" + head[2].lower()
        length = _PLAIN.search(fields)
        if (
            length is None
            or fields.count(_LENGTHS) != 1
            or _SPECIAL.search(fields)
            or head[1] in _BODILESS
        ):
            return self._hand_over()
        size = int(length[1])
        if size > self._max:
            raise Rejected(Reason.ANSWER_TOO_LONG, f"{size} bytes")
        self._whole = head.end() + size
        if len(self._data) < self._whole:
            return None
        self.reusable = len(self._data) == self._whole
        return Answered(int(head[1]), head[2], self._data[head.end() : self._whole])

    def end(self) -> None:
        """The stream ended before the answer was whole.

        Raises:
            Rejected: always: a connection that ends proves nothing about where the answer would.
        """
        what = "closed in the middle of an answer" if self._data else "closed without an answer"
        raise Rejected(Reason.UPSTREAM_BROKE, what)

    def _hand_over(self) -> Answered | None:
        self._machine = _Careful(self._method, self._max)
        return self._careful(self._data)

    def _careful(self, data: bytes) -> Answered | None:
        machine = self._machine
        if machine is None or (answer := machine.feed(data)) is None:
            return None
        self.reusable = machine.reusable
        return answer


class _Careful:
    """h11's reading of an answer."""

    __slots__ = ("_body", "_head", "_machine", "_max", "reusable")

    def __init__(self, method: bytes, max_body: int) -> None:
        self._machine = h11.Connection(h11.CLIENT)
        # For its state only: what was sent, has been sent.
        self._machine.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"-")]))
        self._machine.send(h11.EndOfMessage())
        self._max = max_body
        self._head: h11.Response | None = None
        self._body = bytearray()
        self.reusable = False

    def feed(self, data: bytes) -> Answered | None:
        machine = self._machine
        try:
            machine.receive_data(data)
            while True:
                event = machine.next_event()
                if isinstance(event, type):  # NEED_DATA; h11 pauses only after an end of message
                    return None
                if isinstance(event, h11.Response):
                    self._head = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > self._max:
                        raise Rejected(Reason.ANSWER_TOO_LONG, f"above {self._max} bytes")
                elif isinstance(event, h11.EndOfMessage):
                    return self._finish()
        except h11.RemoteProtocolError as error:
            raise Rejected(Reason.UPSTREAM_NOT_HTTP, error) from None

    def _finish(self) -> Answered:
        head, machine = self._head, self._machine
        if head is None:
            raise Rejected(Reason.UPSTREAM_NOT_HTTP, "no head")
        done = machine.our_state is h11.DONE and machine.their_state is h11.DONE
        self.reusable = done and not machine.trailing_data[0]
        fields = b"".join(b"%s: %s\r\n" % pair for pair in head.headers)
        return Answered(head.status_code, fields, bytes(self._body))
