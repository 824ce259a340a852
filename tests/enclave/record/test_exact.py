"""Decimal arithmetic: exact or an error, rounded once and half to even."""

from decimal import Context, Decimal, getcontext, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strongroom_enclave.record.errors import EventInvalid, PrecisionExhausted
from strongroom_enclave.record.exact import (
    MONEY,
    ONE,
    UNKNOWN,
    ZERO,
    bounded,
    exactly,
    known,
    money,
    product,
    quotient,
)

from tests.enclave.record.oracle import rounded

_WIDE: Context = getcontext().copy()
_WIDE.prec = 100
_NUMBERS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places, context=_WIDE),
    st.integers(-(10**40), 10**40),
    st.integers(-10, 30),
)
HALF = Decimal("0.5e-18")


@given(_NUMBERS, _NUMBERS.filter(bool))
@example(Decimal(1), Decimal(3))
@example(HALF, Decimal(1))
@example(3 * HALF, Decimal(1))
@example(-HALF, Decimal(1))
@example(HALF * 7, Decimal(7))
def test_a_quotient_is_rounded_once(numerator: Decimal, denominator: Decimal) -> None:
    with exactly():
        found = quotient(numerator, denominator, MONEY)
    assert Fraction(found) == rounded(Fraction(numerator) / Fraction(denominator), 18)
    assert found.as_tuple().exponent == -18
    assert not (found.is_zero() and found.is_signed())


@pytest.mark.parametrize("places", [20, 60, 178, 198, 200, 250, 350])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_quotient_next_to_a_tie_is_not_taken_for_one(places: int, sign: int) -> None:
    """1.5 units and a very small rest: what a second rounding would lose."""
    with localcontext(prec=400), exactly():
        rest = Decimal(1).scaleb(-places - 18)
        numerator = (5 * HALF + rest) * 3 * sign
        assert quotient(numerator, Decimal(3), MONEY) == sign * 3 * MONEY
        numerator = (5 * HALF - rest) * 3 * sign
        assert quotient(numerator, Decimal(3), MONEY) == sign * 2 * MONEY


@given(st.lists(st.tuples(_NUMBERS, _NUMBERS.filter(lambda number: number > 0)), max_size=6))
def test_linking_is_one_fraction_rounded_once(factors: list[tuple[Decimal, Decimal]]) -> None:
    expected = Fraction(1)
    for end, base in factors:
        expected *= Fraction(end) / Fraction(base)
    try:
        with exactly():
            found = product(factors, 12) - 1
    except PrecisionExhausted:
        assert abs(expected) > 10**300
        return
    assert Fraction(found) == rounded(expected - 1, 12)
    assert found.as_tuple().exponent == -12
    assert not (found.is_zero() and found.is_signed())


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("1.0000000000005", "0.000000000000"),
        ("1.0000000000015", "0.000000000002"),
        ("0.9999999999995", "0.000000000000"),
        ("0.9999999999985", "-0.000000000002"),
        ("1.00000000000050000000000000000000000001", "0.000000000001"),
        ("0", "-1.000000000000"),
    ],
)
def test_ties_of_a_return_go_to_even(end: str, expected: str) -> None:
    with exactly():
        assert str(money(Decimal(0))) == "0E-18"
        assert product([(Decimal(end), Decimal(1))], 12) - 1 == Decimal(expected)


@pytest.mark.parametrize("text", ["-1e-20", "-0", "-5e-19"])
def test_there_is_no_negative_zero(text: str) -> None:
    with exactly():
        for found in (money(Decimal(text)), quotient(Decimal(text), Decimal(1), MONEY)):
            assert str(found) == "0E-18"


def test_many_factors_are_not_rounded_in_between() -> None:
    third = (Decimal("1.000000000000000000000000001"), Decimal(3))
    with exactly():
        found = -1 + product([third] * 500 + [(Decimal(3), Decimal(1))] * 500, 12)
    exact = Fraction(third[0]) ** 500 - 1
    assert Fraction(found) == rounded(exact, 12)


def test_what_would_be_rounded_is_an_error() -> None:
    one = Decimal(1)
    for job in (
        lambda: one / 3,
        lambda: one.scaleb(300) + one.scaleb(-300),
        lambda: Decimal("0.1") + Decimal("NaN").copy_sign(one) * Decimal("sNaN"),
        lambda: one / Decimal(0),
        lambda: Decimal(float(one)) + one,
        lambda: one < 0.5,
        lambda: quotient(one.scaleb(200), one, MONEY),
        lambda: money(one.scaleb(200)),
        lambda: one.scaleb(9_000) * one.scaleb(9_000),
    ):
        with pytest.raises(PrecisionExhausted), exactly():
            job()


def test_other_errors_pass_and_the_context_is_put_back() -> None:
    before = getcontext().prec
    with pytest.raises(KeyError), exactly():
        raise KeyError("mine")
    assert getcontext().prec == before
    with pytest.raises(PrecisionExhausted), exactly():
        Decimal(1) / 3
    assert getcontext().prec == before


@pytest.mark.parametrize(
    "text",
    ["NaN", "-NaN", "sNaN", "Infinity", "1e30", "-1e30", "1e-31", "9" * 30 + ".1" + "0" * 30],
)
def test_numbers_that_cannot_be_computed_with_are_refused(text: str) -> None:
    with pytest.raises(EventInvalid):
        bounded("number", Decimal(text))


@pytest.mark.parametrize("text", ["0", "-0", "1e29", "9" * 30, "9" * 30 + "." + "9" * 30, "1e-30"])
def test_numbers_up_to_the_bounds_are_kept_as_they_are(text: str) -> None:
    assert str(bounded("number", Decimal(text))) == str(Decimal(text))


def test_what_needs_an_unknown_number_is_unknown_and_nothing_is_decided_by_it() -> None:
    with exactly():
        for found in (UNKNOWN + ONE, ZERO * UNKNOWN, -UNKNOWN, quotient(UNKNOWN, ONE, MONEY)):
            assert known(money(found)) is None
        assert known(money(ONE)) == ONE
    for job in (
        lambda: UNKNOWN < ONE,
        lambda: abs(UNKNOWN) <= ZERO,
        lambda: product([(ONE, UNKNOWN)], 12),
    ):
        with pytest.raises((PrecisionExhausted, ValueError)), exactly():
            job()
