"""Intents and replies: layouts by hand, round trips, one flaw at a time."""

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.contract.frames import intent_bytes, order_bytes
from strongroom_wire.errors import Code, Malformed, Rule
from strongroom_wire.frames import MAX_FRAME, MAX_ORDERS, Intent, Kind, OrderIntent, Reply

from tests.wire.by_hand import laid_out
from tests.wire.samples import byte, intent, order, reply
from tests.wire.strategies import INTENTS, REPLIES, SHAPES
from tests.wire.test_encoding import packed

U8, U16 = st.integers(0, 255), st.integers(0, 2**16 - 1)
U64 = st.integers(0, 2**64 - 1)
HEAD, ORDER = 24, 80
replace: Any = msgspec.structs.replace


def test_order_layout_is_the_documented_one() -> None:
    by_hand = (
        (10**76).to_bytes(32, "big")
        + bytes([1, 2, 3, 5, 0, 0, 0, 0])
        + struct.pack(">Q", 520_000)
        + struct.pack(">Q", 21_040_000)
        + struct.pack(">Q", 479_249_096_354)
        + struct.pack(">Q", 1_800_000_000_123)
        + struct.pack(">Q", 1_800_000_600)
    )
    assert len(by_hand) == ORDER
    assert order_bytes(order()) == by_hand
    assert OrderIntent.parse(b"xyz" + by_hand, 3) == order()


def test_intent_layout_is_the_documented_one() -> None:
    head = (
        bytes([1, 2])
        + b"\x00\x03"
        + bytes(4)
        + struct.pack(">Q", 1_800_000_000)
        + struct.pack(">Q", 1_800_000_000_999)
    )
    by_hand = head + order_bytes(order()) * 2
    assert intent_bytes(intent(2)) == by_hand
    assert Intent.parse(by_hand) == intent(2)
    beat = Intent(Kind.HEARTBEAT, 0, 0, 0, (), b"id-7")
    assert intent_bytes(beat) == bytes([6]) + bytes(23) + b"id-7"
    assert Intent.parse(intent_bytes(beat)) == beat


def test_reply_layout_is_the_documented_one() -> None:
    domain, parts = b"strongroom/reply/v1", (b"POST /order\r\n", b"leaf", b"opening")
    by_hand = laid_out(domain, [0, 12, 0, 0, 0, 0, [byte(0x61), byte(0x62)], *parts])
    assert reply().serialise() == by_hand
    assert Reply.parse(by_hand) == reply()
    denial = Reply(Code.DENIED, 13, Rule.ORDER_NOTIONAL, 1, 250_000_000, 300_000_000)
    by_hand = laid_out(domain, [300, 13, 11, 1, 250_000_000, 300_000_000, [], b"", b"", b""])
    assert denial.serialise() == by_hand
    assert Reply.parse(by_hand) == denial


def test_published_kinds_keep_their_number() -> None:
    names = (
        "ORDERS TEMPLATE CANCEL CANCEL_ALL CANCEL_MARKET HEARTBEAT QUERY_ORDER QUERY_OPEN"
        " QUERY_TRADES READ_LOG MODEL"
    )
    assert [(kind.name, int(kind)) for kind in Kind] == list(
        zip(names.split(), range(1, 12), strict=True)
    )


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_its_shape(kind: Kind) -> None:
    counts, good, bad = SHAPES[kind]
    for count in range(18):
        data = intent_bytes(replace(intent(count), kind=kind, argument=bytes(min(good))))
        if count in counts:
            assert Intent.parse(data).orders == (order(),) * count
        else:
            with pytest.raises(Malformed):
                Intent.parse(data)
    for size in good:
        data = intent_bytes(replace(intent(min(counts)), kind=kind, argument=bytes(size)))
        assert Intent.parse(data).argument == bytes(size)
    for size in bad:
        data = intent_bytes(replace(intent(min(counts)), kind=kind, argument=bytes(size)))
        with pytest.raises(Malformed):
            Intent.parse(data)


def test_every_kind_has_a_shape() -> None:
    assert set(SHAPES) == set(Kind)
    assert MAX_ORDERS == 15


@pytest.mark.parametrize("kind", [0, 11, 255])
def test_unknown_kinds_are_refused(kind: int) -> None:
    with pytest.raises(Malformed):
        Intent.parse(bytes([kind]) + intent_bytes(intent())[1:])


@pytest.mark.parametrize("at", [4, 5, 6, 7, HEAD + 36, HEAD + 37, HEAD + 38, HEAD + 39])
@pytest.mark.parametrize("value", [1, 0x80, 0xFF])
def test_padding_of_an_intent_must_be_zero(at: int, value: int) -> None:
    data = bytearray(intent_bytes(intent()))
    data[at] = value
    with pytest.raises(Malformed):
        Intent.parse(bytes(data))


@pytest.mark.parametrize(
    ("at", "first_bad"), [(HEAD + 32, 2), (HEAD + 33, 4), (HEAD + 34, 6), (HEAD + 35, 8)]
)
def test_values_of_an_order_have_a_range(at: int, first_bad: int) -> None:
    data = bytearray(intent_bytes(intent()))
    for value in range(256):
        data[at] = value
        if value < first_bad:
            assert intent_bytes(Intent.parse(bytes(data))) == bytes(data)
        else:
            with pytest.raises(Malformed):
                Intent.parse(bytes(data))


def test_the_second_order_is_checked_like_the_first() -> None:
    data = bytearray(intent_bytes(intent(2)))
    data[HEAD + ORDER + 32] = 2
    with pytest.raises(Malformed):
        Intent.parse(bytes(data))


@pytest.mark.parametrize("count", [1, 2, 15])
def test_every_cut_of_an_intent_is_refused(count: int) -> None:
    data = intent_bytes(intent(count))
    for cut in range(len(data)):
        with pytest.raises(Malformed):
            Intent.parse(data[:cut])
    with pytest.raises(Malformed):
        Intent.parse(data + b"\x00")


@pytest.mark.parametrize(
    ("field", "bits"),
    [
        ("token", 256),
        ("side", 8),
        ("order_type", 8),
        ("tick", 8),
        ("flags", 8),
        ("price", 64),
        ("size", 64),
        ("salt", 64),
        ("timestamp", 64),
        ("expiration", 64),
    ],
)
def test_numbers_of_an_order_must_fit(field: str, bits: int) -> None:
    assert order_bytes(replace(order(), **{field: (1 << bits) - 1}))
    for value in (-1, 1 << bits, 1 << 400):
        with pytest.raises(Malformed):
            order_bytes(replace(order(), **{field: value}))


@pytest.mark.parametrize(("field", "bits"), [("key", 16), ("timestamp", 64), ("deadline", 64)])
def test_numbers_of_an_intent_must_fit(field: str, bits: int) -> None:
    most = replace(intent(), **{field: (1 << bits) - 1})
    assert Intent.parse(intent_bytes(most)) == most
    for value in (-1, 1 << bits):
        with pytest.raises(Malformed):
            intent_bytes(replace(intent(), **{field: value}))
    with pytest.raises(Malformed):
        intent_bytes(intent(256))


FLAWS: list[tuple[int, object]] = [
    (0, -1), (0, 999), (0, "0"), (1, -1), (1, 2**64), (2, 99), (2, 16), (3, -1), (4, -1),
    (4, 2**64), (5, -1), (5, 1.5), (6, [byte(1, 31)]), (6, [byte(1, 31), byte(1, 33)]),
    (6, byte(1)), (7, "text"), (8, None), (9, 3),
]  # fmt: skip


@pytest.mark.parametrize(("at", "value"), FLAWS)
def test_a_flawed_reply_is_neither_read_nor_sent(at: int, value: object) -> None:
    fields: list[Any] = list(msgspec.structs.astuple(reply()))
    assert Reply.parse(packed(Reply.domain, msgspec.msgpack.encode(fields))) == reply()
    fields[at] = tuple(value) if isinstance(value, list) else value
    with pytest.raises(Malformed):
        Reply(*fields).serialise()
    if not (isinstance(value, int) and value >= 2**64):  # MessagePack has no such number
        with pytest.raises(Malformed):
            Reply.parse(packed(Reply.domain, msgspec.msgpack.encode(fields)))


def test_a_reply_that_is_cut_or_longer_is_refused() -> None:
    good = reply().serialise()
    for spoilt in (*(good[:cut] for cut in range(len(good))), good + b"\0"):
        with pytest.raises(Malformed):
            Reply.parse(spoilt)


def test_figures_of_a_denial_have_64_bits() -> None:
    most = Reply(Code.DENIED, 1, Rule.ORDER_NOTIONAL, 0, 2**64 - 1, 2**64 - 1)
    found = Reply.parse(most.serialise())
    assert (found.limit, found.actual) == (2**64 - 1, 2**64 - 1)
    for more in (replace(most, limit=2**64), replace(most, actual=2**64)):
        with pytest.raises(Malformed):
            more.serialise()


def test_the_longest_cancel_fits_a_frame_both_ways() -> None:
    argument = byte(7, 32 * 1000)
    there = intent_bytes(Intent(Kind.CANCEL, 0, 0, 0, (), argument))
    # What the venue wants: a JSON array of quoted 0x-prefixed hashes, and some headers.
    body = b"[" + b",".join(b'"0x%s"' % (b"07" * 32) for _ in range(1000)) + b"]"
    back = Reply(Code.OK, 1, request=bytes(2048) + body).serialise()
    assert max(len(there), len(back)) + 40 <= MAX_FRAME


@given(INTENTS)
def test_intents_round_trip(value: Intent) -> None:
    data = intent_bytes(value)
    assert Intent.parse(data) == value
    assert intent_bytes(Intent.parse(data)) == data
    assert isinstance(Intent.parse(data).kind, Kind)


@given(REPLIES)
def test_replies_round_trip(value: Reply) -> None:
    data = value.serialise()
    assert Reply.parse(data) == value
    assert Reply.parse(data).serialise() == data
