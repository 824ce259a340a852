"""Headers are 44 bytes in the order of the specification."""

from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.vsock.packets import HEADER_SIZE, STREAM, Header, Op

u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))


def test_a_header_of_known_bytes() -> None:
    data = bytes.fromhex(
        "0300000000000000" "2a00000000000000" "8a130000" "e8030000" "05000000" "0100" "0500"
        "00000000" "00000400" "07000000"
    )  # fmt: skip
    header = Header(3, 42, 5002, 1000, 5, STREAM, Op.RW, 0, 0x40000, 7)
    assert Header.parse(data) == header
    assert header.serialise() == data
    assert len(data) == HEADER_SIZE


@given(st.tuples(u64, u64, u32, u32, u32, u16, u16, u32, u32, u32))
def test_any_header_survives(
    fields: tuple[int, int, int, int, int, int, int, int, int, int],
) -> None:
    header = Header(*fields)
    assert Header.parse(header.serialise() + b"payload") == header
    room = bytearray(50)
    header.write(memoryview(room))
    assert bytes(room) == header.serialise() + bytes(6)
