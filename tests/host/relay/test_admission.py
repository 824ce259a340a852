"""What is forwarded: the enclave's own requests, whole, to this venue. h11 is the second reader."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.signer.clob import Endpoint
from strongroom_host.relay.admission import CANCELS, FORWARDED, Gate
from strongroom_host.relay.reasons import Reason, Rejected

from tests.host.relay.world import HOST, request

GATE = Gate(HOST, 8443)
HASH = "0x" + "ab" * 32


def refusal(raw: bytes) -> Reason:
    with pytest.raises(Rejected) as refused:
        GATE.admit(raw)
    return refused.value.reason


@pytest.mark.parametrize(
    ("line", "cancels"),
    [
        ("POST /order", False),
        ("POST /orders", False),
        ("DELETE /order", True),
        ("DELETE /orders", True),
        ("DELETE /cancel-all", True),
        ("DELETE /cancel-market-orders", True),
        ("POST /v1/heartbeats", False),
        (f"GET /data/order/{HASH}", False),
        ("GET /data/orders", False),
        ("GET /data/orders?next_cursor=MTAw%2B-_/=", False),
        ("GET /data/trades", False),
        ("GET /data/trades?next_cursor=LTE=", False),
    ],
)
def test_the_enclaves_requests_pass(line: str, cancels: bool) -> None:
    admitted = GATE.admit(request(line, b"{}" if line.startswith("POST") else b""))
    assert (admitted.line.decode(), admitted.cancels) == (line, cancels)


def test_whatever_the_enclave_can_ask_for_is_forwarded() -> None:
    for endpoint in Endpoint:
        method, path = endpoint.value
        tail = HASH if endpoint is Endpoint.GET_ORDER else ""
        GATE.admit(request(f"{method} {path}{tail}"))
    assert len(FORWARDED) == len(Endpoint)
    assert all(line.startswith("DELETE ") for line in CANCELS)


@pytest.mark.parametrize(
    "line",
    [
        "GET /",
        "GET /order",
        "PUT /order",
        "POST /cancel-all",
        "DELETE /cancel-all?x=1",
        "POST /order?x=1",
        "POST /order/",
        "POST //order",
        "POST /Order",
        "post /order",
        "POST /auth/api-key",
        "DELETE /auth/api-key",
        "GET /auth/api-keys",
        "POST /v1/heartbeats/",
        f"GET /data/order/{HASH}0",
        f"GET /data/order/{HASH[:-1]}",
        "GET /data/order/0x" + "AB" * 32,
        "GET /data/orders?market=1",
        "GET /data/orders?next_cursor=a&b=c",
        "GET /data/trades?next_cursor=a b",
        "GET http://venue.test/data/orders",
        "POST /order#",
        "CONNECT venue.test:443",
        "POST /order%00",
    ],
)
def test_nothing_else_does(line: str) -> None:
    assert refusal(request(line)) in (Reason.NOT_ALLOWED, Reason.NOT_A_REQUEST)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("VENUE.test", None),
        ("venue.test:8443", None),
        ("  venue.test\t", None),
        ("venue.test:443", Reason.WRONG_HOST),
        ("other.test", Reason.WRONG_HOST),
        ("venue.test.", Reason.WRONG_HOST),
        ("venue.test, other.test", Reason.WRONG_HOST),
        ("", Reason.WRONG_HOST),
    ],
)
def test_the_host_has_to_be_the_venue(host: str, expected: Reason | None) -> None:
    raw = request("POST /order", b"{}", host=host)
    if expected is None:
        GATE.admit(raw)
    else:
        assert refusal(raw) is expected


HEAD = b"POST /order HTTP/1.1\r\nHost: venue.test\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"POST /order HTTP/1.1\r\n\r\n",
        b"POST /order HTTP/1.1\r\nX: y\r\n\r\n",
        HEAD + b"Transfer-Encoding: keep-alive\r\n\r\n",
        HEAD + b"Upgrade: keep-alive\r\n\r\n",
        HEAD + b"Host: venue.test\r\n\r\n",
        HEAD + b"Content-Length: 2\r\n\r\n",
        HEAD + b"Content-Length: 2\r\n\r\n{}x",
        HEAD + b"\r\nx",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\ncontent-length: 1\r\n\r\n{}",
        HEAD + b"Content-Length: +2\r\n\r\n{}",
        HEAD + b"Content-Length: 0x2\r\n\r\n{}",
        HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
        HEAD + b"Content-Length:\r\n\r\n",
        HEAD + b"Content-Length: 2\n\r\n{}",
        HEAD + b"Content-Length : 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: identity\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"Upgrade: h2c\r\n\r\n",
        HEAD + b"TE: trailers\r\n\r\n",
        HEAD + b"Trailer: x\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
        HEAD + b"Connection: keep-alive, upgrade\r\n\r\n",
        HEAD + b" folded: x\r\n\r\n",
        HEAD + b"X: a\rb\r\n\r\n",
        HEAD + b"X: a\0b\r\n\r\n",
        HEAD + b"X: \xc3\xa9\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b": x\r\n\r\n",
        HEAD + b"X: 1\r\n" + b"\r\n" * 2,
        HEAD[:-2],
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        HEAD.replace(b"HTTP/1.1", b"HTTP/2") + b"\r\n",
        HEAD.replace(b" /order", b"  /order") + b"\r\n",
        b"\r\n" + HEAD + b"\r\n",
        HEAD + b"X: " + b"y" * 9000 + b"\r\n\r\n",
    ],
)
def test_what_two_readers_could_read_differently_is_none(raw: bytes) -> None:
    assert refusal(raw) is Reason.NOT_A_REQUEST


def test_size_is_looked_at_first() -> None:
    assert refusal(request("POST /order", b"x" * (64 * 1024))) is Reason.REQUEST_TOO_LONG


WORDS = st.sampled_from(
    [b"POST /order HTTP/1.1\r\n", b"Host: venue.test\r\n", b"Content-Length: 2\r\n", b"\r\n", b"{}"]
    + [b"X: y\r\n", b"Content-Length: 0\r\n", b"\n", b" ", b"\0", b":", b"DELETE /cancel-all"]
    + [b"Transfer-Encoding: chunked\r\n", b"Connection: keep-alive\r\n", b" HTTP/1.1\r\n", b"\t"]
)


@given(st.lists(WORDS, max_size=9).map(b"".join) | st.binary(max_size=60).map(HEAD.__add__))
def test_what_passes_is_one_request_to_h11_as_well(raw: bytes) -> None:
    try:
        admitted = GATE.admit(raw)
    except Rejected:
        return
    machine = h11.Connection(h11.SERVER)
    machine.receive_data(raw)
    head = machine.next_event()
    assert isinstance(head, h11.Request)
    assert head.method + b" " + head.target == admitted.line
    body = b""
    while not isinstance(event := machine.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += event.data
    assert machine.trailing_data == (b"", False)
    assert raw.endswith(b"\r\n\r\n" + body)


SIGNED = (
    b"POST /order HTTP/1.1\r\nHost: venue.test\r\nConnection: keep-alive\r\nPOLY_ADDRESS: 0xa"
    b"\r\nPOLY_SIGNATURE: ab_-9=\r\nPOLY_TIMESTAMP: 1795269600\r\nContent-Length: 5\r\n\r\n{123}"
)
PARTS = st.sampled_from(
    [b"POLY_SIGNATURE: x\r\n", b"\r\nPOLY_SIGNATURE: ", b"Content-Length: 5\r\n", b"\r\n", b"{123}"]
    + [b"Host: other.test\r\n", b"Transfer-Encoding: chunked\r\n", b"POLY_TIMESTAMP: 1\r\n", b"5"]
    + [b"DELETE /order HTTP/1.1\r\n", b"POST /other HTTP/1.1\r\n", b"Content-Length: 0\r\n", b"\0"]
)


@st.composite
def spliced(draw: st.DrawFn) -> bytes:
    """A signed request with parts put in, put over, cut out."""
    raw = SIGNED
    for _ in range(draw(st.integers(0, 3))):
        start, end = sorted(draw(st.tuples(st.integers(0, len(raw)), st.integers(0, len(raw)))))
        edges = [at for at in range(len(raw) + 1) if raw[:at].endswith(b"\r\n") or at == len(raw)]
        if draw(st.booleans()):
            start = end = draw(st.sampled_from(edges))
        raw = raw[:start] + draw(st.one_of(PARTS, st.binary(max_size=3))) + raw[end:]
    return raw


@given(st.lists(spliced(), min_size=1, max_size=6))
def test_what_is_known_changes_no_decision(requests: list[bytes]) -> None:
    """A gate that has seen a lot decides as one that has seen nothing."""
    seasoned = Gate(HOST, 8443)
    seasoned.admit(SIGNED)
    for raw in requests:
        try:
            expected: object = Gate(HOST, 8443).admit(raw)
        except Rejected as refused:
            expected = refused.reason
        try:
            got: object = seasoned.admit(raw)
        except Rejected as refused:
            got = refused.reason
        assert got == expected


@pytest.mark.parametrize(
    "first",
    [
        # Its length stands before the signature: a second one after it must not be believed.
        b"POST /order HTTP/1.1\r\nHost: venue.test\r\nContent-Length: 5"
        b"\r\nPOLY_SIGNATURE: a\r\nPOLY_TIMESTAMP: 1\r\n\r\n{123}",
        b"DELETE /cancel-all HTTP/1.1\r\nHost: venue.test\r\nContent-Length: 0"
        b"\r\nPOLY_SIGNATURE: a\r\nPOLY_TIMESTAMP: 1\r\n\r\n",
    ],
)
def test_a_second_length_is_not_believed_for_a_known_beginning(first: bytes) -> None:
    gate = Gate(HOST, 8443)
    gate.admit(first)
    beginning = first.partition(b"\r\nPOLY_SIGNATURE")[0]
    second = beginning + b"\r\nPOLY_SIGNATURE: a\r\nPOLY_TIMESTAMP: 1\r\nContent-Length: 9\r\n\r\n"
    with pytest.raises(Rejected) as refused:
        gate.admit(second + b"{1234567}")
    assert refused.value.reason is Reason.NOT_A_REQUEST


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked",
        b"Content-Length: 5",
        b"Host: venue.test",
        b"Connection: close",
        b"Expect: 100-continue",
        b"X: \0",
    ],
)
@pytest.mark.parametrize("after", [b"Content-Length: 5", b"POLY_TIMESTAMP: 1795269600", b"ab_-9="])
def test_nothing_may_stand_between_a_known_beginning_and_the_body(
    line: bytes, after: bytes
) -> None:
    gate = Gate(HOST, 8443)
    gate.admit(SIGNED)
    with pytest.raises(Rejected) as refused:
        gate.admit(SIGNED.replace(after, after + b"\r\n" + line))
    assert refused.value.reason is Reason.NOT_A_REQUEST


def test_what_is_known_is_bounded_and_used() -> None:
    gate = Gate(HOST, 8443)
    for number in range(300):
        admitted = gate.admit(SIGNED.replace(b"0xa", b"0x%d" % number))
        assert admitted == gate.admit(SIGNED.replace(b"0xa", b"0x%d" % number))
        assert 0 < len(gate._known) <= 64
    assert gate.admit(SIGNED.replace(b"0xa", b"0x299")) is admitted
