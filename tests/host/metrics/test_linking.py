"""Linking is exact, whatever is linked with what, and in which order."""

from decimal import Decimal, localcontext
from fractions import Fraction
from math import prod

from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.record import exact
from strongroom_host.metrics.linking import Span, aggregate, complete, growth, joined, linked
from strongroom_host.metrics.series import HOUR_MS, ONE, Flag, Period, Series

from tests.host.metrics.made import MIDNIGHT, returns, series_of

units = returns.map(lambda value: int(value * ONE))
JANUARY_HOURS, YEAR_HOURS = 31 * 24, 365 * 24


@given(st.lists(units, max_size=60))
def test_linked_is_the_rounded_product(values: list[int]) -> None:
    product = prod((1 + Fraction(value, ONE) for value in values), start=Fraction(1))
    assert Fraction(growth(values)[0], 10 ** growth(values)[1]) == product
    assert linked(values) == Decimal(round((product - 1) * ONE)).scaleb(-12)
    assert linked(values).as_tuple().exponent == -12


@given(st.lists(returns, min_size=1, max_size=24))
def test_the_enclave_links_alike(values: list[Decimal]) -> None:
    theirs = exact.product([(1 + value, Decimal(1)) for value in values], 12) - 1
    assert linked([int(value * ONE) for value in values]) == theirs


@given(st.lists(units, max_size=30), st.lists(units, max_size=30))
def test_concatenation_is_linking(first: list[int], second: list[int]) -> None:
    above, below = zip(growth(first), growth(second), strict=True)
    assert growth(first + second) == (above[0] * above[1], below[0] + below[1])
    assert linked(first + second) == linked(second + first)


def test_a_thread_with_few_digits_changes_nothing() -> None:
    values = [2 * ONE] * 60
    with localcontext(prec=3):
        found = linked(values)
    assert found == Decimal(3**60 - 1)


def test_half_goes_to_even() -> None:
    # (1 + 1e-6)(1 + 5e-7) = 1 + 1.5e-6 + 5e-13: half of the last place.
    assert linked([10**6, 5 * 10**5]) == Decimal("0.000001500000")
    assert linked([3 * 10**6, 5 * 10**5]) == Decimal("0.000003500002")


@given(st.lists(st.none() | returns, min_size=1, max_size=80), st.integers(0, 40))
def test_days_are_what_their_hours_make(values: list[Decimal | None], late: int) -> None:
    series = series_of(values, start_ms=MIDNIGHT + late * HOUR_MS)
    days = aggregate(series, Span.DAY)
    assert sum(day.hours for day in days.periods) == len(values)
    at = 0
    for day in days.periods:
        hours = values[at : at + day.hours]
        at += day.hours
        assert complete(day, Span.DAY) == (day.hours == 24)
        if None in hours:
            assert day.value is None
            assert day.flags == Flag.MISSING_MARK
        else:
            assert day.value == linked([int(value * ONE) for value in hours if value is not None])


def test_months_and_years_know_their_length() -> None:
    series = series_of(["0.0001"] * (YEAR_HOURS + 24), start_ms=MIDNIGHT)
    months = aggregate(series, Span.MONTH).periods
    assert [month.hours // 24 for month in months] == [
        *(31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31),
        1,
    ]
    assert [complete(month, Span.MONTH) for month in months] == [True] * 12 + [False]
    assert months[0].value == linked([10**8] * JANUARY_HOURS)
    years = aggregate(series, Span.YEAR).periods
    assert [(year.hours, complete(year, Span.YEAR)) for year in years] == [
        (YEAR_HOURS, True),
        (24, False),
    ]


def test_what_was_disclosed_across_midnight_counts_where_it_ends() -> None:
    across = Period(MIDNIGHT + 20 * HOUR_MS, 8, Decimal("0.1"))
    before, after = Period(MIDNIGHT, 20, Decimal(0)), Period(across.end_ms, 20, Decimal("0.2"))
    days = aggregate(Series.of([before, across, after]), Span.DAY).periods
    assert [(day.hours, day.value, complete(day, Span.DAY)) for day in days] == [
        (20, Decimal(0), False),
        (28, Decimal("0.32"), False),
    ]


def test_joining_keeps_flags_and_the_last_equity() -> None:
    first = Period(MIDNIGHT, 1, Decimal("0.5"), Flag.IDLE, Decimal(7))
    second = Period(first.end_ms, 2, Decimal("-0.5"), Flag.STALE_MARK, Decimal(8))
    whole = joined([first, second])
    assert whole == Period(MIDNIGHT, 3, Decimal("-0.25"), Flag.IDLE | Flag.STALE_MARK, Decimal(8))
