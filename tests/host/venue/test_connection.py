"""Sending once: what is certain after every way an exchange can end."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.pins import PinSet, pinned_context
from strongroom_host.testnet import TestnetServer, default_config
from strongroom_host.venue import (
    ConnectFailed,
    ConnectionLimits,
    InvalidSignedRequest,
    MalformedRequest,
    NotSent,
    OutcomeUnknown,
    SignedRequest,
    TlsRefused,
    VenueConnection,
)

from tests.host.testnet.traders import Trader, encode
from tests.host.venue.servers import OK, Peer, Script, ScriptedVenue, venue

REQUEST = (
    b"POST /order HTTP/1.1\r\nHost: venue.test\r\nContent-Length: 5\r\n"
    b"POLY_ADDRESS: 0x0\r\n\r\nhello"
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def connection(server: ScriptedVenue, **how: Any) -> VenueConnection:
    context = ssl.create_default_context(cafile=str(server.ca))
    limits = how.pop("limits", ConnectionLimits(answer_s=10))
    return VenueConnection("venue.test", 443, context, address=server.address, limits=limits, **how)


def answering(*answers: bytes) -> Script:
    def script(peer: Peer) -> None:
        for answer in answers:
            peer.read(b"hello")
            peer.send(answer)
        peer.read(b"\x00never")  # until the client closes

    return script


def test_the_bytes_go_out_as_they_are_and_the_connection_is_kept(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        for _ in range(3):
            seen.append(peer.read(b"hello"))
            peer.send(OK.replace(b"\r\n\r\n", b"\r\nX-Seen: yes\r\n\r\n"))
        peer.read(b"\x00never")

    with venue(tmp_path, script) as server, connection(server) as to_venue:
        for _ in range(3):
            response = to_venue.exchange(REQUEST)
            assert (response.status, response.body) == (200, b"ok")
            assert response.header("x-seen") == "yes"
            assert response.header("x-other") is None
        assert server.connections == 1
    assert seen == [REQUEST] * 3


def test_a_connection_opened_beforehand_is_used(tmp_path: Path) -> None:
    """Session tickets that arrive meanwhile are not taken for an answer or an end."""
    with venue(tmp_path, answering(OK)) as server, connection(server) as to_venue:
        to_venue.open()
        threading.Event().wait(0.05)
        assert to_venue.exchange(REQUEST).status == 200
        assert server.connections == 1


def slam(peer: Peer) -> None:
    peer.read(b"hello")
    peer.send(OK)


REOPENING: dict[str, tuple[Script, float]] = {
    "the venue closed it meanwhile": (slam, 0),
    "it idled too long": (answering(OK, OK), 5),
    "unasked-for bytes lie in it": (answering(OK + b"HTTP/1.1 200 OK\r\n"), 0),
    "it was to be closed": (
        answering(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")),
        0,
    ),
}


@pytest.mark.parametrize("why", REOPENING)
def test_a_stale_connection_is_replaced_before_anything_is_sent(tmp_path: Path, why: str) -> None:
    script, seconds = REOPENING[why]
    clock = Clock()
    with (
        venue(tmp_path, script, answering(OK)) as server,
        connection(server, monotonic=clock) as to_venue,
    ):
        assert to_venue.exchange(REQUEST).status == 200
        threading.Event().wait(0.05)
        clock.now += seconds
        assert to_venue.exchange(REQUEST).status == 200
        assert server.connections == 2


def half_answer(peer: Peer) -> None:
    peer.read(b"hello")
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


def unbounded_answer(peer: Peer) -> None:
    peer.read(b"hello")
    peer.send(b'HTTP/1.1 200 OK\r\n\r\n{"success":false}')


def silence(peer: Peer) -> None:
    peer.read(b"\x00never")


def no_answer(peer: Peer) -> None:
    peer.read(b"hello")


def broken_off(peer: Peer) -> None:
    peer.read(b"hello")
    peer.reset()


UNKNOWN: dict[str, tuple[Script, int | None]] = {
    "no answer": (no_answer, None),
    "a reset": (broken_off, None),
    "half a body": (half_answer, 200),
    "half a head": (answering(b"HTTP/1.1 200 OK\r\nContent-"), None),
    "not HTTP": (answering(b"\x00\x01\x02\x03\r\n\r\n"), None),
    "a bad chunk": (
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        200,
    ),
    "a body that only the end of the stream ends": (unbounded_answer, 200),
    "two lengths": (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        None,
    ),
    "an endless head": (answering(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000), None),
    "too long a body": (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"z" * 9999),
        200,
    ),
    "silence": (silence, None),
}


@pytest.mark.parametrize("how", UNKNOWN)
def test_after_sending_anything_but_a_whole_answer_is_unknown(tmp_path: Path, how: str) -> None:
    script, status = UNKNOWN[how]
    limits = ConnectionLimits(answer_s=0.5, max_body=1000)
    with (
        venue(tmp_path, script, answering(OK)) as server,
        connection(server, limits=limits) as to_venue,
    ):
        with pytest.raises(OutcomeUnknown) as caught:
            to_venue.exchange(REQUEST)
        assert caught.value.status == status
        assert not isinstance(caught.value, NotSent)
        assert to_venue.exchange(REQUEST).status == 200  # on a fresh connection
        assert server.connections == 2


def test_informational_answers_are_passed_over(tmp_path: Path) -> None:
    script = answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    with venue(tmp_path, script) as server, connection(server) as to_venue:
        assert to_venue.exchange(REQUEST).status == 200


def test_nobody_listening_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    to_venue = VenueConnection("venue.test", 443, ssl.create_default_context(), address=address)
    with pytest.raises(ConnectFailed):
        to_venue.exchange(REQUEST)


def test_a_broken_handshake_is_not_sent(tmp_path: Path) -> None:
    def hang_up(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        to_venue = VenueConnection(
            "venue.test", 443, ssl.create_default_context(), address=listener.getsockname()
        )
        with pytest.raises(NotSent):
            to_venue.exchange(REQUEST)
        thread.join()


def test_an_impostor_sees_nothing_of_the_request(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.read())

    with venue(tmp_path / "a", script) as impostor, venue(tmp_path / "b", script) as real:
        real_roots = ssl.create_default_context(cafile=str(real.ca))
        wrong_ca = VenueConnection("venue.test", 443, real_roots, address=impostor.address)
        with pytest.raises(TlsRefused):
            wrong_ca.exchange(REQUEST)
        own_roots = ssl.create_default_context(cafile=str(impostor.ca))
        wrong_name = VenueConnection("other.test", 443, own_roots, address=impostor.address)
        with pytest.raises(TlsRefused):
            wrong_name.exchange(REQUEST.replace(b"venue.test", b"other.test"))
    assert b"".join(seen) == b""


def test_a_context_that_verifies_optionally_is_refused() -> None:
    context = ssl.create_default_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    with pytest.raises(MalformedRequest):
        VenueConnection("venue.test", 443, context)


@pytest.mark.parametrize("verify_mode", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL, ssl.CERT_NONE])
def test_a_context_that_trusts_anybody_is_refused(verify_mode: ssl.VerifyMode) -> None:
    context = ssl.create_default_context()
    VenueConnection("venue.test", 443, context)
    context.check_hostname = False
    context.verify_mode = verify_mode
    with pytest.raises(MalformedRequest):
        VenueConnection("venue.test", 443, context)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        REQUEST[:-1],
        REQUEST + b"x",
        REQUEST + REQUEST,
        REQUEST[:20],
        b"\x16\x03\x01" + REQUEST,
        REQUEST.replace(b"Host: venue.test\r\n", b""),
        REQUEST.replace(b"venue.test", b"evil.test"),
        REQUEST.replace(b"Host: venue.test", b"Host: venue.test:444"),
        REQUEST.replace(b"Length: 5", b"Length: -5"),
    ],
)
def test_only_one_whole_request_for_this_venue_is_sent(
    tmp_path: Path, request_bytes: bytes
) -> None:
    with venue(tmp_path, answering(OK)) as server, connection(server) as to_venue:
        with pytest.raises(MalformedRequest):
            to_venue.exchange(request_bytes)
        assert server.connections == 0
        for host in (b"venue.test", b"VENUE.test:443"):
            assert to_venue.exchange(REQUEST.replace(b"venue.test", host)).status == 200
            to_venue.close()


def test_latency_options_are_set(tmp_path: Path) -> None:
    with venue(tmp_path, answering(OK)) as server, connection(server) as to_venue:
        to_venue.open()
        assert to_venue._socket is not None
        assert to_venue._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_it_speaks_to_the_testnet(tmp_path: Path) -> None:
    with TestnetServer(default_config(80002), tmp_path) as server:
        trader = Trader.funded(server.clob, 1)
        token = server.clob.config.markets[0].tokens[0]
        body = encode(trader.body(token, "BUY", 0.4, 10))
        headers = {
            "Host": "clob.testnet",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **trader.l2("POST", "/order", body),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        raw = f"POST /order HTTP/1.1\r\n{head}\r\n".encode() + body
        with VenueConnection(
            "clob.testnet", 443, server.client_context(), address=(server.host, server.port)
        ) as to_venue:
            first, again = to_venue.exchange(raw), to_venue.exchange(raw)
        assert (first.status, again.status) == (200, 400)
        assert b"Duplicated" in again.body


def test_signed_requests_are_consistent() -> None:
    good = SignedRequest((bytes(32),), b"x", 0)
    assert good.digest.hex().startswith("2d711642")
    for wrong in (
        {"order_hashes": (bytes(31),)},
        {"order_hashes": (bytes(32), bytes(32))},
        {"request": b""},
        {"sequence": -1},
    ):
        fields: dict[str, Any] = {"order_hashes": (bytes(32),), "request": b"x", "sequence": 0}
        with pytest.raises(InvalidSignedRequest):
            SignedRequest(**(fields | wrong))


def test_a_venue_without_a_pinned_key_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    pins = PinSet.of("venue.test", ["sha256/" + "A" * 43 + "="])
    with venue(tmp_path, answering(OK)) as server:
        context = pinned_context(pins, cafile=server.ca)
        with (
            VenueConnection("venue.test", 443, context, address=server.address) as link,
            pytest.raises(TlsRefused) as refused,
        ):
            link.exchange(REQUEST)
    assert refused.value.remedy
    assert "pin" in str(refused.value)
