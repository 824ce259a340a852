"""Price and size to the two amounts of an order, in integers: official clients lose lots to floats.

All quantities are millionths: prices of a pUSD per share, sizes of a share, amounts of either
(both have 6 decimals on chain). Prices off the tick grid are refused rather than rounded: the
policy approved the price it saw.
"""

from enum import IntEnum
from typing import NamedTuple

from strongroom_enclave.signer import errors

# One share, one pUSD, or a price of 1.
ONE = 1_000_000

# Offered sizes keep two decimals, at every tick.
_LOT = 10_000


# `side` of the Order struct, numbered from 0.
Side = IntEnum("Side", "BUY SELL", start=0)


class Tick(IntEnum):
    """The CLOB's tick sizes, in millionths of a pUSD per share, in the wire's order."""

    TENTH = 100_000
    HUNDREDTH = 10_000
    HALF_HUNDREDTH = 5_000
    QUARTER_HUNDREDTH = 2_500
    THOUSANDTH = 1_000
    TEN_THOUSANDTH = 100


# Decimals a computed amount keeps: 3, 4, 5, 6, 5, 6, as the smallest step in millionths.
_AMOUNT_UNIT = dict(zip(Tick, (1_000, 100, 10, 1, 10, 1), strict=True))


class Amounts(NamedTuple):
    """What the maker gives and takes, in millionths: BUY gives pUSD, SELL gives shares."""

    maker: int
    taker: int


def limit_amounts(side: Side, price: int, size: int, tick: Tick) -> Amounts:
    """Returns the amounts of a limit order for `size` shares, cut to whole lots of 0.01.

    maker/taker is `price` exactly: a price on the grid times two decimals of shares never has more
    decimals than the tick's amounts keep, so the venue's rounding of the product has nothing to do.

    Raises:
        AmountError: says what is wrong with price, size or tick.
    """
    shares = _checked(price, size, tick)
    cash = shares * price // ONE
    return Amounts(cash, shares) if side is Side.BUY else Amounts(shares, cash)


def market_amounts(side: Side, price: int, amount: int, tick: Tick) -> Amounts:
    """Returns the amounts of a market order: spend `amount` pUSD (BUY) or sell `amount` shares.

    `price` is the worst one accepted. A BUY asks for amount/price shares, cut to the decimals the
    tick allows; the pUSD offered is never above `amount`. The venue's extra step (first up to four
    more decimals, then down) cannot change that cut: prices have at most four decimals, so an
    inexact quotient is at least 1/9999 of a step below the next one.

    Raises:
        AmountError: says what is wrong with price, size or tick.
    """
    if side is not Side.BUY:
        return limit_amounts(side, price, amount, tick)
    cash = _checked(price, amount, tick)
    shares = cash * ONE // price
    shares -= shares % _AMOUNT_UNIT[tick]
    errors.AmountError.unless(not shares >> 64, "millionths of a share", "64 bits", shares)
    return Amounts(cash, shares)


def _checked(price: int, size: int, tick: Tick) -> int:
    """Returns `size` in whole lots, after proving that price, size and tick go together."""
    if not tick <= price <= ONE - tick:
        raise errors.AmountError("price in millionths", f"{tick:d} to {ONE - tick:d}", price)
    if price % tick:
        raise errors.AmountError("price in millionths", f"a multiple of {tick:d}", price)
    errors.AmountError.unless(size >= _LOT, "size in millionths", "at least 10000", size)
    return size - size % _LOT
