"""Integer units of money, shares and price; no float ever holds an amount.

* *base units*: 1e-6 of a pUSD or of a share (both tokens have 6 decimals).
* *price units*: 1e-4 pUSD per share. Every tick size of the venue is a multiple.
* *lot*: 0.01 share. Fills are whole lots, so that lots x price is always a whole number of base
  units and both sides of a trade book the same integer.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BASE", "LOT", "PRICE_SCALE", "base_text", "cash_for", "fixed_text", "price_text"]

BASE: Final = 1_000_000
PRICE_SCALE: Final = 10_000
LOT: Final = 10_000


def cash_for(shares: int, price: int) -> int:
    """Exact cost in base units of `shares` (base units, whole lots) at `price` (price units).

    Raises:
        ValueError: the product is no whole number of base units, which whole lots exclude.
    """
    cash, rest = divmod(shares * price, PRICE_SCALE)
    if rest:
        raise ValueError(f"{shares} base units at {price} price units leave a fraction")
    return cash


def fixed_text(value: int, places: int) -> str:
    """`value` / 10**places as the shortest decimal text ("0.57", "12", "-0.5")."""
    sign, digits = ("-", -value) if value < 0 else ("", value)
    whole, part = divmod(digits, 10**places)
    tail = f"{part:0{places}d}".rstrip("0")
    return f"{sign}{whole}.{tail}" if tail else f"{sign}{whole}"


def base_text(value: int) -> str:
    """Base units as decimal text."""
    return fixed_text(value, 6)


def price_text(value: int) -> str:
    """Price units as decimal text."""
    return fixed_text(value, 4)
