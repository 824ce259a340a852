"""Each rule by itself: what breaks it, with which numbers, where its edge is, and that it counts.

`BREACHES` holds for each rule an otherwise good request that breaks this rule and no other. The
same table shows that a rule does its work: with the rule taken out, the request goes through.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strongroom_enclave.clock import Clock
from strongroom_enclave.signer import policy as policy_module
from strongroom_enclave.signer.amounts import ONE, Side, Tick, market_amounts
from strongroom_enclave.signer.clob import OrderType
from strongroom_enclave.signer.policy import RULES, Approved, Decision, Denied, PolicyEngine
from strongroom_wire.errors import Rule
from strongroom_wire.manifest import Market, Window
from strongroom_wire.statements import Budget

from tests.enclave.policy.sample import (
    BUDGET,
    BUY,
    NOT_AFTER,
    NOW,
    ONLY_SELL,
    POLICY,
    SELL,
    TOKEN,
    at,
    decide,
    permitted,
    sized,
)

EXPIRES_S = NOW // 1000 + 600
GTD = replace(BUY, order_type=OrderType.GTD, expiration=EXPIRES_S)
WIDE = replace(BUDGET, notional=10**12, orders=10**6)


def _killed() -> PolicyEngine:
    engine = permitted()
    engine.kill()
    return engine


def _after(*batches: int, budget: Budget = BUDGET) -> Callable[[], PolicyEngine]:
    """Returns how to make an engine that has approved an order of each of these exposures."""

    def make() -> PolicyEngine:
        engine = permitted(budget=budget)
        for exposure in batches:
            assert decide(engine, sized(exposure))
        return engine

    return make


def _stale_clock() -> int:
    clock = Clock(NOW)
    clock.anchor(NOW, 0)
    return clock.now_ms(31_000_000_000)


def _stepped_clock() -> int:
    clock = Clock(NOW)
    clock.anchor(NOW, 0)
    clock.anchor(NOW + 7_000, 1_000_000_000)
    return clock.now_ms(1_000_000_000)


@dataclass(frozen=True)
class Breach:
    """A request, and the denial it must get."""

    denial: Denied
    orders: tuple[policy_module.ProposedOrder, ...] = (BUY,)
    engine: Callable[[], PolicyEngine] = permitted
    clock: Callable[[], int] = field(default_factory=lambda: at(NOW))

    def decide(self) -> Decision:
        """The decision of a fresh engine."""
        return self.engine().decide(self.orders, self.clock)


def _breach(rule: Rule, limit: int, actual: int, **changes: object) -> Breach:
    return Breach(Denied(rule, 0, limit, actual), (replace(BUY, **changes),))


BREACHES = {
    "kill switch": Breach(Denied(Rule.KILL_SWITCH, 0, 0, 1), engine=_killed),
    "no fresh anchor": Breach(
        Denied(Rule.CLOCK, 0, 0, 1_000), engine=_after(ONE), clock=_stale_clock
    ),
    "clock stepped": Breach(
        Denied(Rule.CLOCK, 0, 0, 6_000), engine=_after(ONE), clock=_stepped_clock
    ),
    "permit ran out": Breach(
        Denied(Rule.PERMIT_EXPIRED, 0, NOW - 1, NOW),
        engine=lambda: permitted(not_after_ms=NOW - 1),
    ),
    "other exchange": _breach(Rule.MARKET, 0, 1, exchange="v2"),
    "side": Breach(Denied(Rule.SIDE, 0, 0, 1), (replace(BUY, token=ONLY_SELL, exchange="v2"),)),
    "price asked too high": _breach(Rule.PRICE_BAND, 600_000, 600_001, price=600_001),
    "price asked too low": _breach(Rule.PRICE_BAND, 100_000, 99_999, price=99_999),
    "price signed too high": _breach(Rule.PRICE_BAND, 600_000, 600_001, taker_amount=16_666_666),
    "price signed too low": _breach(Rule.PRICE_BAND, 100_000, 99_999, taker_amount=100_000_001),
    "shares for nothing": Breach(
        Denied(Rule.PRICE_BAND, 0, 100_000, 0), (replace(SELL, taker_amount=0),)
    ),
    "order type": _breach(Rule.ORDER_TYPE, 0, 1, order_type=OrderType.FAK),
    "expired": Breach(
        Denied(Rule.LIFETIME, 0, NOW // 1000 + 1, NOW // 1000),
        (replace(GTD, expiration=NOW // 1000),),
    ),
    "lives too long": Breach(
        Denied(Rule.LIFETIME, 0, NOW // 1000 + 3600, NOW // 1000 + 3601),
        (replace(GTD, expiration=NOW // 1000 + 3601),),
    ),
    "expiry of a GTC": _breach(Rule.LIFETIME, 0, EXPIRES_S, expiration=EXPIRES_S),
    "timestamp behind": _breach(Rule.TIMESTAMP, 5_000, 5_001, timestamp=NOW - 5_001),
    "timestamp ahead": _breach(Rule.TIMESTAMP, 5_000, 5_001, timestamp=NOW + 5_001),
    "order too large": Breach(
        Denied(Rule.ORDER_NOTIONAL, 0, 25 * ONE, 25 * ONE + 1), (sized(25 * ONE + 1),)
    ),
    "window": Breach(
        Denied(Rule.WINDOW_NOTIONAL, 0, 100 * ONE, 100 * ONE + 1),
        (sized(20 * ONE + 1),),
        _after(20 * ONE, 20 * ONE, 20 * ONE, 20 * ONE),
    ),
    "budget": Breach(
        Denied(Rule.BUDGET_NOTIONAL, 0, 30 * ONE, 30 * ONE + 1),
        (sized(10 * ONE + 1),),
        _after(20 * ONE, budget=replace(BUDGET, notional=30 * ONE)),
    ),
    "budget of orders": Breach(
        Denied(Rule.BUDGET_ORDERS, 0, 2, 3),
        engine=_after(ONE, ONE, budget=replace(BUDGET, orders=2)),
    ),
    "rate": Breach(Denied(Rule.RATE, 0, 10, 11), (sized(ONE),), _after(*[ONE] * 10)),
}

# Behind these stands another rule, which refuses as well when they are taken out.
BACKED_UP = {
    "no permit": (
        Breach(Denied(Rule.PERMIT, 0, 1, 0), engine=lambda: PolicyEngine(POLICY)),
        Denied(Rule.PERMIT_EXPIRED, 0, 0, NOW),
    ),
    "unlisted token": (
        Breach(Denied(Rule.MARKET, 0, 0, 1), (replace(BUY, token=TOKEN + 1),)),
        KeyError(TOKEN + 1),
    ),
}


@pytest.mark.parametrize("order", [BUY, SELL, GTD], ids=["buy", "sell", "good till date"])
def test_good_order_is_approved(order: policy_module.ProposedOrder) -> None:
    assert decide(permitted(), order) == Approved()


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES)
def test_breach_is_denied_by_its_rule_with_numbers(breach: Breach) -> None:
    assert breach.decide() == breach.denial


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES)
def test_without_its_rule_the_breach_would_pass(
    breach: Breach, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = tuple(entry for entry in RULES if entry[0] is not breach.denial.rule)
    monkeypatch.setattr(policy_module, "RULES", without)
    assert breach.decide() == Approved()


@pytest.mark.parametrize(("breach", "otherwise"), BACKED_UP.values(), ids=BACKED_UP)
def test_backed_up_rule_speaks_first(
    breach: Breach, otherwise: Decision | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert breach.decide() == breach.denial
    without = tuple(entry for entry in RULES if entry[0] is not breach.denial.rule)
    monkeypatch.setattr(policy_module, "RULES", without)
    if isinstance(otherwise, Exception):
        with pytest.raises(type(otherwise), match=str(otherwise)):
            breach.decide()
    else:
        assert breach.decide() == otherwise


def test_every_rule_is_in_the_table_once_in_order_and_has_its_breach() -> None:
    rules = [rule for rule, _ in RULES]
    assert rules == [rule for rule in Rule if rule is not Rule.NONE]
    broken = {breach.denial.rule for breach in BREACHES.values()}
    assert broken | {breach.denial.rule for breach, _ in BACKED_UP.values()} == set(rules)


def test_earlier_rule_answers_when_several_are_broken() -> None:
    engine = PolicyEngine(POLICY)
    everything = replace(
        BUY, exchange="v3", side=9, price=0, maker_amount=10**12, order_type=9, timestamp=0
    )
    seen = []
    for repair in (
        {},
        {"exchange": BUY.exchange},
        {"side": BUY.side},
        {"price": BUY.price, "taker_amount": 2 * 10**12},
        {"order_type": BUY.order_type},
        {"timestamp": NOW},
        {"maker_amount": ONE, "taker_amount": 2 * ONE},
    ):
        everything = replace(everything, **repair)
        decision = decide(engine, everything)
        if not repair:
            assert isinstance(decision, Denied)
            seen.append(decision.rule)
            engine.permit(BUDGET, NOT_AFTER)
            decision = decide(engine, everything)
        seen.append(decision.rule if isinstance(decision, Denied) else Rule.NONE)
    assert seen == [
        Rule.PERMIT,
        Rule.MARKET,
        Rule.SIDE,
        Rule.PRICE_BAND,
        Rule.ORDER_TYPE,
        Rule.TIMESTAMP,
        Rule.ORDER_NOTIONAL,
        Rule.NONE,
    ]


EDGES = {
    "permit's last ms": (permitted(not_after_ms=NOW), BUY),
    "price asked, highest": (permitted(), replace(BUY, price=600_000)),
    "price asked, lowest": (permitted(), replace(BUY, price=100_000)),
    "price signed, highest": (permitted(), replace(BUY, maker_amount=12 * ONE)),
    "price signed, lowest": (permitted(), replace(BUY, taker_amount=100 * ONE)),
    "price signed by a sell, highest": (permitted(), replace(SELL, taker_amount=12 * ONE)),
    "price signed by a sell, lowest": (permitted(), replace(SELL, taker_amount=2 * ONE)),
    "next second": (permitted(), replace(GTD, expiration=NOW // 1000 + 1)),
    "longest life": (permitted(), replace(GTD, expiration=NOW // 1000 + 3600)),
    "timestamp behind": (permitted(), replace(BUY, timestamp=NOW - 5_000)),
    "timestamp ahead": (permitted(), replace(BUY, timestamp=NOW + 5_000)),
    "largest order": (permitted(), sized(25 * ONE)),
    "window full": (_after(*[20 * ONE] * 4)(), sized(20 * ONE)),
    "budget used up": (
        _after(20 * ONE, budget=replace(BUDGET, notional=30 * ONE))(),
        sized(10 * ONE),
    ),
    "last order of the budget": (_after(ONE, budget=replace(BUDGET, orders=2))(), sized(ONE)),
    "last order of the minute": (_after(*[ONE] * 9)(), sized(ONE)),
}


@pytest.mark.parametrize(("engine", "order"), EDGES.values(), ids=EDGES)
def test_limit_itself_is_allowed(engine: PolicyEngine, order: policy_module.ProposedOrder) -> None:
    assert decide(engine, order) == Approved()


def test_expiry_in_this_very_ms_is_not_past() -> None:
    now = NOW // 1000 * 1000
    order = replace(GTD, expiration=now // 1000, timestamp=now)
    assert decide(permitted(), order, time_ms=now) == Approved()
    assert not decide(permitted(), order, time_ms=now + 1)


def test_sell_counts_shares_and_not_the_cash_it_asks_for() -> None:
    policy = replace(POLICY, order_notional=Decimal("19.999999"))
    assert decide(permitted(policy), SELL) == Denied(Rule.ORDER_NOTIONAL, 0, 20 * ONE - 1, 20 * ONE)


def test_sell_below_the_band_is_denied_by_the_price_it_signs() -> None:
    order = replace(SELL, taker_amount=2 * ONE - 1)
    assert decide(permitted(), order) == Denied(Rule.PRICE_BAND, 0, 100_000, 99_999)


def test_market_buy_at_the_top_of_the_band_is_denied_where_its_shares_were_rounded() -> None:
    tick = Tick.HUNDREDTH
    given, taken = market_amounts(Side.BUY, 600_000, 10 * ONE, tick)
    order = replace(BUY, price=600_000, maker_amount=given, taker_amount=taken)
    assert Fraction(given, taken) > Fraction(6, 10)
    assert decide(permitted(), order) == Denied(Rule.PRICE_BAND, 0, 600_000, 600_003)
    given, taken = market_amounts(Side.BUY, 600_000, 12 * ONE, tick)
    assert Fraction(given, taken) == Fraction(6, 10)
    order = replace(BUY, price=600_000, maker_amount=given, taker_amount=taken)
    assert decide(permitted(), order) == Approved()


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    ("maker", "taker"),
    [(0, 0), (0, 1), (1, 0), (-ONE, -2 * ONE), (-ONE, 2 * ONE), (ONE, -2 * ONE), (-2, -1)],
)
@pytest.mark.parametrize("low", ["0", "0.1"])
def test_amounts_that_are_no_trade_are_denied(side: Side, maker: int, taker: int, low: str) -> None:
    """Above all a negative one, which would give exposure back; even under an invalid band."""
    market = Market(str(TOKEN), "v2-neg-risk", ("buy", "sell"), Decimal(low), Decimal("0.99"))
    engine = permitted(replace(POLICY, markets=(market,)))
    order = replace(BUY, side=side, maker_amount=maker, taker_amount=taker)
    decision = decide(engine, order)
    assert isinstance(decision, Denied)
    assert decision.rule is Rule.PRICE_BAND
    assert min(decision.limit, decision.actual) >= 0


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), 10.0**9])
def test_what_is_no_integer_does_not_slip_past_a_comparison(amount: float) -> None:
    assert not decide(permitted(), replace(BUY, maker_amount=amount))
    assert not decide(permitted(), replace(BUY, maker_amount=amount, taker_amount=amount))
    assert not decide(permitted(), replace(BUY, price=amount))


@given(
    side=st.sampled_from(Side),
    maker=st.integers(1, 10**8),
    taker=st.integers(1, 10**8),
    price=st.integers(1, ONE - 1),
    low=st.integers(1, ONE - 1),
    high=st.integers(1, ONE - 1),
)
def test_band_is_compared_exactly(
    side: Side, maker: int, taker: int, price: int, low: int, high: int
) -> None:
    low, high = sorted((low, high))
    band = (Decimal(low).scaleb(-6), Decimal(high).scaleb(-6))
    market = Market(str(TOKEN), "v2-neg-risk", ("buy", "sell"), *band)
    policy = replace(POLICY, markets=(market,), order_notional=Decimal(1000), windows=())
    order = replace(BUY, side=side, maker_amount=maker, taker_amount=taker, price=price)
    signed = Fraction(maker, taker) if side is Side.BUY else Fraction(taker, maker)
    inside = low <= price <= high and low <= signed * ONE <= high
    decision = decide(permitted(policy, WIDE), order)
    assert bool(decision) is inside
    if not inside:
        prices = (Fraction(price), signed * ONE)
        below = min(prices) < low
        numbers = (low, floor(min(prices))) if below else (high, ceil(max(prices)))
        assert decision == Denied(Rule.PRICE_BAND, 0, *numbers)


def test_exchange_is_the_manifests_and_the_answer_for_an_unlisted_token_is_denied() -> None:
    engine = permitted()
    assert engine.exchanges == {TOKEN: "v2-neg-risk", ONLY_SELL: "v2"}
    decision = decide(engine, replace(BUY, token=12, exchange=""))
    assert decision == Denied(Rule.MARKET, 0, 0, 1)


def test_empty_policy_denies() -> None:
    nothing = replace(
        POLICY, markets=(), order_types=(), order_notional=Decimal(0), windows=(), max_lifetime=0
    )
    assert decide(permitted(nothing, WIDE), BUY) == Denied(Rule.MARKET, 0, 0, 1)
    assert decide(permitted(replace(POLICY, order_types=())), BUY) == Denied(
        Rule.ORDER_TYPE, 0, 0, 1
    )
    assert decide(permitted(replace(POLICY, orders_per_minute=0)), BUY) == Denied(
        Rule.RATE, 0, 0, 1
    )


def test_window_exceeded_most_is_the_one_named() -> None:
    windows = (Window(1, Decimal(9)), Window(60, Decimal(2)), Window(60, Decimal(4)))
    decision = decide(permitted(replace(POLICY, windows=windows)), BUY)
    assert decision == Denied(Rule.WINDOW_NOTIONAL, 0, 2 * ONE, 10 * ONE)


def test_wire_numbers_mean_the_same_as_the_enumerations() -> None:
    """A caller that passes the bare number must not turn a buy into a sell, or lose an expiry."""
    too_dear = replace(BUY, side=0, taker_amount=16_666_666)
    assert decide(permitted(), too_dear) == Denied(Rule.PRICE_BAND, 0, 600_000, 600_001)
    forever = replace(BUY, order_type=1)
    assert decide(permitted(), forever) == Denied(Rule.LIFETIME, 0, NOW // 1000 + 1, 0)
