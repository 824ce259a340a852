"""What was held is always among what is possible, and sizes are within their bounds."""

# ruff: noqa: S311  seeds are what makes a test repeatable

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.leakage.matching import best_fits, consistent, moves, portfolio

from tests.host.leakage.markets import account, market, prices_of, rounded_to
from tests.host.metrics.made import MIDNIGHT

HOUR_MS = 3_600_000


def changes(prices: dict[str, list[float]]) -> dict[str, list[float]]:
    length = len(next(iter(prices.values())))
    return prices_of(prices).changes([MIDNIGHT + at * HOUR_MS for at in range(length)])


@given(
    st.integers(0, 10**6),
    st.integers(2, 30),
    st.sampled_from([0, 1e-4, 1e-3, 1e-2]),
    st.floats(0.02, 3) | st.floats(-2, -0.02),
)
def test_what_was_held_is_possible_and_its_size_within_the_bounds(
    seed: int, periods: int, grid: float, size: float
) -> None:
    prices = market(Random(seed), 4, periods)
    seen = moves(rounded_to(account(prices, {"A002": size}), grid), grid / 2 or 1e-12)
    assets = changes(prices)
    if seen.flat:
        return
    fit = {each.asset: each for each in consistent(seen, assets)}["A002"]
    assert abs(fit.size - size) <= fit.error * (1 + 1e-9) + 1e-12
    if not grid:
        assert fit.error < 1e-6
        assert best_fits(seen, assets)[0].asset == "A002"


@given(st.integers(0, 10**6))
def test_exact_returns_of_another_asset_rule_all_others_out(seed: int) -> None:
    prices = market(Random(seed), 30, 3)
    returns = rounded_to(account({"other": prices["A000"]}, {"other": 0.5}), 0)
    del prices["A000"]
    assert consistent(moves(returns, 1e-12), changes(prices)) == []


def test_a_price_that_stands_still_explains_only_what_stands_still() -> None:
    still = {"still": [0.0, 0.0], "moves": [0.01, 0.01]}
    assert [fit.asset for fit in consistent(moves([0.005, 0.005], 1e-4), still)] == ["moves"]
    assert consistent(moves([0.005, 0.0], 1e-4), {"still": [0.0, 0.0]}) == []
    assert consistent(moves([0.005, 0.005], 1e-4), {"once": [0.0, 0.01]}) == []
    quiet = moves([0.0, 0.00004], 5e-5)
    assert quiet.flat
    assert [fit.asset for fit in consistent(quiet, still)] == ["moves"]
    assert not moves([0.0, 0.00006], 5e-5).flat


@pytest.mark.parametrize("count", [1, 3, 6])
def test_static_positions_are_found_with_their_sizes(count: int) -> None:
    chance = Random(count)
    prices = market(chance, 60, 96)
    sizes = {
        asset: chance.choice((1, -1)) * chance.uniform(0.2, 1) / count
        for asset in chance.sample(sorted(prices), count)
    }
    returns = rounded_to(account(prices, sizes), 0)
    found = portfolio(moves(returns, 1e-12), changes(prices), 10, held_out=24)
    assert set(found.sizes) == set(sizes)
    assert found.sizes == pytest.approx(sizes, abs=1e-7)
    assert found.beyond == pytest.approx(0, abs=1e-9)


def test_what_ten_assets_fit_by_chance_foretells_nothing() -> None:
    chance = Random(5)
    prices = market(chance, 60, 24)
    noise = [chance.gauss(0, 0.005) for _ in range(24)]
    found = portfolio(moves(noise, 1e-12), changes(prices), 10, held_out=8)
    assert found.unexplained < 0.3
    assert found.beyond is not None
    assert found.beyond > 0.5


def test_dependent_assets_end_the_search() -> None:
    prices = market(Random(1), 1, 12)
    twice = {"one": prices["A000"], "same": prices["A000"]}
    chance = Random(2)
    noise = [chance.gauss(0, 0.005) for _ in range(12)]
    assert len(portfolio(moves(noise, 1e-12), changes(twice), 10).sizes) == 1
