"""Connections to the proxy, passed from init to a worker that asks for them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
from strongroom_enclave.platform.links import Dialler, Exchange, Link


class Proxy:
    """A host's proxy that says to each caller which one he is, until `closed`."""

    def __init__(self, path: Path) -> None:
        self.path, self.served, self.closed = path, 0, False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        self.opened = list[socket.socket]()

    def connect(self) -> socket.socket:
        if self.closed:
            raise ConnectionRefusedError
        ours = socket.socket(socket.AF_UNIX)
        ours.connect(str(self.path))
        connection, _ = self.listener.accept()
        self.served += 1
        self.opened.append(ours)
        with connection:
            connection.sendall(b"%d" % self.served)
        return ours


class Bench:
    """Both ends: a thread serves as init does, one request after the other."""

    def __init__(self, path: Path) -> None:
        self.proxy, self.asked = Proxy(path), Queue[bool]()
        self.exchange = Exchange(self.proxy.connect)
        self.dial = Dialler(lambda: self.asked.put(True), self.exchange.theirs)
        self.thread = Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while self.asked.get():
            self.exchange.serve()

    def close(self) -> None:
        self.asked.put(False)
        self.thread.join()
        self.proxy.listener.close()
        self.exchange.theirs.close()
        self.exchange._ours.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "proxy.sock")
    yield made
    made.close()


def test_each_call_is_a_connection_of_its_own_and_init_keeps_none(bench: Bench) -> None:
    with bench.dial() as one, bench.dial() as two:
        assert (one.recv(9), two.recv(9)) == (b"1", b"2")
    bench.asked.put(False)
    bench.thread.join()
    assert all(sock.fileno() == -1 for sock in bench.proxy.opened)


def test_no_proxy_is_an_error_and_the_next_call_another_try(bench: Bench) -> None:
    bench.proxy.closed = True
    for _ in range(2):
        with pytest.raises(OSError, match="proxy"):
            bench.dial()
    bench.proxy.closed = False
    with bench.dial() as sock:
        assert sock.recv(9) == b"1"


def test_threads_do_not_get_each_others(bench: Bench) -> None:
    found = Queue[bytes]()

    def dial() -> None:
        for _ in range(10):
            with bench.dial() as sock:
                found.put(sock.recv(9))

    threads = [Thread(target=dial) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(found.get()) for _ in range(40)) == list(range(1, 41))


def test_an_init_that_is_gone_is_an_error(bench: Bench) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(OSError, match="proxy"):
        Dialler(lambda: None, theirs)()


def test_who_asks_and_takes_nothing_does_not_hold_init_up(bench: Bench) -> None:
    def ask_on() -> None:
        for _ in range(100_000):
            bench.exchange.serve()

    with pytest.raises(BlockingIOError):
        ask_on()


def test_messages_of_several_threads_arrive_whole() -> None:
    ours, theirs = (Link(sock.detach()) for sock in socket.socketpair())
    sizes = (200_000, 3, 70_000, 1)

    def send(kind: int, size: int) -> None:
        for number in range(10):
            ours.send(kind, number, os.urandom(1) * size)

    threads = [Thread(target=send, args=(kind, size)) for kind, size in enumerate(sizes)]
    for thread in threads:
        thread.start()
    for _ in range(10 * len(sizes)):
        kind, _, payload = theirs.receive(20)
        assert len(payload) == sizes[kind]
        assert len(set(payload)) == 1
    for thread in threads:
        thread.join()
    ours.close()
    theirs.close()
