"""Returns linked geometrically, exactly, and joined by days and months.

All returns have 12 places, so a product of them is an integer over a power of ten; it is rounded
once, at its end, half to even, as the enclave does.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import MAX_PREC, ROUND_HALF_EVEN, Context, Decimal
from enum import Enum
from fractions import Fraction
from functools import reduce
from itertools import groupby
from operator import or_
from typing import Final

from strongroom_host.metrics.series import ONE, Flag, Period, Series

__all__ = ["Span", "aggregate", "complete", "growth", "joined", "linked", "rounded"]

_WIDE: Final = Context(MAX_PREC, ROUND_HALF_EVEN)


class Span(Enum):
    """A span of the calendar, in UTC."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"

    def of(self, time_ms: int) -> tuple[int, ...]:
        """Returns which day, month or year a time is in."""
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
        whole = (moment.year, moment.month, moment.day)
        return whole[: {Span.DAY: 3, Span.MONTH: 2, Span.YEAR: 1}[self]]


def growth(values: Sequence[int]) -> tuple[int, int]:
    """Returns the product of 1 + return, exactly, however long: an integer, and the power of ten
    that it is over. Returns are in units of 1/ONE.

    Neither a fraction, which would be reduced, nor a decimal, which is another base: both take far
    longer than the product.
    """
    return _product([ONE + value for value in values]), 12 * len(values)


def linked(values: Sequence[int]) -> Decimal:
    """Returns the product of 1 + return, less 1, with 12 places, half to even; 0 of none."""
    if not values:
        return rounded(Fraction(0))
    above, below = _product([ONE + value for value in values]), ONE ** (len(values) - 1)
    return _decimal(_nearest(above - below * ONE, below))


def rounded(value: Fraction) -> Decimal:
    """Returns a fraction with 12 places, half to even."""
    return _decimal(_nearest(value.numerator * ONE, value.denominator))


def _nearest(above: int, below: int) -> int:
    whole, rest = divmod(above, below)
    return whole + ((2 * rest, whole & 1) > (below, 0))


def _decimal(units: int) -> Decimal:
    # By its own context: the thread's would round what has more than 28 digits.
    return Decimal(units).scaleb(-12, _WIDE)


def _product(factors: Sequence[int]) -> int:
    """By halves: large integers are multiplied with their like, which is what is fast."""
    if len(factors) <= 16:
        return reduce(int.__mul__, factors, 1)
    middle = len(factors) // 2
    return _product(factors[:middle]) * _product(factors[middle:])


def joined(periods: Sequence[Period]) -> Period:
    """Returns consecutive periods as one: their linked return, all their flags, the last equity.
    Without a return if one of them has none."""
    values = [units for period in periods if (units := period.units) is not None]
    value = linked(values) if len(values) == len(periods) else None
    flags = reduce(or_, (period.flags for period in periods), Flag(0))
    hours = sum(period.hours for period in periods)
    return Period(periods[0].start_ms, hours, value, flags, periods[-1].closing)


def aggregate(series: Series, span: Span) -> Series:
    """Returns the series by days, months or years (UTC).

    A period counts where it ends: one that was disclosed across midnight cannot be cut, so it makes
    that day longer and the one before it shorter. `complete` says whether a result is a whole span.
    """
    return Series(tuple(map(joined, _grouped(series, lambda p: span.of(p.end_ms - 1)))))


def _grouped(
    series: Series, key: Callable[[Period], tuple[int, ...]]
) -> Iterator[tuple[Period, ...]]:
    for _, periods in groupby(series.periods, key):
        yield tuple(periods)


def complete(period: Period, span: Span) -> bool:
    """Returns whether a period is exactly one day, month or year."""
    begins = span.of(period.start_ms) != span.of(period.start_ms - 1) if period.start_ms else True
    first, last = span.of(period.start_ms), span.of(period.end_ms - 1)
    return begins and first == last and span.of(period.end_ms) != last
