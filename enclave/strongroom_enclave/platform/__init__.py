"""The platform: what init may ask of the machine it runs on, and nothing more.

The port are the six public calls of `nsm.NsmPlatform`, each of which raises only `PlatformError`;
code in the image asks these, and never which platform answers. It serves a Nitro Secure Module: the
real device, QEMU's, or a socket that speaks the same CBOR. A machine without one gets another class
with the same calls. A source of sealing keys for the image comes with KMS and SNP; the local one
lives outside `enclave/`.
"""

from socket import socket as Socket  # noqa: N812  the type, for those who are handed one

from strongroom_wire.errors import Compared

__all__ = ["PlatformError", "Socket"]


class PlatformError(Compared):
    """The machine failed us, or answered outside its contract: the caller halts, never retries.

    `expected` and `actual` say what the check compared; neither ever holds a secret.
    """
