"""Amounts are exact, never above what was asked for, and equal to an oracle in fractions."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polymarket._internal.actions.orders.limit import _compute_limit_order_amounts
from polymarket._internal.actions.orders.market import _compute_market_order_amounts
from strongroom_enclave.signer import errors
from strongroom_enclave.signer.amounts import (
    ONE,
    Amounts,
    Side,
    Tick,
    limit_amounts,
    market_amounts,
)

from tests.enclave.signer.strategies import ticks_and_prices

DECIMALS = {
    Tick.TENTH: 3, Tick.HUNDREDTH: 4, Tick.HALF_HUNDREDTH: 5,
    Tick.QUARTER_HUNDREDTH: 6, Tick.THOUSANDTH: 5, Tick.TEN_THOUSANDTH: 6,
}  # fmt: skip
LOT = 10_000
sides = st.sampled_from(Side)
sizes = st.integers(LOT, 2**64 - 1) | st.integers(LOT, 10**9)


def published_rule(value: Fraction, decimals: int) -> int:
    """Round as the venue documents: too many decimals go up to four more, then down; millionths."""
    if (value * 10**decimals).denominator != 1:
        value = Fraction(math.ceil(value * 10 ** (decimals + 4)), 10 ** (decimals + 4))
        value = Fraction(math.floor(value * 10**decimals), 10**decimals)
    scaled = value * ONE
    assert scaled.denominator == 1
    return int(scaled)


def oracle(side: Side, tick: Tick, price: int, size: int, *, market: bool) -> Amounts:
    """Compute amounts by the published rule, in exact fractions."""
    offered = Fraction(size // LOT, 100)
    at = Fraction(price, ONE)
    computed = offered / at if market and side is Side.BUY else offered * at
    product = published_rule(computed, DECIMALS[tick])
    whole = int(offered * ONE)
    swapped = side is Side.BUY and not market
    return Amounts(product, whole) if swapped else Amounts(whole, product)


@given(sides, ticks_and_prices(), sizes)
def test_limit_amounts_equal_the_published_rule(
    side: Side, at: tuple[Tick, int], size: int
) -> None:
    tick, price = at
    assert limit_amounts(side, price, size, tick) == oracle(side, tick, price, size, market=False)


@given(sides, ticks_and_prices(), st.integers(LOT, 2**50))
def test_market_amounts_equal_the_published_rule(
    side: Side, at: tuple[Tick, int], size: int
) -> None:
    tick, price = at
    assert market_amounts(side, price, size, tick) == oracle(side, tick, price, size, market=True)


@pytest.mark.parametrize("tick", Tick)
def test_the_venues_round_up_step_never_matters_at_any_price_of_the_grid(tick: Tick) -> None:
    """The docstring's claim, at the quotients closest below a step: cash * 10^d = -1 mod price."""
    for price in range(tick, ONE, tick):
        unit = price // 100
        scale = 10 ** DECIMALS[tick] * 100  # cash in cents times this, over price, is in steps
        common = math.gcd(scale, unit)
        if common == unit:
            continue  # every quotient is exact
        cents = -pow(scale // common, -1, unit // common) % (unit // common)
        size = (cents + unit // common) * LOT
        assert market_amounts(Side.BUY, price, size, tick) == oracle(
            Side.BUY, tick, price, size, market=True
        )


@given(sides, ticks_and_prices(), st.integers(LOT, 10**14), st.booleans())
def test_amounts_equal_the_official_decimal_client(
    side: Side, at: tuple[Tick, int], size: int, market: bool
) -> None:
    tick, price = at
    compute = market_amounts if market else limit_amounts
    decimal = {"price": Decimal(price) / ONE, "side": side.name, "tick_size": Decimal(tick) / ONE}
    theirs = (
        _compute_market_order_amounts(amount=Decimal(size) / ONE, **decimal)  # type: ignore[arg-type]
        if market
        else _compute_limit_order_amounts(size=Decimal(size) / ONE, **decimal)  # type: ignore[arg-type]
    )
    assert compute(side, price, size, tick) == theirs


@given(ticks_and_prices(), sizes)
def test_limit_orders_are_at_the_price_exactly_and_never_above_the_size(
    at: tuple[Tick, int], size: int
) -> None:
    tick, price = at
    cash, shares = limit_amounts(Side.BUY, price, size, tick)
    assert cash * ONE == shares * price
    assert size - LOT < shares <= size
    assert limit_amounts(Side.SELL, price, size, tick) == (shares, cash)


@given(ticks_and_prices(), st.integers(LOT, 2**50))
def test_a_market_buy_never_offers_more_cash_than_given_nor_asks_for_a_share_too_many(
    at: tuple[Tick, int], amount: int
) -> None:
    tick, price = at
    cash, shares = market_amounts(Side.BUY, price, amount, tick)
    step = 10 ** (6 - DECIMALS[tick])
    assert amount - LOT < cash <= amount
    assert shares * price <= cash * ONE < (shares + step) * price


@given(sides, ticks_and_prices(), st.integers(LOT, 2**50), st.integers(0, 2**50), st.booleans())
def test_amounts_grow_with_the_size(
    side: Side, at: tuple[Tick, int], size: int, more: int, market: bool
) -> None:
    tick, price = at
    compute = market_amounts if market else limit_amounts
    small, large = (compute(side, price, s, tick) for s in (size, size + more))
    assert small.maker <= large.maker
    assert small.taker <= large.taker


@given(ticks_and_prices(), ticks_and_prices(), st.integers(LOT, 2**50))
def test_a_higher_price_costs_a_buyer_no_less_and_buys_no_more(
    one: tuple[Tick, int], other: tuple[Tick, int], size: int
) -> None:
    tick = one[0]
    low, high = sorted((one[1], max(int(tick), other[1] - other[1] % tick)))
    cheap, dear = (limit_amounts(Side.BUY, price, size, tick) for price in (low, high))
    assert cheap.maker <= dear.maker
    many, few = (market_amounts(Side.BUY, price, size, tick) for price in (low, high))
    assert many.taker >= few.taker


def test_the_sizes_that_floats_lose() -> None:
    assert math.floor(19.99 * 100) == 1998
    assert limit_amounts(Side.BUY, 563_000, 19_990_000, Tick.THOUSANDTH) == (11_254_370, 19_990_000)


@pytest.mark.parametrize("compute", [limit_amounts, market_amounts])
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    ("price", "size", "tick", "wrong"),
    [
        (0, ONE, Tick.HUNDREDTH, "price.* [0-9]+ to [0-9]+"),
        (-10_000, ONE, Tick.HUNDREDTH, "price.* [0-9]+ to [0-9]+"),
        (5_000, ONE, Tick.HUNDREDTH, "price.* [0-9]+ to [0-9]+"),
        (ONE, ONE, Tick.HUNDREDTH, "price.* [0-9]+ to [0-9]+"),
        (ONE - 5_000, ONE, Tick.HUNDREDTH, "price.* [0-9]+ to [0-9]+"),
        (ONE + 10_000, ONE, Tick.HUNDREDTH, "price.* [0-9]+ to [0-9]+"),
        (505_000, ONE, Tick.HUNDREDTH, "price.* a multiple of"),
        (501_000, ONE, Tick.QUARTER_HUNDREDTH, "price.* a multiple of"),
        (500_000, -1, Tick.HUNDREDTH, "size.* at least"),
        (500_000, 0, Tick.HUNDREDTH, "size.* at least"),
        (500_000, LOT - 1, Tick.HUNDREDTH, "size.* at least"),
    ],
)
def test_what_makes_no_order_is_refused(
    compute: object, side: Side, price: object, size: object, tick: object, wrong: str
) -> None:
    with pytest.raises(errors.AmountError, match=wrong) as caught:
        compute(side, price, size, tick)  # type: ignore[operator]
    assert str(caught.value).count(": expected ") == 1


def test_a_market_buy_whose_shares_overflow_is_refused() -> None:
    assert market_amounts(Side.BUY, 100, 2**64 // 10_000, Tick.TEN_THOUSANDTH).taker < 2**64
    with pytest.raises(errors.AmountError, match="64 bits"):
        market_amounts(Side.BUY, 100, 2**63, Tick.TEN_THOUSANDTH)


@pytest.mark.parametrize("tick", Tick)
def test_the_ends_of_the_grid_are_prices(tick: Tick) -> None:
    assert limit_amounts(Side.BUY, int(tick), LOT, tick) == (tick // 100, LOT)
    assert limit_amounts(Side.SELL, ONE - tick, LOT, tick) == (LOT, (ONE - tick) // 100)
