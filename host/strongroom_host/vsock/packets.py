"""The header of a virtio-vsock packet (virtio 1.2, 5.10.6): 44 bytes, little-endian.

| bytes | field |
| --- | --- |
| 8, 8 | source and destination CID |
| 4, 4 | source and destination port |
| 4 | length of the payload |
| 2, 2 | type (1: stream), operation |
| 4 | flags (of SHUTDOWN: 1 no more receiving, 2 no more sending) |
| 4, 4 | credit: size of the sender's buffer, bytes it has consumed so far (modulo 2^32) |
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

__all__ = ["HEADER_SIZE", "NO_RECEIVE", "NO_SEND", "STREAM", "Header", "Op"]

_LAYOUT: Final = struct.Struct("<QQIIIHHIII")
HEADER_SIZE: Final = _LAYOUT.size
STREAM: Final = 1
NO_RECEIVE: Final = 1
NO_SEND: Final = 2


class Op(enum.IntEnum):
    """What a packet asks for or tells."""

    REQUEST = 1
    RESPONSE = 2
    RST = 3
    SHUTDOWN = 4
    RW = 5
    CREDIT_UPDATE = 6
    CREDIT_REQUEST = 7


class Header(NamedTuple):
    """A packet's header. A tuple, since one is made for every packet.

    From a guest, nothing in it can be relied on; `op` may be a number that is no `Op`.
    """

    source_cid: int
    destination_cid: int
    source_port: int
    destination_port: int
    length: int
    type: int
    op: int
    flags: int
    buffer: int
    consumed: int

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Header:
        """Returns the header at the start of `data`, which holds at least `HEADER_SIZE` bytes."""
        return cls._make(_LAYOUT.unpack_from(data))

    def serialise(self) -> bytes:
        """Returns the 44 bytes."""
        return _LAYOUT.pack(*self)

    def write(self, data: memoryview) -> None:
        """Writes the 44 bytes to the start of `data`."""
        _LAYOUT.pack_into(data, 0, *self)
