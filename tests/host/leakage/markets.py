"""A market of many assets with one common factor, and accounts that hold some of it.

The figures of measurements.md were taken in such a market. Its volatilities were not written down;
those here, 0.4 % an hour for both the factor and what is an asset's own, give the same figures.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from random import Random

from strongroom_host.leakage.candles import Candles
from strongroom_host.metrics.series import HOUR_MS, Period, Series

from tests.host.metrics.made import MIDNIGHT

__all__ = ["account", "market", "prices_of", "rounded_to", "series_from"]

FACTOR = OWN = 0.004


def market(chance: Random, assets: int, periods: int, scale: float = 1.0) -> dict[str, list[float]]:
    """Prices at the ends of periods, from 1 on; `scale` is the root of hours in a period."""
    factor = [chance.gauss(0, FACTOR * scale) for _ in range(periods)]
    found = dict[str, list[float]]()
    for number in range(assets):
        prices = [1.0]
        for common in factor:
            prices.append(prices[-1] * (1 + common + chance.gauss(0, OWN * scale)))
        found[f"A{number:03d}"] = prices
    return found


def account(prices: Mapping[str, Sequence[float]], sizes: Mapping[str, float]) -> list[float]:
    """Returns of an account that holds shares of its equity in assets, bought at the start."""
    length = len(next(iter(prices.values())))
    rest = 1 - sum(sizes.values())
    equity = [
        rest + sum(size * prices[asset][at] / prices[asset][0] for asset, size in sizes.items())
        for at in range(length)
    ]
    return [after / before - 1 for before, after in pairwise(equity)]


def rounded_to(returns: Sequence[float], grid: float) -> list[float]:
    """Returns to the nearest multiple of a grid; 0 leaves the 12 places of an exact tier."""
    return [round(value / (grid or 1e-12)) * (grid or 1e-12) for value in returns]


def prices_of(prices: Mapping[str, Sequence[float]], hours: int = 1) -> Candles:
    """The same as candles, from `MIDNIGHT` on."""
    step = hours * HOUR_MS
    return Candles(
        {
            asset: {MIDNIGHT + at * step: price for at, price in enumerate(each)}
            for asset, each in prices.items()
        }
    )


def series_from(returns: Sequence[float], hours: int = 1) -> Series:
    """The same as a series, from `MIDNIGHT` on."""
    return Series.of(
        Period(MIDNIGHT + at * hours * HOUR_MS, hours, Decimal(f"{value:.12f}"))
        for at, value in enumerate(returns)
    )
