"""The market is the same for everybody who has the seed; histories are possible ones."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.venues.defaults import VENUES, default_market, make_account, plan_for
from strongroom_host.venues.errors import ConfigError
from strongroom_host.venues.history import Fill, Flow, Move, Position, plain
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Kind, Market
from strongroom_host.venues.world import World

from tests.host.venues.conftest import DAY_MS, START_MS

MARKET = default_market("market", START_MS)


@given(minute=st.integers(26_300_000, 30_000_000), name=st.sampled_from([*MARKET.instruments]))
def test_a_candle_spans_its_minutes(minute: int, name: str) -> None:
    item = MARKET.instruments[name]
    hour = minute // 60 * HOUR_MS
    whole = MARKET.candle(item, hour, HOUR_MS)
    minutes = [MARKET.candle(item, hour + m * MINUTE_MS, MINUTE_MS) for m in range(60)]
    present = [candle for candle in minutes if candle is not None]
    assert (whole is None) == (not present)
    if whole is not None:
        assert whole.open == present[0].open
        assert whole.close == present[-1].close
        assert whole.high == max(candle.high for candle in present)
        assert whole.low == min(candle.low for candle in present)
        assert whole.volume == sum(candle.volume for candle in present)
        assert whole.low <= min(whole.open, whole.close)
        assert whole.high >= max(whole.open, whole.close)
        assert whole.low > 0


@given(minute=st.integers(0, 1 << 40), name=st.sampled_from([*MARKET.instruments]))
def test_prices_follow_from_the_seed_alone(minute: int, name: str) -> None:
    again = default_market("market", START_MS)
    item = MARKET.instruments[name]
    assert MARKET.ticks(item, minute) == again.ticks(item, minute)
    level = int(item.level / item.tick)
    assert level // 2 < MARKET.ticks(item, minute) < level * 2
    # No minute moves by more than a thousandth or so.
    step = abs(MARKET.ticks(item, minute + 1) - MARKET.ticks(item, minute))
    assert step <= max(2, level // 500)


def test_another_seed_is_another_market() -> None:
    other = default_market("other", START_MS)
    item = MARKET.instruments["BTC/USDT"]
    assert [MARKET.ticks(item, m) for m in range(5)] != [other.ticks(item, m) for m in range(5)]


@given(time_ms=st.integers(START_MS - 900 * DAY_MS, START_MS), place=st.text(max_size=9))
def test_trades_happen_within_their_minutes_candle(time_ms: int, place: str) -> None:
    item = MARKET.instruments["ETH/USDT:USDT"]
    candle = MARKET.candle(item, time_ms // MINUTE_MS * MINUTE_MS, MINUTE_MS)
    assert candle is not None
    assert candle.low <= MARKET.traded_price(item, time_ms, place) <= candle.high


def test_two_instruments_of_one_symbol_are_refused() -> None:
    item = MARKET.instruments["BTC/USDT"]
    with pytest.raises(ConfigError):
        Market("x", [item, item])


def test_a_plan_needs_time() -> None:
    with pytest.raises(ConfigError):
        make_account("alpaca", MARKET, plan_for("alpaca", MARKET, START_MS - DAY_MS, START_MS), "x")


def test_two_accounts_of_one_key_are_refused() -> None:
    plan = plan_for("kraken", MARKET, START_MS - 5 * DAY_MS, START_MS, orders=2)
    account, _ = make_account("kraken", MARKET, plan, "x")
    with pytest.raises(ConfigError):
        World(MARKET, [account, account])
    with pytest.raises(ConfigError):
        World(MARKET, [account]).named("kraken", "nobody")


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=5, deadline=None)
@given(seed=st.text(max_size=5), days=st.integers(8, 40), orders=st.integers(0, 60))
def test_a_history_is_possible_and_known(venue: str, seed: str, days: int, orders: int) -> None:
    start = START_MS - days * DAY_MS
    plan = plan_for(venue, MARKET, start, START_MS, orders=orders, burst=7)
    account, login = make_account(venue, MARKET, plan, seed)
    again, _ = make_account(venue, MARKET, plan, seed)
    history = account.history
    assert plain(history, START_MS) == plain(again.history, START_MS)
    assert login.key == account.credentials.key
    events: list[Fill | Flow | Move] = [*history.fills, *history.flows, *history.moves]
    assert all(start <= event.time_ms <= START_MS for event in events)
    assert len({event.id for event in events}) == len(events)

    # What the balances are, a second time: spot in fractions, contracts as cash and value.
    spot_wallet = plan.wallets[1]
    held: dict[str, Fraction] = defaultdict(Fraction)
    for flow in history.flows:
        if flow.wallet == spot_wallet:
            held[flow.asset] += Fraction(flow.amount)
    for move in history.moves:
        sign = (move.target == spot_wallet) - (move.source == spot_wallet)
        held[move.asset] += sign * Fraction(move.amount)
    for fill in history.fills:
        if fill.instrument.kind is Kind.SPOT:
            held[fill.instrument.base] += fill.side * Fraction(fill.amount)
            held[fill.instrument.quote] -= fill.side * Fraction(fill.amount * fill.price)
            held[fill.fee_asset] -= Fraction(fill.fee)
    told = history.balances(spot_wallet, START_MS)
    if plan.wallets[2] != spot_wallet:
        assert {asset: Fraction(amount) for asset, amount in told.items() if amount} == {
            asset: amount for asset, amount in held.items() if amount
        }
    if not plan.broker and venue != "bybit":
        assert min(told.values()) >= 0


@pytest.mark.parametrize("symbol", ["BTC/USDT:USDT", "BTC/USD:BTC"])
@given(
    parts=st.lists(
        st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 1_000)), min_size=1, max_size=30
    )
)
def test_a_position_realises_what_it_was_worth(symbol: str, parts: list[tuple[int, int]]) -> None:
    item = MARKET.instruments[symbol]
    place, realised, paid = Position(item), Decimal(0), Decimal(0)
    for amount, price in parts:
        fill = Fill(
            0, "1", "1", item, 1 if amount > 0 else -1, Decimal(abs(amount)), Decimal(price),
            Decimal(0), item.settle, False, "w",
        )  # fmt: skip
        place, profit = place.filled(fill)
        realised, paid = realised + profit, paid + fill.side * fill.cost
    held = sum(amount for amount, _ in parts)
    assert place.quantity == held
    # Realised and unrealised are the whole profit, to the last digit, however either was rounded.
    mark = Decimal(77)
    sign = -1 if item.kind is Kind.INVERSE else 1
    assert realised + place.gain(mark) == sign * (item.value(Decimal(held), mark) - paid)
    assert held or not place.cost
