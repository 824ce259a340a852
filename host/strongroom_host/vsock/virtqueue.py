"""The device's half of a split virtqueue (virtio 1.2, 2.7), in memory that the guest writes too.

Three areas: descriptors (16 bytes each), the available ring (the driver's: flags, index, heads) and
the used ring (ours: flags, index, head and length of each chain given back). Neither indirect
descriptors nor event indices are offered, so neither may appear.

**Whole stores.** `struct` moves standard sizes byte by byte; another processor could read an index
half written. Indices therefore go through `memoryview.cast`, where CPython copies the two bytes of
an aligned item at once, in the host's order, which has to be the ring's: little-endian.

**Order.** The driver must see a chain's bytes before the index that publishes it, and we must see
them after it. x86 keeps that order by itself, except that a store may be overtaken by a later load:
publishing an index and then reading whether the driver wants an interrupt. `_fence` keeps order
everywhere: releasing a lock and taking it again are two atomic operations that nothing passes.
Each queue has a lock for that alone, and one thread.
"""

from __future__ import annotations

import struct
import sys
import threading
from dataclasses import dataclass
from typing import Final, NamedTuple

from strongroom_host.vsock.errors import BackendRefused, FrontEndFault, RingBroken
from strongroom_host.vsock.memory import GuestMemory

__all__ = ["MAX_QUEUE_SIZE", "Chain", "RingAddresses", "Virtqueue"]

MAX_QUEUE_SIZE: Final = 32768
_DESCRIPTOR: Final = struct.Struct("<QIHH")
_NEXT: Final = 1
_WRITABLE: Final = 2
_NO_INTERRUPT: Final = 1
_WRAP: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class RingAddresses:
    """Where the front-end has the three areas of a ring, as addresses of its own."""

    descriptors: int
    used: int
    available: int


class Chain(NamedTuple):
    """A buffer of the driver's: the index of its first descriptor, and its pieces in order."""

    head: int
    pieces: list[memoryview]


class Virtqueue:
    """One ring. Chains are looked at first and taken afterwards, so nothing is ever taken back."""

    def __init__(
        self,
        memory: GuestMemory,
        size: int,
        addresses: RingAddresses,
        start: int,
        *,
        writable: bool,
    ) -> None:
        """Locates the ring in memory.

        Args:
            memory: The guest's.
            size: Number of descriptors, a power of two.
            addresses: Of its areas.
            start: Index in the available ring of the next chain, modulo 2^16.
            writable: Whether chains are for us to write to (else to read from).

        Raises:
            FrontEndFault: the size is none, or an area lies outside memory or is not aligned.
            BackendRefused: the processor is not little-endian.
        """
        if sys.byteorder != "little":
            raise BackendRefused("virtqueues need a little-endian processor", actual=sys.byteorder)
        if not 1 <= size <= MAX_QUEUE_SIZE or size & (size - 1):
            raise FrontEndFault("a queue's size is no power of two up to 32768", actual=size)
        self._memory, self._size, self._mask = memory, size, size - 1
        self._wanted = _WRITABLE if writable else 0
        self._descriptors = _area(memory, addresses.descriptors, 16 * size, 16)
        self._available = _area(memory, addresses.available, 4 + 2 * size, 2).cast("H")
        used = _area(memory, addresses.used, 4 + 8 * size, 4)
        self._used, self._used_index = used.cast("I"), used[:4].cast("H")
        self.position = start & _WRAP
        """Index of the next chain to take: what a restarted ring goes on from."""
        self._given = self._used_index[1]
        self._unpublished = False
        self._order = threading.Lock()
        self._order.acquire()

    def waiting(self) -> int:
        """Returns how many chains the driver has made available that we have not taken.

        Raises:
            RingBroken: more than the ring can hold.
        """
        count = (self._available[1] - self.position) & _WRAP
        if count > self._size:
            raise RingBroken(
                "the guest claims more buffers than its ring holds",
                expected=f"at most {self._size}",
                actual=count,
            )
        self._fence()
        return count

    def look(self, ahead: int = 0) -> Chain:
        """Returns a chain without taking it; `ahead` is less than what `waiting` returned.

        Raises:
            RingBroken: the chain loops, leaves the table or memory, or has the wrong direction.
        """
        head = self._available[2 + ((self.position + ahead) & self._mask)]
        pieces: list[memoryview] = []
        index = head
        for _ in range(self._size):
            if index >= self._size:
                raise RingBroken("a descriptor's index is outside the table", actual=index)
            address, length, flags, following = _DESCRIPTOR.unpack_from(
                self._descriptors, 16 * index
            )
            if flags & ~_NEXT != self._wanted:
                raise RingBroken(
                    "a descriptor's direction is wrong, or it is of a kind not offered",
                    expected=self._wanted,
                    actual=flags,
                )
            piece = self._memory.at_guest(address, length)
            if piece is None:
                raise RingBroken(
                    "a descriptor points outside the guest's memory",
                    actual=f"{length} bytes at {address:#x}",
                )
            pieces.append(piece)
            if not flags & _NEXT:
                return Chain(head, pieces)
            index = following
        raise RingBroken("a descriptor chain loops", actual=f"from {head}")

    def give_back(self, head: int, written: int) -> None:
        """Takes the next chain, whose head is `head`, and returns it with `written` bytes in it."""
        slot = 1 + 2 * (self._given & self._mask)
        self._used[slot] = head
        self._used[slot + 1] = written
        self._given = (self._given + 1) & _WRAP
        self.position = (self.position + 1) & _WRAP
        self._unpublished = True

    def publish(self) -> bool:
        """Shows the driver what was given back; returns whether it wants to be interrupted."""
        if not self._unpublished:
            return False
        self._unpublished = False
        self._fence()
        self._used_index[1] = self._given
        self._fence()
        return not self._available[0] & _NO_INTERRUPT

    def _fence(self) -> None:
        self._order.release()
        self._order.acquire()


def _area(memory: GuestMemory, address: int, length: int, alignment: int) -> memoryview:
    area = memory.at_user(address, length)
    if area is None or address % alignment:
        raise FrontEndFault(
            "a ring lies outside guest memory or is not aligned",
            expected=f"{length} bytes, aligned to {alignment}",
            actual=f"{address:#x}",
        )
    return area
