"""Buffers of any layout are split where the header ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.vsock.errors import RingBroken
from strongroom_host.vsock.packets import HEADER_SIZE, Header
from strongroom_host.vsock.slots import MAX_PAYLOAD, cut, split
from strongroom_host.vsock.virtqueue import Chain


def pieces(lengths: list[int]) -> list[memoryview]:
    """Returns pieces of those lengths, with bytes counting up through all of them."""
    found, value = [], 0
    for length in lengths:
        found.append(memoryview(bytearray((value + i) % 256 for i in range(length))))
        value += length
    return found


@given(st.lists(st.integers(0, 30)), st.integers(0, 200))
def test_cut_loses_and_repeats_nothing(lengths: list[int], length: int) -> None:
    whole = b"".join(pieces(lengths))
    first, rest = cut(pieces(lengths), length)
    assert b"".join(first) == whole[:length]
    assert b"".join(rest) == whole[length:]


@given(st.lists(st.integers(0, 60), min_size=1))
def test_header_and_payload_lie_one_behind_the_other(lengths: list[int]) -> None:
    buffer = pieces(lengths)
    if sum(lengths) <= HEADER_SIZE:
        with pytest.raises(RingBroken):
            split(Chain(7, buffer))
        return
    slot = split(Chain(7, buffer))
    header = Header(*range(1, 11))
    slot.write_header(header)
    number = 0
    for piece in slot.payload:
        for index in range(len(piece)):
            piece[index] = number % 256
            number += 1
    assert number == slot.capacity
    expected = header.serialise() + bytes(index % 256 for index in range(slot.capacity))
    assert b"".join(buffer)[: len(expected)] == expected


def test_a_slot_is_bounded_in_bytes_and_pieces() -> None:
    assert split(Chain(0, pieces([HEADER_SIZE + MAX_PAYLOAD + 1]))).capacity == MAX_PAYLOAD
    assert len(split(Chain(0, pieces([44] + [1] * 5000))).payload) < 100
