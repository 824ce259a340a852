"""The vsock backend between the tests' own driver and a host client, beside a plain Unix socket.

The driver plays QEMU and a guest that does nothing but move bytes, in this process; backend and
client are processes of their own, as they are at work. So the figures are the backend's, without
an emulated processor in between; those of a real guest are taken by the image's own test.
The peer is the same client on a plain Unix socket to this process, in the same chunks.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.bench.channel import row
from tests.host.vsock.driver import HIGH, PAGE, RINGS, Driver
from tests.host.vsock.guest import (
    CID,
    CREDIT_UPDATE,
    REQUEST,
    RESPONSE,
    RW,
    SHUTDOWN,
    Packet,
    parsed,
)

__all__ = ["rows"]

TOTAL, WINDOW, CHUNK, BUFFER = 256 << 20, 262144, 65536 - 44, 3776
PORT = 5003
_PEER = "plain Unix socket"
T = TypeVar("T")

_CLIENT = """
import socket, sys
kind, path, total = sys.argv[1], sys.argv[2], int(sys.argv[3])
sock = socket.socket(socket.AF_UNIX)
sock.connect(path)
room = memoryview(bytearray(65536))
if kind == "source":
    left = total
    while left:
        left -= sock.send(room[:left])
    sock.recv(1)
elif kind == "sink":
    left = total
    while left and (count := sock.recv_into(room)):
        left -= count
    sock.send(b"x")
else:
    while count := sock.recv_into(room):
        sock.sendall(room[:count])
"""


def rows(iterations: int = 5_000) -> list[dict[str, object]]:
    """Returns the table: MB/s each way, and the round trip of 100 bytes in us."""
    table: list[dict[str, object]] = []
    for name, kind, through, plain in (
        ("host -> guest", "source", Guest.drain, _drain),
        ("guest -> host", "sink", Guest.flood, _flood),
    ):
        ours, theirs = [], []
        for _ in range(3):
            ours.append(_with_guest(kind, partial(_rate, job=through)))
            theirs.append(_with_socket(kind, partial(_rate, job=plain)))
        value, peer = (round(statistics.median(figures)) for figures in (ours, theirs))
        line: dict[str, object] = {"name": f"throughput {name}, one stream", "unit": "MB/s"}
        ratio = round(value / peer, 3)
        table.append({**line, "value": value, "peer": _PEER, "peer_value": peer, "ratio": ratio})
    times = _with_guest("echo", lambda guest: _times(guest.exchange, iterations))
    bare = row("round trip", _with_socket("echo", lambda sock: _times(_exchange(sock), iterations)))
    line = row("round trip of 100 bytes", times)
    ratio = round(float(str(line["p50"])) / float(str(bare["p50"])), 2)
    return [*table, {**line, "peer": _PEER, "peer_value": bare["p50"], "ratio": ratio}]


class Guest:
    """One connection of a guest that looks at nothing it need not look at."""

    def __init__(self, driver: Driver) -> None:
        self._driver, self._rx, self._tx = driver, driver.rx, driver.tx
        driver.negotiate()
        driver.start()
        self._at: dict[int, int] = {}
        for number in range(driver.rx.size):
            self._offer(PAGE + RINGS + BUFFER * number)
        self._spare = [HIGH + 65536 * number for number in range(driver.tx.size)]
        self._used: dict[int, int] = {}
        self._sent = self._consumed = self._reported = self._peer_consumed = 0
        self._peer_buffer = 0
        self._rx.poke()

    def accept(self) -> None:
        """Waits for the client's connection."""
        while (packet := self._next()).op != REQUEST:
            pass
        self._address, self._peer_buffer = packet.host, packet.buffer
        self._send(RESPONSE)

    def drain(self) -> None:
        """Receives all that a source sends."""
        while self._consumed < TOTAL:
            for address, length in self._taken():
                self._consumed += length - 44
                self._offer(address)
            self._rx.poke()
            if self._consumed - self._reported >= WINDOW // 4:
                self._send(CREDIT_UPDATE)
            self._wait()
        self._send(RW, b"x")

    def flood(self) -> None:
        """Sends all that a sink reads."""
        data = bytes(CHUNK)
        for address in self._spare:
            self._driver.write(address, bytes(65536))
        while self._sent < TOTAL:
            credit = self._peer_buffer - (self._sent - self._peer_consumed)
            count = min(credit, CHUNK, TOTAL - self._sent)
            if count < min(CHUNK, TOTAL - self._sent) or not self._spare:
                self._note(self._next(wait=False))
                self._reclaim()
                continue
            self._send(RW, data[:count])
        while self._next().op not in (RW, SHUTDOWN):
            pass

    def exchange(self) -> None:
        """Has 100 bytes echoed by the client."""
        self._send(RW, bytes(100))
        left = 100
        while left:
            packet = self._next()
            left -= len(packet.payload)
            self._note(packet)
        self._consumed += 100

    def _note(self, packet: Packet | None) -> None:
        if packet is not None:
            self._peer_consumed = packet.consumed

    def _send(self, op: int, payload: bytes = b"") -> None:
        self._reclaim()
        self._reported = self._consumed
        self._sent += len(payload)
        packet = Packet(op, self._address, PORT, payload, 0, WINDOW, self._consumed)
        address = self._spare.pop()
        data = packet.serialise()
        self._driver.write(address, data)
        pieces = [(address, 44), (address + 44, len(payload))][: 1 + bool(payload)]
        head = self._tx.add(pieces, writable=False)
        if head is None:
            raise RuntimeError("the ring is full")
        self._used[head] = address
        self._tx.poke()

    def _next(self, *, wait: bool = True) -> Packet:
        """Returns the next packet; without waiting, the newest there is or an empty one."""
        found = Packet(0, 0, 0, consumed=self._peer_consumed)
        while True:
            for address, length in self._taken():
                found = parsed(self._driver.read(address, length))
                self._offer(address)
            self._rx.poke()
            if found.op or not wait:
                return found
            self._wait()

    def _taken(self) -> list[tuple[int, int]]:
        return [(self._at.pop(head), length) for head, length in self._rx.take()]

    def _wait(self) -> None:
        self._driver.interrupted(0.001)

    def _reclaim(self) -> None:
        for head, _ in self._tx.take():
            self._spare.append(self._used.pop(head))

    def _offer(self, address: int) -> None:
        head = self._rx.add([(address, BUFFER)], writable=True)
        if head is None:
            raise RuntimeError("the ring is full")
        self._at[head] = address


@contextmanager
def _backend() -> Iterator[tuple[Guest, str]]:
    """Yields a guest with a running backend, and the path that leads to its port."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command = [sys.executable, "-P", "-m", "strongroom_host.vsock", "--cid", str(CID)]
        command += ["--device", f"{folder}/device", "--listen", f"{PORT}={folder}/port"]
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(process.terminate)
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise RuntimeError("the backend did not start")
        driver = Driver(Path(folder) / "device")
        stack.callback(driver.close)
        yield Guest(driver), f"{folder}/port"


@contextmanager
def _client(kind: str, path: str) -> Iterator[None]:
    command = [sys.executable, "-c", _CLIENT, kind, path, str(TOTAL)]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


def _with_guest(kind: str, job: Callable[[Guest], T]) -> T:
    with _backend() as (guest, path), _client(kind, path):
        guest.accept()
        return job(guest)


def _with_socket(kind: str, job: Callable[[socket.socket], T]) -> T:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")
        listener.listen()
        with _client(kind, f"{folder}/s"):
            sock, _ = listener.accept()
            with sock:
                return job(sock)


def _rate(end: T, job: Callable[[T], object]) -> float:
    start = time.perf_counter()
    job(end)
    return TOTAL / (time.perf_counter() - start) / 1e6


def _times(job: Callable[[], object], iterations: int) -> list[int]:
    found = []
    for _ in range(iterations):
        start = time.perf_counter_ns()
        job()
        found.append(time.perf_counter_ns() - start)
    return found[iterations // 10 :]


def _drain(sock: socket.socket) -> None:
    room, left = memoryview(bytearray(CHUNK)), TOTAL
    while left:
        left -= sock.recv_into(room)
    sock.send(b"x")


def _flood(sock: socket.socket) -> None:
    data, left = bytes(CHUNK), TOTAL
    while left:
        count = min(left, CHUNK)
        sock.sendall(data[:count])
        left -= count
    sock.recv(1)


def _exchange(sock: socket.socket) -> Callable[[], object]:
    def job() -> None:
        sock.sendall(bytes(100))
        sock.recv(100, socket.MSG_WAITALL)

    return job


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(f"{line}\n")
