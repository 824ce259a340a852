from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.feeds.merge import Merge

BREAK = -1


class Stream:
    """A merge of numbered events; what came out, with breaks in their places."""

    def __init__(self, window: int = 1 << 14) -> None:
        self.out: list[int] = []
        self.merge: Merge[int] = Merge(
            lambda event, _connection, _at: self.out.append(event),
            lambda: self.out.append(BREAK),
            window=window,
        )
        self.now = 0

    def offer(self, connection: int, *events: int) -> None:
        for event in events:
            self.now += 1
            self.merge.offer(connection, hash(event), event, self.now)

    def join(self, *connections: int) -> None:
        for connection in connections:
            self.now += 1
            self.merge.join(connection, self.now)


def test_the_first_arrival_of_two_connections_is_taken() -> None:
    stream = Stream()
    stream.join(0)
    stream.offer(0, 1)
    stream.join(1)
    stream.offer(1, 2, 3)
    assert stream.out == [1], "what a second one brings waits for its overlap"
    stream.offer(0, 2)
    assert stream.out == [1, 2, 3]
    stream.offer(1, 4)
    stream.offer(0, 3, 4, 5)
    stream.offer(1, 5)
    assert stream.out == [1, 2, 3, 4, 5]
    assert stream.merge.covering() == [0, 1]
    assert stream.merge.duplicates == 5 - 1
    assert (stream.merge.first_arrivals(0), stream.merge.first_arrivals(1)) == (3, 2)


def test_a_connection_may_go_while_a_proven_one_stays() -> None:
    stream = Stream()
    stream.join(0, 1)
    stream.offer(0, 1)
    stream.offer(1, 1)
    stream.merge.leave(0)
    stream.offer(1, 2)
    stream.join(0)
    stream.offer(1, 3)
    stream.offer(0, 3)
    stream.merge.leave(1)
    stream.offer(0, 4)
    assert stream.out == [1, 2, 3, 4]


def test_a_hand_over_without_an_overlap_is_a_break() -> None:
    stream = Stream()
    stream.join(0, 1)
    stream.offer(0, 1)
    stream.offer(1, 3)  # what lay between, nobody knows
    stream.merge.leave(0)
    stream.offer(1, 4)
    assert stream.out == [1, BREAK, 3, 4]


def test_what_one_connection_skipped_comes_from_the_other() -> None:
    stream = Stream()
    stream.join(0, 1)
    stream.offer(0, 1)
    stream.offer(1, 1)
    stream.merge.demote(0)  # it went on with 3
    stream.offer(0, 3)
    assert stream.out == [1]
    stream.offer(1, 2, 3)
    assert stream.out == [1, 2, 3]
    assert stream.merge.covering() == [0, 1]


def test_what_both_skipped_is_a_break() -> None:
    stream = Stream()
    stream.join(0, 1)
    stream.offer(0, 1)
    stream.offer(1, 1)
    stream.merge.demote(0)
    stream.offer(0, 3)
    stream.merge.demote(1)
    stream.offer(1, 3)
    assert stream.out == [1, BREAK, 3]


def test_an_overlap_with_what_was_before_a_break_proves_nothing() -> None:
    stream = Stream()
    stream.join(0)
    stream.offer(0, 1, 2)
    stream.join(1)  # at 5
    stream.merge.demote(0)
    stream.offer(0, 2, 3)
    stream.offer(1, 5)
    assert stream.out == [1, 2, BREAK, 5], "3 and 4 may not pass for what lies between 2 and 5"


def test_after_a_break_only_one_brings_what_it_kept() -> None:
    stream = Stream()
    stream.join(0, 1, 2)
    stream.offer(0, 1)
    stream.offer(1, 5)
    stream.offer(2, 8, 9)
    stream.merge.leave(0)
    assert stream.out == [1, BREAK, 8, 9]
    stream.offer(1, 9, 10)
    assert stream.out == [1, BREAK, 8, 9, 10], "5 lies before the epoch"


def test_the_last_one_to_leave_breaks_once() -> None:
    stream = Stream()
    stream.join(0)
    stream.offer(0, 1)
    stream.merge.leave(0)
    stream.merge.leave(0)
    assert stream.out == [1, BREAK]
    stream.join(0)
    stream.offer(0, 1, 2)
    assert stream.out == [1, BREAK, 2], "known events stay known"


def test_a_connection_that_joins_again_has_left() -> None:
    stream = Stream()
    stream.join(0)
    stream.offer(0, 1)
    stream.join(0)
    stream.offer(0, 3)
    assert stream.out == [1, BREAK, 3]


def test_a_slow_connection_does_not_fill_the_memory() -> None:
    stream = Stream(window=64)
    stream.join(0)
    stream.offer(0, 0)
    stream.join(1)
    stream.offer(1, *range(100, 300))
    assert stream.merge.overflowed == 200 - 32
    stream.offer(0, 299)
    assert stream.out == [0, *[299], *range(268, 299)]


def test_duplicates_are_known_for_half_a_window() -> None:
    stream = Stream(window=64)
    stream.join(0)
    stream.offer(0, *range(1000))
    stream.offer(0, *range(1000 - 32, 1000))
    assert stream.out == list(range(1000))


def test_how_far_a_connection_is_behind() -> None:
    stream = Stream()
    stream.join(0, 1)
    stream.offer(0, 1, 2, 3)
    assert (stream.merge.behind_ns(0), stream.merge.behind_ns(1)) == (0, 3)
    assert stream.merge.behind_ns(7) == 0


class Venue:
    """Numbers its events; its connections lag, skip (and notice), end and come again."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.produced = 0
        self.positions: dict[int, int] = {}
        """Of each open connection, the event it brings next."""
        self._skipping: set[int] = set()

    def deliver(self, connection: int) -> None:
        if self.positions[connection] < self.produced:
            if connection in self._skipping:
                self._skipping.discard(connection)
                self.stream.merge.demote(connection)
            self.stream.offer(connection, self.positions[connection])
            self.positions[connection] += 1

    def step(self, connection: int, action: float) -> None:
        if connection not in self.positions:
            if action < 0.5:
                self.positions[connection] = self.produced
                self.stream.join(connection)
        elif action < 0.03:
            del self.positions[connection]
            self._skipping.discard(connection)
            self.stream.merge.leave(connection)
        elif action < 0.08 and self.positions[connection] < self.produced:
            self.positions[connection] += 1
            self._skipping.add(connection)
        else:
            self.deliver(connection)
        self.produced += action > 0.4


@pytest.mark.parametrize("connections", [1, 2, 3])
@given(seed=st.integers(0, 2**32))
def test_nothing_is_missing_or_twice_or_out_of_order_within_an_epoch(
    connections: int, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    stream = Stream()
    venue = Venue(stream)
    for _ in range(chance.randint(1, 120)):
        venue.step(chance.randrange(connections), chance.random())
    for connection, position in list(venue.positions.items()):
        for _ in range(venue.produced - position):
            venue.deliver(connection)
    seen: set[int] = set()
    first = last = None
    for event in stream.out:
        if event == BREAK:
            first = last = None
            continue
        assert event not in seen, "twice"
        seen.add(event)
        if first is not None and event < first:
            continue  # of before the epoch, as a feed tells by the number
        # What lies between was there already, in an epoch before.
        assert last is None or event > last, stream.out
        assert last is None or seen.issuperset(range(last, event)), stream.out
        first, last = event if first is None else first, event
