"""Segments: the documented bytes, read in place, and nothing else taken for one."""

from __future__ import annotations

import mmap
import struct
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.archive.errors import SegmentMalformed
from strongroom_host.archive.segments import FULL, LEAST, Segment, build, cuts
from strongroom_host.log.errors import OutsideLog
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier, leaf_hash

from tests.host.log.histories import ORIGIN, History
from tests.wire.test_merkle import grown

HISTORY = History().boot(1, 4).boot(2, 5)
BEFORE = grown(HISTORY.entries[:3])
DATA = build(ORIGIN, BEFORE, HISTORY.entries[3:])


@given(st.integers(0, 1 << 40))
def test_cuts_are_the_bits_of_the_size(size: int) -> None:
    rest = size % FULL
    found = list(cuts(rest))
    assert [start for start, _ in found] == [0, *(end for _, end in found)][: len(found)]
    assert (found[-1][1] if found else 0) == rest
    lengths = [end - start for start, end in found]
    assert lengths == sorted(lengths, reverse=True)
    for start, end in found:
        length = end - start
        assert length < LEAST or (length.bit_count() == 1 and start % length == 0)


def test_a_long_log_has_few_segments_and_most_of_them_stay() -> None:
    size = 3 * FULL + 40_000
    found = list(cuts(size))
    assert found[:3] == [(n * FULL, (n + 1) * FULL) for n in range(3)]
    assert len(found) == 3 + (40_000 >> 8).bit_count() + 1
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert set(found[:-1]) <= {*cuts(size + 1), *cuts(size)}
    assert list(cuts(0)) == []


def test_every_byte_is_where_the_documentation_says() -> None:
    """Read with `struct` alone, as somebody without our code would."""
    count, boots = len(HISTORY.entries) - 3, 2
    assert DATA[:16] == b"strongroom/seg/1"
    numbers = struct.unpack_from("<10Q", DATA, 16)
    assert numbers[:4] == (3, len(HISTORY.entries), boots, 2)
    rows, hashes, table, frontier, leaves, length = numbers[4:]
    assert (rows, hashes) == (256, 256 + 32 * count)
    assert (table, frontier) == (hashes + 32 * count, hashes + 32 * count + 48 * boots)
    assert leaves % 64 == 0
    assert frontier + 64 <= leaves < frontier + 128
    assert not any(DATA[frontier + 64 : leaves])
    assert length == len(DATA)
    assert DATA[96:128] == BEFORE.head.root
    assert DATA[128:160] == HISTORY.tree.head.root
    assert DATA[160:192] == sha256(ORIGIN.encode()).digest()
    times = [Leaf.parse(entry).time_ms for entry in HISTORY.entries[3:]]
    assert struct.unpack_from("<2Q", DATA, 192) == (min(times), max(times))
    assert not any(DATA[208:256])
    at = leaves
    for n, entry in enumerate(HISTORY.entries[3:]):
        leaf = Leaf.parse(entry)
        row = struct.unpack_from("<QQIIII", DATA, rows + 32 * n)
        number = 0 if leaf.epoch == Leaf.parse(HISTORY.entries[3]).epoch else 1
        assert row == (at, leaf.time_ms, len(entry), leaf.kind, number, 0)
        assert DATA[hashes + 32 * n : hashes + 32 * n + 32] == leaf_hash(entry)
        assert DATA[at : at + len(entry)] == entry
        at += len(entry)
    assert at == len(DATA)
    second = struct.unpack_from("<32sQQ", DATA, table + 48)
    assert second == (HISTORY.epoch, 5, len(HISTORY.entries))
    assert DATA[frontier : frontier + 64] == b"".join(BEFORE.hashes)


def test_it_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(DATA)
    with path.open("rb") as stream:
        mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    segment = Segment(mapped)
    assert (segment.start, segment.end, segment.boots) == (3, len(HISTORY.entries), 2)
    assert (segment.before, segment.after) == (BEFORE.head, HISTORY.tree.head)
    assert segment.frontier().head == BEFORE.head
    assert segment.leaf(7).obj is mapped.obj
    for index, entry in enumerate(HISTORY.entries[3:], 3):
        assert segment.leaf(index) == entry
        assert segment.leaf_hash(index) == leaf_hash(entry)
        assert segment.row(index).kind == Leaf.parse(entry).kind
    assert list(segment.entries()) == HISTORY.entries[3:]
    segment.check(ORIGIN)


@pytest.mark.parametrize("index", [-1, 0, 2, len(HISTORY.entries)])
def test_leaves_outside_are_refused(index: int) -> None:
    for ask in (Segment(DATA).leaf, Segment(DATA).leaf_hash, Segment(DATA).row):
        with pytest.raises(OutsideLog):
            ask(index)
    for number in (-1, 2):
        with pytest.raises(SegmentMalformed):
            Segment(DATA).boot(number)


def test_every_flipped_bit_is_found() -> None:
    for at in range(len(DATA)):
        altered = bytearray(DATA)
        altered[at] ^= 1 << at % 8
        with pytest.raises(SegmentMalformed):
            Segment(bytes(altered)).check(ORIGIN)


def test_another_magic_is_no_segment() -> None:
    with pytest.raises(SegmentMalformed, match="no segment"):
        Segment(b"Strongroom/seg/1" + DATA[16:])


def test_another_log_is_found() -> None:
    with pytest.raises(SegmentMalformed):
        Segment(DATA).check(ORIGIN + "x")


@given(st.binary(max_size=400), st.integers(0, len(DATA)))
def test_whatever_the_bytes_only_our_errors_come_out(noise: bytes, at: int) -> None:
    for data in (noise, DATA[:at], DATA[:at] + noise, DATA[: at // 2] + noise + DATA[at:]):
        if data != DATA:
            with pytest.raises((SegmentMalformed, OutsideLog)):
                Segment(data).check(ORIGIN)


def test_a_row_that_leads_outside_is_refused() -> None:
    altered = bytearray(DATA)
    struct.pack_into("<Q", altered, 256, len(DATA) - 5)
    with pytest.raises(SegmentMalformed):
        Segment(bytes(altered)).leaf(3)


def test_only_leaves_of_their_place_go_in() -> None:
    with pytest.raises(SegmentMalformed):
        build(ORIGIN, Frontier(), HISTORY.entries[1:])
    with pytest.raises(SegmentMalformed):
        build(ORIGIN, Frontier(), [b"no leaf"])
    with pytest.raises(OutsideLog):
        build(ORIGIN, Frontier(), [])
