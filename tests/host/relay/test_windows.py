"""What was here before is known again: as a model of the window would say, whatever the order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay.reasons import Reason
from strongroom_host.relay.windows import WINDOW, ReplayWindow, SeenFrames

S = 1_000_000_000
STEP = st.one_of(
    st.integers(1, 40),
    st.integers(1, 5 * WINDOW),
    st.integers((1 << 62), (1 << 63) - 1),
    st.integers(WINDOW - 3, WINDOW + 3),
)


@given(st.lists(STEP, max_size=80))
def test_the_window_is_its_model(numbers: list[int]) -> None:
    window, taken, highest = ReplayWindow(), {0}, 0
    for number in numbers:
        got = window.admit(number)
        if number <= highest - WINDOW:
            assert got is Reason.TOO_OLD
        elif number in taken:
            assert got is Reason.REPLAYED
        else:
            assert got is None
            taken.add(number)
            highest = max(highest, number)
        assert window.highest == highest


def test_each_number_once_in_any_order_within_the_window() -> None:
    numbers = list(range(1, 20_001))
    randomness = random.Random(4)  # noqa: S311  the same order each time
    # Disturbed by less than the window: nothing is lost; everything again: nothing passes.
    numbers.sort(key=lambda number: number + randomness.randrange(WINDOW // 2))
    window = ReplayWindow()
    assert [window.admit(number) for number in numbers] == [None] * len(numbers)
    assert None not in [window.admit(number) for number in numbers]


def test_number_zero_never_passes() -> None:
    assert ReplayWindow().admit(0) is Reason.REPLAYED


def frames(start_wall: int = 100 * S, limit: int = 1000) -> SeenFrames:
    return SeenFrames(5 * S, start_wall, 0, limit)


def test_a_frame_is_taken_once_within_its_window() -> None:
    seen = frames()
    assert seen.admit(b"a", 110 * S, 110 * S, 10 * S) is None
    assert seen.admit(b"a", 110 * S, 110 * S, 10 * S) is Reason.V1_REPLAYED
    assert seen.admit(b"a", 110 * S, 115 * S, 15 * S) is Reason.V1_REPLAYED
    assert seen.admit(b"a", 110 * S, 115 * S + 1, 15 * S) is Reason.V1_STALE


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (195 * S, None),
        (195 * S - 1, Reason.V1_STALE),
        (205 * S, None),
        (205 * S + 1, Reason.V1_AHEAD),
        (0, Reason.V1_STALE),
        ((1 << 64) - 1, Reason.V1_AHEAD),
    ],
)
def test_the_window_is_five_seconds_to_the_nanosecond(stamp: int, expected: Reason | None) -> None:
    assert frames().admit(b"a", stamp, 200 * S, 100 * S) is expected


def test_what_an_earlier_life_may_have_taken_is_refused() -> None:
    """It took stamps up to 5 s ahead; this one was started at 100 s."""
    seen = frames()
    assert seen.admit(b"a", 105 * S, 100 * S, 0) is Reason.V1_BEFORE_START
    assert seen.admit(b"a", 105 * S, 109 * S, 9 * S) is Reason.V1_BEFORE_START
    assert seen.admit(b"b", 105 * S + 1, 109 * S, 9 * S) is None


def test_the_memory_is_bounded_and_frees_itself() -> None:
    seen = frames(limit=10)
    made = iter(range(1000))
    taken = [seen.admit(b"%d" % next(made), 150 * S, 150 * S, 50 * S) for _ in range(12)]
    assert taken == [None] * 10 + [Reason.V1_SEEN_FULL] * 2
    assert len(seen) == 10
    assert seen.admit(b"late", 175 * S, 175 * S, 75 * S) is None
    assert len(seen) == 1


def test_a_frame_is_known_in_the_next_generation_too() -> None:
    seen = frames()
    assert seen.admit(b"a", 114 * S, 109_900_000_000, 9_900_000_000) is None
    assert seen.admit(b"b", 111 * S, 110_500_000_000, 10_500_000_000) is None
    assert seen.admit(b"a", 114 * S, 110_500_000_000, 10_500_000_000) is Reason.V1_REPLAYED


@pytest.mark.parametrize("between", [[10_500_000_000, 20_600_000_000], [50 * S], [10_500_000_000]])
def test_what_was_forgotten_stays_refused_when_the_clock_is_set_back(between: list[int]) -> None:
    seen = frames()
    assert seen.admit(b"a", 114 * S, 109_900_000_000, 9_900_000_000) is None
    for number, monotonic in enumerate(between):
        seen.admit(b"%d" % number, 100 * S + monotonic, 100 * S + monotonic, monotonic)
    # The wall clock says again what it said then, whatever time has passed.
    assert seen.admit(b"a", 114 * S, 112 * S, 60 * S) is Reason.V1_BEFORE_START


def test_also_when_only_its_generation_was_forgotten() -> None:
    seen = frames()
    assert seen.admit(b"a", 114 * S, 109_900_000_000, 9_900_000_000) is None
    assert seen.admit(b"b", 111 * S, 110_500_000_000, 10_500_000_000) is None
    assert seen.admit(b"c", 116 * S, 112 * S, 20_600_000_000) is None
    assert seen.admit(b"a", 114 * S, 112 * S, 20_700_000_000) is Reason.V1_BEFORE_START
    assert seen.admit(b"c", 116 * S, 112 * S, 20_700_000_000) is Reason.V1_REPLAYED


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),  # what is shown: a new frame, or one of the last ones again
            st.integers(-6 * S, 6 * S),  # its stamp, against the wall clock
            st.integers(0, 8 * S),  # time passes
            st.integers(-30 * S, 30 * S) | st.just(0),  # the wall clock is set
        ),
        max_size=60,
    )
)
def test_nothing_is_ever_taken_twice_however_the_clock_is_set(
    steps: list[tuple[int, int, int, int]],
) -> None:
    seen, taken = frames(), set[bytes]()
    shown: list[tuple[bytes, int]] = []
    monotonic, wall = 0, 100 * S
    for number, (again, offset, passed, jump) in enumerate(steps):
        monotonic, wall = monotonic + passed, wall + passed + jump
        if again and again <= len(shown):
            mac, stamp = shown[-again]
        else:
            mac, stamp = b"%d" % number, max(0, wall + offset)
            shown.append((mac, stamp))
        if seen.admit(mac, stamp, wall, monotonic) is None:
            assert mac not in taken
            taken.add(mac)


def test_steady_traffic_is_all_taken() -> None:
    seen = frames()
    for number in range(2000):  # 200 s, a frame each 100 ms, up to 4 s late or ahead
        at = 10 * S + number * S // 10
        late = random.Random(number).randint(-4 * S, 4 * S)  # noqa: S311  the same each time
        stamp = 100 * S + at + late
        assert seen.admit(b"%d" % number, stamp, 100 * S + at, at) is None
