"""What strategies do with what they are told; and what all of them do after a gap."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.ring.tick import Side, Status
from strongroom_host.strategy.baseline import Baseline
from strongroom_host.strategy.errors import StrategyUnknown, StrategyUnsuited
from strongroom_host.strategy.gru import Gru
from strongroom_host.strategy.port import (
    Cancel,
    CancelAll,
    Decision,
    Intent,
    OrderEvent,
    OrderType,
    Outcome,
    Reason,
)
from strongroom_host.strategy.registry import STRATEGIES, load_strategy
from strongroom_host.strategy.told import Told
from strongroom_host.strategy.whale import Whale

from tests.host.strategy.ticks import COIN, MEMPOOL, NAMES, OTHER, TOKEN, Feed, Kept, simulated

MILLION = 1_000_000


class Play:
    """A strategy, ticks for it, and a venue that does as the test says."""

    def __init__(self, strategy: Told) -> None:
        self.sink = Kept()
        self.token = Feed(self.sink)
        self.mempool = Feed(self.sink, instrument=3, feed=4)
        self.coin = Feed(self.sink, instrument=2, feed=2)
        self.other = Feed(self.sink, instrument=4)
        self.strategy = strategy
        self.made: list[Decision] = []
        self._seen = 0

    def go(self, ms: int = 0) -> list[Decision]:
        """Tells what is new; returns what is decided."""
        fresh: list[Decision] = []
        for place, view in enumerate(self.sink.views()):
            if place >= self._seen:
                fresh += self.strategy.on_tick(view)
        self._seen = len(self.sink.data) // 64
        self.made += fresh
        for feed in (self.token, self.mempool, self.coin, self.other):
            feed.at(feed.now_ms + ms)
        return fresh

    def become(self, number: int, outcome: Outcome, *, filled: int = 0, left: int = 0) -> None:
        """Tells what became of the order that was decided as number `number`."""
        intent = self.made[number - 1]
        assert isinstance(intent, Intent)
        named = (number, outcome, bytes([number]) * 32, intent.instrument, intent.side)
        cash = -filled * intent.price // MILLION
        self.strategy.on_order_event(OrderEvent(*named, intent.price, filled, cash, left, 0, 0))


def baseline(**options: str) -> Play:
    return Play(Baseline({"market": TOKEN, "memory": "4", "edge": "0", **options}, NAMES))


def only(decisions: Sequence[Decision]) -> Intent:
    assert len(decisions) == 1
    assert isinstance(decisions[0], Intent)
    return decisions[0]


def test_the_baseline_joins_the_bid_and_sells_only_what_it_holds() -> None:
    play = baseline()
    play.token.book([(40, 100)], [(44, 100)])
    intent = only(play.go(1000))
    assert (intent.instrument, intent.side, intent.price) == (1, Side.BUY, 400_000)
    assert (intent.order_type, intent.post_only) == (OrderType.GTC, True)
    play.become(1, Outcome.LIVE, left=intent.size)
    play.token.level(Side.BUY, 38, 5)
    assert play.go(1000) == []
    play.become(1, Outcome.FILLED, filled=4 * MILLION, left=6 * MILLION)
    play.token.level(Side.BUY, 38, 6)
    sale = only(play.go(1000))
    assert (sale.side, sale.price, sale.size) == (Side.SELL, 440_000, 4 * MILLION)


def test_the_baseline_moves_its_quote_with_a_cancel_first() -> None:
    play = baseline()
    play.token.book([(40, 100)], [(44, 100)])
    play.go(1000)
    play.token.level(Side.BUY, 40, 0)
    assert play.go(1000) == [], "no hash, no cancel"
    play.become(1, Outcome.LIVE, left=10 * MILLION)
    play.token.level(Side.BUY, 39, 10)
    [cancel] = play.go(1000)
    assert isinstance(cancel, Cancel)
    assert cancel.order_hash == b"\1" * 32
    play.token.level(Side.BUY, 39, 11)
    assert play.go(1000) == [], "asked once"
    play.become(1, Outcome.CANCELLED)
    play.token.level(Side.BUY, 39, 12)
    assert only(play.go()).price == 390_000


def test_a_cancel_that_failed_is_asked_again() -> None:
    play = baseline()
    play.token.book([(40, 100)], [(44, 100)])
    play.go(1000)
    play.become(1, Outcome.LIVE, left=10 * MILLION)
    play.token.level(Side.BUY, 40, 0).level(Side.BUY, 39, 1)
    assert len(play.go(1000)) == 1
    event = OrderEvent(2, Outcome.NOT_SENT, b"\1" * 32, 1, Side.BUY, 0, 0, 0, 0, 0, 0)
    play.strategy.on_order_event(event)
    play.token.level(Side.BUY, 39, 2)
    assert isinstance(play.go()[0], Cancel)


def test_an_unknown_outcome_keeps_its_place() -> None:
    play = baseline()
    play.token.book([(40, 100)], [(44, 100)])
    play.go(1000)
    play.become(1, Outcome.UNKNOWN, left=10 * MILLION)
    for size in range(1, 5):
        play.token.level(Side.BUY, 38, size)
        assert play.go(1000) == []
    play.become(1, Outcome.CANCELLED)
    play.token.level(Side.BUY, 38, 9)
    assert len(play.go()) == 1


def test_the_baseline_withdraws_where_the_market_cannot_be_read() -> None:
    play = baseline()
    play.token.book([(40, 100)], [(44, 100)])
    play.go(1000)
    play.become(1, Outcome.LIVE, left=10 * MILLION)
    play.token.level(Side.SELL, 39, 5)
    [cancel] = play.go()
    assert isinstance(cancel, Cancel)
    assert cancel.reason is Reason.BAD_MARKET


@settings(deadline=None, max_examples=40)
@given(
    fates=st.lists(st.sampled_from(["fill", "part", "cancel", "unknown", "leave"]), max_size=60),
    prices=st.lists(st.integers(30, 60), min_size=60, max_size=60),
)
def test_whatever_is_filled_the_limit_holds(fates: list[str], prices: list[int]) -> None:
    play = baseline(most="30000000", rest_ms="0")
    held, open_now = 0, dict[int, Intent]()
    for fate, price in zip(fates, prices, strict=False):
        play.token.book([(price, 100)], [(price + 2, 100)])
        before = len(play.made)
        for number, decision in enumerate(play.go(1000), start=before + 1):
            if isinstance(decision, Intent):
                open_now[number] = decision
                left = decision.size
                play.become(number, Outcome.LIVE, left=left)
        bought = sum(i.size for i in open_now.values() if i.side is Side.BUY)
        offered = sum(i.size for i in open_now.values() if i.side is Side.SELL)
        assert held + bought <= 30 * MILLION
        assert offered <= held
        if open_now and fate != "leave":
            number, intent = next(iter(open_now.items()))
            if fate == "unknown":
                play.become(number, Outcome.UNKNOWN, left=intent.size)
                continue
            size = {"fill": intent.size, "part": intent.size // 3, "cancel": 0}[fate]
            if size:
                play.become(number, Outcome.FILLED, filled=size, left=0)
                held += size if intent.side is Side.BUY else -size
            else:
                play.become(number, Outcome.CANCELLED)
            del open_now[number]


def whale(**options: str) -> Play:
    play = Play(Whale({"mempool": MEMPOOL, "market": OTHER, **options}, NAMES))
    play.other.book([(40, 100)], [(44, 100)])
    play.go(1000)
    return play


def test_a_large_transfer_buys_what_pays_if_the_coin_falls() -> None:
    play = whale(transfer_btc="200")
    play.mempool.transfer(199, 1)
    assert play.go(1) == []
    play.mempool.transfer(200, 2)
    intent = only(play.go())
    assert (intent.instrument, intent.side, intent.price) == (4, Side.BUY, 440_000)
    assert (intent.order_type, intent.reason) == (OrderType.FAK, Reason.WHALE)


def test_a_whale_is_seen_once_and_then_rested() -> None:
    play = whale(rest_s="60")
    play.mempool.transfer(500, 1)
    play.go(1)
    play.become(1, Outcome.CANCELLED)
    play.mempool.transfer(900, 2)
    assert play.go(60_000) == [], "within the rest"
    play.mempool.transfer(700, 3)
    assert len(play.go()) == 1


@pytest.mark.parametrize(
    ("coins", "detail", "signal"), [(500, 1, False), (500, 2, False), (501, 2, True)]
)
def test_the_same_payment_again_says_nothing(coins: int, detail: int, signal: bool) -> None:
    play = whale(rest_s="0")
    play.mempool.transfer(500, 1)
    play.go(1)
    play.become(1, Outcome.CANCELLED)
    play.mempool.transfer(coins, detail)
    assert bool(play.go()) is signal


def test_alike_counts_again_after_a_while_and_round_ones_never() -> None:
    play = whale(rest_s="0", alike_s="10", round_btc="100")
    play.mempool.transfer(300, 1)
    assert play.go(1) == []
    play.mempool.transfer(301, 2)
    assert len(play.go(10_002)) == 1
    play.become(1, Outcome.CANCELLED)
    play.mempool.transfer(301, 3)
    assert len(play.go()) == 1


def test_a_large_purchase_buys_what_pays_if_the_coin_rises() -> None:
    play = whale(rising=TOKEN, coin=COIN, trade_btc="50")
    play.token.at(play.other.now_ms).book([(55, 100)], [(57, 100)])
    play.go()
    play.coin.trade(Side.BUY, 1, 30).trade(Side.SELL, 1, 30)
    assert play.go(500) == []
    play.coin.trade(Side.BUY, 1, 20)
    intent = only(play.go())
    assert (intent.instrument, intent.price) == (1, 570_000)


def test_what_a_whale_bought_is_sold_after_a_while() -> None:
    play = whale(hold_s="30")
    play.mempool.transfer(500, 1)
    play.go(29_999)
    play.become(1, Outcome.FILLED, filled=7 * MILLION)
    play.other.level(Side.BUY, 39, 1)
    assert play.go(1) == []
    play.other.level(Side.BUY, 39, 2)
    sale = only(play.go())
    assert (sale.side, sale.size, sale.price) == (Side.SELL, 7 * MILLION, 400_000)
    assert sale.reason is Reason.FLATTEN


def test_a_whale_pays_no_more_than_it_may_and_needs_a_book() -> None:
    play = whale(dearest="430000")
    play.mempool.transfer(500, 1)
    assert play.go(1) == []
    play = whale()
    play.other.status(Status.LOST)
    play.mempool.transfer(500, 1)
    assert play.go() == []


class Says:
    """A network that says what the test wants."""

    def __init__(self) -> None:
        self.score = 0
        self.resets = 0

    def step(self, features: Sequence[int]) -> int:
        assert len(features) == 12
        return self.score

    def reset(self) -> None:
        self.resets += 1


def gru(**options: str) -> tuple[Play, Says]:
    says = Says()
    chosen = {"market": TOKEN, "coin": COIN, "warm": "1", "rest_ms": "0", **options}
    play = Play(Gru(chosen, NAMES, network=says))
    play.token.book([(40, 100)], [(42, 100)])
    play.coin.book([(60, 1)], [(61, 1)])
    for _ in range(3):
        play.go(100)
        play.coin.level(Side.BUY, 60, 1)
    return play, says


@pytest.mark.parametrize(
    ("score", "side"),
    # A cent of half a spread and 0.3 cents of margin: 128 is a cent, so 167 is above both.
    [(167, Side.BUY), (166, None), (0, None), (-38, None), (-1024, None)],
)
def test_the_model_buys_only_beyond_its_dead_band(score: int, side: Side | None) -> None:
    play, says = gru()
    says.score = score
    play.go(100)
    play.coin.level(Side.BUY, 60, 2)
    decisions = play.go()
    assert [each.side for each in decisions if isinstance(each, Intent)] == ([side] if side else [])
    for each in decisions:
        assert isinstance(each, Intent)
        assert (each.price, each.order_type) == (420_000, OrderType.FAK)


def test_the_model_buys_no_more_than_it_may_hold() -> None:
    play, says = gru(most="50000000", size="20000000")
    says.score = 1000
    bought = 0
    for number in range(10):
        play.coin.level(Side.BUY, 60, 2 + number)
        for each in play.go(100):
            assert isinstance(each, Intent)
            bought += each.size
            if number % 2:
                play.become(len(play.made), Outcome.FILLED, filled=each.size)
    assert bought == 40 * MILLION


@pytest.mark.parametrize(("score", "sells"), [(-39, True), (-38, False), (0, False)])
def test_the_model_sells_only_what_it_holds(score: int, sells: bool) -> None:
    play, says = gru()
    says.score = 1000
    play.go(100)
    play.coin.level(Side.BUY, 60, 2)
    play.go(100)
    play.become(1, Outcome.FILLED, filled=5 * MILLION)
    says.score = score
    play.coin.level(Side.BUY, 60, 3)
    decisions = play.go()
    assert bool(decisions) is sells
    if sells:
        assert (only(decisions).side, only(decisions).size) == (Side.SELL, 5 * MILLION)


def test_the_model_begins_anew_after_silence_and_gaps() -> None:
    play, says = gru(warm="3")
    says.score = 1000
    assert says.resets <= 1
    play.go(60_000)
    before = says.resets
    for number in range(4):
        play.coin.level(Side.BUY, 60, 2 + number)
        play.token.book([(40, 100)], [(42, 100)])
        assert play.go(100) == [], "books are of before the silence, or it is not warm"
        play.coin.book([(60, 1)], [(61, 1)])
    assert says.resets > before
    play.strategy.on_gap(3, 0)
    assert says.resets > before + 1


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_after_a_gap_everybody_stands_aside(name: str, tmp_path: Path) -> None:
    """Told of a gap, a strategy takes back what may rest, and decides nothing on the old book."""
    options = {
        "baseline": {"market": TOKEN},
        "gru": {"market": TOKEN, "coin": COIN},
        "whale": {"mempool": MEMPOOL, "market": OTHER, "transfer_btc": "100"},
    }[name]
    strategy = load_strategy(name, options, NAMES)
    with simulated(tmp_path / "x.tape", 120) as tape:
        views, decided = iter(tape), False
        for view in views:
            if strategy.on_tick(view):
                decided = True
                break
        assert decided
        after = strategy.on_gap(5, 0)
        assert [type(each) for each in after] == [CancelAll]
        assert strategy.on_gap(5, 0) == (), "asked once"
        for view in views:
            if view.instrument not in (1, 4) or view.kind == 1:
                for each in strategy.on_tick(view):
                    raise AssertionError(each)


def test_a_feeds_new_epoch_is_a_gap() -> None:
    play = baseline()
    play.token.book([(40, 100)], [(44, 100)])
    play.go(1000)
    play.become(1, Outcome.LIVE, left=10 * MILLION)
    play.coin.epoch = 7
    play.coin.trade(Side.BUY, 1, 1)
    assert play.go() == [], "the first epoch of a feed is none"
    play.coin.epoch = 8
    play.coin.trade(Side.BUY, 1, 1)
    assert [type(each) for each in play.go()] == [CancelAll]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("baseline", {}, "needs the option market"),
        ("baseline", {"market": "polymarket:9"}, "no ticks here"),
        ("baseline", {"market": TOKEN, "size": "0"}, "not a number"),
        ("baseline", {"market": TOKEN, "size": "1_0"}, "not a number"),
        ("baseline", {"market": TOKEN, "sise": "1"}, "no option sise"),
        ("gru", {}, "needs the option market"),
    ],
)
def test_bad_options_are_explained(name: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(StrategyUnsuited, match=words):
        load_strategy(name, options, NAMES)


def test_an_instrument_of_which_there_is_one_need_not_be_named() -> None:
    gru = load_strategy("gru", {"market": TOKEN}, NAMES)
    assert (gru.parameters["coin"], gru.parameters["mempool"]) == (COIN, "")
    assert load_strategy("whale", {}, NAMES).parameters["mempool"] == MEMPOOL
    assert load_strategy("baseline", {}, ("", COIN, OTHER)).parameters["market"] == OTHER
    named = load_strategy("gru", {"market": TOKEN, "coin": COIN}, NAMES)
    assert named.parameters == gru.parameters  # complete in the record, and so in the digest


@pytest.mark.parametrize(
    ("name", "instruments", "expected", "remedy"),
    [
        ("baseline", NAMES, f"market={TOKEN} or {OTHER}", f"--option market={TOKEN}"),
        ("whale", ("", TOKEN, COIN), "one of the ring's or tape's", "--option mempool=..."),
        ("whale", (), "one of the ring's or tape's", "--option mempool=..."),
    ],
)
def test_instruments_that_could_be_meant_are_named(
    name: str, instruments: tuple[str, ...], expected: str, remedy: str
) -> None:
    with pytest.raises(StrategyUnsuited, match="needs the option") as caught:
        load_strategy(name, {}, instruments)
    assert expected in str(caught.value.expected)
    assert caught.value.remedy == remedy
    two = ("", TOKEN, COIN, "coinbase:BTC-USD")
    with pytest.raises(StrategyUnsuited, match="needs the option coin") as caught:
        load_strategy("gru", {"market": TOKEN}, two)
    assert caught.value.expected == f"coin={COIN} or coinbase:BTC-USD"


def test_an_unknown_strategy_is_explained() -> None:
    with pytest.raises(StrategyUnknown, match="no strategy luck") as caught:
        load_strategy("luck", {}, NAMES)
    assert "baseline" in str(caught.value.expected)
