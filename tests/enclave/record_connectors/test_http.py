"""HTTPS from inside: only the venue's hosts, only whole answers, and no venue keeps it waiting."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from strongroom_enclave import http as module
from strongroom_enclave.http import Http
from strongroom_enclave.tls import trust
from strongroom_enclave.venues import HOSTS, reachable
from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress

from tests.hostile.venue import Authority

AUTHORITY = Authority()
HOST = "api.bybit.com"
EGRESS = Egress(HOST, 443, (), (AUTHORITY.der,))
URL = f"https://{HOST}/v5/market/time"
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Serve = Callable[[ssl.SSLSocket, int], None]


class Peer:
    """A venue over socket pairs: `serve` gets each connection and its number."""

    def __init__(self, serve: Serve, host: str = HOST, authority: Authority = AUTHORITY) -> None:
        self.serve, self.context = serve, authority.server(host)
        self.dialled = 0
        self.heads: list[bytes] = []
        self.threads: list[threading.Thread] = []
        self.http = Http({HOST: EGRESS}, self.dial)

    def dial(self, venue: Egress) -> ssl.SSLSocket:
        self.dialled += 1
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=self._answer, args=(theirs, self.dialled), daemon=True)
        thread.start()
        self.threads.append(thread)
        try:
            return trust(venue).wrap_socket(ours, server_hostname=venue.host)
        except OSError:
            ours.close()
            raise

    def _answer(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError), self.context.wrap_socket(sock, server_side=True) as stream:
            self.serve(stream, number)

    def head(self, stream: ssl.SSLSocket) -> bytes:
        found = b""
        while not found.endswith(b"\r\n\r\n"):
            if not (byte := stream.recv(1)):
                raise ConnectionError
            found += byte
        self.heads.append(found)
        return found

    def get(self, url: str = URL, method: str = "GET", body: str = "") -> module.Answer:
        return self.http.request(method, url, {"X-Key": "secret-in-a-header"}, body)

    def refused(self, url: str = URL, method: str = "GET") -> Refused:
        with pytest.raises(Refused) as caught:
            self.get(url, method)
        shown = repr(caught.value) + str(caught.value)
        assert "secret" not in shown
        assert "/v5" not in shown
        return caught.value

    def close(self) -> None:
        self.http.close()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    found: list[Peer] = []
    yield found
    for peer in found:
        peer.close()


@pytest.fixture
def peer(peers: list[Peer]) -> Callable[..., Peer]:
    def make(answer: bytes | Serve, times: int = 1, **more: object) -> Peer:
        def serve(stream: ssl.SSLSocket, _: int) -> None:
            assert isinstance(answer, bytes)
            for _ in range(times):
                made.head(stream)
                stream.sendall(answer)

        made = Peer(serve if isinstance(answer, bytes) else answer, **more)  # type: ignore[arg-type]
        peers.append(made)
        return made

    return make


def test_a_request_names_its_host_and_keeps_its_connection(peer: Callable[..., Peer]) -> None:
    venue = peer(FINE, times=3)
    for _ in range(3):
        answer = venue.get()
        assert (answer.status, answer.body, answer.headers) == (200, b"{}", {"content-length": "2"})
    assert venue.dialled == 1
    assert venue.heads[0] == (
        b"GET /v5/market/time HTTP/1.1\r\nX-Key: secret-in-a-header\r\n"
        b"Host: api.bybit.com\r\nAccept-Encoding: identity\r\n\r\n"
    )


def test_status_and_headers_are_the_callers_business(peer: Callable[..., Peer]) -> None:
    venue = peer(b"HTTP/1.1 429 Slow\r\nRETRY-After: 7\r\nContent-Length: 0\r\n\r\n")
    answer = venue.get()
    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "7", b"")
    venue = peer(b"HTTP/1.1 302 X\r\nLocation: https://evil/\r\nContent-Length: 0\r\n\r\n")
    assert venue.get().status == 302
    assert venue.dialled == 1


def test_chunks_are_put_together(peer: Callable[..., Peer]) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    venue = peer(chunked + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", times=2)
    assert [venue.get().body, venue.get().body] == [b"{}", b"{}"]
    assert venue.dialled == 1


def test_a_venue_that_closes_is_dialled_again(peer: Callable[..., Peer]) -> None:
    venue = peer(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
    assert [venue.get().status, venue.get().status] == [200, 200]
    assert venue.dialled == 2


def test_a_stale_connection_is_replaced_once_and_for_a_get_only(peer: Callable[..., Peer]) -> None:
    venue = peer(FINE)  # says keep-alive, and closes
    assert [venue.get().status for _ in range(3)] == [200] * 3
    assert venue.dialled == 3
    venue.get()
    assert venue.refused(method="POST").code in (Code.VENUE_UNREACHABLE, Code.VENUE_TLS)
    assert venue.dialled == 4


def test_no_second_request_after_part_of_an_answer(peer: Callable[..., Peer]) -> None:
    def serve(stream: ssl.SSLSocket, _: int) -> None:
        venue.head(stream)
        stream.sendall(FINE)
        venue.head(stream)
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")

    venue = peer(serve)
    venue.get()
    assert venue.refused().code in (Code.VENUE_UNREACHABLE, Code.VENUE_TLS)
    assert (venue.dialled, len(venue.heads)) == (1, 2)


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (b"", (Code.VENUE_UNREACHABLE, Code.VENUE_TLS)),
        (b"garbage\r\n\r\n", (Code.VENUE_REFUSED,)),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", (Code.VENUE_UNREACHABLE,)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", (Code.VENUE_UNREACHABLE,)),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", (Code.VENUE_REFUSED,)),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, (Code.VENUE_REFUSED,)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
            (Code.VENUE_UNREACHABLE,),
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            (Code.VENUE_UNREACHABLE, Code.VENUE_REFUSED),
        ),
    ],
    ids=["nothing", "garbage", "no end", "short", "headers", "header", "half a chunk", "bad chunk"],
)
def test_half_an_answer_is_none(
    peer: Callable[..., Peer], answer: bytes, codes: tuple[Code, ...]
) -> None:
    assert peer(answer).refused().code in codes


def test_an_answer_has_a_longest(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_BODY", 1000)
    for size, fits in ((1000, True), (1001, False)):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        venue = peer(head + b"x" * size)
        if fits:
            assert len(venue.get().body) == size
        else:
            assert venue.refused().code is Code.VENUE_UNREACHABLE
    monkeypatch.setattr(module, "_MAX_ANSWER", 2000)
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000
    assert peer(endless).refused().code is Code.VENUE_UNREACHABLE


def test_a_venue_that_drips_is_not_waited_for(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0
    monkeypatch.setattr("strongroom_enclave.http.time.monotonic_ns", lambda: now * 10**6)

    def serve(stream: ssl.SSLSocket, _: int) -> None:
        venue.head(stream)
        nonlocal now
        while True:
            now += 1_000
            stream.sendall(b"H")

    venue = peer(serve)
    assert venue.refused().code is Code.VENUE_UNREACHABLE


def test_a_venue_that_never_comes_to_the_point_is_not_listened_to(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_ANSWER", 20_000)
    monkeypatch.setattr(module, "_DEADLINE_MS", 3_000)
    sent = 0

    def serve(stream: ssl.SSLSocket, _: int) -> None:
        nonlocal sent
        venue.head(stream)
        while True:
            stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 40)
            sent += 1_000

    venue = peer(serve)
    assert venue.refused().code is Code.VENUE_UNREACHABLE
    venue.close()
    assert sent < 1_000_000  # what fits in between, and no more


def test_a_silent_venue_is_not_waited_for(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DEADLINE_MS", 200)
    done = threading.Event()
    venue = peer(lambda stream, _: done.wait(5) and None)
    assert venue.refused().code is Code.VENUE_UNREACHABLE
    done.set()


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v5/market/time",
        "http://api.bybit.com/v5/market/time",
        "https://api.bybit.com:8443/v5",
        "https://api.bybit.com@evil.example/v5",
        "https://API.bybit.com/v5",
        "api.bybit.com/v5",
        "",
    ],
)
def test_no_other_host_is_asked(peer: Callable[..., Peer], url: str) -> None:
    venue = peer(FINE)
    assert venue.refused(url).code is Code.VENUE_NOT_ALLOWED
    assert venue.dialled == 0


@pytest.mark.parametrize("path", ["/v5 HTTP/1.1\r\nX: y", "/v5 x", "/v5\n", "/v5\u00e9", "/v5\t"])
def test_a_request_is_one_request(peer: Callable[..., Peer], path: str) -> None:
    venue = peer(FINE)
    assert venue.refused(f"https://{HOST}{path}").code is Code.INTERNAL
    with pytest.raises(Refused):
        venue.http.request("GET", URL, {"X": "a\r\nHost: other"}, "")
    assert venue.dialled == 0


def test_another_root_or_name_is_no_venue(peer: Callable[..., Peer]) -> None:
    assert peer(FINE, authority=Authority()).refused().code is Code.VENUE_TLS
    assert peer(FINE, host="api.binance.com").refused().code is Code.VENUE_TLS


def test_a_manifest_narrows_the_hosts_and_adds_none() -> None:
    assert reachable("binance") == {host: Egress(host, 443, (), ()) for host in HOSTS["binance"]}
    pinned = Egress("api.binance.com", 443, ("ab" * 32,), ())
    found = reachable("binance", [pinned])
    assert found["api.binance.com"] == pinned
    assert found.keys() == set(HOSTS["binance"])
    others = [Egress("api.bybit.com", 443, (), ()), Egress("clob.polymarket.com", 443, (), ())]
    assert reachable("binance", others) == reachable("binance")
    with pytest.raises(Refused) as caught:
        reachable("nowhere", [EGRESS])
    assert caught.value.code is Code.VENUE_NOT_ALLOWED
