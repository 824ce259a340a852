"""The way out: HTTP CONNECT over an inherited connection, to a proxy that is the host's."""

import socket
from collections.abc import Callable
from threading import Thread

import pytest
from strongroom_enclave.platform.links import open_tunnel

# A process that got no tunnel ends, and the connection with it.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def through(answer: bytes, then: Callable[[socket.socket], None] | None = None) -> bytes:
    """Returns what the proxy was asked, after the tunnel was opened with this answer."""
    ours, theirs = socket.socketpair()
    asked: list[bytes] = []

    def proxy() -> None:
        with theirs:
            asked.append(theirs.recv(1000))
            theirs.sendall(answer)
            if then:
                then(theirs)

    thread = Thread(target=proxy)
    thread.start()
    try:
        with open_tunnel(ours, "venue.test", 8443, 5.0) as tunnel:
            assert tunnel.gettimeout() == 5.0
            if then:
                assert tunnel.recv(5) == b"hello"
    finally:
        thread.join()
    return asked[0]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 Yes\r\nVia: x\r\n\r\n"]
)
def test_it_asks_for_the_venue_and_takes_200(answer: bytes) -> None:
    wanted = b"CONNECT venue.test:8443 HTTP/1.1\r\nHost: venue.test:8443\r\n\r\n"
    assert through(answer) == wanted


def test_what_follows_the_head_is_left_for_tls() -> None:
    through(b"HTTP/1.1 200 OK\r\n\r\nhello", lambda sock: None)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        b"HTTP/1.1 407 X\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b" HTTP/1.1 200 OK\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    ],
)
def test_anything_else_is_no_tunnel(answer: bytes) -> None:
    with pytest.raises(OSError):  # noqa: PT011  which one depends on who closes first
        through(answer)


def test_a_silent_proxy_is_not_waited_for_long() -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(TimeoutError):
        open_tunnel(ours, "venue.test", 443, 0.01)
