"""The figures that were measured for this project come out again, within sampling error."""

# ruff: noqa: S311  seeds are what makes a test repeatable

import os
from math import sqrt
from random import Random

import pytest
from strongroom_host.leakage.matching import best_fits, consistent, moves, portfolio

from tests.host.leakage.markets import account, market, rounded_to
from tests.host.leakage.test_matching import changes

TRIALS = 2000 if os.environ.get("STRONGROOM_SOAK") == "1" else 60
ASSETS = 300
HOURS, DAYS = 1.0, sqrt(24)

SINGLE = [
    # (periods' scale, grid, Laplace noise, periods, share of correct assets)
    *((HOURS, 0, 0, n, share) for n, share in ((2, 1.0), (3, 1.0), (6, 1.0), (24, 1.0))),
    *((HOURS, 1e-4, 0, n, share) for n, share in ((2, 0.30), (3, 0.93), (6, 1.0), (24, 1.0))),
    *((HOURS, 1e-3, 0, n, share) for n, share in ((2, 0.04), (3, 0.32), (6, 0.89), (24, 0.99))),
    *((HOURS, 1e-4, 1e-3, n, share) for n, share in ((2, 0.01), (3, 0.07), (6, 0.42), (24, 0.84))),
    *((HOURS, 1e-4, 5e-3, n, share) for n, share in ((2, 0.0), (3, 0.01), (6, 0.02), (24, 0.16))),
    (DAYS, 0, 0, 2, 1.0),
    *((DAYS, 1e-4, 0, n, share) for n, share in ((2, 0.70), (3, 0.99), (7, 1.0))),
]

SEVERAL = [
    *((3, n, share) for n, share in ((24, 0.87), (72, 1.0), (168, 1.0))),
    *((5, n, share) for n, share in ((24, 0.55), (72, 1.0), (168, 1.0))),
    *((10, n, share) for n, share in ((24, 0.15), (72, 0.97), (168, 1.0))),
]


def allowed(share: float, trials: int) -> float:
    """Three standard errors, and what the market that was not written down may differ by."""
    return 3 * sqrt(max(share * (1 - share), 0.02) / trials) + 0.04


def laplace(chance: Random, scale: float) -> float:
    return chance.expovariate(1 / scale) - chance.expovariate(1 / scale) if scale else 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "grid", "noise", "periods", "share"), SINGLE)
def test_one_position_is_found_as_often_as_measured(
    scale: float, grid: float, noise: float, periods: int, share: float
) -> None:
    chance, right = Random(f"{scale} {grid} {noise} {periods}"), 0
    for _ in range(TRIALS):
        prices = market(chance, ASSETS, periods, scale)
        held, size = chance.choice(sorted(prices)), chance.uniform(0.1, 1)
        returns = rounded_to(account({held: prices[held]}, {held: size}), grid)
        seen = moves([value + laplace(chance, noise) for value in returns], grid / 2 or 1e-12)
        assets = changes(prices)
        right += best_fits(seen, assets, 1)[0].asset == held
        if not noise and not seen.flat:
            possible = consistent(seen, assets)
            assert held in {fit.asset for fit in possible}
            if not grid:
                assert len(possible) == 1
                assert possible[0].size == pytest.approx(size, rel=1e-6)
    assert abs(right / TRIALS - share) <= allowed(share, TRIALS)


@pytest.mark.slow
@pytest.mark.parametrize("grid", [0, 1e-4, 1e-3])
@pytest.mark.parametrize(("positions", "periods", "share"), SEVERAL)
def test_several_positions_are_found_as_often_as_measured(
    positions: int, periods: int, share: float, grid: float
) -> None:
    trials = max(3, TRIALS * 4 // periods)
    chance, found = Random(f"{positions} {periods} {grid}"), 0
    for _ in range(trials):
        prices = market(chance, ASSETS, periods)
        shares = [chance.uniform(0.1, 1) for _ in range(positions)]
        sizes = {
            asset: chance.choice((1, -1)) * each / sum(shares)
            for asset, each in zip(chance.sample(sorted(prices), positions), shares, strict=True)
        }
        held = {asset: prices[asset] for asset in sizes}
        seen = moves(rounded_to(account(held, sizes), grid), 1e-12)
        found += len(set(portfolio(seen, changes(prices), positions).sizes) & set(sizes))
    # Positions of one account are found or missed together, so trials are what counts.
    assert abs(found / positions / trials - share) <= allowed(share, trials)
