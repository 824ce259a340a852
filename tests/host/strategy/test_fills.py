"""The fill model: each rule by hand, money exactly, and never kinder than a real queue."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.ring.tick import Kind, Side, Status
from strongroom_host.strategy.fills import Costs, FillModel
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

from tests.host.strategy.ticks import MS, Feed, Kept

MILLION = 1_000_000
DIGEST = bytes(32)


class Bench:
    """A model that is fed ticks and decisions, and what it told."""

    def __init__(self, *, latency_ms: int = 0, fee_bps: int = 0, cash: int = 1000) -> None:
        self.sink = Kept()
        self.feed = Feed(self.sink)
        self.model = FillModel([1], Costs(latency_ms * MS, fee_bps, cash * MILLION))
        self.told: list[OrderEvent] = []
        self._seen = 0
        self._number = 0
        self.feed.book([(40, 100), (39, 50)], [(42, 100), (43, 50)])
        self.go()

    def go(self) -> "Bench":
        """Shows the model the ticks that are new."""
        for place, view in enumerate(self.sink.views()):
            if place >= self._seen:
                self.told += self.model.events(view)
        self._seen = len(self.sink.data) // 64
        return self

    def order(
        self,
        side: Side,
        price: int,
        size: int,
        kind: OrderType = OrderType.GTC,
        *,
        post_only: bool = False,
        expires_s: int = 0,
    ) -> int:
        terms = (1, side, price * 10_000, size * MILLION, kind, Reason.QUOTE, DIGEST)
        return self.decide(Intent(*terms, expires_s, post_only))

    def decide(self, decision: Decision) -> int:
        self._number += 1
        self.model.submit(self._number, decision, self.feed.now_ms * MS)
        return self._number

    def tick(self, ms: int = 0) -> "Bench":
        """Lets time go on by a tick that changes nothing."""
        self.feed.at(self.feed.now_ms + ms).status(Status.CONNECTED)
        return self.go()

    def fills(self, number: int) -> list[tuple[int, int, int]]:
        return [
            (event.filled // MILLION, event.cash, event.open // MILLION)
            for event in self.told
            if event.number == number and event.outcome is Outcome.FILLED
        ]

    def outcomes(self, number: int) -> list[Outcome]:
        return [event.outcome for event in self.told if event.number == number]

    def rest(self, side: Side, price: int, size: int) -> int:
        number = self.order(side, price, size)
        self.tick()
        assert self.outcomes(number) == [Outcome.LIVE]
        return number


def test_taking_walks_the_levels_at_their_prices() -> None:
    bench = Bench()
    number = bench.order(Side.BUY, 43, 120, OrderType.FAK)
    bench.tick()
    assert bench.fills(number) == [(100, -42_000_000, 20), (20, -8_600_000, 0)]
    assert bench.model.held[1] == 120 * MILLION
    assert bench.model.cash == (1000 * MILLION) - 50_600_000


def test_a_limit_is_a_limit_and_fak_leaves_nothing() -> None:
    bench = Bench()
    number = bench.order(Side.BUY, 42, 120, OrderType.FAK)
    bench.tick()
    assert bench.fills(number) == [(100, -42_000_000, 20)]
    assert bench.outcomes(number)[-1] is Outcome.CANCELLED
    assert bench.told[-1].open == 0


def test_fok_is_all_or_nothing() -> None:
    bench = Bench()
    number = bench.order(Side.BUY, 42, 101, OrderType.FOK)
    other = bench.order(Side.BUY, 42, 100, OrderType.FOK)
    bench.tick()
    assert bench.outcomes(number) == [Outcome.REFUSED]
    assert bench.fills(other) == [(100, -42_000_000, 0)]


def test_what_was_taken_stays_gone_until_its_level_does() -> None:
    bench = Bench()
    bench.order(Side.BUY, 42, 60, OrderType.FAK)
    second = bench.order(Side.BUY, 42, 60, OrderType.FAK)
    bench.tick()
    assert bench.fills(second) == [(40, -16_800_000, 20)]
    bench.feed.level(Side.SELL, 42, 110)
    bench.go()
    third = bench.order(Side.BUY, 42, 60, OrderType.FAK)
    bench.tick()
    assert bench.fills(third) == [(10, -4_200_000, 50)]
    bench.feed.level(Side.SELL, 42, 0).level(Side.SELL, 42, 80)
    bench.go()
    fourth = bench.order(Side.BUY, 42, 60, OrderType.FAK)
    bench.tick()
    assert bench.fills(fourth) == [(60, -25_200_000, 0)]


def test_post_only_never_takes() -> None:
    bench = Bench()
    number = bench.order(Side.BUY, 42, 1, post_only=True)
    fine = bench.order(Side.BUY, 41, 1, post_only=True)
    bench.tick()
    assert bench.outcomes(number) == [Outcome.REFUSED]
    assert bench.outcomes(fine) == [Outcome.LIVE]


def test_a_resting_order_waits_for_all_that_was_shown() -> None:
    bench = Bench()
    number = bench.rest(Side.BUY, 40, 30)
    bench.feed.trade(Side.SELL, 40, 100)
    bench.go()
    assert bench.fills(number) == []
    bench.feed.trade(Side.SELL, 40, 20).trade(Side.SELL, 40, 20)
    bench.go()
    assert bench.fills(number) == [(20, -8_000_000, 10), (10, -4_000_000, 0)]


def test_others_cancels_move_it_up_only_as_far_as_they_must() -> None:
    bench = Bench()
    number = bench.rest(Side.BUY, 40, 30)
    bench.feed.level(Side.BUY, 40, 25).level(Side.BUY, 40, 300).trade(Side.SELL, 40, 26)
    bench.go()
    assert bench.fills(number) == [(1, -400_000, 29)]


def test_a_trade_through_fills_no_more_than_was_traded() -> None:
    bench = Bench()
    number = bench.rest(Side.BUY, 40, 30)
    bench.feed.trade(Side.SELL, 39, 12)
    bench.go()
    assert bench.fills(number) == [(12, -4_800_000, 18)]
    bench.feed.trade(Side.SELL, 41, 500).trade(Side.BUY, 40, 500)
    bench.go()
    assert len(bench.fills(number)) == 1


def test_a_price_that_crosses_fills_at_once_at_the_own_price() -> None:
    bench = Bench()
    number = bench.rest(Side.BUY, 40, 30)
    bench.feed.level(Side.BUY, 40, 0).level(Side.BUY, 39, 0).level(Side.SELL, 39, 20)
    bench.go()
    assert bench.fills(number) == [(20, -8_000_000, 10)]
    bench.feed.level(Side.SELL, 39, 20)
    bench.go()
    assert len(bench.fills(number)) == 1, "the same offer fills once"


def test_selling_needs_shares_and_buying_cash() -> None:
    bench = Bench(cash=42)
    assert bench.outcomes(bench.order(Side.SELL, 40, 1)) == []
    bought = bench.order(Side.BUY, 42, 100, OrderType.FAK)
    poor = bench.order(Side.BUY, 39, 1)
    bench.tick()
    assert bench.outcomes(1) == [Outcome.REFUSED]
    assert bench.fills(bought) == [(100, -42_000_000, 0)]
    assert bench.outcomes(poor) == [Outcome.REFUSED]
    first = bench.order(Side.SELL, 45, 60)
    second = bench.order(Side.SELL, 46, 60)
    bench.tick()
    assert bench.outcomes(first) == [Outcome.LIVE]
    assert bench.outcomes(second) == [Outcome.REFUSED]


def test_money_promised_to_a_bid_is_not_there_for_another() -> None:
    bench = Bench(cash=40)
    bench.rest(Side.BUY, 39, 100)
    second = bench.order(Side.BUY, 39, 5)
    bench.tick()
    assert bench.outcomes(second) == [Outcome.REFUSED]


def test_orders_cancels_and_answers_take_their_time() -> None:
    bench = Bench(latency_ms=50)
    number = bench.order(Side.BUY, 41, 10)
    bench.tick(49)
    assert bench.model._resting == {}
    bench.tick(1)
    assert list(bench.model._resting) == [number]
    assert bench.outcomes(number) == [], "the answer is on its way"
    bench.tick(50)
    assert bench.outcomes(number) == [Outcome.LIVE]
    assert bench.told[0].at_ns == (1 + 100) * MS
    bench.decide(Cancel(bench.told[0].order_hash, Reason.REQUOTE, DIGEST))
    bench.feed.at(bench.feed.now_ms + 20).trade(Side.SELL, 41, 4)
    bench.tick(100)
    bench.tick(100)
    assert bench.fills(number) == [(4, -1_640_000, 6)]
    assert bench.outcomes(number)[-1] is Outcome.CANCELLED


def test_an_order_meets_the_book_before_the_tick_that_comes_later() -> None:
    bench = Bench(latency_ms=10)
    number = bench.order(Side.BUY, 42, 10, OrderType.FAK)
    bench.feed.at(bench.feed.now_ms + 11).level(Side.SELL, 42, 0)
    bench.go()
    bench.tick(50)
    assert bench.fills(number) == [(10, -4_200_000, 0)]


def test_cancel_all_and_expiry() -> None:
    bench = Bench()
    first, second = bench.rest(Side.BUY, 40, 1), bench.rest(Side.BUY, 39, 1)
    bench.decide(CancelAll(Reason.GAP, DIGEST))
    bench.tick()
    assert bench.outcomes(first)[-1] is bench.outcomes(second)[-1] is Outcome.CANCELLED
    dated = bench.order(Side.BUY, 40, 1, OrderType.GTD, expires_s=5)
    bench.tick()
    bench.feed.at(4_999).level(Side.BUY, 30, 1)
    bench.go()
    assert bench.outcomes(dated) == [Outcome.LIVE]
    bench.feed.at(5_000).level(Side.BUY, 30, 2)
    bench.go()
    assert bench.outcomes(dated) == [Outcome.LIVE, Outcome.EXPIRED]


def test_after_a_gap_nothing_fills_until_the_next_book_and_then_last() -> None:
    bench = Bench()
    number = bench.rest(Side.BUY, 40, 10)
    bench.feed.trade(Side.SELL, 40, 95)
    bench.go()
    bench.feed.epoch += 1
    bench.feed.trade(Side.SELL, 40, 500)
    bench.go()
    assert bench.fills(number) == []
    bench.feed.book([(40, 200)], [(42, 100)]).trade(Side.SELL, 40, 200)
    bench.go()
    assert bench.fills(number) == []
    bench.feed.trade(Side.SELL, 40, 3)
    bench.go()
    assert bench.fills(number) == [(3, -1_200_000, 7)]


def test_a_lost_reader_is_a_gap_too() -> None:
    bench = Bench()
    bench.rest(Side.BUY, 40, 10)
    bench.model.gap()
    order = bench.order(Side.BUY, 42, 1, OrderType.FAK)
    bench.tick()
    assert bench.outcomes(order) == [Outcome.REFUSED], "no book, no trade"


def test_a_resolved_market_ends_what_rests() -> None:
    bench = Bench()
    number = bench.rest(Side.BUY, 40, 10)
    bench.feed.status(Status.MARKET_RESOLVED, own=True)
    bench.go().tick()
    assert bench.outcomes(number)[-1] is Outcome.CANCELLED


def test_fees_are_takers_and_round_up() -> None:
    bench = Bench(fee_bps=7)
    bench.order(Side.BUY, 42, 1, OrderType.FAK)
    bench.tick()
    assert bench.model.fees == 294  # 420,000 * 7 / 10,000 = 294
    bench.order(Side.SELL, 40, 1, OrderType.FAK)
    bench.tick()
    assert bench.model.fees == 294 + 280


ORDERS = st.tuples(
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(380_000, 440_000),
    st.integers(1, 200 * MILLION),
    st.sampled_from(OrderType),
)
MOVES = st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(38, 44), st.integers(0, 300))


@settings(deadline=None)
@given(steps=st.lists(st.one_of(ORDERS, MOVES), max_size=25), fee=st.integers(0, 300))
def test_money_is_exact_and_nothing_goes_below_zero(
    steps: list[tuple[Side, int, int] | tuple[Side, int, int, OrderType]], fee: int
) -> None:
    bench = Bench(fee_bps=fee)
    limits = dict[int, tuple[Side, int, int]]()
    for step in steps:
        if len(step) == 4:
            side, price, size, kind = step
            terms = (1, side, price, size, kind, Reason.QUOTE, DIGEST)
            limits[bench.decide(Intent(*terms))] = (side, price, size)
        else:
            side, price, size = step
            if size % 2:
                bench.feed.trade(side, price, size)
            else:
                bench.feed.level(side, price, size)
        bench.tick()
        assert bench.model.cash >= 0
        assert bench.model.held[1] >= 0
    cash, held = Fraction(1000 * MILLION), 0
    for event in bench.told:
        side, price, size = limits[event.number]
        assert 0 <= event.filled + event.open <= size
        cash += event.cash
        held += event.filled if side is Side.BUY else -event.filled
        worst = Fraction(price * event.filled, MILLION)
        charged = worst * fee / 10_000
        if side is Side.BUY:
            assert event.cash >= -(worst + charged) - 2, "never dearer than the limit and the fee"
        elif event.filled:
            assert event.cash >= worst - worst * fee / 10_000 * 3 - 2
    assert cash == bench.model.cash
    assert held == bench.model.held[1]


QUEUE = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.integers(1, 60), st.just(0)),
        st.tuples(st.just("join"), st.integers(1, 60), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(1, 60), st.integers(0, 9)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(events=QUEUE, size=st.integers(1, 80))
def test_never_kinder_than_a_real_queue(events: list[tuple[str, int, int]], size: int) -> None:
    """Others' orders one by one, first come first served, with ours among them: at every moment it
    has been filled at least as far as the model says."""
    bench = Bench()
    number = bench.rest(Side.BUY, 40, size)
    # Others by arrival: how much of each is left, and whether it came before ours.
    queue: list[list[int | bool]] = [[60, True], [40, True]]
    truly = modelled = 0
    for what, amount, which in events:
        if what == "trade":
            amount = min(amount, sum(int(left) for left, _ in queue))
            if not amount:
                continue
            ahead = sum(int(left) for left, before in queue if before)
            truly = min(size, truly + max(0, amount - ahead))
            bench.feed.trade(Side.SELL, 40, amount)
            for other in queue:
                part = min(int(other[0]), amount)
                other[0] = int(other[0]) - part
                amount -= part
        elif what == "join":
            queue.append([amount, False])
        elif queue:
            other = queue[which % len(queue)]
            other[0] = max(0, int(other[0]) - amount)
        queue = [other for other in queue if other[0]]
        bench.feed.level(Side.BUY, 40, sum(int(left) for left, _ in queue))
        bench.go()
        modelled = sum(filled for filled, _, _ in bench.fills(number))
        assert modelled <= truly


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_both_sides_are_alike(side: Side) -> None:
    bench = Bench()
    bench.order(Side.BUY, 43, 100, OrderType.FAK)
    bench.tick()
    price, taker = (40, Side.SELL) if side is Side.BUY else (44, Side.BUY)
    number = bench.rest(side, price, 10)
    shown = 100 if side is Side.BUY else 0
    bench.feed.trade(taker, price, shown + 4)
    bench.go()
    assert [filled for filled, _, _ in bench.fills(number)] == [4]


@pytest.mark.parametrize("side", [0, 3, 255])
def test_a_tick_of_nobodys_side_fills_nothing_and_ends_nothing(side: int) -> None:
    bench = Bench()
    bench.order(Side.BUY, 42, 10, OrderType.FAK)
    bench.tick()
    buy, sell = bench.rest(Side.BUY, 40, 10), bench.rest(Side.SELL, 45, 10)
    for kind, price, size in ((Kind.TRADE, 39, 500), (Kind.TRADE, 46, 500), (Kind.LEVEL, 41, 0)):
        fields = (1, 2, 1, bench.feed.epoch, bench.feed.number, price * 10**6, size * 10**8)
        bench.sink.publish(int(kind), side, *fields, bench.feed.now_ms * MS, 0, 0)
        bench.feed.number += 1
        bench.go()
    assert bench.fills(buy) == bench.fills(sell) == []
