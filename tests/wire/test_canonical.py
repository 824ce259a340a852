"""One encoding for each value: whatever else stands for the same is refused, type by type."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack
from strongroom_wire.canonical import B32, U32, U64, Ascii, Canonical
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.errors import Malformed, TooLarge, WireError

from tests.wire.by_hand import encoded, laid_out
from tests.wire.samples import bundle, byte, owner_order, permit
from tests.wire.test_leaves import boot, decision, leaf
from tests.wire.test_pages import page

SAMPLES: list[Canonical] = [bundle(), permit(), owner_order(), boot(), leaf(), decision(), page()]
samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda each: type(each).__name__)


@dataclass(frozen=True, slots=True)
class Sample(Canonical):
    """A field of each kind."""

    domain: ClassVar = b"test/sample/v1"
    longest: ClassVar = 500
    digest: B32
    small: U32 = 7
    large: U64 = 300
    name: Ascii = "name"
    parts: tuple[bytes, ...] = ()


def content(value: Canonical) -> bytes:
    return unpack(value.domain, value.serialise())[0]


NUMBERS, BYTES = st.integers(-32, 2**64 - 1), st.binary(max_size=300)
NAMES = st.text(max_size=9)
TREES = st.recursive(
    st.none() | st.booleans() | NUMBERS | BYTES | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(NAMES, inner, max_size=9),
)


@given(TREES)
def test_the_second_writing_is_messagepack(tree: object) -> None:
    assert msgpack.decode(encoded(tree)) == tree
    assert msgpack.encode(tree) == encoded(tree)


def test_the_layout_is_domain_and_fields() -> None:
    fields = {"digest": byte(1), "small": 7, "large": 300, "name": "name", "parts": [b"a", b""]}
    value = Sample(byte(1), parts=(b"a", b""))
    assert value.serialise() == laid_out(b"test/sample/v1", fields)
    assert Sample.parse(value.serialise()) == value


def _spellings(value: Sample) -> Iterator[tuple[str, bytes]]:
    data = content(value)

    def put(old: bytes, new: bytes) -> bytes:
        assert data.count(old) == 1
        return data.replace(old, new)

    yield "an integer of two bytes", put(b"\xa5small\x07", b"\xa5small\xcc\x07")
    yield "an integer of nine bytes", put(b"\x07", b"\xcf" + b"\0" * 7 + b"\x07")
    yield "a float", put(b"\xa5small\x07", b"\xa5small\xca\x40\xe0\0\0")
    yield "a text for a number", put(b"\xa5small\x07", b"\xa5small\xa17")
    yield "a longer text head", put(b"\xa5small", b"\xd9\x05small")
    yield "bytes for a text", put(b"\xa4name\xa4name", b"\xa4name\xc4\x04name")
    yield "a text for bytes", put(b"\xc4 " + byte(1), b"\xd9 " + byte(1))
    yield "longer bytes head", put(b"\xc4 ", b"\xc5\0 ")
    yield "a longer list head", put(b"\xa5parts\x90", b"\xa5parts\xdc\0\0")
    yield "a longer map head", b"\xde\0\x05" + data[1:]
    yield "nil", put(b"\xa5parts\x90", b"\xa5parts\xc0")
    yield "a field left out", encoded({"digest": byte(1)})
    yield "a field too many", b"\x86" + data[1:] + b"\xa4more\x01"
    yield "a field twice", b"\x86" + data[1:] + b"\xa5small\x07"
    tree = msgpack.decode(data)
    yield "another order", encoded(dict(reversed(tree.items())))
    yield "a list of the fields", encoded(list(tree.values()))
    yield "a byte more", data + b"\0"
    yield "a byte less", data[:-1]
    yield "an extension", put(b"\xa5small\x07", b"\xa5small\xd4\0\x07")
    yield "nothing", b""


@pytest.mark.parametrize(("what", "data"), list(_spellings(Sample(byte(1)))))
def test_every_other_spelling_is_refused(what: str, data: bytes) -> None:
    with pytest.raises(Malformed):
        Sample.parse(pack(Sample.domain, data))


@pytest.mark.parametrize(
    "flawed",
    [
        Sample(byte(1, 31)),
        Sample(byte(1, 33)),
        Sample(byte(1), small=-1),
        Sample(byte(1), small=1 << 32),
        Sample(byte(1), large=-1),
        Sample(byte(1), large=1 << 64),
        Sample(byte(1), name="ä"),
        Sample(byte(1), name="\udcff"),
        Sample(byte(1), name="text\u0080"),
    ],
)
def test_what_would_not_be_read_is_never_written(flawed: Sample) -> None:
    with pytest.raises(Malformed):
        flawed.serialise()


def test_the_bounds_themselves_are_fine() -> None:
    for fine in (
        Sample(byte(1), small=0, large=0, name=""),
        Sample(byte(1), small=(1 << 32) - 1, large=(1 << 64) - 1, name="\0 ~\x7f\n"),
    ):
        assert Sample.parse(fine.serialise()) == fine


def test_a_limit_is_checked_before_anything_is_read() -> None:
    room = 500 - len(Sample(byte(1), parts=(bytes(256),)).serialise()) + 256
    full = Sample(byte(1), parts=(bytes(room),))
    assert len(full.serialise()) == 500
    with pytest.raises(TooLarge):
        Sample(byte(1), parts=(bytes(room + 1),)).serialise()
    with pytest.raises(TooLarge):
        Sample.parse(bytes(501))


def test_an_error_does_not_show_what_it_read() -> None:
    with pytest.raises(Malformed) as refused:
        Sample.parse(laid_out(Sample.domain, {"digest": "secret"}))
    assert "secret" not in repr(refused.value) + str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@samples
def test_another_domain_or_framing_is_refused(sample: Canonical) -> None:
    data = content(sample)
    for wrong in (
        b"",
        data,
        pack(sample.domain[:-1] + b"9", data),
        pack(sample.domain),
        pack(sample.domain, data, b""),
        pack(sample.domain, data + b"\0"),
        sample.serialise() + b"\0",
        sample.serialise()[:-1],
    ):
        with pytest.raises(Malformed):
            type(sample).parse(wrong)


@samples
def test_one_type_is_not_read_as_another(sample: Canonical) -> None:
    for other in SAMPLES:
        if type(other) is not type(sample):
            with pytest.raises(WireError):
                type(sample).parse(other.serialise())
            with pytest.raises(WireError):
                type(sample).parse(pack(sample.domain, content(other)))


def test_domains_are_different() -> None:
    assert len({each.domain for each in SAMPLES}) == len(SAMPLES)
