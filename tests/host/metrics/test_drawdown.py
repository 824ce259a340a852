"""Drawdowns against a search that compares every pair of points, in fractions."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.metrics.drawdown import Drawdown, depths, drawdowns
from strongroom_host.metrics.linking import rounded
from strongroom_host.metrics.series import HOUR_MS

from tests.host.metrics.made import MIDNIGHT, returns, series_of

# With repeated values and their inverses, so that peaks are reached exactly, and often.
exact = st.sampled_from(["0.25", "-0.2", "0", "1", "-0.5", "0.6", "-0.375", "-1"]).map(Decimal)
values = st.lists(returns | exact, min_size=1, max_size=40)


def levels(of: list[Decimal]) -> list[Fraction]:
    found = [Fraction(1)]
    for value in of:
        found.append(found[-1] * (1 + Fraction(value)))
    return found


@given(values)
def test_the_deepest_is_the_worst_of_all_pairs(of: list[Decimal]) -> None:
    level = levels(of)
    worst = min(
        (
            level[late] / level[early] - 1
            for late in range(len(level))
            for early in range(late + 1)
            if level[early]
        ),
        default=Fraction(0),
    )
    deepest = min((each.depth for each in drawdowns(series_of(of))), default=Decimal(0))
    assert deepest == rounded(min(worst, Fraction(0)))


@given(values)
def test_each_begins_at_a_highest_point_and_ends_where_it_is_reached(of: list[Decimal]) -> None:
    level, last, below = levels(of), 0, set[int]()
    for each in drawdowns(series_of(of)):
        times = (each.peak_ms, each.trough_ms, each.end_ms)
        peak, trough, end = ((time_ms - MIDNIGHT) // HOUR_MS for time_ms in times)
        assert last <= peak < trough <= end
        assert level[peak] == max(level[: peak + 1])
        assert level[peak + 1] < level[peak]
        assert all(at < level[peak] for at in level[peak + 1 : end])
        assert min(level[peak : end + 1]) == level[trough]
        assert each.recovered == (level[end] >= level[peak])
        assert each.recovered or end == len(of)
        last = end
        below.update(range(peak + 1, end if each.recovered else end + 1))
    assert below == {at for at in range(len(level)) if level[at] < max(level[: at + 1])}


LOSSES = {"-0.2": "0.25", "-0.5": "1", "-0.375": "0.6"}


@given(st.lists(st.sampled_from(sorted(LOSSES)), min_size=1, max_size=90))
def test_a_peak_that_is_reached_exactly_is_reached(losses: list[str]) -> None:
    gains = [LOSSES[each] for each in losses]
    [fall] = drawdowns(series_of(losses + gains))
    assert fall.recovered
    assert fall.end_ms == MIDNIGHT + 2 * len(losses) * HOUR_MS
    [short] = drawdowns(series_of([*losses, *gains[:-1], "-0.000000000001"]))
    assert not short.recovered


def test_a_gap_ends_a_stretch() -> None:
    falls = list(drawdowns(series_of(["-0.1", "-0.1", None, "0.5", "-0.2", "0.25"])))
    assert falls == [
        Drawdown(Decimal("-0.19"), MIDNIGHT, MIDNIGHT + 2 * HOUR_MS, MIDNIGHT + 2 * HOUR_MS, False),
        Drawdown(
            Decimal("-0.2"),
            MIDNIGHT + 4 * HOUR_MS,
            MIDNIGHT + 5 * HOUR_MS,
            MIDNIGHT + 6 * HOUR_MS,
            True,
        ),
    ]
    assert [(each.hours, each.recovery_hours) for each in falls] == [(2, None), (2, 1)]


def test_after_losing_everything_nothing_comes_back() -> None:
    [fall] = drawdowns(series_of(["0.5", "-1", "2", "2"]))
    assert (fall.depth, fall.recovered, fall.hours) == (Decimal(-1), False, 3)


@given(values)
def test_depths_are_the_levels_below_their_maximum(of: list[Decimal]) -> None:
    level = levels(of)
    expected = [rounded(level[at] / max(level[: at + 1]) - 1) for at in range(1, len(level))]
    found = depths([int(value * 10**12) for value in of])
    assert [abs(a - b) <= Decimal("1e-12") for a, b in zip(found, expected, strict=True)] == [
        True
    ] * len(of)
