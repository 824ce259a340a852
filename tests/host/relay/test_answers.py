"""Answers: read in any portions, as h11 reads them; carried there and back unchanged."""

from __future__ import annotations

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay.answers import Answered, AnswerReader
from strongroom_host.relay.reasons import Reason, Rejected

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n{12}"
CHUNKED = b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{1\r\n2\r\n2}\r\n0\r\n\r\n"
CLOSING = PLAIN.replace(b"Content-Type", b"Connection: close\r\nX")
BODILESS = b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN
NO_REASON = b"HTTP/1.1 429\r\ncontent-length: 0\r\n\r\n"


def portions(raw: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(edges)]


def read(pieces: list[bytes]) -> tuple[Answered | None, bool]:
    reader = AnswerReader(b"POST", 10_000)
    for piece in pieces:
        if piece and (answer := reader.feed(piece)) is not None:
            return answer, reader.reusable
    return None, False


@pytest.mark.parametrize(
    ("raw", "status", "body", "reusable"),
    [
        (PLAIN, 200, b"{12}", True),
        (CHUNKED, 201, b"{12}", True),
        (CLOSING, 200, b"{12}", False),
        (BODILESS, 204, b"", True),
        (EARLY, 200, b"{12}", True),
        (NO_REASON, 429, b"", True),
        (PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), 200, b"{12}", False),
        (PLAIN + b"HTTP/1.1 200 OK\r\n", 200, b"{12}", False),
    ],
)
@given(cuts=st.lists(st.integers(0, 500), max_size=6))
def test_whole_in_any_portions(
    raw: bytes, status: int, body: bytes, reusable: bool, cuts: list[int]
) -> None:
    # What is too much may come with the end or after it; both are found before the next request.
    pieces = [raw] if raw.endswith(b"OK\r\n") else portions(raw, cuts)
    answer, again = read(pieces)
    assert answer is not None
    assert (answer.status, answer.body, again) == (status, body, reusable)


@pytest.mark.parametrize("raw", [PLAIN, CHUNKED, CLOSING, BODILESS, EARLY, NO_REASON])
def test_every_prefix_is_no_answer_yet(raw: bytes) -> None:
    for size in range(len(raw)):
        assert read([raw[:size]])[0] is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"not http at all\r\n\r\n", Reason.UPSTREAM_NOT_HTTP),
        (b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n", Reason.UPSTREAM_NOT_HTTP),
        (PLAIN.replace(b"th: 4", b"th: 4\r\nContent-Length: 5"), Reason.UPSTREAM_NOT_HTTP),
        (PLAIN.replace(b": 4", b": -4"), Reason.UPSTREAM_NOT_HTTP),
        (PLAIN.replace(b": 4", b": 99999"), Reason.ANSWER_TOO_LONG),
        (CHUNKED.replace(b"2\r\n{1", b"zz\r\n{1"), Reason.UPSTREAM_NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_001, Reason.ANSWER_TOO_LONG),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000, Reason.UPSTREAM_NOT_HTTP),
        (PLAIN.replace(b"Content-Type:", b"Bad Name:"), Reason.UPSTREAM_NOT_HTTP),
    ],
)
def test_what_cannot_be_read_is_no_answer(raw: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        read([raw])
    assert refused.value.reason is reason


@pytest.mark.parametrize("raw", [b"", PLAIN[:-1], b"HTTP/1.1 200 OK\r\n\r\nwithout an end"])
def test_an_end_of_the_stream_is_never_the_end_of_an_answer(raw: bytes) -> None:
    reader = AnswerReader(b"GET")
    if raw:
        assert reader.feed(raw) is None
    with pytest.raises(Rejected) as refused:
        reader.end()
    assert refused.value.reason is Reason.UPSTREAM_BROKE


WORDS = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 400 \r\n", b"Content-Length: 2\r\n", b"\r\n", b"{}"]
    + [b"X: y\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"]
    + [b"Connection: close\r\n", b"X:\xff \r\n", b"content-length:2 \r\n", b"2\r\n{}\r\n", b"\n"]
)


@given(st.lists(WORDS, max_size=8).map(b"".join))
def test_what_is_read_is_what_h11_reads(raw: bytes) -> None:
    try:
        answer, _ = read([raw] if raw else [])
    except Rejected:
        answer = None
    machine = h11.Connection(h11.CLIENT)
    machine.send(h11.Request(method="POST", target="/", headers=[("Host", "x")]))
    machine.send(h11.EndOfMessage())
    machine.receive_data(raw or b"-")
    head, body, whole = None, b"", False
    try:
        while not isinstance(event := machine.next_event(), type):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                whole = True
                break
    except h11.RemoteProtocolError:
        whole = False
    if answer is None:
        assert not whole
        return
    assert whole
    assert head is not None
    assert (answer.status, answer.body) == (head.status_code, body)
    headers = tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers)
    assert answer.response().headers == headers


FIELDS = st.lists(st.sampled_from([b"a: b\r\n", b"Content-Length: 2\r\n", b"x:\r\n"])).map(b"".join)
U63 = st.integers(0, (1 << 63) - 1)


@given(st.builds(Answered, st.integers(100, 999), FIELDS, st.binary(max_size=3000), U63, U63))
def test_there_and_back(answer: Answered) -> None:
    assert Answered.unpack(answer.pack()) == answer


@given(st.binary(max_size=60))
def test_what_is_unpacked_packs_to_the_same(data: bytes) -> None:
    try:
        answer = Answered.unpack(data)
    except Rejected:
        return
    assert answer.pack() == data
