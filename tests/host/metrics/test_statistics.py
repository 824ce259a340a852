"""Statistics against their definitions, and what has to stay the same when the series changes."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strongroom_host.metrics.errors import SeriesInvalid
from strongroom_host.metrics.measures import measure
from strongroom_host.metrics.sampling import Convention, sample
from strongroom_host.metrics.series import HOUR_MS, ONE, Flag, Period, Series
from strongroom_host.metrics.statistics import (
    profit_factor,
    sharpe,
    sortino,
    tail,
    volatility,
    win_rate,
)

from tests.host.metrics.made import MIDNIGHT, day_series, returns, series_of

DAYS, HOURS, TRADING = Convention.DAYS, Convention.HOURS, Convention.TRADING_DAYS
LAST = Decimal("1e-12")
several = st.lists(returns, min_size=2, max_size=50)


def number(value: Decimal | None) -> Decimal:
    assert value is not None
    return value


def near(value: Decimal | None, expected: float) -> bool:
    return float(number(value)) == pytest.approx(expected, rel=1e-9, abs=1e-11)


@given(several)
def test_volatility_is_its_definition(values: list[Decimal]) -> None:
    xs = [Fraction(value) for value in values]
    mean = sum(xs, Fraction(0)) / len(xs)
    variance = sum(((x - mean) ** 2 for x in xs), Fraction(0)) / (len(xs) - 1) * 365
    found = Fraction(number(volatility(sample(day_series(values), DAYS)).value))
    # Right in its last place: the true root is within half of it.
    half = Fraction(1, 2 * ONE)
    assert max(found - half, Fraction(0)) ** 2 <= variance <= (found + half) ** 2


@given(several, st.integers(2, 9))
def test_scaling_scales_volatility_and_leaves_ratios(values: list[Decimal], by: int) -> None:
    small = [(value / 100).quantize(LAST) for value in values]
    once, many = (sample(day_series([v * n for v in small]), DAYS) for n in (1, by))
    assume(len(set(small)) > 1)
    assert abs(number(volatility(many).value) - by * number(volatility(once).value)) <= by * LAST
    for ratio in (sharpe, sortino):
        assert ratio(many, Decimal(0)) == ratio(once, Decimal(0))
    assert profit_factor(many) == profit_factor(once)
    assert win_rate(many) == win_rate(once)
    level = Decimal("0.5")
    assert tail(many, level).var.value == by * number(tail(once, level).var.value)


@given(several, st.randoms(use_true_random=False))
def test_order_changes_nothing_but_drawdowns(values: list[Decimal], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types it as object
    one, other = measure(day_series(values), DAYS), measure(day_series(shuffled), DAYS)
    for name in ("twr", "volatility", "sharpe", "sortino", "tails", "profit_factor", "win_rate"):
        assert getattr(one, name) == getattr(other, name)


def test_sharpe_and_sortino_subtract_the_riskless_rate() -> None:
    values = [Decimal(f"{x}e-4") for x in (12, -7, 3, 25, -14, 6, 0, 9)]
    rate = 1.05 ** (1 / 365) - 1
    xs = [float(value) - rate for value in values]
    mean = sum(xs) / 8
    deviation = (sum((x - mean) ** 2 for x in xs) / 7) ** 0.5
    below = (sum(min(x, 0) ** 2 for x in xs) / 8) ** 0.5
    samples = sample(day_series(values), DAYS)
    assert near(sharpe(samples, Decimal("0.05")).value, mean / deviation * 365**0.5)
    assert near(sortino(samples, Decimal("0.05")).value, mean / below * 365**0.5)


def test_a_riskless_rate_that_equals_every_return_leaves_nothing() -> None:
    samples = sample(day_series(["0.001"] * 5), DAYS)
    assert sharpe(samples, Decimal(0)).why == "all samples are equal"
    assert sortino(samples, Decimal(0)).why == "no sample is below the riskless rate"
    with pytest.raises(SeriesInvalid):
        measure(day_series(["0.1"]), DAYS, riskless=Decimal(4))


def test_value_at_risk_is_an_observed_loss_and_the_shortfall_weighs_it() -> None:
    # 30 days at 0.95: p n = 1.5, so k = 2.
    values = [Decimal(place - 15).scaleb(-2) for place in range(30)]
    found = tail(sample(day_series(values), DAYS), Decimal("0.95"))
    assert found.var.value == Decimal("0.14")
    assert found.cvar.value == Decimal("0.146666666667")
    few = tail(sample(day_series(values[:19]), DAYS), Decimal("0.95"))
    assert (few.var.value, few.cvar.value) == (None, None)
    assert few.var.why == "fewer than 20 samples"


@given(st.lists(returns, min_size=20, max_size=60))
def test_the_shortfall_is_no_less_than_the_value_at_risk(values: list[Decimal]) -> None:
    samples = sample(day_series(values), DAYS)
    found = [tail(samples, Decimal(level)) for level in ("0.5", "0.9", "0.95")]
    for each in found:
        assert number(each.cvar.value) >= number(each.var.value)
    for lower, higher in pairwise(found):
        assert number(higher.var.value) >= number(lower.var.value)
        assert number(higher.cvar.value) >= number(lower.cvar.value)


def test_win_rate_and_profit_factor() -> None:
    samples = sample(day_series(["0.3", "0", "-0.1", "0.1", "0"]), DAYS)
    assert win_rate(samples).value == Decimal("0.666666666667")
    assert profit_factor(samples).value == Decimal(4)
    flat = sample(day_series(["0", "0"]), DAYS)
    assert win_rate(flat).why == "no sample is other than 0"
    assert profit_factor(flat).why == "no sample lost"


def test_cagr_needs_a_year_and_compounds_to_it() -> None:
    short = measure(day_series(["0.001"] * 364), DAYS)
    assert short.cagr.value is None
    assert short.cagr.why == "less than a year: not annualised"
    year = measure(day_series(["0.001"] * 365), DAYS)
    assert year.cagr == year.twr
    two = measure(day_series(["0.001"] * 730), DAYS)
    assert two.cagr == year.cagr
    assert year.calmar.why == "there was no drawdown"
    lost = measure(day_series(["-1"] + ["0"] * 400), DAYS)
    assert (lost.cagr.value, lost.calmar.value) == (Decimal(-1), Decimal(-1))


@given(st.lists(returns, min_size=4, max_size=30), st.data())
def test_a_gap_takes_away_what_it_must_and_is_counted(
    values: list[Decimal], data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, len(values) - 2))
    gapped: list[Decimal | None] = [*values[:at], None, *values[at + 1 :]]
    found = measure(day_series(gapped), DAYS)
    rest = day_series([*values[:at], *values[at + 1 :]])
    assert found.twr.value is found.cagr.value is found.calmar.value is None
    assert found.known == measure(rest, DAYS).twr.value
    assert found.coverage.without == found.sample.without == 24
    assert found.coverage.reasons == {"missing mark": 24}
    assert found.volatility == measure(rest, DAYS).volatility


def test_incomplete_days_are_left_out_of_samples_only() -> None:
    series = series_of(["0.01"] * (5 + 48 + 7), start_ms=MIDNIGHT + 19 * HOUR_MS)
    found = measure(series, DAYS)
    assert len(found.sample.values) == 2
    assert found.sample.left_out == 12
    assert found.twr.value == found.known
    assert measure(series, HOURS).sample.left_out == 0


def test_a_mixture_of_lengths_is_no_sample() -> None:
    week = Series.of(
        [
            Period(MIDNIGHT, 24, Decimal("0.1")),
            Period(MIDNIGHT + 24 * HOUR_MS, 72, Decimal("0.2")),
            Period(MIDNIGHT + 96 * HOUR_MS, 24, Decimal("-0.1")),
        ]
    )
    for convention in (DAYS, HOURS, TRADING):
        found = measure(week, convention)
        assert found.volatility.why == "periods of unequal length"
        assert {each.var.why for each in found.tails} == {"periods of unequal length"}
        assert found.twr.value == Decimal("0.188")


def test_a_mixture_has_no_tail_however_long_it_is() -> None:
    days = list(day_series(["0.01"] * 40).periods)
    long = Period(days[-1].end_ms, 72, Decimal("-0.5"))
    last = Period(long.end_ms, 24, Decimal("0.1"))
    found = measure(Series.of([*days, long, last]), DAYS)
    assert [each.var.value for each in found.tails] == [None, None]
    assert found.tails[0].var.why == "periods of unequal length"


def test_a_last_period_longer_than_a_day_is_not_left_out() -> None:
    days = list(day_series(["0.01"] * 3).periods)
    found = measure(Series.of([*days, Period(days[-1].end_ms, 28, Decimal("-0.5"))]), DAYS)
    assert (found.sample.left_out, found.sample.uneven) == (0, 1)


def test_closed_days_join_the_next_open_one() -> None:
    # 2026-01-01 is a Thursday: Thu Fri | Sat Sun Mon | Tue (holiday) Wed | Thu, then Fri, Sat.
    values = ["0.01", "0.02", "0.03", "0.04", "0.05", "0.06", "0.07", "0.08", "0.09", "0.1"]
    closed = frozenset({date(2026, 1, 6)})
    found = sample(day_series(values), TRADING, closed)
    links = [("0.01",), ("0.02",), ("0.03", "0.04", "0.05"), ("0.06", "0.07"), ("0.08",), ("0.09",)]
    expected = []
    for link in links:
        product = Decimal(1)
        for value in link:
            product *= 1 + Decimal(value)
        expected.append(int((product - 1) * ONE))
    assert list(found.values) == expected
    assert found.left_out == 24
    assert found.uneven == 0


def test_exposure_counts_hours_that_are_not_idle() -> None:
    series = Series.of(
        [
            Period(MIDNIGHT, 6, Decimal(0), Flag.IDLE),
            Period(MIDNIGHT + 6 * HOUR_MS, 2, Decimal("0.1")),
            Period(MIDNIGHT + 8 * HOUR_MS, 4, None, Flag.GAP),
        ]
    )
    assert measure(series, DAYS).exposure.value == Decimal("0.25")
    only = Series.of([Period(MIDNIGHT, 1, None, Flag.GAP)])
    assert measure(only, DAYS).exposure.why == "no period has a return"
    assert measure(only, DAYS).known == 0
