"""What is drawn is what was disclosed: levels, falls, and gaps where there is nothing."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.charts.curve import curve_of, thinned
from strongroom_host.charts.scales import percent, steps, time_ticks
from strongroom_host.metrics.drawdown import drawdowns
from strongroom_host.metrics.linking import linked
from strongroom_host.metrics.series import HOUR_MS, ONE

from tests.host.metrics.made import MIDNIGHT, returns, series_of

DAY_MS = 24 * HOUR_MS
mixed = st.lists(st.none() | returns, min_size=1, max_size=60)


@given(mixed)
def test_lines_and_gaps_are_the_whole_series(values: list[Decimal | None]) -> None:
    curve = curve_of(series_of(values))
    spans = [(line[0].time_ms, line[-1].time_ms) for line in curve.lines]
    spans += [(gap.start_ms, gap.end_ms) for gap in curve.gaps]
    spans.sort()
    assert spans[0][0] == curve.start_ms
    assert spans[-1][1] == curve.end_ms
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert sum(len(line) - 1 for line in curve.lines) == sum(each is not None for each in values)


@given(mixed)
def test_levels_link_what_is_known_and_a_gap_is_no_step(values: list[Decimal | None]) -> None:
    curve = curve_of(series_of(values))
    known = linked([int(value * ONE) for value in values if value is not None])
    last = curve.lines[-1][-1].level if curve.lines else 1.0
    assert last == pytest.approx(float(known) + 1)
    for before, after in pairwise(curve.lines):
        assert after[0].level == before[-1].level
        assert after[0].below == 0


@given(mixed)
def test_the_deepest_fall_drawn_is_the_one_measured(values: list[Decimal | None]) -> None:
    series = series_of(values)
    deepest = min((fall.depth for fall in drawdowns(series)), default=Decimal(0))
    assert curve_of(series).deepest == pytest.approx(float(deepest), abs=1e-11)


@given(st.lists(returns, min_size=200, max_size=400), st.integers(1, 20))
def test_thinning_loses_no_peak_and_no_trough(values: list[Decimal], columns: int) -> None:
    curve = curve_of(series_of(values))
    [line] = curve.lines
    few = thinned(line, columns, curve.start_ms, curve.end_ms)
    assert set(few) <= set(line)
    assert list(few) == sorted(few, key=lambda point: point.time_ms)
    assert len(few) <= 5 * (columns + 1)
    assert (few[0], few[-1]) == (line[0], line[-1])
    for pick in (min, max):
        assert pick(p.level for p in few) == pick(p.level for p in line)
    assert min(p.below for p in few) == min(p.below for p in line)


def test_gaps_of_another_reason_are_other_gaps() -> None:
    series = series_of(["0.1", None, None, "0.1"])
    [gap] = curve_of(series).gaps
    assert (gap.start_ms, gap.end_ms, gap.why) == (
        MIDNIGHT + HOUR_MS,
        MIDNIGHT + 3 * HOUR_MS,
        "missing mark",
    )


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e3), st.integers(1, 12))
def test_steps_are_round_and_within(low: float, span: float, count: int) -> None:
    found = steps(low, low + span, count)
    assert len(found) <= count + 1
    assert all(low - 1e-6 * span <= each <= low + span * 1.000001 for each in found)
    assert all(after > before for before, after in pairwise(found))
    assert steps(1.0, 1.0, 5) == [1.0]


@given(st.integers(0, 3 * 10**11), st.integers(1, 12 * 365 * 24))
def test_times_are_within_and_few(start_hours_ms: int, hours: int) -> None:
    start_ms = start_hours_ms // HOUR_MS * HOUR_MS
    end_ms = start_ms + hours * HOUR_MS
    ticks = list(time_ticks(start_ms, end_ms, 10))
    assert len(ticks) <= 13
    assert all(start_ms <= time_ms <= end_ms and not time_ms % DAY_MS for time_ms, _ in ticks)
    assert all(name for _, name in ticks)


def test_percentages() -> None:
    assert [percent(each) for each in (0.0, -0.0, 1.5, -0.034, 0.00123)] == [
        *("0.00 %", "0.00 %", "+150 %", "-3.4 %", "+0.12 %"),
    ]
    assert percent(-0.000001, places=2) == "0.00 %"
    assert percent(0.5, places=0) == "+50 %"
