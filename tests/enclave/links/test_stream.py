"""Streams of the fast channel: partial, many at once, too large, and a reader that does not."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.platform.links import Stream

LIMIT = 100_000


class Served:
    """A stream whose every message is answered by `answer` and kept."""

    def __init__(self, answer: bytes = b"ok", healthy: bool = True) -> None:
        ours, self.far = socket.socketpair()
        self.far.settimeout(20)
        self.stream, self.seen = Stream(ours), list[bytes]()
        self.answer, self.healthy = answer, healthy

    def serve(self, message: bytes) -> tuple[bytes, bool]:
        self.seen.append(message)
        return self.answer, self.healthy

    def exchange(self) -> bool:
        return self.stream.exchange(LIMIT, self.serve)

    def close(self) -> None:
        self.stream.close()
        self.far.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


def framed(*messages: bytes) -> bytes:
    return b"".join(len(m).to_bytes(4, "big") + m for m in messages)


def test_a_message_is_answered_with_its_length(served: Served) -> None:
    served.far.sendall(framed(b"hello"))
    assert served.exchange()
    assert served.seen == [b"hello"]
    assert served.far.recv(100) == framed(b"ok")


def test_a_message_in_pieces_is_served_once_whole(served: Served) -> None:
    data = framed(b"hello", b"")
    for at in range(len(data)):
        served.far.sendall(data[at : at + 1])
        assert served.exchange()
        complete = [b"hello"] * (at >= 8) + [b""] * (at >= 12)
        assert served.seen == complete


def test_several_at_once_are_answered_in_order(served: Served) -> None:
    served.far.sendall(framed(b"1", b"22", b"333") + b"\0\0\0\4ab")
    assert served.exchange()
    assert served.seen == [b"1", b"22", b"333"]
    assert served.far.recv(100) == framed(b"ok") * 3
    served.far.sendall(b"cd")
    assert served.exchange()
    assert served.seen[-1] == b"abcd"


def test_after_an_unhealthy_answer_nothing_more_is_served() -> None:
    served = Served(b"\0\x64", healthy=False)
    served.far.sendall(framed(b"bad", b"good"))
    assert not served.exchange()
    assert served.seen == [b"bad"]
    assert served.far.recv(100) == framed(b"\0\x64")
    served.close()


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 24, (1 << 32) - 1])
def test_a_length_over_the_limit_ends_it_before_the_bytes_come(served: Served, size: int) -> None:
    served.far.sendall(size.to_bytes(4, "big"))
    assert not served.exchange()
    assert served.seen == []


def test_the_buffer_stays_bounded_by_one_message(served: Served) -> None:
    message = bytes(LIMIT)
    data = framed(message)
    while data:
        data = data[served.far.send(data[:60_000]) :]
        assert served.exchange()
        assert len(served.stream._buffer) <= LIMIT + 4
    assert served.seen == [message]
    assert len(served.stream._buffer) == 0


def test_the_end_of_the_connection_ends_it(served: Served) -> None:
    served.far.sendall(b"\0\0")
    assert served.exchange()
    served.far.close()
    assert not served.exchange()
    assert served.seen == []


def test_a_reader_that_does_not_read_loses_the_connection() -> None:
    served = Served(bytes(60_000))
    for _ in range(100):
        served.far.sendall(framed(b"x"))
        if not served.exchange():
            break
    else:
        raise AssertionError("answers pile up without end")
    served.close()


def test_it_never_blocks(served: Served) -> None:
    assert not served.exchange()  # nothing there: would block, so it is not asked in vain


@given(messages=st.lists(st.binary(max_size=300), max_size=8), cuts=st.lists(st.integers(1, 50)))
def test_however_it_is_cut_every_message_is_served_once(
    messages: list[bytes], cuts: list[int]
) -> None:
    served = Served()
    data, at = framed(*messages), 0
    for size in [*cuts, *[64] * (len(data) // 64 + 1)]:
        if piece := data[at : at + size]:
            served.far.sendall(piece)
            assert served.exchange()
            at += size
    assert served.seen == messages
    served.close()
