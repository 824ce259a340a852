"""Receipts: a role's Ed25519 signature over what it was asked and what it answered.

A reply is believed because of its receipt, not because of the channel it came through: front, which
carries it, holds no receipt key.
"""

from hashlib import sha256

from strongroom_wire.encoding import pack, u32
from strongroom_wire.errors import Code

_RECEIPT = b"strongroom/receipt/v1"


def receipt_message(boot_id: bytes, request: bytes, code: Code, answer: bytes) -> bytes:
    """Returns what a role signs: its boot, the digest of the request, the code and the answer."""
    return pack(_RECEIPT, boot_id, sha256(request).digest(), u32(code), answer)
