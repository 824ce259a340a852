"""A request as the enclave hands it out: complete, signed, and not to be touched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from strongroom_wire.pages import Entry

from strongroom_host.errors import BadInput

__all__ = ["InvalidSignedRequest", "SignedRequest"]

_NOT_LOGGED: Final = Entry()


class InvalidSignedRequest(BadInput):
    """The parts of a signed request contradict each other."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One HTTP/1.1 request, byte for byte as it must go to the venue.

    Attributes:
        order_hashes: The 32-byte EIP-712 digests of the orders in it, in body order; empty for
            cancels, heartbeats and queries.
        request: Request line, headers and body.
        sequence: The signer's sequence number, unique per signer and boot.
        entry: What the signer's log says of it, leaf and opening; both empty where it logs nothing.

    Raises:
        InvalidSignedRequest: a hash is not 32 bytes or occurs twice, the request is empty, or
            the sequence is negative.
    """

    order_hashes: tuple[bytes, ...]
    request: bytes
    sequence: int
    entry: Entry = _NOT_LOGGED

    def __post_init__(self) -> None:
        if any(len(item) != 32 for item in self.order_hashes):
            raise InvalidSignedRequest("an order hash has 32 bytes")
        if len(set(self.order_hashes)) != len(self.order_hashes):
            raise InvalidSignedRequest("an order hash occurs twice")
        if not self.request or self.sequence < 0:
            raise InvalidSignedRequest("a request has bytes and a sequence number from 0")

    @property
    def digest(self) -> bytes:
        """SHA-256 of the request bytes."""
        return hashlib.sha256(self.request).digest()
