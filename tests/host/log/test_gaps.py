"""Indices as they come, against a plain set of those seen."""

from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.gaps import Gaps


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(0, 5))
def test_gaps_are_those_of_a_set(indices: list[int], first: int) -> None:
    gaps, seen, following = Gaps(first), set(range(first)), first
    for index in indices:
        place = gaps.place(index)
        if index in seen:
            assert place is Gaps.AGAIN
        else:
            assert place is (Gaps.NEXT if index >= following else Gaps.EARLIER)
        seen.add(index)
        following = max(following, index + 1)
        missing = [n for start, end in gaps.missing for n in range(start, end)]
        assert missing == sorted(set(range(following)) - seen)


def test_what_cannot_be_read_counts_as_the_next() -> None:
    gaps = Gaps(0)
    gaps.place(0)
    gaps.skip()
    assert gaps.place(2) is Gaps.NEXT
    assert gaps.missing == []


def test_a_claim_far_away_costs_nothing() -> None:
    gaps = Gaps(0)
    gaps.place(1 << 63)
    for n in range(1000):
        assert gaps.place(n) is Gaps.EARLIER
    assert gaps.missing == [(1000, 1 << 63)]
