"""`forward` joins a listener to a Unix socket, byte for byte, and holds no more than its limit."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from strongroom_enclave.platform import forward as module
from strongroom_enclave.platform.forward import forward


class Joined:
    """A forwarder between `dial()` and what `accept()` returns."""

    def __init__(self, folder: Path) -> None:
        self.front = folder / "front.sock"
        self.open: list[socket.socket] = []
        self.outside = socket.socket(socket.AF_UNIX)
        self.outside.bind(str(folder / "outside.sock"))
        self.outside.listen(100)
        self.outside.setblocking(False)  # as init hands it over
        self.server = socket.socket(socket.AF_UNIX)
        self.server.settimeout(10)
        threading.Thread(target=forward, args=(self.outside, self.front), daemon=True).start()

    def serve(self) -> "Joined":
        self.server.bind(str(self.front))
        self.server.listen(100)
        return self

    def dial(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(self.outside.getsockname())
        self.open.append(client)
        return client

    def accept(self) -> socket.socket:
        accepted, _ = self.server.accept()
        accepted.settimeout(10)
        self.open.append(accepted)
        return accepted

    def close(self) -> None:
        for sock in (*self.open, self.server):  # the listener is the forwarder's for good
            sock.close()


@pytest.fixture
def joined(tmp_path: Path) -> Iterator[Joined]:
    with closing(Joined(tmp_path)) as made:
        yield made


def drain(sock: socket.socket) -> bytes:
    received = bytearray()
    while data := sock.recv(1 << 20):
        received += data
    return bytes(received)


def test_bytes_and_half_closes_pass_both_ways(joined: Joined) -> None:
    client, sent = joined.serve().dial(), os.urandom(300_000)
    server = joined.accept()

    def send() -> None:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    assert drain(server) == sent
    sender.join()
    server.sendall(b"the answer comes after the question ended")
    server.close()
    assert drain(client) == b"the answer comes after the question ended"


def test_nobody_listens_inside_yet(joined: Joined) -> None:
    assert drain(joined.dial()) == b""
    client = joined.serve().dial()
    joined.accept().sendall(b"now")
    assert client.recv(3) == b"now"


def test_a_reset_on_one_side_ends_the_other(joined: Joined) -> None:
    client = joined.serve().dial()
    server = joined.accept()
    client.sendall(b"unread")  # closing over unread bytes resets
    server.close()
    assert drain(client) == b""


def test_connections_beyond_the_limit_wait_for_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_CONNECTIONS", 2)
    limited = Joined(tmp_path).serve()
    # One pair at a time: of two at once, either may reach the server first.
    pairs = [(limited.dial(), limited.accept()) for _ in range(2)]
    third = limited.dial()
    limited.server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        limited.accept()
    for sock in pairs[0]:
        sock.close()
    limited.server.settimeout(10)
    limited.accept().sendall(b"third")
    assert third.recv(5) == b"third"
    limited.close()
