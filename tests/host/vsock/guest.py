"""Plays Linux in the guest: sockets over virtio-vsock, which watch that credit is kept.

Whatever a correct device may never do fails an assertion here: a packet beyond the credit, for a
connection that is over, a count of consumed bytes above what was sent, a header that does not fit.
"""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.host.vsock.driver import HIGH, PAGE, REGION, RINGS, Driver, eventually

__all__ = ["CID", "Guest", "Packet", "Socket", "parsed"]

CID = 42
PARENT = 3
REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST = range(1, 8)
NO_RECEIVE, NO_SEND = 1, 2
_HEADER = struct.Struct("<QQIIIHHIII")
M32 = 0xFFFFFFFF


@dataclass
class Packet:
    """A packet, by the guest's side of it: `host` and `port` are those of the other and of us."""

    op: int
    host: int
    port: int
    payload: bytes = b""
    flags: int = 0
    buffer: int = 0
    consumed: int = 0
    cid: int = PARENT
    kind: int = 1
    source: int = CID
    length: int | None = None

    def serialise(self) -> bytes:
        length = len(self.payload) if self.length is None else self.length
        fields = (self.source, self.cid, self.port, self.host, length, self.kind, self.op)
        return _HEADER.pack(*fields, self.flags, self.buffer, self.consumed) + self.payload


def parsed(data: bytes) -> Packet:
    """Returns the packet in a receive buffer, of which so much was filled."""
    source, to, host, port, length, kind, op, flags, buffer, consumed = _HEADER.unpack(data[:44])
    assert to == CID
    assert length == len(data) - 44
    return Packet(op, host, port, data[44:], flags, buffer, consumed, source, kind)


@dataclass(eq=False)
class Socket:
    """A connected (or connecting) socket of the guest."""

    guest: Guest
    host: int
    port: int
    buffer: int
    cid: int = PARENT
    open: bool = False
    refused: bool = False
    over: bool = False
    host_ended: int = 0
    our_end: int = 0
    received: bytearray = field(default_factory=bytearray)
    consumed: int = 0
    reported: int = 0
    sent: int = 0
    peer_buffer: int = 0
    peer_consumed: int = 0

    @property
    def credit(self) -> int:
        return self.peer_buffer - (self.sent - self.peer_consumed)

    def packet(self, op: int, payload: bytes = b"", flags: int = 0) -> None:
        """Sends a packet of this connection with its credit."""
        self.reported = self.consumed
        self.guest.transmit(
            Packet(
                op, self.host, self.port, payload, flags, self.buffer, self.consumed & M32, self.cid
            )
        )

    def send(self, data: bytes | memoryview) -> int:
        """Sends what credit, and room in the ring, allow; returns how much."""
        assert self.open
        room = self.guest.backlog_room()
        count = min(len(data), self.credit, room) if not self.our_end & NO_SEND else 0
        if count <= 0:
            return 0
        self.sent += count
        self.packet(RW, bytes(data[:count]))
        return count

    def write(self, data: bytes) -> None:
        """Sends all of it, for which there is credit; it may have to wait for room in the ring."""
        assert len(data) <= self.credit
        self.sent += len(data)
        self.packet(RW, data)

    def read(self, count: int) -> bytes:
        """Takes received bytes out, and says so when half the buffer is unreported."""
        data = bytes(self.received[:count])
        del self.received[:count]
        self.consumed += len(data)
        if (self.consumed - self.reported) * 2 >= self.buffer and not self.over:
            self.packet(CREDIT_UPDATE)
        return data

    def shutdown(self, flags: int) -> None:
        self.our_end |= flags
        self.packet(SHUTDOWN, flags=flags)

    def close(self) -> None:
        """As Linux does: says it is over, and waits for the other side's reset."""
        if not self.over:
            self.shutdown(NO_RECEIVE | NO_SEND)

    def handle(self, packet: Packet) -> None:
        assert packet.buffer or packet.op == RST
        if packet.op != RST:
            self.peer_buffer = packet.buffer
            advanced = (packet.consumed - self.peer_consumed) & M32
            self.peer_consumed += advanced
            assert self.peer_consumed <= self.sent, "claims to have consumed what was never sent"
        if packet.op == RESPONSE:
            assert not self.open
            self.open = True
        elif packet.op == RW:
            assert self.open
            assert not self.host_ended & NO_SEND, "data after its end"
            assert packet.payload, "an empty packet"
            self.received += packet.payload
            assert len(self.received) <= self.buffer - (self.consumed - self.reported), "credit"
        elif packet.op == SHUTDOWN:
            assert self.open
            self.host_ended |= packet.flags
            if packet.flags == NO_RECEIVE | NO_SEND:
                self.guest.forget(self)
                self.over = True
                self.packet(RST)
        elif packet.op == CREDIT_REQUEST:
            self.packet(CREDIT_UPDATE)
        elif packet.op == RST:
            self.refused = not self.open
            self.over = True
            self.guest.forget(self)
        else:
            assert packet.op == CREDIT_UPDATE


class Guest:
    """The guest's kernel: rings, buffers, sockets.

    Args:
        driver: Its machine.
        layout: How each buffer for receiving is cut into descriptors, in bytes; the default is
            Linux's.
        rx_buffers: How many of them it offers.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        layout: tuple[int, ...] = (3776,),
        rx_buffers: int = 128,
        seed: int = 0,
    ) -> None:
        self.driver, self.layout = driver, layout
        self.random = random.Random(seed)  # noqa: S311  the guest's whims, reproducible
        self.sockets: dict[tuple[int, int], Socket] = {}
        self.listening: dict[int, int] = {}
        self.accepted: deque[Socket] = deque()
        self.strays: list[Packet] = []
        self._queue: deque[bytes] = deque()
        self._rx_pool = [PAGE + RINGS + index * sum(layout) for index in range(rx_buffers)]
        assert self._rx_pool[-1] + sum(layout) <= REGION
        self._rx_at: dict[int, int] = {}
        self._tx_pool = [HIGH + index * 65536 for index in range(REGION // 65536)]
        self._tx_at: dict[int, int] = {}
        self._next_port = 1000

    # Sockets.

    def listen(self, port: int, buffer: int = 262144) -> None:
        self.listening[port] = buffer

    def connect(self, host_port: int, buffer: int = 262144, cid: int = PARENT) -> Socket:
        self._next_port += 1
        socket = Socket(self, host_port, self._next_port, buffer, cid)
        self.sockets[host_port, socket.port] = socket
        socket.packet(REQUEST)
        return socket

    def open(self, host_port: int, cid: int = PARENT) -> Socket:
        """Returns a socket that is connected."""
        socket = self.connect(host_port, cid=cid)
        self.until(lambda: socket.open)
        return socket

    def expect(self, socket: Socket, data: bytes) -> None:
        """Runs the guest until a socket has received that, and nothing more."""
        self.until(lambda: len(socket.received) >= len(data))
        assert bytes(socket.received) == data

    def accept(self) -> Socket:
        self.until(lambda: bool(self.accepted))
        return self.accepted.popleft()

    def forget(self, socket: Socket) -> None:
        self.sockets.pop((socket.host, socket.port), None)

    # Packets.

    def flush(self) -> None:
        """Runs the guest until all its packets are in the ring."""
        self.until(lambda: not self._queue)

    def backlog_room(self) -> int:
        """How large a payload may be sent now."""
        return 0 if self._queue or not self._tx_pool else 65536 - 44

    def transmit(self, packet: Packet) -> None:
        """Sends any packet, right or wrong; waits in a queue while the ring is full."""
        self.transmit_raw(packet.serialise())

    def transmit_raw(self, data: bytes) -> None:
        self._queue.append(data)
        self._push()

    def _push(self) -> None:
        pushed = False
        while self._queue and self._tx_pool:
            data = self._queue[0]
            address = self._tx_pool.pop()
            self.driver.write(address, data)
            head = self.driver.tx.add(self._cut(address, len(data)), writable=False)
            if head is None:
                self._tx_pool.append(address)
                break
            self._queue.popleft()
            self._tx_at[head] = address
            pushed = True
        if pushed:
            self.driver.tx.poke()

    def _cut(self, address: int, length: int) -> list[tuple[int, int]]:
        """Returns descriptors as Linux makes them: header, then payload; or cut at random."""
        if self.random.random() < 0.8:
            return (
                [(address, 44), (address + 44, length - 44)] if length > 44 else [(address, length)]
            )
        at = self.random.randint(0, length)
        return [(address, at), (address + at, length - at)]

    def offer(self, count: int | None = None) -> None:
        """Gives the device buffers to fill: all there are, or so many."""
        pool = self._rx_pool
        for _ in range(len(pool) if count is None else min(count, len(pool))):
            address = pool.pop()
            pieces, at = [], address
            for length in self.layout:
                pieces.append((at, length))
                at += length
            head = self.driver.rx.add(pieces, writable=True)
            if head is None:
                pool.append(address)
                break
            self._rx_at[head] = address
        self.driver.rx.poke()

    def step(self, *, refill: bool = True, wait: float = 0.002) -> list[Packet]:
        """Handles what the device did; returns the packets that came."""
        self.driver.interrupted(wait)
        for head, _ in self.driver.tx.take():
            self._tx_pool.append(self._tx_at.pop(head))
        self._push()
        packets = []
        for head, length in self.driver.rx.take():
            address = self._rx_at.pop(head)
            assert 44 <= length <= sum(self.layout)
            packets.append(parsed(self.driver.read(address, length)))
            self._rx_pool.append(address)
        if refill and packets:
            self.offer()
        for packet in packets:
            self._dispatch(packet)
        return packets

    def _dispatch(self, packet: Packet) -> None:
        socket = self.sockets.get((packet.host, packet.port))
        if socket is not None:
            socket.handle(packet)
        elif packet.op == REQUEST and packet.port in self.listening:
            socket = Socket(self, packet.host, packet.port, self.listening[packet.port], packet.cid)
            socket.open, socket.peer_buffer = True, packet.buffer
            self.sockets[packet.host, packet.port] = socket
            socket.packet(RESPONSE)
            self.accepted.append(socket)
        elif packet.op != RST:
            self.transmit(Packet(RST, packet.host, packet.port, cid=packet.cid))
        else:
            self.strays.append(packet)

    def until(self, condition: Callable[[], bool]) -> None:
        """Runs the guest until the condition holds."""
        eventually(condition, self.step)
