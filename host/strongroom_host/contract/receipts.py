"""What a receipt proves to whoever asked."""

from strongroom_wire.bundle import receipt_message
from strongroom_wire.errors import Code
from strongroom_wire.owners import verify_signature

__all__ = ["verify_receipt"]


def verify_receipt(
    key: bytes, boot_id: bytes, request: bytes, code: Code, answer: bytes, signature: bytes
) -> None:
    """Proves that the role with receipt `key` gave this answer to this request in this boot.

    Raises:
        BadSignature: it did not.
    """
    verify_signature(key, signature, receipt_message(boot_id, request, code, answer))
