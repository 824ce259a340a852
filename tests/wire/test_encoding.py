"""The canonical encoding: golden bytes, round trips, and everything that is not canonical."""

import struct
import tracemalloc
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_wire.encoding import (
    MAX_STATEMENT,
    digest,
    emit,
    pack,
    u32,
    u64,
    u256,
    uint,
    unpack,
    unpack_fields,
)
from strongroom_wire.errors import Code, Malformed, TooLarge

FIELDS = st.lists(st.binary(max_size=40), max_size=6)


def packed(domain: bytes, *fields: bytes) -> bytes:
    """The documented layout, written a second time."""
    data = struct.pack(">H", len(domain)) + domain
    for field in fields:
        data += struct.pack(">I", len(field)) + field
    return data


def test_layout_is_the_documented_one() -> None:
    by_hand = b"\x00\x03dom" + b"\x00\x00\x00\x02ab" + b"\x00\x00\x00\x00" + b"\x00\x00\x00\x01c"
    assert pack(b"dom", b"ab", b"", b"c") == by_hand
    assert digest(b"dom", b"ab", b"", b"c") == sha256(by_hand).digest()
    assert pack(b"dom") == b"\x00\x03dom"


@given(st.binary(max_size=20), FIELDS)
def test_pack_agrees_with_the_second_writing(domain: bytes, fields: list[bytes]) -> None:
    assert pack(domain, *fields) == packed(domain, *fields)
    assert unpack(domain, pack(domain, *fields)) == fields


@given(FIELDS, FIELDS)
def test_different_fields_never_encode_alike(one: list[bytes], other: list[bytes]) -> None:
    assert (pack(b"d", *one) == pack(b"d", *other)) == (one == other)


@given(st.binary(max_size=12), st.binary(max_size=12), FIELDS, FIELDS)
def test_different_domains_never_encode_alike(
    domain: bytes, other: bytes, fields: list[bytes], others: list[bytes]
) -> None:
    if domain != other:
        assert pack(domain, *fields) != pack(other, *others)


def test_a_field_cannot_move_into_its_neighbour() -> None:
    assert pack(b"d", b"ab", b"c") != pack(b"d", b"a", b"bc")
    assert pack(b"d", b"") != pack(b"d")
    assert pack(b"d", pack(b"d", b"a")) != pack(b"d", b"a")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x00\x01",
        b"\x00\x01e",  # another domain
        b"\x00\x02dd",  # a longer one
        b"\x01\x00d",
        b"\x00\x01d\x00",  # a length cut short
        b"\x00\x01d\x00\x00\x00",
        b"\x00\x01d\x00\x00\x00\x01",  # a field that is not there
        b"\x00\x01d\x00\x00\x00\x02a",
        b"\x00\x01d\x00\x00\x00\x01ab",  # trailing bytes
        b"\x00\x01d\xff\xff\xff\xff",
        b"\x00\x01d\x00\x00\x00\x00\xff\xff\xff\xffa",
    ],
)
def test_what_is_not_an_encoding_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(b"d", data)


def test_every_cut_is_refused_or_ends_between_fields() -> None:
    fields = [b"one", b"", b"three", b"x" * 300]
    data = pack(b"d", *fields)
    whole = {len(pack(b"d", *fields[:count])): count for count in range(len(fields) + 1)}
    for cut in range(len(data)):
        if cut in whole:
            assert unpack(b"d", data[:cut]) == fields[: whole[cut]]
        else:
            with pytest.raises(Malformed):
                unpack(b"d", data[:cut])


def test_the_limit_is_inclusive_and_checked_before_the_domain() -> None:
    assert unpack(b"d", pack(b"d", b"x" * 9), limit=16) == [b"x" * 9]
    with pytest.raises(TooLarge) as caught:
        unpack(b"other", pack(b"d", b"x" * 10), limit=16)
    assert (caught.value.expected, caught.value.actual) == (16, 17)
    assert caught.value.code is Code.TOO_LARGE
    with pytest.raises(TooLarge):
        unpack(b"d", b"\x00\x01d" + bytes(MAX_STATEMENT))


@pytest.mark.parametrize("size", [2**31, 2**32 - 1, 2**24])
def test_a_hostile_length_allocates_nothing(size: int) -> None:
    data = b"\x00\x01d" + struct.pack(">I", size) + b"abc"
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            unpack(b"d", data)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("more", [True, False])
def test_very_many_empty_fields_cost_little_memory(more: bool) -> None:
    data = b"\x00\x01d" + bytes(MAX_STATEMENT // 8)
    tracemalloc.start()
    try:
        with pytest.raises(Malformed) as caught:
            unpack_fields(b"d", data, 1, more=more)
        assert tracemalloc.get_traced_memory()[1] < 6 * len(data)
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 500  # nor does the error carry it all


def test_fixed_layouts() -> None:
    data = pack(b"d", b"ab", b"anything", b"cdef")
    assert unpack_fields(b"d", data, 2, None, 4) == [b"ab", b"anything", b"cdef"]
    assert unpack_fields(b"d", data, 2, more=True) == [b"ab", b"anything", b"cdef"]
    assert unpack_fields(b"d", data, 2, None, 4, more=True) == [b"ab", b"anything", b"cdef"]
    assert unpack_fields(b"d", pack(b"d")) == []


@pytest.mark.parametrize(
    ("sizes", "more"),
    [
        ((), False),
        ((2,), False),
        ((2, None), False),
        ((2, None, 3), False),
        ((2, None, 5), True),
        ((1, None, 4), False),
        ((3, None, 4), True),
        ((2, 7, 4), False),
        ((2, None, 4, None), False),
        ((2, None, 4, None), True),
        ((2, None, 4, 0), False),
    ],
)
def test_other_layouts_are_refused(sizes: tuple[int | None, ...], more: bool) -> None:
    with pytest.raises(Malformed):
        unpack_fields(b"d", pack(b"d", b"ab", b"anything", b"cdef"), *sizes, more=more)


def test_fixed_layouts_keep_domain_and_limit() -> None:
    with pytest.raises(Malformed):
        unpack_fields(b"e", pack(b"d", b"ab"), 2)
    with pytest.raises(TooLarge):
        unpack_fields(b"d", pack(b"d", b"ab"), 2, limit=8)


def test_integers_are_big_endian() -> None:
    assert u32(0x01020304) == b"\x01\x02\x03\x04"
    assert u64(0x0102030405060708) == b"\x01\x02\x03\x04\x05\x06\x07\x08"
    assert u256(1) == bytes(31) + b"\x01"
    assert uint(b"\x01\x02\x03\x04", 4) == 0x01020304


@pytest.mark.parametrize(("encode", "bits"), [(u32, 32), (u64, 64), (u256, 256)])
def test_integers_that_do_not_fit_are_refused(encode: object, bits: int) -> None:
    assert callable(encode)
    assert encode((1 << bits) - 1) == b"\xff" * (bits // 8)
    for value in (-1, 1 << bits, 1 << 300):
        with pytest.raises(Malformed) as caught:
            encode(value)
        assert caught.value.actual == value


@pytest.mark.parametrize("field", [b"", b"\x00\x00\x00", b"\x00" * 5])
def test_integer_fields_have_one_size(field: bytes) -> None:
    with pytest.raises(Malformed):
        uint(field, 4)


def test_only_what_parses_back_is_emitted() -> None:
    assert emit("1", b"1", bytes.decode) == b"1"
    with pytest.raises(Malformed):
        emit("1", b"2", bytes.decode)
