"""All metrics of a series at once, and what of it they could be computed from."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from strongroom_host.metrics.drawdown import Drawdown, drawdowns
from strongroom_host.metrics.errors import SeriesInvalid
from strongroom_host.metrics.linking import growth, linked, rounded
from strongroom_host.metrics.sampling import Convention, Sample, sample
from strongroom_host.metrics.series import Flag, Series
from strongroom_host.metrics.statistics import (
    Figure,
    Tail,
    annual,
    profit_factor,
    sharpe,
    sortino,
    tail,
    volatility,
    win_rate,
)

__all__ = ["LEVELS", "Coverage", "Metrics", "measure"]

LEVELS: Final = (Decimal("0.95"), Decimal("0.99"))
_GAPS: Final = "periods without a return lie in between"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the numbers rest on.

    Attributes:
        periods: How many there are, those without a return included.
        hours: Of all of them.
        without: Hours of those without a return.
        reasons: For each reason, the hours of the periods that have it; a period may have several.
    """

    periods: int
    hours: int
    without: int
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every metric of README.md; rates are fractions, money nowhere.

    `known` links the returns that there are as if nothing had happened in between, and is all that
    can be said where `twr` is absent. With gaps, `deepest` and `longest` are lower bounds.
    """

    start_ms: int
    end_ms: int
    coverage: Coverage
    sample: Sample
    twr: Figure
    known: Decimal
    cagr: Figure
    volatility: Figure
    sharpe: Figure
    sortino: Figure
    calmar: Figure
    deepest: Drawdown | None
    longest: Drawdown | None
    tails: tuple[Tail, ...]
    profit_factor: Figure
    win_rate: Figure
    exposure: Figure


def measure(
    series: Series,
    convention: Convention,
    *,
    riskless: Decimal = Decimal(0),
    holidays: frozenset[date] = frozenset(),
) -> Metrics:
    """Returns the metrics of a series under a convention that somebody chose.

    `riskless` is an annual rate as a fraction; `holidays` are for `Convention.TRADING_DAYS`.

    Raises:
        SeriesInvalid: the riskless rate is none.
    """
    if not riskless.is_finite() or not -1 < riskless < 1:
        raise SeriesInvalid(
            "the riskless rate is none", expected="a fraction: 0.04 is 4 % a year", actual=riskless
        )
    values = [units for period in series.periods if (units := period.units) is not None]
    samples = sample(series, convention, holidays)
    known = linked(values)
    falls = list(drawdowns(series))
    deepest = min(falls, key=lambda fall: fall.depth, default=None)
    if series.whole:
        twr, cagr = Figure(known), annual(growth(values), series.hours)
        calmar = _calmar(cagr, deepest)
    else:
        twr = cagr = calmar = Figure.absent(_GAPS)
    return Metrics(
        start_ms=series.start_ms,
        end_ms=series.end_ms,
        coverage=_coverage(series),
        sample=samples,
        twr=twr,
        known=known,
        cagr=cagr,
        volatility=volatility(samples),
        sharpe=sharpe(samples, riskless),
        sortino=sortino(samples, riskless),
        calmar=calmar,
        deepest=deepest,
        longest=max(falls, key=lambda fall: fall.hours, default=None),
        tails=tuple(tail(samples, level) for level in LEVELS),
        profit_factor=profit_factor(samples),
        win_rate=win_rate(samples),
        exposure=_exposure(series),
    )


def _coverage(series: Series) -> Coverage:
    reasons = dict[str, int]()
    for period in series.periods:
        for reason in filter(None, period.why.split(", ")):
            reasons[reason] = reasons.get(reason, 0) + period.hours
    without = sum(period.hours for period in series.periods if period.value is None)
    return Coverage(len(series.periods), series.hours, without, reasons)


def _calmar(cagr: Figure, deepest: Drawdown | None) -> Figure:
    if cagr.value is None:
        return cagr
    if deepest is None:
        return Figure.absent("there was no drawdown")
    return Figure(rounded(Fraction(cagr.value) / -Fraction(deepest.depth)))


def _exposure(series: Series) -> Figure:
    known = [period for period in series.periods if period.value is not None]
    if not known:
        return Figure.absent("no period has a return")
    busy = sum(period.hours for period in known if Flag.IDLE not in period.flags)
    return Figure(rounded(Fraction(busy, sum(period.hours for period in known))))
