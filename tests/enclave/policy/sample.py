"""One policy, one permit and one order that satisfies every rule: what each test departs from."""

from collections.abc import Callable
from decimal import Decimal

from msgspec.structs import replace
from strongroom_enclave.signer.amounts import ONE, Side
from strongroom_enclave.signer.clob import OrderType
from strongroom_enclave.signer.policy import Decision, PolicyEngine, ProposedOrder
from strongroom_wire.manifest import Market, Policy, Window
from strongroom_wire.statements import Budget

__all__ = [
    "BUDGET",
    "BUY",
    "NOT_AFTER",
    "NOW",
    "ONLY_SELL",
    "POLICY",
    "SELL",
    "TOKEN",
    "at",
    "decide",
    "permitted",
    "sized",
]

NOW = 1_800_000_000_500
"""ms since the epoch; not a whole second, so that rounding shows."""

NOT_AFTER = NOW + 86_400_000
TOKEN, ONLY_SELL = 2**255 + 7, 11

POLICY = Policy(
    markets=(
        Market(str(TOKEN), "v2-neg-risk", ("buy", "sell"), Decimal("0.10"), Decimal("0.60")),
        Market(str(ONLY_SELL), "v2", ("sell",), Decimal("0.000001"), Decimal("0.999999")),
    ),
    order_types=("GTC", "GTD", "FOK"),
    order_notional=Decimal(25),
    windows=(Window(60, Decimal(100)), Window(3600, Decimal("150.5"))),
    orders_per_minute=10,
    max_lifetime=3600,
    max_skew=5,
    builder="00" * 32,
    metadata="00" * 32,
)

BUDGET = Budget("momentum", 200 * ONE, 20)

BUY = ProposedOrder(
    token=TOKEN,
    exchange="v2-neg-risk",
    side=Side.BUY,
    order_type=OrderType.GTC,
    tick=1,
    flags=0,
    price=500_000,
    size=20 * ONE,
    salt=0,
    maker_amount=10 * ONE,
    taker_amount=20 * ONE,
    timestamp=NOW,
    expiration=0,
    posted=0,
)
"""Gives 10 pUSD for 20 shares: exposure 10 pUSD."""

SELL = replace(BUY, side=Side.SELL, maker_amount=20 * ONE, taker_amount=10 * ONE)
"""Gives 20 shares for 10 pUSD: exposure 20 pUSD, what the shares can be worth."""


def at(time_ms: int) -> Callable[[], int]:
    """A clock that stands still."""
    return lambda: time_ms


def sized(exposure: int, time_ms: int = NOW) -> ProposedOrder:
    """A buy that gives away `exposure` millionths of a pUSD at a price of one half."""
    return replace(BUY, maker_amount=exposure, taker_amount=2 * exposure, timestamp=time_ms)


def permitted(
    policy: Policy = POLICY, budget: Budget = BUDGET, not_after_ms: int = NOT_AFTER
) -> PolicyEngine:
    """An engine that approves the orders above at `NOW`."""
    engine = PolicyEngine(policy)
    engine.permit(budget, not_after_ms)
    return engine


def decide(engine: PolicyEngine, *orders: ProposedOrder, time_ms: int = NOW) -> Decision:
    """The decision on one batch at `time_ms`."""
    return engine.decide(orders, at(time_ms))
