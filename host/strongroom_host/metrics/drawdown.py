"""How far equity fell below its highest point so far, for how long, and whether it came back.

A drawdown is searched for within each stretch of returns without a gap. What happened in a gap is
not known, so with gaps the deepest one found is a lower bound, and the caller has to say so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from strongroom_host.metrics.linking import growth, linked
from strongroom_host.metrics.series import HOUR_MS, ONE, Period, Series

__all__ = ["Drawdown", "depths", "drawdowns"]

_FINE: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, Emin=-(10**9), Emax=10**9)
_DOUBT: Final = Decimal("1e-40")
_UNIT: Final = Decimal(1).scaleb(-12)


@dataclass(frozen=True, slots=True)
class Drawdown:
    """One fall below a highest point.

    Attributes:
        depth: Equity at the lowest point over equity at the highest, less 1: negative, 12 places.
        peak_ms: When equity was highest for the last time before it.
        trough_ms: When it was lowest.
        end_ms: When it was as high as at the peak again, or else where its stretch ends.
        recovered: Whether it came back.
    """

    depth: Decimal
    peak_ms: int
    trough_ms: int
    end_ms: int
    recovered: bool

    @property
    def hours(self) -> int:
        """From the peak until it came back, or until nothing more is known."""
        return (self.end_ms - self.peak_ms) // HOUR_MS

    @property
    def recovery_hours(self) -> int | None:
        """From the lowest point until it came back; None if it did not."""
        return (self.end_ms - self.trough_ms) // HOUR_MS if self.recovered else None


def drawdowns(series: Series) -> Iterator[Drawdown]:
    """Yields every drawdown, in order of time. Depths are exact and rounded once.

    Levels are followed with 60 digits. Where that leaves open whether a peak was reached, the exact
    product decides.
    """
    for run in series.runs():
        yield from _of_run(run)


def _of_run(run: Sequence[Period]) -> Iterator[Drawdown]:
    values = [period.units or 0 for period in run]
    peak, trough = 0, 0
    level = lowest = Decimal(1)
    for place, value in enumerate(values, start=1):
        level = _FINE.multiply(level, Decimal(ONE + value))
        level = _FINE.multiply(level, _UNIT)
        if _reached(level, values, peak, place):
            if trough > peak:
                yield _drawdown(run, values, peak, trough, place)
            peak, trough = place, place
            level = lowest = Decimal(1)
        elif level < lowest:
            trough, lowest = place, level
    if trough > peak:
        yield _drawdown(run, values, peak, trough, None)


def _reached(level: Decimal, values: Sequence[int], peak: int, place: int) -> bool:
    if abs(level - 1) > _DOUBT:
        return level > 1
    above, places = growth(values[peak:place])
    below: int = 10**places
    return above >= below


def _drawdown(
    run: Sequence[Period], values: Sequence[int], peak: int, trough: int, back: int | None
) -> Drawdown:
    def time_ms(place: int) -> int:
        return run[place - 1].end_ms if place else run[0].start_ms

    end_ms = time_ms(len(run) if back is None else back)
    depth = linked(values[peak:trough])
    return Drawdown(depth, time_ms(peak), time_ms(trough), end_ms, back is not None)


def depths(values: Sequence[int]) -> tuple[Decimal, ...]:
    """Returns how far below its highest point so far equity is after each return of a stretch: 0 or
    negative, 12 places. `values` in units of 1/ONE. For charts: followed with 60 digits."""
    level, found = Decimal(1), list[Decimal]()
    for value in values:
        level = min(Decimal(1), _FINE.multiply(level, _FINE.multiply(Decimal(ONE + value), _UNIT)))
        found.append(_FINE.subtract(level, Decimal(1)).quantize(_UNIT, context=_FINE))
    return tuple(found)
