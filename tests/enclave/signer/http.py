"""A request as an independent HTTP/1.1 implementation (h11, a server's side) reads it."""

from typing import NamedTuple

import h11

__all__ = ["Parsed", "parse"]


class Parsed(NamedTuple):
    """A request; header names in lower case, each exactly once."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def parse(request: bytes) -> Parsed:
    """Return the one request in these bytes, or fail: nothing may be missing or left over."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(request)
    head = connection.next_event()
    assert isinstance(head, h11.Request), head
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    assert connection.trailing_data == (b"", False)
    names = [name for name, _ in head.headers]
    assert len(set(names)) == len(names), names
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Parsed(head.method.decode(), head.target.decode(), headers, body)
