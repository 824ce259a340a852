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

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
UNKNOWN: Final = Decimal("NaN")
MONEY: Final = Decimal("1e-18")
RETURN: Final = Decimal("1e-12")
FINEST: Final = Decimal("1e-30")


_FATAL = [decimal.InvalidOperation, decimal.DivisionByZero, decimal.Clamped, decimal.FloatOperation]
_EXACT: Final = Context(400, ROUND_HALF_EVEN, -9999, 9999, traps=[*_FATAL, decimal.Inexact])
# Rounding by 05UP first and half to even after it is rounding half to even once: the first leaves a
# last digit of 0 or 5 only where the quotient ends there. It needs digits that the second takes
# away, hence the smaller precision there, which also refuses what does not fit.
_DIVIDE: Final = Context(200, ROUND_05UP, -9999, 9999, traps=_FATAL)
_ROUND: Final = Context(198, ROUND_HALF_EVEN, -9999, 9999, traps=_FATAL)


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
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -30 or value.adjusted() >= 30:
        raise EventInvalid(what, "below 10**30, at most 30 decimals", value)
    return value


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


def product(factors: Iterable[tuple[Decimal, Decimal]], places: int) -> Decimal:
    """Returns the product of above / below over (above, below), half to even.

    Integers, since the product over many flows has more digits than any context should hold.
    Nothing below is zero or less.
    """
    above = below = 1
    for one, other in factors:
        (n, d), (p, q) = one.as_integer_ratio(), other.as_integer_ratio()
        above, below = above * n * q, below * d * p
    whole, rest = divmod(above * 10**places, below)
    whole += (2 * rest, whole & 1) > (below, 0)
    return Decimal(whole).scaleb(-places, context=_EXACT)
