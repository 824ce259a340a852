"""The device's half of a ring, against the driver's half of `driver`, honest and not."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.vsock.errors import FrontEndFault, RingBroken
from strongroom_host.vsock.memory import GuestMemory, Region
from strongroom_host.vsock.virtqueue import RingAddresses, Virtqueue

from tests.host.vsock.driver import Ring

SIZE = 8
PAGES = 16 * 4096
BUFFERS = 4096


class Shared:
    """Memory of one region, with a ring of the driver's and ours in it."""

    def __init__(self, size: int = SIZE, *, writable: bool = False, start: int = 0) -> None:
        self.file = os.memfd_create("ring")
        os.truncate(self.file, PAGES)
        self.memory = GuestMemory([Region(0, PAGES, 0x10000, 0)], [self.file])
        view = self.memory.at_guest(0, PAGES)
        assert view is not None
        self.view = view
        self.ring = Ring(view, 0, size)
        self.ring.claim(start)
        self.ring.taken = start
        view[self.ring.used : self.ring.used + 4].cast("H")[1] = start
        at = [0x10000 + a for a in (self.ring.base, self.ring.used, self.ring.available)]
        self.addresses = RingAddresses(*at)
        self.queue = Virtqueue(self.memory, size, self.addresses, start, writable=writable)

    def close(self) -> None:
        self.ring.close()
        os.close(self.file)


@pytest.fixture
def shared() -> Iterator[Shared]:
    """A ring to read from."""
    made = Shared()
    yield made
    made.close()


def test_a_chain_comes_as_its_pieces_in_order(shared: Shared) -> None:
    shared.view[BUFFERS : BUFFERS + 6] = b"abcdef"
    head = shared.ring.add([(BUFFERS + 3, 3), (BUFFERS, 2)], writable=False)
    assert shared.queue.waiting() == 1
    chain = shared.queue.look()
    assert chain.head == head
    assert b"".join(chain.pieces) == b"defab"


def test_looking_takes_nothing(shared: Shared) -> None:
    heads = [shared.ring.add([(BUFFERS, 1)], writable=False) for _ in range(3)]
    assert [shared.queue.look(ahead).head for ahead in range(3)] == heads
    assert shared.queue.waiting() == 3
    assert shared.queue.position == 0
    assert not shared.queue.publish()


def test_what_is_given_back_appears_when_published(shared: Shared) -> None:
    head = shared.ring.add([(BUFFERS, 1)], writable=False)
    assert head is not None
    shared.queue.give_back(shared.queue.look().head, 77)
    assert shared.ring.take() == []
    assert shared.queue.publish()
    assert shared.ring.take() == [(head, 77)]
    assert shared.queue.waiting() == 0
    assert not shared.queue.publish()


def test_no_interrupt_where_none_is_wanted(shared: Shared) -> None:
    shared.ring.suppress(True)
    shared.ring.add([(BUFFERS, 1)], writable=False)
    shared.queue.give_back(shared.queue.look().head, 0)
    assert not shared.queue.publish()
    assert len(shared.ring.take()) == 1


@given(st.lists(st.integers(1, SIZE), max_size=60), st.integers(0, 65535))
def test_positions_wrap_around(batches: list[int], start: int) -> None:
    shared = Shared(start=start)
    for batch in batches:
        heads = [shared.ring.add([(BUFFERS, 1)], writable=False) for _ in range(batch)]
        assert shared.queue.waiting() == batch
        for head in heads:
            assert shared.queue.look().head == head
            shared.queue.give_back(shared.queue.look().head, 5)
        shared.queue.publish()
        assert shared.ring.take() == [(head, 5) for head in heads]
    assert shared.queue.position == (start + sum(batches)) % 65536
    shared.close()


@pytest.mark.parametrize(
    ("descriptors", "writable"),
    [
        ([(BUFFERS, 1, 1, 0)], False),  # its own successor
        ([(BUFFERS, 1, 1, 1), (BUFFERS, 1, 1, 0)], False),
        ([(BUFFERS, 1, 1, SIZE)], False),
        ([(BUFFERS, 1, 1, 65535)], False),
        ([(PAGES - 1, 2, 0, 0)], False),
        ([(PAGES, 1, 0, 0)], False),
        ([((1 << 64) - 1, 0xFFFFFFFF, 0, 0)], False),
        ([(0x10000 + PAGES, 1, 0, 0)], False),
        ([(BUFFERS, 1, 2, 0)], False),
        ([(BUFFERS, 1, 0, 0)], True),
        ([(BUFFERS, 1, 3, 1), (BUFFERS, 1, 0, 0)], True),
        ([(BUFFERS, 16, 4, 0)], False),  # an indirect table, which was not offered
        ([(BUFFERS, 1, 0x8000, 0)], False),
    ],
)
def test_broken_chains_are_refused(
    descriptors: list[tuple[int, int, int, int]], writable: bool
) -> None:
    shared = Shared(writable=writable)
    for index, fields in enumerate(descriptors):
        shared.ring.describe(index, *fields)
    shared.ring.offer(0)
    with pytest.raises(RingBroken):
        shared.queue.look()
    shared.close()


def test_a_head_outside_the_table_is_refused(shared: Shared) -> None:
    shared.ring.offer(SIZE)
    with pytest.raises(RingBroken):
        shared.queue.look()


@pytest.mark.parametrize("claimed", [SIZE + 1, 65535, 40000])
def test_more_than_the_ring_holds_is_refused(shared: Shared, claimed: int) -> None:
    shared.ring.claim(claimed)
    with pytest.raises(RingBroken):
        shared.queue.waiting()


def test_a_full_ring_is_fine(shared: Shared) -> None:
    shared.ring.claim(SIZE)
    assert shared.queue.waiting() == SIZE


@pytest.mark.parametrize("size", [0, 3, 12, 65536, 1 << 31])
def test_sizes_are_powers_of_two(shared: Shared, size: int) -> None:
    with pytest.raises(FrontEndFault):
        Virtqueue(shared.memory, size, shared.addresses, 0, writable=False)


@pytest.mark.parametrize("name", ["descriptors", "used", "available"])
@pytest.mark.parametrize("where", [0, 0x10000 + 1, 0x10000 + PAGES - 8, 1 << 63])
def test_areas_lie_in_memory_and_are_aligned(shared: Shared, name: str, where: int) -> None:
    addresses = replace(shared.addresses, **{name: where})
    with pytest.raises(FrontEndFault):
        Virtqueue(shared.memory, SIZE, addresses, 0, writable=False)


def test_a_restarted_ring_goes_on_where_it_stopped(shared: Shared) -> None:
    for _ in range(3):
        shared.ring.add([(BUFFERS, 1)], writable=False)
    shared.queue.give_back(shared.queue.look().head, 0)
    shared.queue.publish()
    again = Virtqueue(shared.memory, SIZE, shared.addresses, shared.queue.position, writable=False)
    assert again.waiting() == 2
    again.give_back(again.look().head, 0)
    again.publish()
    assert len(shared.ring.take()) == 2
