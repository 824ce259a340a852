"""The clock: joins two clocks, believes neither alone, and stops for good when they disagree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.clock import (
    MAX_AGE_MS,
    MAX_DIVERGENCE_MS,
    Clock,
    ClockFault,
    ClockStale,
)
from strongroom_wire.errors import Code

from tests.enclave.policy.sample import NOW

MS = 1_000_000
START = 77_123_456_789
"""A reading of CLOCK_MONOTONIC in ns."""


def anchored(floor_ms: int = NOW) -> Clock:
    """A clock that was told `NOW` at `START`."""
    clock = Clock(floor_ms)
    clock.anchor(NOW, START)
    return clock


def test_time_is_the_anchors_carried_on_by_the_monotonic_clock() -> None:
    clock = anchored()
    assert clock.now_ms(START) == NOW
    assert clock.now_ms(START + MS - 1) == NOW
    assert clock.now_ms(START + MS) == NOW + 1
    assert clock.now_ms(START + 9_999 * MS) == NOW + 9_999
    clock.anchor(NOW + 10_250, START + 10_000 * MS)
    assert clock.now_ms(START + 10_001 * MS) == NOW + 10_251
    assert clock.fault is None


def test_without_an_anchor_there_is_no_time() -> None:
    clock = Clock(NOW)
    for reading in (0, START):
        with pytest.raises(ClockStale):
            clock.now_ms(reading)
    clock.anchor(NOW, START)
    assert clock.now_ms(START) == NOW


def test_an_old_anchor_gives_no_time_until_the_next_one() -> None:
    clock = anchored()
    assert clock.now_ms(START + (MAX_AGE_MS + 1) * MS - 1) == NOW + MAX_AGE_MS
    with pytest.raises(ClockStale) as stale:
        clock.now_ms(START + (MAX_AGE_MS + 1) * MS)
    assert (stale.value.expected, stale.value.actual) == (MAX_AGE_MS, MAX_AGE_MS + 1)
    assert clock.fault is None
    clock.anchor(NOW + 600_000, START + 600_000 * MS)
    assert clock.now_ms(START + 600_001 * MS) == NOW + 600_001


@pytest.mark.parametrize("divergence", [-MAX_DIVERGENCE_MS, -1, 0, 1, MAX_DIVERGENCE_MS])
def test_a_small_divergence_is_believed_and_never_turns_time_back(divergence: int) -> None:
    clock = anchored()
    reading = START + 10_000 * MS
    assert clock.now_ms(reading) == NOW + 10_000
    clock.anchor(NOW + 10_000 + divergence, reading)
    assert clock.now_ms(reading) == NOW + 10_000 + max(divergence, 0)
    later = clock.now_ms(reading + 5_000 * MS)
    assert later == NOW + 15_000 + divergence


@pytest.mark.parametrize("divergence", [-MAX_DIVERGENCE_MS - 1, MAX_DIVERGENCE_MS + 1, -9_000])
def test_a_larger_divergence_ends_time_for_this_boot(divergence: int) -> None:
    clock = anchored()
    clock.anchor(NOW + 10_000 + divergence, START + 10_000 * MS)
    assert_latched(clock, NOW + 10_000, NOW + 10_000 + divergence)


def test_monotonic_clock_held_back_or_hurried_is_a_divergence_too() -> None:
    for elapsed in (7_999, 12_001):
        clock = anchored()
        clock.anchor(NOW + 10_000, START + elapsed * MS)
        assert_latched(clock, NOW + elapsed, NOW + 10_000)


@pytest.mark.parametrize("gained", [-40, 40])
def test_a_clock_that_strays_in_small_steps_is_found_out(gained: int) -> None:
    """Each anchor is only 40 ms from where the one before it says it should be."""
    clock = anchored()
    for step in range(1, 100):
        clock.anchor(NOW + step * (100 + gained), START + step * 100 * MS)
        assert (clock.fault is None) == (step * 40 <= MAX_DIVERGENCE_MS)


def test_two_clocks_may_drift_apart_by_a_second_an_hour() -> None:
    clock, hour = anchored(), 3_600_000
    for hours in range(1, 100):
        clock.anchor(NOW + hours * hour + 2_000 + hours * 1_000, START + hours * hour * MS)
        assert clock.fault is None
    clock.anchor(NOW + 100 * hour + 102_001, START + 100 * hour * MS)
    assert clock.fault is not None


@pytest.mark.parametrize("ahead", [-1, 0, 1, MAX_DIVERGENCE_MS])
def test_time_is_never_below_one_that_has_passed(ahead: int) -> None:
    clock, floor = anchored(), NOW + 5_000 + ahead
    clock.passed(floor, START + 5_000 * MS)
    assert clock.now_ms(START + 5_000 * MS) == NOW + 5_000 + max(ahead, 0)
    assert clock.now_ms(START + 9_000 * MS) == NOW + 9_000


def test_a_time_that_has_passed_elsewhere_and_not_here_ends_time() -> None:
    clock = anchored()
    clock.passed(NOW + 1_000 + MAX_DIVERGENCE_MS + 1, START + 1_000 * MS)
    assert_latched(clock, NOW + 1_000 + MAX_DIVERGENCE_MS + 1, NOW + 1_000)


def test_a_time_that_has_passed_binds_the_first_anchor_too() -> None:
    clock = Clock(NOW - 1_000_000)
    clock.passed(NOW, START)
    clock.anchor(NOW - 1, START)
    assert_latched(clock, NOW, NOW - 1)
    clock = Clock(NOW - 1_000_000)
    clock.passed(NOW, START)
    clock.passed(NOW - 9_000, START)
    clock.anchor(NOW, START)
    assert clock.now_ms(START) == NOW


def test_authenticated_time_that_steps_back_by_a_ms_ends_time() -> None:
    clock = anchored()
    clock.anchor(NOW - 1, START)
    assert_latched(clock, NOW, NOW - 1)


def test_anchors_whose_readings_step_back_end_time() -> None:
    clock = anchored()
    clock.anchor(NOW, START - 1)
    assert_latched(clock, START, START - 1)


def test_a_reading_that_steps_back_ends_time() -> None:
    clock = anchored()
    clock.now_ms(START + 5)
    with pytest.raises(ClockFault):
        clock.now_ms(START + 4)
    assert_latched(clock, START + 5, START + 4)


def test_a_reading_before_the_last_anchors_ends_time() -> None:
    clock = anchored()
    with pytest.raises(ClockFault):
        clock.now_ms(START - 1)
    assert_latched(clock, START, START - 1)


def test_an_anchor_that_was_on_its_way_while_a_decision_was_made_is_no_step_back() -> None:
    clock = anchored()
    assert clock.now_ms(START + 100 * MS) == NOW + 100
    clock.anchor(NOW + 50, START + 50 * MS)
    assert clock.fault is None
    with pytest.raises(ClockFault):
        clock.now_ms(START + 99 * MS)


def test_time_before_the_floor_ends_time() -> None:
    assert anchored(floor_ms=NOW).now_ms(START) == NOW
    assert_latched(anchored(floor_ms=NOW + 1), NOW + 1, NOW)


def test_a_fault_is_told_as_a_denial_and_only_the_first_is_kept() -> None:
    clock = anchored()
    clock.anchor(NOW + 99_000, START)
    clock.anchor(NOW - 99_000, START - 5)
    with pytest.raises(ClockFault):
        clock.now_ms(0)
    assert_latched(clock, NOW, NOW + 99_000)
    assert clock.fault is not None
    assert clock.fault.code is Code.DENIED


def assert_latched(clock: Clock, expected: int, actual: int) -> None:
    """Nothing brings the time back: not the right anchor, nor any reading."""
    for reading in (START, START + 10_000 * MS, START + 10_001 * MS):
        clock.anchor(NOW + (reading - START) // MS, reading)
        with pytest.raises(ClockFault) as fault:
            clock.now_ms(reading)
        assert not isinstance(fault.value, ClockStale)
        assert (fault.value.expected, fault.value.actual) == (expected, actual)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["anchor", "now"]),
            st.integers(-3_000, 40_000) | st.integers(0, 3_000),
            st.integers(-2_100, 2_100) | st.integers(-10, 10),
        ),
        max_size=60,
    )
)
def test_told_time_never_decreases_and_never_strays_from_the_anchors(
    steps: list[tuple[str, int, int]],
) -> None:
    clock, reading, told = anchored(), START, NOW
    anchors, latest = [(NOW, START)], START
    for kind, step, divergence in steps:
        reading += step * MS
        before = clock.fault
        if kind == "anchor":
            past_ms, past_ns = anchors[-1]
            authenticated = past_ms + (reading - past_ns) // MS + divergence
            good = reading >= past_ns and authenticated >= past_ms
            strayed = abs(authenticated - NOW - (reading - START) // MS)
            good = good and strayed <= MAX_DIVERGENCE_MS  # 60 steps last less than an hour
            clock.anchor(authenticated, reading)
            assert (clock.fault is None) == (before is None and good)
            if clock.fault is None:
                anchors.append((authenticated, reading))
                latest = max(latest, reading)
            continue
        past_ms, past_ns = anchors[-1]
        late = reading - past_ns >= (MAX_AGE_MS + 1) * MS
        if clock.fault is not None or reading < latest or late:
            latched = clock.fault is not None or reading < latest
            with pytest.raises(ClockFault if latched else ClockStale):
                clock.now_ms(reading)
            assert (clock.fault is not None) == latched
        else:
            now = clock.now_ms(reading)
            assert now == max(told, past_ms + (reading - past_ns) // MS)
            told = now
        latest = max(latest, reading)
