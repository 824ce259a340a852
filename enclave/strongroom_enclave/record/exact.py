"""Decimal arithmetic that is exact or fails, and the few ways in which it may round.

Everything of this package that computes does so within `exactly()`. A result that does not fit 400
digits, a division by zero or a float in between is an error, never a wrong last digit.

What needs a mark that nobody has is `UNKNOWN`, a quiet NaN: sums and products with it are unknown
too, to compare it is an error, and `known` makes None of it. No event and no mark can be one.
"""

import decimal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import ROUND_05UP, ROUND_HALF_EVEN, Context, Decimal, DecimalException, localcontext
from typing import Final

from strongroom_enclave.record.errors import EventInvalid, PrecisionExhausted

__all__ = ["FINEST", "MONEY", "ONE", "RETURN", "UNKNOWN", "ZERO"]
__all__ += ["bounded", "exactly", "known", "linked", "money", "quotient"]

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
UNKNOWN: Final = Decimal("NaN")
MONEY: Final = Decimal("1e-18")
RETURN: Final = Decimal("1e-12")
FINEST: Final = Decimal("1e-30")


def _context(precision: int, rounding: str, *signals: type[DecimalException]) -> Context:
    """Returns a context that fails on these signals and on whatever is no number."""
    fatal: list[type[DecimalException]] = [decimal.InvalidOperation, decimal.DivisionByZero]
    fatal += [decimal.Clamped, decimal.FloatOperation, *signals]
    return Context(precision, rounding, Emin=-9999, Emax=9999, traps=fatal)


_EXACT: Final = _context(400, ROUND_HALF_EVEN, decimal.Inexact)
# Rounding by 05UP first and half to even after it is rounding half to even once: the first leaves a
# last digit of 0 or 5 only where the quotient ends there. It needs digits that the second takes
# away, hence the smaller precision there, which also refuses what does not fit.
_DIVIDE: Final = _context(200, ROUND_05UP)
_ROUND: Final = _context(198, ROUND_HALF_EVEN)
_INPUT: Final = _context(60, ROUND_HALF_EVEN, decimal.Rounded)


@contextmanager
def exactly() -> Iterator[None]:
    """Makes the operators of `Decimal` exact. Not across a `yield`: contexts belong to threads.

    Raises:
        PrecisionExhausted: a result was not exact, not finite, or not computed from decimals.
    """
    try:
        with localcontext(_EXACT):
            yield
    except DecimalException as error:
        found = type(error).__name__
        raise PrecisionExhausted("decimal arithmetic", "an exact result", found) from error


def bounded(what: str, value: Decimal) -> Decimal:
    """Returns a number that came from outside, once it is one that can be computed with.

    Raises:
        EventInvalid: it is not finite, has more than 30 decimals, or is not below 10**30.
    """
    try:
        if value.is_finite():
            value.quantize(FINEST, context=_INPUT)
            return value
    except DecimalException:
        pass
    raise EventInvalid(what, "below 10**30, at most 30 decimals", value)


def quotient(numerator: Decimal, denominator: Decimal, unit: Decimal) -> Decimal:
    """Returns numerator / denominator with the exponent of `unit`, half to even."""
    # A sum with 0 has no negative zero.
    return _DIVIDE.divide(numerator, denominator).quantize(unit, context=_ROUND) + ZERO


def money(value: Decimal) -> Decimal:
    """Returns the value with 18 places, half to even."""
    return value.quantize(MONEY, context=_ROUND) + ZERO


def known(value: Decimal) -> Decimal | None:
    """Returns the value as what leaves this package has it: None if it is unknown."""
    return None if value.is_nan() else value


def linked(factors: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """Returns the product of end / base over (end, base), less 1, with 12 places, half to even.

    Integers, since the product over many flows has more digits than any context should hold. Every
    base is above zero.
    """
    above = below = 1
    for end, base in factors:
        (n, d), (p, q) = end.as_integer_ratio(), base.as_integer_ratio()
        above, below = above * n * q, below * d * p
    whole, rest = divmod((above - below) * 10**12, below)
    whole += (2 * rest, whole & 1) > (below, 0)
    return Decimal(whole).scaleb(-12)
