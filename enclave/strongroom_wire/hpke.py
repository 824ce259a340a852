"""HPKE (RFC 9180) as it is used everywhere here: base mode, X25519, HKDF-SHA256, AES-256-GCM.

One encapsulation per message, layout enc (32 bytes) || ciphertext || tag (16). The library has no
separate associated data, so everything that must be bound is in `info` (`bundle.hpke_info`).
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from strongroom_wire.errors import BadSignature, Malformed

__all__ = ["open_sealed", "seal"]

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_OVERHEAD = 48


def seal(plaintext: bytes, recipient: bytes, info: bytes) -> bytes:
    """Returns `plaintext` sealed to the X25519 public key `recipient` (32 bytes), for `info` only.

    Raises:
        Malformed: `recipient` is no usable public key.
    """
    try:
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(recipient), info)
    except ValueError as error:
        raise Malformed("HPKE public key", "a point of Curve25519", recipient.hex()) from error


def open_sealed(sealed: bytes, key: X25519PrivateKey, info: bytes) -> bytes:
    """Returns the plaintext that was sealed to `key` for exactly this `info`.

    Raises:
        Malformed: too short to be a ciphertext.
        BadSignature: sealed to another key, another boot, role or purpose, or altered.
    """
    if len(sealed) < _OVERHEAD:
        raise Malformed("HPKE ciphertext", f"{_OVERHEAD} bytes or more", len(sealed))
    try:
        return _SUITE.decrypt(sealed, key, info)
    except (InvalidTag, ValueError) as error:
        raise BadSignature("HPKE ciphertext", "sealed to this key and purpose", "not") from error
