"""Any sequence of batches, permits, kills and times against an oracle that forgets nothing.

The oracle keeps a list of all that was signed and judges each batch from that list alone, with
fractions and the policy as the manifest states it. An approval must be one by the oracle, exactly;
a denial must be one by an oracle whose windows are longer by the documented 1/256.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace as change
from strongroom_enclave.clock import ClockStale
from strongroom_enclave.signer.amounts import Side
from strongroom_enclave.signer.clob import OrderType
from strongroom_enclave.signer.policy import Denied, PolicyEngine, ProposedOrder
from strongroom_wire.errors import Rule
from strongroom_wire.manifest import Market, Policy, Window
from strongroom_wire.statements import Budget

from tests.enclave.policy.sample import NOW

POLICY = Policy(
    markets=(
        Market("5", "v3", ("buy", "sell"), Decimal("0.2"), Decimal("0.8")),
        Market("6", "v2", ("buy",), Decimal("0.4"), Decimal("0.5")),
    ),
    order_types=("GTC", "GTD"),
    order_notional=Decimal("0.000060"),
    windows=(Window(2, Decimal("0.000100")), Window(90, Decimal("0.000300"))),
    orders_per_minute=6,
    max_lifetime=100,
    max_skew=2,
    builder="00" * 32,
    metadata="00" * 32,
)
"""So small that every limit is met often."""


@dataclass(frozen=True)
class Signed:
    """One order that was approved: when, and what can leave through it, in millionths."""

    time: int
    exposure: int


@dataclass(frozen=True)
class Oracle:
    """All that ever happened."""

    signed: tuple[Signed, ...] = ()
    permit: tuple[Budget, int] | None = None
    killed: bool = False

    def within(self, now: int, span_ms: int) -> list[Signed]:
        """Returns what was signed at most `span_ms` before `now`."""
        return [one for one in self.signed if now - one.time <= span_ms]

    def allows(self, order: ProposedOrder, now: int, stretch: int) -> bool:
        """Judges one order; `stretch` 1 lengthens the windows by a 256th of theirs."""
        return (
            not self.killed
            and self.permit is not None
            and now <= self.permit[1]
            and listed(order)
            and lives(order, now)
            and abs(Fraction(order.timestamp - now, 1000)) <= POLICY.max_skew
            and order.maker_amount <= POLICY.order_notional * 10**6
            and self.leaves_room(order.maker_amount, now, stretch)
            and sum(one.exposure for one in self.signed) + order.maker_amount
            <= self.permit[0].notional
            and len(self.signed) + 1 <= self.permit[0].orders
        )

    def leaves_room(self, exposure: int, now: int, stretch: int) -> bool:
        """Judges the windows of time."""
        for window in POLICY.windows:
            span = 1000 * window.seconds
            recent = self.within(now, span + stretch * (span // 256))
            if sum(one.exposure for one in recent) + exposure > window.notional * 10**6:
                return False
        recent = self.within(now, 60_000 + stretch * (60_000 // 256))
        return len(recent) + 1 <= POLICY.orders_per_minute

    def after(self, orders: list[ProposedOrder], now: int, stretch: int = 0) -> "Oracle | None":
        """Returns the history with the whole batch signed, or None if it must not be."""
        oracle = self
        for order in orders:
            if not oracle.allows(order, now, stretch):
                return None
            signed = (*oracle.signed, Signed(now, order.maker_amount))
            oracle = replace(oracle, signed=signed)
        return oracle


def listed(order: ProposedOrder) -> bool:
    """Judges market, side, prices and order type."""
    market = next((m for m in POLICY.markets if int(m.token) == order.token), None)
    if market is None or market.exchange != order.exchange:
        return False
    cash, shares = order.maker_amount, order.taker_amount
    if order.side is Side.SELL:
        cash, shares = shares, cash
    return (
        Side(order.side).name.lower() in market.sides
        and OrderType(order.order_type).name in POLICY.order_types
        and all(
            Fraction(market.min_price) <= price <= Fraction(market.max_price)
            for price in (Fraction(order.price, 10**6), Fraction(cash, shares))
        )
    )


def lives(order: ProposedOrder, now: int) -> bool:
    """Judges the expiration."""
    if order.order_type is not OrderType.GTD:
        return order.expiration == 0
    return 0 <= Fraction(order.expiration) - Fraction(now, 1000) <= POLICY.max_lifetime


AROUND_THE_RULES: dict[str, tuple[object, ...]] = {
    "token": (6, 7),
    "exchange": ("v2", "v3", ""),
    "price": (199_999, 200_000, 800_000, 800_001),
    "taker_amount": (1, 15, 16, 40, 60, 399, 400),
    "order_type": (OrderType.GTD, OrderType.FOK),
    "timestamp": (-2_001, -2_000, 2_000, 2_001),
    "expiration": (-1, 1, 100, 101),
}


@st.composite
def orders(draw: st.DrawFn) -> ProposedOrder:
    """An order around time 0 that may be signed, and in every third case one with a field that may
    make it one that must not."""
    shares = draw(st.integers(10, 110))
    cash, kind = shares * draw(st.sampled_from([40, 45, 50])) // 100, draw(st.sampled_from("BBSG"))
    order = ProposedOrder(
        token=5,
        exchange="v3",
        side=Side.SELL if kind == "S" else Side.BUY,
        order_type=OrderType.GTD if kind == "G" else OrderType.GTC,
        tick=1,
        flags=0,
        price=450_000,
        size=shares,
        salt=0,
        maker_amount=shares if kind == "S" else cash,
        taker_amount=cash if kind == "S" else shares,
        timestamp=draw(st.integers(-2_000, 2_000)),
        expiration=50 if kind == "G" else 0,
        posted=0,
    )
    if draw(st.integers(0, 2)) != 1:
        return order
    field = draw(st.sampled_from(sorted(AROUND_THE_RULES)))
    order = change(order, **{field: draw(st.sampled_from(AROUND_THE_RULES[field]))})
    return change(order, exchange="v2") if order.token == 6 else order


def placed(order: ProposedOrder, now: int) -> ProposedOrder:
    """Returns the order with its times counted from `now`."""
    expires = order.expiration + now // 1000 if order.expiration else 0
    return change(order, timestamp=order.timestamp + now, expiration=expires)


def without_time() -> int:
    """A clock that was starved of anchors."""
    raise ClockStale("age", 30_000, 30_001)


class AgainstTheOracle(RuleBasedStateMachine):
    """Drives an engine and the oracle through the same events."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = PolicyEngine(POLICY)
        self.oracle = Oracle()
        self.now = NOW
        self.permits: list[tuple[Budget, int]] = []

    @initialize(notional=st.integers(300, 600), count=st.integers(6, 30))
    def first_permit(self, notional: int, count: int) -> None:
        """Without one there is little to see, and other tests see it."""
        self.put_in_force((Budget("k", notional, count), NOW + 10**7))

    def put_in_force(self, permit: tuple[Budget, int]) -> None:
        """Issues a permit to both."""
        self.permits.append(permit)
        self.engine.permit(*permit)
        self.oracle = replace(self.oracle, permit=permit)

    @precondition(lambda self: len(self.permits) <= len(self.oracle.signed))
    @rule(notional=st.integers(0, 2_000), count=st.integers(0, 60))
    def permit(self, notional: int, count: int) -> None:
        """A smaller or larger one."""
        self.put_in_force((Budget("k", notional, count), self.now + 10**7))

    @precondition(lambda self: len(self.oracle.signed) > 6)
    @rule(notional=st.integers(300, 2_000), lasts=st.integers(-1, 30_000))
    def short_permit(self, notional: int, lasts: int) -> None:
        """One that soon runs out, or has."""
        self.put_in_force((Budget("k", notional, 60), self.now + lasts))

    @precondition(lambda self: len(self.permits) > 1)
    @rule(which=st.integers(0, 10**6))
    def permit_again(self, which: int) -> None:
        """A recorded one, replayed in any order."""
        self.put_in_force(self.permits[which % len(self.permits)])

    @rule(step=st.integers(0, 3_000) | st.sampled_from([0, 7, 2_000, 2_001, 30_000, 60_001]))
    def time_passes(self, step: int) -> None:
        """Only forwards: `Clock` answers for that."""
        self.now += step

    @rule(order=orders(), step=st.integers(0, 30_000))
    def one_order(self, order: ProposedOrder, step: int) -> None:
        """The usual case: a while later."""
        self.now += step
        self.judge([order])

    @rule(batch=st.lists(orders(), min_size=1, max_size=4))
    def a_batch(self, batch: list[ProposedOrder]) -> None:
        """Orders that count against each other."""
        self.judge(batch)

    @precondition(lambda self: self.now > NOW)
    @rule(batch=st.lists(orders(), min_size=1, max_size=2), back=st.integers(1, 120_000))
    def under_a_clock_moved_back(self, batch: list[ProposedOrder], back: int) -> None:
        """Told the time once, the engine does not go back."""
        self.engine.decide([placed(batch[0], self.now)] * 20, lambda: self.now)  # over every limit
        self.judge(batch, back)

    def judge(self, batch: list[ProposedOrder], back: int = 0) -> None:
        """Decides twice, first under a clock that cannot tell the time, and compares."""
        batch = [placed(order, self.now) for order in batch]
        blind = self.engine.decide(batch, without_time)
        assert isinstance(blind, Denied)
        assert blind.rule in (Rule.PERMIT, Rule.KILL_SWITCH, Rule.CLOCK)
        decision = self.engine.decide(batch, lambda: self.now - back)
        exact = self.oracle.after(batch, self.now)
        if decision:
            assert exact is not None, f"approved {batch}"
            self.oracle = exact
        else:
            assert isinstance(decision, Denied), decision
            assert self.oracle.after(batch, self.now, stretch=1) is None, f"{decision} for {batch}"

    @precondition(lambda self: len(self.oracle.signed) > 7)
    @rule()
    def kill(self) -> None:
        """Late, or there would be little to see."""
        self.engine.kill()
        self.oracle = replace(self.oracle, killed=True)

    @invariant()
    def no_limit_was_ever_exceeded(self) -> None:
        """Stated anew over the whole history, whatever the single decisions were."""
        signed = self.oracle.signed
        most = max((budget.notional for budget, _ in self.permits), default=0)
        assert sum(one.exposure for one in signed) <= most
        assert len(signed) <= max((budget.orders for budget, _ in self.permits), default=0)
        assert all(one.exposure <= 60 for one in signed)
        for last in signed:
            until = [one for one in signed if one.time <= last.time]
            for window in POLICY.windows:
                span = [o.exposure for o in until if last.time - o.time <= window.seconds * 1000]
                assert sum(span) <= window.notional * 10**6
            assert sum(last.time - one.time <= 60_000 for one in until) <= 6


AgainstTheOracle.TestCase.settings = settings(
    max_examples=settings().max_examples * 2, stateful_step_count=60
)
TestAgainstTheOracle = AgainstTheOracle.TestCase
