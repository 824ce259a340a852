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
