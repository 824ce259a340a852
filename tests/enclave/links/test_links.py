"""Links: kind, number, payload, and an end for whoever speaks otherwise."""

import os
import socket
import struct
from collections.abc import Iterator
from threading import Thread

import pytest
from strongroom_enclave.platform.links import Link, LinkClosed
from strongroom_wire.encoding import MAX_STATEMENT


@pytest.fixture
def pair() -> Iterator[tuple[Link, Link]]:
    ours, theirs = socket.socketpair()
    both = Link(ours.detach()), Link(theirs.detach())
    yield both
    for link in both:
        link.close()


Pair = tuple[Link, Link]


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    sent = [(0, 0, b""), (65535, 2**32 - 1, b"x"), (7, 1, bytes(100_000))]

    def send() -> None:
        for message in sent:
            pair[0].send(*message)

    sender = Thread(target=send)
    sender.start()
    assert [tuple(pair[1].receive(20)) for _ in sent] == sent
    sender.join()


def test_what_does_not_fit_its_field_is_not_sent(pair: Pair) -> None:
    for kind, number in ((65536, 0), (-1, 0), (0, 1 << 32), (0, -1)):
        with pytest.raises(struct.error):
            pair[0].send(kind, number)


def test_the_largest_statement_passes_and_more_does_not(pair: Pair) -> None:
    largest = bytes(MAX_STATEMENT)
    sender = Thread(target=pair[0].send, args=(1, 1, largest))
    sender.start()
    assert pair[1].receive(20).payload == largest
    sender.join()
    os.write(pair[0].fileno(), (MAX_STATEMENT + 4097).to_bytes(4, "big"))
    with pytest.raises(LinkClosed):
        pair[1].receive(20)


@pytest.mark.parametrize(
    "noise",
    [
        b"\0\0\0\0",
        b"\0\0\0\5abcde",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff\0\0\0\1\0\0\0\0",
        b"\xff\xff\xff\xfe",
        b"\0\0",
        b"\0\0\0\x09abc",
    ],
    ids=["empty", "head cut", "huge", "huge in 64 bits", "negative", "length cut", "message cut"],
)
def test_what_is_no_message_ends_the_link(pair: Pair, noise: bytes) -> None:
    os.write(pair[0].fileno(), noise)
    pair[0].close()
    with pytest.raises(LinkClosed):
        pair[1].receive(20)


def test_a_closed_link_is_said_to_be(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(LinkClosed):
        pair[1].receive(20)
    with pytest.raises(LinkClosed):
        pair[1].send(1, 1, bytes(10_000))


def test_silence_is_waited_for_so_long_and_no_longer(pair: Pair) -> None:
    with pytest.raises(LinkClosed, match="time-out"):
        pair[1].receive(0.01)


def test_what_there_is_no_room_for_waits_and_arrives_in_order(pair: Pair) -> None:
    large = [bytes([at]) * 300_000 for at in range(5)]
    for at, payload in enumerate(large):
        pair[0].post(7, at, payload)
    assert 0 < len(pair[0].unsent) < 1_500_000 + 50, "what fits is on its way already"
    for at, payload in enumerate(large):
        receiver = _Receiver(pair[1])
        while receiver.is_alive():
            pair[0].flush()
        assert receiver.message == (7, at, payload)
    assert not pair[0].unsent
    pair[0].flush()


class _Receiver(Thread):
    """Receives one message, which takes as long as the other side needs to send it."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self.start()

    def run(self) -> None:
        self.message = self._link.receive(20)


def test_posting_to_somebody_gone_is_no_error_and_keeps_nothing(pair: Pair) -> None:
    pair[1].close()
    for _ in range(3):
        pair[0].post(1, 1, bytes(1_000_000))
        assert not pair[0].unsent
    with pytest.raises(LinkClosed):
        pair[0].receive(20)
