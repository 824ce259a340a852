"""Returns as samples of one length: what the statistics are computed from.

How many of them make a year is a convention, and nobody is given one that he did not choose.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum

from strongroom_host.metrics.linking import Span, aggregate, complete, joined
from strongroom_host.metrics.series import HOUR_MS, Period, Series

__all__ = ["Convention", "Sample", "sample"]

_SATURDAY = 5


class Convention(Enum):
    """What a sample is, and how many make a year.

    HOURS: hours of a market that never closes, 8,760 a year.
    DAYS: days (UTC) of a market that never closes, 365 a year.
    TRADING_DAYS: days on which an exchange is open, 252 a year. What is earned while it is closed
        belongs to the next day on which it is open, so nothing is dropped.
    """

    HOURS = "8760"
    DAYS = "365"
    TRADING_DAYS = "252"

    @property
    def per_year(self) -> int:
        """Samples in a year."""
        return int(self.value)

    @property
    def words(self) -> str:
        """The convention in words."""
        return {
            Convention.HOURS: "hours of a market that never closes, 8,760 a year",
            Convention.DAYS: "days (UTC) of a market that never closes, 365 a year",
            Convention.TRADING_DAYS: "trading days, 252 a year; closed days joined to the next",
        }[self]


@dataclass(frozen=True, slots=True)
class Sample:
    """Returns of one length.

    Attributes:
        convention: Which length, and how many make a year.
        values: The returns, in units of 1/ONE, in order of time.
        without: Hours of samples that have no return.
        left_out: Hours at both ends that do not make a whole sample.
        uneven: Samples that could not be made of one length, since disclosed periods are longer.
    """

    convention: Convention
    values: tuple[int, ...]
    without: int
    left_out: int
    uneven: int


def sample(
    series: Series, convention: Convention, holidays: frozenset[date] = frozenset()
) -> Sample:
    """Returns the samples of a series.

    `holidays` are the weekdays on which the exchange was closed; only `TRADING_DAYS` asks for them.
    Without them a holiday is a day on which nothing was earned.
    """
    if convention is Convention.HOURS:
        uneven = sum(period.hours > 1 for period in series.periods if period.value is not None)
        return _sample(convention, series.periods, 0, uneven)
    days = list(aggregate(series, Span.DAY).periods)
    left_out = 0
    for place in (-1, 0):
        if days and not complete(days[place], Span.DAY) and days[place].hours < 24:
            left_out += days.pop(place).hours
    uneven = sum(not complete(day, Span.DAY) for day in days if day.value is not None)
    if convention is Convention.TRADING_DAYS:
        whole = list(_open(days, holidays))
        left_out += sum(day.hours for day in days) - sum(day.hours for day in whole)
        days = whole
    return _sample(convention, days, left_out, uneven)


def _sample(
    convention: Convention, periods: list[Period] | tuple[Period, ...], left_out: int, uneven: int
) -> Sample:
    values = tuple(units for period in periods if (units := period.units) is not None)
    without = sum(period.hours for period in periods if period.value is None)
    return Sample(convention, values, without, left_out, uneven)


def _open(days: list[Period], holidays: frozenset[date]) -> Iterator[Period]:
    """Yields one period for each day on which the exchange is open, the closed ones before it
    included. Closed days at the end wait for a day that is not there yet."""
    waiting = list[Period]()
    for day in days:
        waiting.append(day)
        ends = datetime.fromtimestamp((day.end_ms - HOUR_MS) // 1000, UTC).date()
        if ends.weekday() < _SATURDAY and ends not in holidays:
            yield joined(waiting)
            waiting = []
