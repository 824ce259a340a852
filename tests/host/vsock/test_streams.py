"""Sockets as streams: what they say instead of blocking, and how they end."""

import socket
from collections.abc import Iterator

import pytest
from strongroom_host.vsock.streams import SocketStream, StreamBroken


@pytest.fixture
def ends() -> Iterator[tuple[SocketStream, socket.socket]]:
    """A stream and the socket at its other end."""
    near, far = socket.socketpair()
    with near, far:
        far.settimeout(10)
        yield SocketStream(near, lambda: None), far


def test_any_number_of_pieces_is_taken(ends: tuple[SocketStream, socket.socket]) -> None:
    stream, far = ends
    data = bytes(range(256)) * 10
    left = [memoryview(data)[index : index + 1] for index in range(len(data))]
    found = b""
    while left:
        taken = stream.write(left)
        assert taken
        left = left[taken:]
        found += far.recv(len(data))
    assert found == data


def test_what_cannot_be_done_now_is_said(ends: tuple[SocketStream, socket.socket]) -> None:
    stream, far = ends
    room = [memoryview(bytearray(3)), memoryview(bytearray(10))]
    assert stream.read_into(room) is None
    far.send(b"abcde")
    assert stream.read_into(room) == 5
    assert b"".join(room)[:5] == b"abcde"
    while stream.write([bytearray(100_000)]):
        pass
    far.shutdown(socket.SHUT_WR)
    assert stream.read_into(room) == 0


def test_a_reader_that_left_breaks_the_stream(ends: tuple[SocketStream, socket.socket]) -> None:
    stream, far = ends
    far.close()
    with pytest.raises(StreamBroken):
        stream.write([bytearray(1)])


def test_a_peer_that_left_bytes_unread_breaks_the_stream(
    ends: tuple[SocketStream, socket.socket],
) -> None:
    stream, far = ends
    stream.write([bytearray(1)])
    far.close()
    with pytest.raises(StreamBroken):
        stream.read_into([memoryview(bytearray(1))])


def test_ends_can_be_said_twice_and_late(ends: tuple[SocketStream, socket.socket]) -> None:
    stream, far = ends
    stream.end_writing()
    assert far.recv(1) == b""
    far.close()
    for _ in range(2):
        stream.end_writing()
        stream.end_reading()
