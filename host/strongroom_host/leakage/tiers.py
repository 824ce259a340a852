"""Disclosure tiers applied to returns, as the enclave applies them, for a reader's view of each.

Only what returns alone determine: periods and rounding. Embargo and suppression depend on lots and
trades, which nobody outside has; `words` says in words what they change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import gcd
from typing import Final

from strongroom_host.metrics.linking import joined
from strongroom_host.metrics.series import ONE, Period, Series

__all__ = ["TIERS", "View", "as_given", "seen_under"]


@dataclass(frozen=True, slots=True)
class View:
    """Periods of `hours`, with returns rounded to multiples of `grid` units of 1/ONE."""

    hours: int
    grid: int = 1

    @property
    def half(self) -> float:
        """To what each return is known: its own rounding, and that of the hours in it."""
        return (self.grid / 2 + self.hours) / ONE

    @property
    def name(self) -> str:
        """In words."""
        length = {1: "hours", 24: "days"}.get(self.hours, f"{self.hours} hours")
        if self.grid == 1:
            return f"{length}, exact"
        return f"{length}, to {Decimal(self.grid * 10_000) / ONE:f} bp"


_POINT: Final = ONE // 10_000
TIERS: Final = (
    View(1),
    View(1, _POINT),
    View(1, 10 * _POINT),
    View(4),
    View(4, _POINT),
    View(4, 10 * _POINT),
    View(24),
    View(24, _POINT),
    View(24, 10 * _POINT),
)
"""The views that are compared; the last but one is the tier that accounts have by default."""


def as_given(series: Series) -> View:
    """Returns the view that a series itself is of: its commonest length, and the largest grid that
    all its returns lie on. A reader can tell as much."""
    known = [period for period in series.periods if period.value is not None]
    lengths = [period.hours for period in known]
    grid = gcd(*(abs(period.units or 0) for period in known)) or ONE
    hours = max(set(lengths), key=lambda length: (lengths.count(length), -length), default=1)
    # Nobody rounds to more than 1 %; few returns may have a large divisor by chance.
    return View(hours, max(each for each in _DIVISORS if grid % each == 0))


_DIVISORS: Final = (1, *(10**power * factor for power in range(10) for factor in (1, 2, 5)))


def seen_under(series: Series, view: View) -> Series:
    """Returns the series as a reader gets it under a tier: whole periods that end at multiples of
    `hours` since the epoch, each rounded half to even.

    A period of the series that is longer than that stays as it is.
    """
    return Series(tuple(_rounded(period, view.grid) for period in _coarse(series, view.hours)))


def _coarse(series: Series, hours: int) -> Iterator[Period]:
    waiting = list[Period]()
    for period in series.periods:
        waiting.append(period)
        if not period.end_ms % (hours * 3_600_000):
            yield joined(waiting)
            waiting = []


def _rounded(period: Period, grid: int) -> Period:
    if grid == 1 or period.units is None:
        return period
    value = Decimal(round(Fraction(period.units, grid)) * grid).scaleb(-12)
    return Period(period.start_ms, period.hours, value, period.flags, period.closing)
