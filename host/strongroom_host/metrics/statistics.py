"""Numbers over samples. No binary floating point: sums are exact integers, and where a root or a
power has to be taken it is taken with 60 digits, so every result is right in all its 12 places but
for a tie that no root lands on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from fractions import Fraction
from typing import Final

from strongroom_host.metrics.linking import rounded
from strongroom_host.metrics.sampling import Sample
from strongroom_host.metrics.series import ONE

__all__ = ["Figure", "Tail", "annual", "profit_factor", "sharpe", "sortino", "tail", "volatility"]
__all__ += ["win_rate"]

_FINE: Final = Context(
    prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow]
)
_WIDE: Final = Context(prec=400, rounding=ROUND_HALF_EVEN)
_UNIT: Final = Decimal(1).scaleb(-12)
_HOURS_OF_A_YEAR: Final = 8760
_UNEVEN: Final = "periods of unequal length"
_FEW: Final = "fewer than two samples"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of 12 places, or why there is none."""

    value: Decimal | None
    why: str = ""

    @classmethod
    def absent(cls, why: str) -> "Figure":
        """Returns one that has no value."""
        return cls(None, why)


def _fine(value: Fraction) -> Decimal:
    return _FINE.divide(Decimal(value.numerator), Decimal(value.denominator))


def _placed(value: Decimal) -> Figure:
    # A sum with 0 has no negative zero.
    return Figure(_WIDE.add(value.quantize(_UNIT, context=_WIDE), Decimal(0)))


def annual(growth: tuple[int, int], hours: int) -> Figure:
    """Returns the growth of a year of 8,760 hours that compounds to this growth, less 1; it is
    given as by `linking.growth`."""
    if hours < _HOURS_OF_A_YEAR:
        return Figure.absent("less than a year: not annualised")
    above, places = growth
    if not above:
        return Figure(rounded(Fraction(-1)))
    # Of a number with perhaps half a million digits only the first 60 count.
    cut = max(0, len(f"{above:x}") * 6 // 5 - 80)
    leading = _FINE.scaleb(_FINE.create_decimal(above // 10**cut), cut - places)
    power = _fine(Fraction(_HOURS_OF_A_YEAR, hours))
    return _placed(_FINE.subtract(_FINE.power(leading, power), Decimal(1)))


def _variance(values: Sequence[int]) -> Fraction:
    count, first = len(values), sum(values)
    second = sum(value * value for value in values)
    return Fraction(count * second - first * first, count * (count - 1) * ONE * ONE)


def _mean(values: Sequence[int]) -> Fraction:
    return Fraction(sum(values), len(values) * ONE)


def _unusable(sample: Sample) -> str:
    return _UNEVEN if sample.uneven else _FEW if len(sample.values) < 2 else ""


def volatility(sample: Sample) -> Figure:
    """Returns the standard deviation (n - 1) of the samples times the root of those in a year."""
    if why := _unusable(sample):
        return Figure.absent(why)
    return _placed(_FINE.sqrt(_fine(_variance(sample.values) * sample.convention.per_year)))


def _riskless(annual_rate: Decimal, per_year: int) -> Decimal:
    """Returns what a sample earns at a rate that compounds to the annual one."""
    if not annual_rate:
        return Decimal(0)
    base = _FINE.add(Decimal(1), annual_rate)
    return _FINE.subtract(_FINE.power(base, _fine(Fraction(1, per_year))), Decimal(1))


def sharpe(sample: Sample, riskless: Decimal) -> Figure:
    """Returns mean excess return over standard deviation (n - 1), times the root of a year.

    `riskless` is an annual rate as a fraction.
    """
    if why := _unusable(sample):
        return Figure.absent(why)
    if not (variance := _variance(sample.values)):
        return Figure.absent("all samples are equal")
    rate = _riskless(riskless, sample.convention.per_year)
    excess = _FINE.subtract(_fine(_mean(sample.values)), rate)
    scale = _FINE.sqrt(_fine(sample.convention.per_year / variance))
    return _placed(_FINE.multiply(excess, scale))


def sortino(sample: Sample, riskless: Decimal) -> Figure:
    """Returns mean excess return over the root of the mean square of negative excess returns (all
    samples counted), times the root of a year. `riskless` is an annual rate as a fraction."""
    if why := _unusable(sample):
        return Figure.absent(why)
    rate = Fraction(_riskless(riskless, sample.convention.per_year))
    below = [each for value in sample.values if (each := Fraction(value, ONE) - rate) < 0]
    if not below:
        return Figure.absent("no sample is below the riskless rate")
    count = len(sample.values)
    scale = sample.convention.per_year * count / sum((each * each for each in below), Fraction(0))
    excess = _fine(_mean(sample.values) - rate)
    return _placed(_FINE.multiply(excess, _FINE.sqrt(_fine(scale))))


@dataclass(frozen=True, slots=True)
class Tail:
    """Historical value at risk and expected shortfall at one level, both positive when lost."""

    level: Decimal
    var: Figure
    cvar: Figure


def tail(sample: Sample, level: Decimal) -> Tail:
    """Returns the tail of the samples at a level below 1, such as 0.95.

    With p = 1 - level and the returns in ascending order: VaR is the loss at place ceil(p n), an
    observed one, never between two. CVaR is the mean loss of the worst p n samples, of which the
    last counts with the fraction that is left. Both exact. With p n below 1 there is neither.
    """
    count, part = len(sample.values), 1 - Fraction(level)
    if sample.uneven or part * count < 1:
        why = _UNEVEN if sample.uneven else f"fewer than {-(-1 // part)} samples"
        return Tail(level, Figure.absent(why), Figure.absent(why))
    ordered = sorted(sample.values)
    weight = part * count
    place = -(-weight.numerator // weight.denominator)
    worst = sum(ordered[: place - 1]) + (weight - place + 1) * ordered[place - 1]
    return Tail(
        level,
        Figure(rounded(Fraction(-ordered[place - 1], ONE))),
        Figure(rounded(-worst / weight / ONE)),
    )


def profit_factor(sample: Sample) -> Figure:
    """Returns the sum of the gains over the sum of the losses; of returns, not of money."""
    gains = sum(value for value in sample.values if value > 0)
    losses = -sum(value for value in sample.values if value < 0)
    if not losses:
        return Figure.absent("no sample lost")
    return Figure(rounded(Fraction(gains, losses)))


def win_rate(sample: Sample) -> Figure:
    """Returns the share of gains among the samples that are not 0."""
    moved = sum(value != 0 for value in sample.values)
    if not moved:
        return Figure.absent("no sample is other than 0")
    return Figure(rounded(Fraction(sum(value > 0 for value in sample.values), moved)))
