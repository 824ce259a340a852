"""Sealing to a role of an attested enclave: what it opens with `strongroom_wire.hpke`."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from strongroom_wire.errors import Malformed
from strongroom_wire.hpke import SUITE

__all__ = ["seal"]


def seal(plaintext: bytes, recipient: bytes, info: bytes) -> bytes:
    """Returns `plaintext` sealed to the X25519 public key `recipient` (32 bytes), for `info` only.

    Raises:
        Malformed: `recipient` is no usable public key.
    """
    try:
        return SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(recipient), info)
    except ValueError as error:
        raise Malformed("HPKE public key", "a point of Curve25519", recipient.hex()) from error
