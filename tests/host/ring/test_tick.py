"""The 64-byte record: where each field is, and that nothing is lost on the way."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.ring import tick as module
from strongroom_host.ring.errors import TickInvalid
from strongroom_host.ring.tick import PAYLOAD, PAYLOAD_OFFSET, SIZE, Tick

UNSIGNED = {8: st.integers(0, 2**64 - 1), 4: st.integers(0, 2**32 - 1), 1: st.integers(0, 255)}
AMOUNT = st.integers(-(2**63), 2**63 - 1)
TICKS = st.builds(
    Tick,
    *[UNSIGNED[8]] * 3,
    AMOUNT,
    AMOUNT,
    *[UNSIGNED[4]] * 3,
    *[UNSIGNED[1]] * 4,
    UNSIGNED[8],
)
LAYOUT = {
    "sequence": (0, "Q"),
    "received_ns": (8, "Q"),
    "venue_ns": (16, "Q"),
    "price": (24, "q"),
    "size": (32, "q"),
    "instrument": (40, "I"),
    "epoch": (44, "I"),
    "number": (48, "I"),
    "kind": (52, "B"),
    "side": (53, "B"),
    "feed": (54, "B"),
    "flags": (55, "B"),
    "detail": (56, "Q"),
}


@given(TICKS)
def test_each_field_is_where_the_table_says(tick: Tick) -> None:
    data = bytearray(SIZE)
    tick.pack_into(data)
    for name, (offset, kind) in LAYOUT.items():
        assert struct.unpack_from("<" + kind, data, offset) == (getattr(tick, name),)
    assert tuple(LAYOUT) == Tick._fields
    assert SIZE == 64


@given(TICKS, st.integers(0, 100))
def test_what_is_written_is_read(tick: Tick, offset: int) -> None:
    data = bytearray(offset + SIZE)
    tick.pack_into(data, offset)
    assert Tick.read(data, offset) == tick
    assert Tick.read(memoryview(data)[offset:]) == tick


def test_the_payload_is_the_record_without_its_sequence() -> None:
    record, payload = bytearray(SIZE), bytearray(SIZE)
    tick = Tick(0, 1, 2, -3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
    tick.pack_into(record)
    PAYLOAD.pack_into(payload, PAYLOAD_OFFSET, *tick[1:])
    assert record == payload


def test_the_documentation_has_the_same_table() -> None:
    rows = [line.split("|") for line in (module.__doc__ or "").splitlines() if "| `" in line]
    told = [(cells[3].strip(" `"), int(cells[1]), cells[2].strip()) for cells in rows]
    types = {"Q": "u64", "q": "i64", "I": "u32", "B": "u8"}
    assert told == [(name, offset, types[kind]) for name, (offset, kind) in LAYOUT.items()]


@pytest.mark.parametrize("length", [0, 1, 63])
def test_a_record_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(TickInvalid):
        Tick.read(bytes(length))


@pytest.mark.parametrize(
    ("field", "value"),
    [("price", 2**63), ("size", -(2**63) - 1), ("kind", 256), ("number", 2**32), ("detail", -1)],
)
def test_a_field_beyond_its_range_is_refused(field: str, value: int) -> None:
    tick = Tick(*[0] * 13)._replace(**{field: value})
    with pytest.raises(TickInvalid):
        tick.pack_into(bytearray(SIZE))
