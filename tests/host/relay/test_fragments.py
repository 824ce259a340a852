"""Pieces: cut, shuffled, doubled and joined; contradictions and excess refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay.fragments import MAX_DATAGRAM, MAX_PIECE, Pieces, cut
from strongroom_host.relay.frames_v2 import OVERHEAD
from strongroom_host.relay.messages import Answer, Request
from strongroom_host.relay.reasons import Reason, Rejected


@given(st.binary(min_size=1, max_size=9000), st.integers(1, 1165), st.randoms())
def test_joined_is_what_was_cut(whole: bytes, size: int, randomness: random.Random) -> None:
    pieces = cut(whole, max(size, len(whole) // 400 + 1))
    making = Pieces(len(pieces), 100_000)
    order = [*range(len(pieces)), *randomness.choices(range(len(pieces)), k=3)]
    randomness.shuffle(order)
    found = [making.add(at, len(pieces), pieces[at]) for at in order]
    assert whole in found
    assert set(found) <= {None, whole}
    assert making.size == len(whole)


def test_the_largest_datagram_is_the_documented_one() -> None:
    biggest = Request(b"i" * 16, 1, 0, 1, b"x" * MAX_PIECE).pack()
    assert len(biggest) + OVERHEAD == MAX_DATAGRAM == 1280 - 40 - 8
    answer = Answer(b"i" * 16, 0, 1, b"x" * MAX_PIECE).pack()
    assert len(answer) + OVERHEAD <= MAX_DATAGRAM
    assert len(cut(b"x" * MAX_PIECE)) == 1
    assert len(cut(b"x" * (MAX_PIECE + 1))) == 2


def test_contradictions_are_refused() -> None:
    making = Pieces(3, 1000)
    making.add(0, 3, b"a")
    for number, total, piece in ((1, 2, b"b"), (1, 4, b"b"), (0, 3, b"A")):
        with pytest.raises(Rejected) as refused:
            making.add(number, total, piece)
        assert refused.value.reason is Reason.FRAGMENTS_CONTRADICT
    assert making.add(0, 3, b"a") is None
    assert making.add(2, 3, b"c") is None
    assert making.add(1, 3, b"b") == b"abc"


def test_too_much_is_refused_before_it_is_kept() -> None:
    making = Pieces(3, 1000)
    making.add(0, 3, b"x" * 900)
    with pytest.raises(Rejected) as refused:
        making.add(1, 3, b"y" * 101)
    assert (refused.value.reason, making.size) == (Reason.REQUEST_TOO_LONG, 900)
    with pytest.raises(Rejected) as refused:
        Pieces(60_000, 64 * 1024)
    assert refused.value.reason is Reason.REQUEST_TOO_LONG


def test_what_is_missing() -> None:
    making = Pieces(50, 10_000)
    assert making.missing(32) == (0, (1 << 32) - 1)
    for number in (0, 1, 3, 49):
        making.add(number, 50, b"x")
    assert making.missing(4) == (2, 0b1101)
    for number in range(50):
        making.add(number, 50, b"x")
    assert making.missing(32) == (50, 0)
