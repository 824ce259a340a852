"""The platform port: what init may ask of the machine it runs on, and nothing more.

Code in the image asks these two protocols and never which platform answers. `nsm` implements
`Platform` for a Nitro Secure Module: the real device, QEMU's, or a socket that speaks the same
CBOR. A `Sealer` for the image comes with KMS and SNP; the local one lives outside `enclave/`.
"""

from socket import socket as Socket  # noqa: N812  the type, for those who are handed one
from typing import Protocol

from strongroom_wire.errors import Compared

__all__ = ["Platform", "PlatformError", "Sealer", "Socket"]


class PlatformError(Compared):
    """The machine failed us, or answered outside its contract: the caller halts, never retries.

    `expected` and `actual` say what the check compared; neither ever holds a secret.
    """


class Platform(Protocol):
    """Measured-boot registers, evidence, entropy and time. Every call raises only PlatformError."""

    def attest(self, user_data: bytes, nonce: bytes) -> bytes:
        """Returns evidence over both values and the locked PCRs, in the platform's encoding."""

    def random(self, n: int) -> bytes:
        """Returns `n` bytes of the platform's own entropy, independent of the kernel's pool."""

    def extend(self, index: int, data: bytes) -> bytes:
        """Sets PCR `index` to SHA-384(old || data) and returns that new value, 48 bytes."""

    def lock(self, upto: int) -> None:
        """Locks PCRs 0 to `upto`-1 until the next boot; already locked ones stay so."""

    def now_ms(self) -> int:
        """Returns milliseconds since 1970 from a source that the host cannot set."""

    def copyable(self) -> bool:
        """Returns whether somebody could copy this machine's memory, and run it twice."""


class Sealer(Protocol):
    """The platform's half of the sealing key; the owner's half comes with the start permit."""

    def secret(self, context: bytes) -> bytes:
        """Returns 32 bytes that only this image on this platform can reproduce for `context`."""
