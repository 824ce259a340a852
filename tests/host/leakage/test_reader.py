"""What a reader finds: what was held, under the tiers that leave it, and nothing by chance."""

from itertools import pairwise
from random import Random

import pytest
from strongroom_host.leakage.errors import NothingToMatch
from strongroom_host.leakage.reader import Found, Leakage, measure_leakage
from strongroom_host.leakage.tiers import View
from strongroom_host.leakage.words import LIMITS, duration, findings, told

from tests.host.leakage.markets import account, market, prices_of, series_from
from tests.host.metrics.made import series_of

# ruff: noqa: S311  seeds are what makes a test repeatable
VIEWS = (View(1), View(1, 10**9), View(24), View(24, 10**8))


@pytest.fixture(scope="module")
def turnover() -> tuple[Leakage, ...]:
    """Twenty days, of which every thirty hours are spent in another asset."""
    chance = Random(11)
    prices = market(chance, 40, 480)
    returns = list[float]()
    for start in range(0, 480, 30):
        asset = chance.choice(sorted(prices))
        part = {asset: prices[asset][start : start + 31]}
        returns += account(part, {asset: chance.uniform(0.3, 1)})
    return measure_leakage(series_from(returns), prices_of(prices), windows=30, tiers=VIEWS)


def test_exact_hours_tell_and_chance_does_not(turnover: tuple[Leakage, ...]) -> None:
    given, *coarser = turnover
    assert given.given
    assert given.view == View(1)
    assert [each.view for each in coarser] == list(VIEWS[1:])
    two = given.readings[0]
    assert two.seen.share(Found.NAMED) > 0.9
    assert two.chance.told == 0
    assert two.seen.size_error is not None
    assert two.seen.size_error < 1e-6
    assert sum(count for _, count in two.seen.assets) == two.seen.found[Found.NAMED]
    assert told(given) > 0.9


def test_days_in_which_the_position_changes_tell_little(turnover: tuple[Leakage, ...]) -> None:
    days = {each.view: each for each in turnover}[View(24)]
    assert told(days) < 0.3
    assert told(days) < told(turnover[0])


def test_the_words_say_what_the_numbers_do(turnover: tuple[Leakage, ...]) -> None:
    lines = list(findings(turnover))
    assert lines[0].startswith("This series (hours, exact): in ")
    assert "one asset was named" in lines[0]
    assert "size to ± less than 0.01 %" in lines[0]
    assert any(line.startswith("With hours, to 10 bp: ") for line in lines)
    assert all(line.endswith(".") for line in (*lines, *LIMITS))
    assert [duration(hours) for hours in (6, 24, 48)] == ["6 hours", "1 day", "2 days"]


def test_a_static_portfolio_is_found() -> None:
    chance = Random(12)
    prices = market(chance, 40, 24 * 12)
    sizes = {"A003": 0.4, "A017": -0.3, "A030": 0.5}
    series = series_from(account(prices, sizes))
    [given] = measure_leakage(series, prices_of(prices), windows=12, tiers=())
    assert [each.periods for each in given.portfolios] == [24, 72, 168]
    for each in given.portfolios:
        assert (each.explained, each.by_chance) == (each.windows, 0)
        # A fourth one may stand in for what was chosen before the first was known.
        assert each.positions in (3, 3.5, 4)
    assert told(given) < 0.1
    assert any(
        line.startswith("Several positions at once: in 4 of 4") for line in findings([given])
    )


def test_one_position_is_named_under_every_exact_tier() -> None:
    """Days are linked from hours that were rounded already, which the bound has to allow for."""
    chance = Random(17)
    prices = market(chance, 20, 24 * 20)
    series = series_from(account(prices, {"A009": 0.7}))
    views = (View(1), View(4), View(24))
    found = measure_leakage(series, prices_of(prices), windows=15, tiers=views)
    assert [each.view for each in found] == list(views)
    for leakage in found:
        for reading in leakage.readings:
            assert reading.seen.share(Found.NAMED) == 1
            assert reading.seen.assets == (("A009", reading.seen.windows),)


def test_noise_tells_nothing() -> None:
    chance = Random(13)
    prices = market(chance, 40, 200)
    series = series_from([chance.gauss(0, 0.005) for _ in range(200)])
    found = measure_leakage(series, prices_of(prices), windows=30, tiers=VIEWS)
    for leakage in found:
        assert told(leakage) < 0.2
        assert all(each.explained <= 1 for each in leakage.portfolios)
    exact = found[0].readings
    assert all(reading.seen.told == 0 for reading in exact)


def test_gaps_and_missing_prices_are_not_looked_at() -> None:
    chance = Random(14)
    prices = market(chance, 10, 60)
    returns = account(prices, {"A001": 0.5})
    whole = series_from(returns)
    values = [each.value for each in whole.periods]
    values[5::6] = [None] * 10
    [given] = measure_leakage(series_of(values), prices_of(prices), tiers=())
    assert [reading.periods for reading in given.readings] == [2, 3]
    assert given.portfolios == ()
    short = prices_of({name: each[:31] for name, each in prices.items()})
    [half] = measure_leakage(whole, short, tiers=())
    assert 0 < half.readings[0].seen.windows < 40


def test_a_flat_account_is_flat_and_no_time_in_common_is_no_all_clear() -> None:
    prices = market(Random(15), 5, 30)
    flat = series_of(["0"] * 30)
    [given] = measure_leakage(flat, prices_of(prices), tiers=())
    assert all(reading.seen.share(Found.FLAT) == 1 for reading in given.readings)
    assert given.portfolios == ()
    assert any("tells a reader that nothing was held" in line for line in findings([given]))
    with pytest.raises(NothingToMatch):
        measure_leakage(series_of(["0.1"] * 30, start_ms=0), prices_of(prices))
    with pytest.raises(NothingToMatch):
        measure_leakage(series_of(["0.1"]), prices_of(prices))


def test_the_same_question_has_the_same_answer(turnover: tuple[Leakage, ...]) -> None:
    prices = market(Random(16), 10, 100)
    series = series_from(account(prices, {"A004": 0.5}))
    once, again = (measure_leakage(series, prices_of(prices), windows=5) for _ in range(2))
    assert once == again
    for finer, coarser in pairwise(once):
        assert coarser.view.hours >= finer.view.hours
