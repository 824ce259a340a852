"""Plays QEMU: a vhost-user front-end with memory of its own, and the driver's half of the rings.

Written from the specifications, with nothing of the code under test, so that both can be wrong only
in different ways.
"""

import array
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Driver", "Ring", "eventually"]

PAGE = 4096
LOW, HIGH = 0, 1 << 32
"""Guest-physical addresses of the two regions."""
USER_LOW, USER_HIGH = 0x7F00_0000_0000, 0x7F10_0000_0000
"""The same regions' addresses in this front-end; made up, as no address is ever followed here."""
REGION = 8 << 20
RINGS = 64 * 1024
"""Bytes at the start of the low region that hold the rings; buffers are behind them."""

NEED_REPLY, NO_DESCRIPTOR = 8, 1 << 8
(GET_FEATURES, SET_FEATURES, SET_OWNER) = (1, 2, 3)
(SET_MEM_TABLE, SET_NUM, SET_ADDR, SET_BASE, GET_BASE) = (5, 8, 9, 10, 11)
(SET_KICK, SET_CALL, SET_ERR) = (12, 13, 14)
(GET_PROTOCOL, SET_PROTOCOL, QUEUE_NUM, ENABLE) = (15, 16, 17, 18)
(GET_CONFIG, SET_CONFIG, RESET_DEVICE) = (24, 25, 34)

HANG_S = 30.0
"""After which waiting is given up: far beyond any time a test measures."""


def eventually(condition: Callable[[], bool], step: Callable[[], object]) -> None:
    """Takes steps until the condition holds."""
    end = time.monotonic() + HANG_S
    while not condition():
        step()
        assert time.monotonic() < end, "waited too long"


@dataclass
class Ring:
    """The driver's half of one split ring, at `base` in the low region."""

    memory: memoryview
    base: int
    size: int
    kick: int = field(default_factory=lambda: os.eventfd(0, os.EFD_NONBLOCK))
    call: int = field(default_factory=lambda: os.eventfd(0, os.EFD_NONBLOCK))
    added: int = 0
    taken: int = 0
    free: list[int] = field(default_factory=list)
    chains: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.available = self.base + 16 * self.size
        self.used = (self.available + 4 + 2 * self.size + 3) & ~3
        self.free = list(range(self.size))
        self.memory[self.base : self.used + 4 + 8 * self.size] = bytes(
            self.used + 4 + 8 * self.size - self.base
        )

    def add(self, pieces: list[tuple[int, int]], *, writable: bool) -> int | None:
        """Makes a chain of (guest address, length) available; returns its head, None if full."""
        if len(self.free) < len(pieces):
            return None
        chain = [self.free.pop() for _ in pieces]
        for number, (index, (address, length)) in enumerate(zip(chain, pieces, strict=True)):
            last = number == len(pieces) - 1
            following = 0 if last else chain[number + 1]
            self.describe(index, address, length, writable * 2 | (not last), following)
        self.chains[chain[0]] = chain
        self.offer(chain[0])
        return chain[0]

    def describe(self, index: int, address: int, length: int, flags: int, following: int) -> None:
        """Writes one descriptor, whatever it says."""
        struct.pack_into(
            "<QIHH", self.memory, self.base + 16 * index, address, length, flags, following
        )

    def offer(self, head: int) -> None:
        """Puts a head into the available ring."""
        slot = self.available + 4 + 2 * (self.added % self.size)
        struct.pack_into("<H", self.memory, slot, head)
        self.claim(self.added + 1)

    def claim(self, added: int) -> None:
        """Writes the available index."""
        self.added = added & 0xFFFF
        self.memory[self.available : self.available + 4].cast("H")[1] = self.added

    def suppress(self, on: bool) -> None:
        """Says whether interrupts are not wanted."""
        self.memory[self.available : self.available + 4].cast("H")[0] = int(on)

    def take(self) -> list[tuple[int, int]]:
        """Returns head and length of each chain that came back, and frees its descriptors."""
        found = []
        index = self.memory[self.used : self.used + 4].cast("H")[1]
        while self.taken != index:
            slot = self.used + 4 + 8 * (self.taken % self.size)
            head, length = struct.unpack_from("<II", self.memory, slot)
            self.taken = (self.taken + 1) & 0xFFFF
            self.free += self.chains.pop(head)
            found.append((head, length))
        return found

    def poke(self) -> None:
        """Kicks."""
        os.eventfd_write(self.kick, 1)

    def close(self) -> None:
        os.close(self.kick)
        os.close(self.call)


class Driver:
    """A front-end connected to a backend, and the memory of its guest."""

    def __init__(self, path: Path, *, size: int = 128) -> None:
        self.file = os.memfd_create("guest", os.MFD_CLOEXEC)
        os.truncate(self.file, 2 * REGION)
        self._mapping = mmap.mmap(self.file, 2 * REGION)
        self.memory = memoryview(self._mapping)
        self.rx = Ring(self.memory, PAGE, size)
        self.tx = Ring(self.memory, PAGE + RINGS // 2, size)
        self.error = os.eventfd(0, os.EFD_NONBLOCK)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(HANG_S)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.close()
            raise

    # The protocol.

    def send(
        self,
        request: int,
        payload: bytes = b"",
        descriptors: list[int] | None = None,
        flags: int = 1,
    ) -> None:
        """Sends one message."""
        data = struct.pack("<III", request, flags, len(payload)) + payload
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors or []))
        self.socket.sendmsg([data], [rights] if descriptors else [])

    def receive(self) -> tuple[int, bytes]:
        """Returns the request a reply is for, and its payload."""
        header = self._read(12)
        assert header, "the backend closed"
        request, flags, size = struct.unpack("<III", header)
        assert flags == 5
        return request, self._read(size)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                return b""
            data += piece
        return data

    def ask(
        self, request: int, payload: bytes = b"", descriptors: list[int] | None = None
    ) -> bytes:
        """Sends a request that has a reply of its own, and returns that."""
        self.send(request, payload, descriptors)
        answered, reply = self.receive()
        assert answered == request
        return reply

    def tell(self, request: int, payload: bytes = b"", descriptors: list[int] | None = None) -> int:
        """Sends a request that has none, and returns what its acknowledgement says (0: done)."""
        self.send(request, payload, descriptors, 1 | NEED_REPLY)
        answered, reply = self.receive()
        assert answered == request
        return int.from_bytes(reply, "little")

    # What QEMU does.

    def negotiate(self) -> None:
        """Does what QEMU does when its device is made."""
        features = int.from_bytes(self.ask(GET_FEATURES), "little")
        assert features == 1 << 32 | 1 << 30
        protocol = int.from_bytes(self.ask(GET_PROTOCOL), "little")
        self.send(SET_PROTOCOL, protocol.to_bytes(8, "little"))
        assert int.from_bytes(self.ask(QUEUE_NUM), "little") >= 2
        self.tell(SET_OWNER)

    def config(self, offset: int = 0, size: int = 8) -> bytes:
        """Returns a part of the configuration space."""
        return self.ask(GET_CONFIG, struct.pack("<III", offset, size, 0) + bytes(size))[12:]

    def share_memory(self) -> int:
        """Sends the memory table."""
        regions = struct.pack("<II", 2, 0)
        regions += struct.pack("<QQQQ", LOW, REGION, USER_LOW, 0)
        regions += struct.pack("<QQQQ", HIGH, REGION, USER_HIGH, REGION)
        return self.tell(SET_MEM_TABLE, regions, [self.file, self.file])

    def start(self) -> None:
        """Does what QEMU does when the guest's driver is ready."""
        assert self.tell(SET_FEATURES, (1 << 32 | 1 << 30).to_bytes(8, "little")) == 0
        assert self.share_memory() == 0
        for index, ring in enumerate((self.rx, self.tx)):
            self.start_ring(index, ring)
        for index in range(2):
            assert self.tell(ENABLE, struct.pack("<II", index, 1)) == 0

    def start_ring(self, index: int, ring: Ring, base: int = 0) -> None:
        """Describes one ring."""
        assert self.tell(SET_NUM, struct.pack("<II", index, ring.size)) == 0
        assert self.tell(SET_BASE, struct.pack("<II", index, base)) == 0
        addresses = [USER_LOW + at for at in (ring.base, ring.used, ring.available)]
        assert self.tell(SET_ADDR, struct.pack("<IIQQQQ", index, 0, *addresses, 0)) == 0
        assert self.tell(SET_KICK, struct.pack("<Q", index), [ring.kick]) == 0
        assert self.tell(SET_CALL, struct.pack("<Q", index), [ring.call]) == 0
        assert self.tell(SET_ERR, struct.pack("<Q", index), [self.error]) == 0

    def stop(self, index: int) -> int:
        """Stops a ring; returns where."""
        answered, position = struct.unpack("<II", self.ask(GET_BASE, struct.pack("<II", index, 0)))
        assert answered == index
        return int(position)

    def settle(self) -> None:
        """Returns once the backend has handled everything sent before."""
        self.ask(GET_FEATURES)

    # Memory.

    def place(self, address: int) -> int:
        """Returns where in the file a guest-physical address is."""
        return address if address < HIGH else address - HIGH + REGION

    def write(self, address: int, data: bytes | memoryview) -> None:
        at = self.place(address)
        self.memory[at : at + len(data)] = data

    def read(self, address: int, length: int) -> bytes:
        at = self.place(address)
        return bytes(self.memory[at : at + length])

    def interrupted(self, timeout: float) -> bool:
        """Waits for an interrupt of either ring, and takes it."""
        ready, _, _ = select.select([self.rx.call, self.tx.call], [], [], timeout)
        for descriptor in ready:
            os.eventfd_read(descriptor)
        return bool(ready)

    def close(self) -> None:
        self.socket.close()
        self.rx.close()
        self.tx.close()
        os.close(self.error)
        self.memory.release()
        self._mapping.close()
        os.close(self.file)
