"""A bad network: UDP to a relay and back that loses, doubles, delays, spoils and records."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

__all__ = ["TO_CLIENT", "TO_RELAY", "Network", "network"]

TO_RELAY, TO_CLIENT = "to relay", "to client"

Fate = Callable[[str, bytes], Sequence[tuple[float, bytes]]]
"""What becomes of a datagram: copies of it, each after so many seconds."""


def as_it_is(_direction: str, datagram: bytes) -> Sequence[tuple[float, bytes]]:
    return [(0.0, datagram)]


class Network:
    """`fate` may be changed at any time; `seen` has all datagrams that were sent."""

    def __init__(self, relay: tuple[str, int]) -> None:
        self.relay = relay
        self.fate: Fate = as_it_is
        self.seen: list[tuple[str, bytes]] = []
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._front.getsockname()
        self._backs: dict[tuple[str, int], socket.socket] = {}
        self._clients: dict[socket.socket, tuple[str, int]] = {}
        self._later: list[tuple[float, int, str, bytes, socket.socket]] = []
        self._numbers = itertools.count()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._thread.join(timeout=10)
        for held in (self._front, *self._backs.values()):
            held.close()

    def _run(self) -> None:
        while not self._stopping:
            timeout = 0.02
            if self._later:
                timeout = min(timeout, max(0.0, self._later[0][0] - time.monotonic()))
            ready, _, _ = select.select([self._front, *self._backs.values()], [], [], timeout)
            for held in ready:
                with contextlib.suppress(OSError):
                    self._take(held)
            while self._later and self._later[0][0] <= time.monotonic():
                _, _, direction, datagram, back = heapq.heappop(self._later)
                with contextlib.suppress(OSError):
                    self._pass(direction, datagram, back)

    def _take(self, held: socket.socket) -> None:
        datagram, address = held.recvfrom(65_535)
        if held is self._front:
            direction, back = TO_RELAY, self._back(address)
        else:
            direction, back = TO_CLIENT, held
        self.seen.append((direction, datagram))
        for delay, copy in self.fate(direction, datagram):
            if delay:
                due = time.monotonic() + delay
                entry = (due, next(self._numbers), direction, copy, back)
                heapq.heappush(self._later, entry)
            else:
                self._pass(direction, copy, back)

    def _pass(self, direction: str, datagram: bytes, back: socket.socket) -> None:
        if direction == TO_RELAY:
            back.sendto(datagram, self.relay)
        else:
            self._front.sendto(datagram, self._clients[back])

    def _back(self, client: tuple[str, int]) -> socket.socket:
        if client not in self._backs:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind(("127.0.0.1", 0))
            self._backs[client] = made
            self._clients[made] = client
        return self._backs[client]


@contextlib.contextmanager
def network(relay: tuple[str, int]) -> Iterator[Network]:
    made = Network(relay)
    try:
        yield made
    finally:
        made.stop()
