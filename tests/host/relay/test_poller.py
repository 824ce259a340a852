"""Waiting for descriptors, with epoll and with what other systems have."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator

import pytest
from strongroom_host.relay.poller import READ, WRITE, Poller


@pytest.fixture(params=["this system", "another one"])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Poller]:
    if request.param == "another one":
        monkeypatch.setattr("sys.platform", "darwin")
    made = Poller()
    assert request.param == "this system" or made._other is not None
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        yield left, right


def test_reading_and_writing(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    seen: list[int] = []
    poller.watch(left.fileno(), seen.append)
    assert not poller.wait(0.0)
    right.send(b"x")
    assert poller.wait(30.0)
    assert [events & (READ | WRITE) for events in seen] == [READ]
    poller.change(left.fileno(), READ | WRITE)
    assert poller.wait(30.0)
    assert seen[-1] & (READ | WRITE) == READ | WRITE
    poller.change(left.fileno(), WRITE)
    assert poller.wait(30.0)
    assert seen[-1] & (READ | WRITE) == WRITE
    poller.forget(left.fileno())
    poller.forget(left.fileno())
    assert not poller.wait(0.0)


def test_an_end_is_something_to_read(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    seen: list[int] = []
    poller.watch(left.fileno(), seen.append)
    right.close()
    assert poller.wait(30.0)
    assert left.recv(1) == b""


def test_what_another_call_has_ended_is_not_called(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    calls: list[int] = []

    def end_both(_events: int) -> None:
        calls.append(1)
        for end in pair:
            poller.forget(end.fileno())

    for end, other in (pair, pair[::-1]):
        other.send(b"x")
        poller.watch(end.fileno(), end_both)
    poller.wait(30.0)
    assert calls == [1]


def test_it_waits_as_long_as_it_is_told(poller: Poller) -> None:
    began = time.monotonic()
    assert not poller.wait(0.05)
    assert time.monotonic() - began >= 0.049


def test_one_may_be_seen_to_after_all_others(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    seen: list[str] = []
    poller.watch(left.fileno(), lambda _: seen.append("last"), last=True)
    others = [socket.socketpair() for _ in range(3)]
    right.send(b"x")  # ready before the others
    for near, far in others:
        poller.watch(near.fileno(), lambda _: seen.append("other"))
        far.send(b"x")
    before = time.monotonic_ns()
    assert poller.wait(30.0)
    assert seen == ["other", "other", "other", "last"]
    assert before <= poller.looked_ns <= time.monotonic_ns()
    for each in itertools.chain(*others):
        each.close()
