"""Receipts: a role's Ed25519 signature over what it was asked and what it answered.

A reply is believed because of its receipt, not because of the channel it came through: front, which
carries it, holds no receipt key.
"""

from hashlib import sha256

from strongroom_wire.encoding import pack, u32
from strongroom_wire.errors import Code
from strongroom_wire.owners import verify_signature

__all__ = ["receipt_message", "verify_receipt"]

_RECEIPT = b"strongroom/receipt/v1"


def receipt_message(boot_id: bytes, request: bytes, code: Code, answer: bytes) -> bytes:
    """Returns what a role signs: its boot, the digest of the request, the code and the answer."""
    return pack(_RECEIPT, boot_id, sha256(request).digest(), u32(code), answer)


def verify_receipt(
    key: bytes, boot_id: bytes, request: bytes, code: Code, answer: bytes, signature: bytes
) -> None:
    """Proves that the role with receipt `key` gave this answer to this request in this boot.

    Raises:
        BadSignature: it did not.
    """
    verify_signature(key, signature, receipt_message(boot_id, request, code, answer))
