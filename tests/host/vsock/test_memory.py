"""Guest memory is reached only where a region says so, and regions that contradict are refused."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.vsock.errors import MemoryRefused
from strongroom_host.vsock.memory import MAX_REGIONS, GuestMemory, Region

PAGE = 4096
LOW, HIGH = Region(0, 2 * PAGE, 0x10000, 0), Region(1 << 32, PAGE, 0x20000, 2 * PAGE)


@pytest.fixture
def file() -> Iterator[int]:
    """A file of three pages, each filled with its number."""
    descriptor = os.memfd_create("memory")
    os.write(descriptor, b"\0" * PAGE + b"\1" * PAGE + b"\2" * PAGE)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def memory(file: int) -> GuestMemory:
    """Two regions, one of two pages and one far above."""
    return GuestMemory([LOW, HIGH], [file, file])


def test_both_kinds_of_address_reach_the_same_bytes(memory: GuestMemory, file: int) -> None:
    inside, ours = memory.at_guest(PAGE - 1, 2), memory.at_user(0x10000 + PAGE - 1, 2)
    assert inside is not None
    assert ours is not None
    assert bytes(inside) == bytes(ours) == b"\0\1"
    for found in (memory.at_guest(1 << 32, 1), memory.at_user(0x20000, 1)):
        assert found is not None
        assert bytes(found) == b"\2"
    inside[0] = 9
    assert os.pread(file, 1, PAGE - 1) == b"\x09"


@pytest.mark.parametrize(
    ("address", "length"), [(0, 2 * PAGE), (2 * PAGE - 1, 1), (2 * PAGE, 0), (1 << 32, PAGE)]
)
def test_a_range_may_end_where_its_region_ends(
    memory: GuestMemory, address: int, length: int
) -> None:
    found = memory.at_guest(address, length)
    assert found is not None
    assert len(found) == length


@pytest.mark.parametrize(
    ("address", "length"),
    [
        (0, 2 * PAGE + 1),
        (2 * PAGE - 1, 2),
        (2 * PAGE, 1),
        ((1 << 32) - 1, 2),
        ((1 << 32) + PAGE, 1),
        (1 << 63, 1),
        ((1 << 64) - 1, 0xFFFFFFFF),
    ],
)
def test_a_range_may_not_leave_its_region(memory: GuestMemory, address: int, length: int) -> None:
    assert memory.at_guest(address, length) is None
    assert memory.at_user(0x10000 + address, length) is None or address >= 1 << 32


@given(st.integers(0, 3 * PAGE), st.integers(0, 3 * PAGE))
def test_a_range_is_found_exactly_if_it_lies_in_the_region(address: int, length: int) -> None:
    descriptor = os.memfd_create("memory")
    os.truncate(descriptor, PAGE)
    memory = GuestMemory([Region(PAGE, PAGE, PAGE, 0)], [descriptor])
    os.close(descriptor)
    inside = address >= PAGE and address + length <= 2 * PAGE
    assert (memory.at_guest(address, length) is not None) == inside
    assert (memory.at_user(address, length) is not None) == inside


@pytest.mark.parametrize(
    "regions",
    [
        [],
        [Region(0, 0, 0, 0)],
        [Region(0, 4 * PAGE, 0, 0)],
        [Region(0, PAGE, 0, 3 * PAGE)],
        [Region(0, 2 * PAGE, 0, 0), Region(PAGE, PAGE, 0x20000, 0)],
        [Region(0, PAGE, 0, 0), Region(0x20000, 2 * PAGE, 0, 0)],
        [Region((1 << 64) - PAGE, 2 * PAGE, 0, 0)],
        [Region(0, 2 * PAGE, (1 << 64) - PAGE, 0)],
        [Region(0, PAGE, 0, (1 << 64) - PAGE)],
        [Region(0, PAGE, 8, 0)],
        [Region(0, PAGE, 0, 8)],
        [Region(0, (1 << 63), 0, 0)],
        [Region(index * PAGE, PAGE, index * PAGE, 0) for index in range(MAX_REGIONS + 1)],
    ],
)
def test_contradicting_regions_are_refused(file: int, regions: list[Region]) -> None:
    with pytest.raises(MemoryRefused):
        GuestMemory(regions, [file] * len(regions))


def test_what_cannot_be_mapped_is_refused(file: int) -> None:
    with pytest.raises(MemoryRefused):
        GuestMemory([LOW], [])
    reader, writer = os.pipe()
    for descriptor in (reader, writer, 9999):
        with pytest.raises(MemoryRefused):
            GuestMemory([LOW], [descriptor])
    os.close(reader)
    os.close(writer)
