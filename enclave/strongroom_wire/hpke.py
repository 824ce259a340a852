"""HPKE (RFC 9180) as it is used everywhere here: base mode, X25519, HKDF-SHA256, AES-256-GCM.

One encapsulation per message, layout enc (32 bytes) || ciphertext || tag (16). The library has no
separate associated data, so everything that must be bound is in `info` (`bundle.hpke_info`).
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from strongroom_wire.errors import BadSignature, Malformed

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_OVERHEAD = 48


def open_sealed(sealed: bytes, key: X25519PrivateKey, info: bytes) -> bytes:
    """Returns the plaintext that was sealed to `key` for exactly this `info`.

    Raises:
        Malformed: too short to be a ciphertext.
        BadSignature: sealed to another key, another boot, role or purpose, or altered.
    """
    Malformed.unless(len(sealed) >= _OVERHEAD, "HPKE ciphertext", _OVERHEAD, len(sealed))
    try:
        return SUITE.decrypt(sealed, key, info)
    except (InvalidTag, ValueError) as error:
        raise BadSignature("HPKE ciphertext", "sealed to this key and purpose", "not") from error
