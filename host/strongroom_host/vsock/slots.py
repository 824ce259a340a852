"""The guest's receive buffers, split into room for a header and room for a payload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from strongroom_host.vsock.errors import RingBroken
from strongroom_host.vsock.packets import HEADER_SIZE, Header
from strongroom_host.vsock.virtqueue import Chain

__all__ = ["MAX_PAYLOAD", "Slot", "cut", "split"]

MAX_PAYLOAD: Final = 64 * 1024
"""Of one packet, however large the guest's buffer is."""
_MAX_PIECES: Final = 32
"""Payload pieces used of one buffer: a batch of buffers has to fit one system call (IOV_MAX)."""


class Slot(NamedTuple):
    """One buffer. Linux's has 3,776 bytes in one piece; any other layout is as legal."""

    head: int
    header: list[memoryview]
    payload: list[memoryview]
    capacity: int

    def write_header(self, header: Header) -> None:
        """Puts a packet's header in its place."""
        if len(self.header) == 1:
            header.write(self.header[0])
            return
        data = header.serialise()
        for piece in self.header:
            piece[:] = data[: len(piece)]
            data = data[len(piece) :]


def split(chain: Chain) -> Slot:
    """Returns a chain's room for header and payload.

    Raises:
        RingBroken: it cannot hold a header and one byte.
    """
    only = chain.pieces[0]
    if len(chain.pieces) == 1 and len(only) > HEADER_SIZE:  # Linux's, which are very many
        header, payload = [only[:HEADER_SIZE]], [only[HEADER_SIZE : HEADER_SIZE + MAX_PAYLOAD]]
    else:
        header, payload = cut(chain.pieces, HEADER_SIZE)
        payload, _ = cut(payload[:_MAX_PIECES], MAX_PAYLOAD)
    capacity = sum(map(len, payload))
    if not capacity:
        raise RingBroken(
            "a receive buffer of the guest is too small for a packet",
            expected=f"more than {HEADER_SIZE} bytes",
            actual=sum(map(len, chain.pieces)),
        )
    return Slot(chain.head, header, payload, capacity)


def cut(pieces: Sequence[memoryview], length: int) -> tuple[list[memoryview], list[memoryview]]:
    """Returns the first `length` bytes (or fewer, if there are fewer) and the rest, in pieces."""
    first: list[memoryview] = []
    for index, piece in enumerate(pieces):
        if len(piece) > length:
            if length:
                first.append(piece[:length])
            return first, [piece[length:], *pieces[index + 1 :]]
        if len(piece):
            first.append(piece)
            length -= len(piece)
    return first, []
