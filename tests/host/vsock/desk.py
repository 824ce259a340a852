"""The device by itself: rings in memory, streams that are lists, time that is a number."""

import os
from collections.abc import Sequence

from strongroom_host.vsock.connection import Connection
from strongroom_host.vsock.device import Device
from strongroom_host.vsock.memory import GuestMemory, Region
from strongroom_host.vsock.streams import StreamBroken
from strongroom_host.vsock.table import Limits
from strongroom_host.vsock.virtqueue import RingAddresses, Virtqueue

from tests.host.vsock.driver import Ring
from tests.host.vsock.guest import CID, REQUEST, RESPONSE, Packet, parsed

__all__ = ["SERVICE", "Desk", "FakeStream"]

BUFFER = 4096
MEMORY = 4 << 20
SERVICE = 5002


class FakeStream:
    """A host's end that takes `room` bytes and offers what is in `source`."""

    def __init__(self, source: bytes = b"", room: int = 1 << 30) -> None:
        self.source, self.room = source, room
        self.taken = b""
        self.ended = self.broken = False
        self.did: list[str] = []

    def write(self, pieces: Sequence[memoryview | bytearray]) -> int:
        if self.broken:
            raise StreamBroken
        data = b"".join(pieces)[: self.room]
        self.taken += data
        self.room -= len(data)
        return len(data)

    def read_into(self, buffers: Sequence[memoryview]) -> int | None:
        if self.broken:
            raise StreamBroken
        count = 0
        for buffer in buffers:
            piece = self.source[: len(buffer)]
            buffer[: len(piece)] = piece
            self.source = self.source[len(piece) :]
            count += len(piece)
        return count or (0 if self.ended else None)

    def end_writing(self) -> None:
        self.did.append("end writing")

    def end_reading(self) -> None:
        self.did.append("end reading")

    def close(self) -> None:
        assert not self.closed()
        self.did.append("close")

    def closed(self) -> bool:
        return "close" in self.did


class Desk:
    """A device with rings, and the guest's side of them packet by packet."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.now = 1000.0
        self.dialled: list[Connection] = []
        self.answer: type[Exception] | None = None
        self.stream = FakeStream()
        self.device = Device(CID, self._dial, limits)
        self.file = os.memfd_create("guest")
        os.truncate(self.file, MEMORY)
        self.memory = GuestMemory([Region(0, MEMORY, 0, 0)], [self.file])
        view = self.memory.at_guest(0, MEMORY)
        assert view is not None
        self.view = view
        self.rx, self.tx = Ring(view, 0, 128), Ring(view, 8192, 128)
        queues = []
        for ring, writable in ((self.rx, True), (self.tx, False)):
            at = RingAddresses(ring.base, ring.used, ring.available)
            queues.append(Virtqueue(self.memory, 128, at, 0, writable=writable))
        self.device.attach(rx=queues[0], tx=queues[1])
        self._at: dict[int, int] = {}

    def _dial(self, connection: Connection) -> FakeStream:
        self.dialled.append(connection)
        if self.answer is not None:
            raise self.answer
        return self.stream

    def send(self, *packets: Packet) -> None:
        """Has the guest send packets, and the device take them."""
        for packet in packets:
            data = packet.serialise()
            self.view[1 << 20 : (1 << 20) + len(data)] = data
            assert self.tx.add([(1 << 20, len(data))], writable=False) is not None
            self.run_tx()

    def run_tx(self) -> None:
        self.device.transmit(self.now)
        assert self.device.tx is not None
        self.device.tx.publish()
        self.tx.take()

    def receive(self, buffers: int = 100) -> list[Packet]:
        """Gives the device buffers, lets it fill them, and returns what is in them."""
        while len(self._at) < buffers:
            address = (2 << 20) + BUFFER * self.rx.free[-1]
            head = self.rx.add([(address, BUFFER)], writable=True)
            assert head is not None
            self._at[head] = address
        while self.device.fill(self.now):
            pass
        assert self.device.rx is not None
        self.device.rx.publish()
        found = []
        for head, length in self.rx.take():
            address = self._at.pop(head)
            found.append(parsed(bytes(self.view[address : address + length])))
        return found

    def ops(self, buffers: int = 100) -> list[int]:
        return [packet.op for packet in self.receive(buffers)]

    def accept(self, port: int = 1000) -> FakeStream:
        """Returns the stream of a connection that the guest asked for and has."""
        self.stream = FakeStream()
        self.send(Packet(REQUEST, SERVICE, port, buffer=65536))
        assert self.ops() == [RESPONSE]
        return self.stream

    def ready(
        self, *, readable: bool = False, writable: bool = False, hung_up: bool = False
    ) -> None:
        self.device.ready(
            self.dialled[-1], self.now, readable=readable, writable=writable, hung_up=hung_up
        )

    def packet(self, op: int, payload: bytes = b"", **more: int) -> Packet:
        return Packet(op, SERVICE, 1000, payload, **{"buffer": 65536, **more})

    def tick(self, seconds: float) -> float | None:
        self.now += seconds
        return self.device.tick(self.now)

    def close(self) -> None:
        self.rx.close()
        self.tx.close()
        os.close(self.file)
