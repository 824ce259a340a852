"""The v1 frame: 44 bytes of header, authenticated as a whole."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay.frames_v1 import HEADER_SIZE, build, open_frame
from strongroom_host.relay.reasons import Reason, Rejected

from tests.host.relay.world import OTHER_PSK, PSK

U32, U64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)


@given(U32, U64, st.binary(min_size=1, max_size=3000))
def test_what_is_built_is_opened(sequence: int, stamp: int, payload: bytes) -> None:
    frame = build(PSK, sequence, stamp, payload)
    assert len(frame) == HEADER_SIZE + len(payload) == 44 + len(payload)
    opened = open_frame(PSK, frame)
    assert (opened.sequence, opened.timestamp_ns, opened.payload) == (sequence, stamp, payload)
    assert build(PSK, *opened[:2], opened.payload) == frame


def test_the_layout_is_the_documented_one() -> None:
    head = struct.pack(">IQ", 7, 8)
    mac = hmac.new(PSK, head + b"payload", hashlib.sha256).digest()
    assert build(PSK, 7, 8, b"payload") == head + mac + b"payload"


def test_every_bit_matters() -> None:
    frame = build(PSK, 7, 8, b"payload")
    for bit in range(8 * len(frame)):
        spoilt = bytearray(frame)
        spoilt[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Rejected) as refused:
            open_frame(PSK, bytes(spoilt))
        assert refused.value.reason is Reason.V1_FORGED


def test_another_key_opens_nothing() -> None:
    with pytest.raises(Rejected) as refused:
        open_frame(OTHER_PSK, build(PSK, 7, 8, b"payload"))
    assert refused.value.reason is Reason.V1_FORGED


def test_no_payload_is_no_frame() -> None:
    frame = build(PSK, 7, 8, b"p")
    for size in range(HEADER_SIZE + 1):
        with pytest.raises(Rejected) as refused:
            open_frame(PSK, frame[:size])
        assert refused.value.reason is Reason.TRUNCATED
