"""A tick is read as it was written, and the digest is that of everything told, in order."""

import hashlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.ring.tick import RECORD, Side, Tick
from strongroom_host.strategy.inputs import Inputs
from strongroom_host.strategy.port import NO_MODEL, OrderEvent, Outcome, TickView

RECORDS = st.binary(min_size=64, max_size=64)
EVENTS = st.builds(
    OrderEvent,
    number=st.integers(0, 2**40),
    outcome=st.sampled_from(Outcome),
    order_hash=st.binary(min_size=32, max_size=32),
    instrument=st.integers(0, 2**32 - 1),
    side=st.sampled_from(Side),
    price=st.integers(0, 10**6),
    filled=st.integers(0, 10**12),
    cash=st.integers(-(10**12), 10**12),
    open=st.integers(0, 10**12),
    code=st.integers(0, 599),
    at_ns=st.integers(0, 2**63),
)
TOLD = st.lists(st.one_of(RECORDS, EVENTS, st.tuples(st.integers(0, 9), st.integers(0, 9))))


@given(data=st.lists(RECORDS, min_size=1, max_size=4).map(b"".join), as_array=st.booleans())
def test_a_view_reads_every_field_in_place(data: bytes, as_array: bool) -> None:
    view = TickView(bytearray(data) if as_array else data)
    for number in range(len(data) // 64):
        wanted = Tick._make(RECORD.unpack_from(data, number * 64))
        view.at(number)
        assert {name: getattr(view, name) for name in Tick._fields} == wanted._asdict()
        assert view.copy() == data[number * 64 : number * 64 + 64]
        assert bytes(view.told) == view.copy()[8:]


def test_a_view_follows_its_buffer() -> None:
    buffer = bytearray(64)
    view = TickView(buffer)
    struct.pack_into("<q", buffer, 24, -7)
    assert view.price == -7
    with pytest.raises(ValueError, match="65 bytes"):
        TickView(bytes(65))


def plain(told: list[object], parameters: dict[str, str | int]) -> bytes:
    """The digest as inputs.py describes it, written out once more."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
    data = b""
    for part in (b"strongroom-inputs/1", b"baseline", NO_MODEL, text):
        data += struct.pack("<I", len(part)) + part
    for each in told:
        if isinstance(each, bytes):
            data += each[8:]
        elif isinstance(each, tuple):
            data += b"\xff" * 8 + b"gap".ljust(8, b"\0") + struct.pack("<QQ", *each) + bytes(24)
        else:
            assert isinstance(each, OrderEvent)
            data += b"\xff" * 8 + b"order\0\0\0" + struct.pack("<Q", each.number) + each.order_hash
            data += struct.pack("<IIBB", each.instrument, each.code, each.outcome, each.side)
            data += bytes(6) + struct.pack("<qqqq", each.price, each.filled, each.cash, each.open)
            data += struct.pack("<Q", each.at_ns)
    return hashlib.sha256(data).digest()


@given(told=TOLD)
def test_the_digest_is_the_one_described(told: list[object]) -> None:
    parameters: dict[str, str | int] = {"market": "m", "size": 3}
    inputs = Inputs("baseline", NO_MODEL, parameters)
    for each in told:
        if isinstance(each, bytes):
            inputs.tick(TickView(each))
        elif isinstance(each, OrderEvent):
            inputs.event(each)
        else:
            assert isinstance(each, tuple)
            inputs.gap(*each)
    assert inputs.digest() == plain(told, parameters)


@given(record=RECORDS, place=st.integers(64, 511))
def test_every_bit_told_counts_and_the_rings_count_does_not(record: bytes, place: int) -> None:
    def digest(data: bytes) -> bytes:
        inputs = Inputs("x", NO_MODEL, {})
        inputs.tick(TickView(data))
        return inputs.digest()

    changed = bytearray(record)
    changed[place // 8] ^= 1 << place % 8
    assert digest(bytes(changed)) != digest(record)
    assert digest(bytes(8) + record[8:]) == digest(record)


def test_name_model_and_parameters_count() -> None:
    digests = {
        Inputs(name, model, parameters).digest()
        for name in ("a", "b")
        for model in (NO_MODEL, bytes(31) + b"\1")
        for parameters in ({}, {"size": 1}, {"size": 2}, {"sizes": 1})
    }
    assert len(digests) == 16
