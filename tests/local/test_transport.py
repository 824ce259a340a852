"""The enclave's end of the socket to the software NSM."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from strongroom_enclave.platform.nsm import MAX_RESPONSE, DeviceUnavailable
from strongroom_local.transport import stream


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    theirs.settimeout(20)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


def test_stream_frames_both_ways(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"\x00\x00\x00\x03abc" + b"\x00\x00\x00\x01d")
    transport = stream(ours)
    assert transport(b"hello") == b"abc"
    assert transport(b"") == b"d"
    assert theirs.recv(100) == b"\x00\x00\x00\x05hello" + b"\x00\x00\x00\x00"


def test_stream_reads_answers_in_pieces(pair: Pair) -> None:
    ours, theirs = pair

    def drip() -> None:
        for byte in b"\x00\x00\x00\x05abcde":
            theirs.sendall(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    assert stream(ours)(b"x") == b"abcde"
    thread.join()


def test_stream_takes_the_largest_answer(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(MAX_RESPONSE.to_bytes(4, "big") + bytes(MAX_RESPONSE))
    assert stream(ours)(b"x") == bytes(MAX_RESPONSE)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x00",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x05abcd",
        (MAX_RESPONSE + 1).to_bytes(4, "big") + bytes(MAX_RESPONSE + 1),
        b"\xff\xff\xff\xff" + bytes(100),
    ],
)
def test_stream_fails_once_and_for_all(pair: Pair, answer: bytes) -> None:
    ours, theirs = pair
    transport = stream(ours)
    # A whole second answer behind the bad one must never be read as the answer to anything.
    theirs.sendall(answer)
    theirs.shutdown(socket.SHUT_WR)
    for _ in range(2):
        with pytest.raises(DeviceUnavailable):
            transport(b"x")
    assert ours.fileno() == -1


def test_stream_does_not_go_on_after_an_answer_over_the_limit(pair: Pair) -> None:
    ours, theirs = pair
    transport = stream(ours)
    theirs.sendall((MAX_RESPONSE + 1).to_bytes(4, "big") + bytes(MAX_RESPONSE + 1))
    theirs.sendall(b"\x00\x00\x00\x01z")
    for _ in range(2):
        with pytest.raises(DeviceUnavailable):
            transport(b"x")


def test_stream_does_not_go_on_after_a_timeout(pair: Pair) -> None:
    ours, theirs = pair
    ours.settimeout(0.01)
    transport = stream(ours)
    with pytest.raises(DeviceUnavailable):
        transport(b"first")
    with suppress(BrokenPipeError):  # this end is closed already: nothing late can arrive
        theirs.sendall(b"\x00\x00\x00\x05first")
    with pytest.raises(DeviceUnavailable):
        transport(b"second")


def test_stream_serves_threads_one_at_a_time(pair: Pair) -> None:
    ours, theirs = pair
    transport = stream(ours)

    def echo() -> None:
        reader = theirs.makefile("rb")
        while head := reader.read(4):
            theirs.sendall(head + reader.read(int.from_bytes(head, "big")))
        reader.close()

    server = threading.Thread(target=echo)
    server.start()
    wrong: list[bytes] = []

    def ask(name: bytes) -> None:
        wrong.extend(name for _ in range(200) if transport(name) != name)

    askers = [threading.Thread(target=ask, args=(bytes([n]) * (n + 1),)) for n in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    ours.shutdown(socket.SHUT_RDWR)
    server.join()
    assert wrong == []
