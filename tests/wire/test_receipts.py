"""Receipts: bound to boot, request, code, answer and role key."""

import struct
from hashlib import sha256

import pytest
from strongroom_host.contract.receipts import verify_receipt
from strongroom_wire.bundle import receipt_message
from strongroom_wire.errors import BadSignature, Code

from tests.wire.samples import byte, private_key, public
from tests.wire.test_encoding import packed


def test_layout_is_the_documented_one() -> None:
    by_hand = packed(
        b"strongroom/receipt/v1",
        byte(1),
        sha256(b"request").digest(),
        struct.pack(">I", 209),
        b"answer",
    )
    assert receipt_message(byte(1), b"request", Code.KEY_CONFLICT, b"answer") == by_hand


def test_a_receipt_proves_exactly_one_answer() -> None:
    told = (byte(1), b"request", Code.OK, b"answer")
    signature = private_key(5).sign(receipt_message(*told))
    verify_receipt(public(5), *told, signature)
    for key, *other in (
        (public(6), *told),
        (public(5), byte(2), b"request", Code.OK, b"answer"),
        (public(5), byte(1), b"request2", Code.OK, b"answer"),
        (public(5), byte(1), b"", Code.OK, b"answer"),
        (public(5), byte(1), b"request", Code.BUSY, b"answer"),
        (public(5), byte(1), b"request", Code.OK, b"answer2"),
        (public(5), byte(1), b"request", Code.OK, b""),
    ):
        boot, request, code, answer = other
        with pytest.raises(BadSignature):
            verify_receipt(key, boot, request, code, answer, signature)  # type: ignore[arg-type]
    with pytest.raises(BadSignature):
        verify_receipt(public(5), *told, b"")
