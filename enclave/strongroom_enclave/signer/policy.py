"""The owner's policy, asked anew before each signature. `RULES` is all of it, at one glance.

Exposure of an order is the most value that can ever leave through it, its maker amount: pUSD for a
buy; for a sell the shares given, each worth at most 1 pUSD. A signed order may be filled in full at
any time from the moment it exists, and what became of it only the host could tell. So nothing gives
exposure back: no fill, cancel, expiry or price that the host reports. And a limit says how much can
leave, not where to: whoever takes the other side of an allowed order may be anybody.

Money and shares are in millionths, prices in millionths of a pUSD per share; all of it integers.
"""

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct
from strongroom_wire.errors import Malformed, Rule
from strongroom_wire.frames import OrderIntent
from strongroom_wire.manifest import Policy, micro
from strongroom_wire.statements import Budget

from strongroom_enclave.clock import ClockFault
from strongroom_enclave.signer import amounts, clob


class ProposedOrder(OrderIntent, frozen=True, gc=False):
    """An intent with what the enclave adds: `exchange`, the manifest's name of the contract, the
    amounts that would be signed, and `posted`, which dates the L2 headers of the request (s)."""

    exchange: str
    maker_amount: int
    taker_amount: int
    posted: int


class Approved(Struct, frozen=True):
    """Sign: every rule agreed, and the exposure is counted already. The only decision that is true,
    so that `None`, or whatever else is returned by mistake, refuses too."""


class Denied(Struct, frozen=True):
    """A rule said no to the order at index `order`; `RULES` has the units of both numbers."""

    rule: Rule
    order: int
    limit: int
    actual: int

    def __bool__(self) -> bool:
        return False


Decision = Approved | Denied
_Measure = tuple[int, int]


class _Window:
    """Sums what was added within `seconds`, both ends included, in bounded memory.

    What comes within 1/256 of the span after the first of an entry joins that entry, and an entry
    leaves with its last. So an amount may count up to that much too long, and never too short.
    """

    def __init__(self, seconds: int, limit: int) -> None:
        self.limit, self._span, self._total = limit, seconds * 1000, 0
        self._entries: deque[tuple[int, int, int]] = deque()  # time of first and last, amount

    def total(self, now: int) -> int:
        """Returns the sum at `now`, in ms; neither this nor `add` may be asked backwards."""
        while self._entries and now - self._entries[0][1] > self._span:
            self._total -= self._entries.popleft()[2]
        return self._total

    def add(self, now: int, amount: int) -> None:
        """Counts `amount` from `now` on."""
        first, self._total = now, self._total + amount
        if self._entries and now - self._entries[-1][0] <= self._span // 256:
            first, _, joined = self._entries.pop()
            amount += joined
        self._entries.append((first, now, amount))


class PolicyEngine:
    """Decides for one key and remembers all that it approved. As it starts out, it allows nothing.
    Not for threads: the signer has one. Its numbers are for `RULES` and its own methods.

    Raises:
        ManifestInvalid: an amount is not one. A verified manifest has no such.
    """

    def __init__(self, policy: Policy) -> None:
        markets = [(int(market.token), market) for market in policy.markets]
        self.exchanges = {token: market.exchange for token, market in markets}
        self.sides = {t: {amounts.Side[s.upper()] for s in m.sides} for t, m in markets}
        self.bands = {token: (micro(m.min_price), micro(m.max_price)) for token, m in markets}
        self.order_types = {clob.OrderType[name] for name in policy.order_types}
        self.max_lifetime, self.max_skew_ms = policy.max_lifetime, policy.max_skew * 1000
        self.order_notional = micro(policy.order_notional)
        self.windows = [_Window(w.seconds, micro(w.notional)) for w in policy.windows]
        self.rate = _Window(60, policy.orders_per_minute)
        self.budget, self.not_after, self.permits, self.kills = Budget("", 0, 0), 0, 0, 0
        self.now = self.clock_off = self.notional = self.orders = 0
        self.exposure = self.count = 0  # of a batch, up to and with the order asked about

    def permit(self, budget: Budget, not_after_ms: int) -> None:
        """Puts the key's share of a verified permit in force, up to and including `not_after_ms`.

        Budgets are totals since boot and what was used stays used: a permit that comes again, late
        or in another order allows no more than its own numbers say.
        """
        self.budget, self.not_after, self.permits = budget, not_after_ms, self.permits + 1

    @property
    def counted(self) -> tuple[int, int]:
        """What was approved in this boot: millionths of pUSD, and orders."""
        return self.notional, self.orders

    def kill(self) -> None:
        """Denies everything from here on. Nothing in this boot undoes it."""
        self.kills = 1

    def decide(self, orders: Sequence[ProposedOrder], clock_now: Callable[[], int]) -> Decision:
        """Returns `Approved` if every rule holds for every order, counted atop those before it.

        All or nothing, and counted before the approval exists: nobody can hold one that is not.
        `clock_now` returns authenticated ms since the epoch or raises `ClockFault`.

        Raises:
            Malformed: there is no order.
            Exception: a rule or the clock is broken: whatever it was, nothing is approved.
        """
        Malformed.unless(orders, "batch", "an order", "none")
        try:
            self.now, self.clock_off, self.exposure = max(self.now, clock_now()), 0, 0
        except ClockFault as error:
            self.clock_off, self.exposure = max(abs(error.actual - error.expected), 1), 0
        for index, order in enumerate(orders):
            self.exposure, self.count = self.exposure + order.maker_amount, index + 1
            for rule, measure in RULES:
                limit, actual = measure(order, self)
                if not actual <= limit:
                    return Denied(rule, index, abs(limit), abs(actual))
        self.notional, self.orders = self.notional + self.exposure, self.orders + len(orders)
        self.rate.add(self.now, len(orders))
        for window in self.windows:
            window.add(self.now, self.exposure)
        return Approved()


def _price_band(o: ProposedOrder, s: PolicyEngine) -> _Measure:
    """The price asked for and the one signed. They differ in a market buy, whose shares are rounded
    down: asked at the very top of the band, it is above it. Rounding each quotient towards the
    outside of the band keeps the comparison with whole millionths exact."""
    (low, high), given = s.bands[o.token], (o.maker_amount, o.taker_amount)
    cash, shares = given if o.side == amounts.Side.BUY else given[::-1]
    lowest = min(o.price, cash * amounts.ONE // shares) if shares > 0 else 0
    if lowest < max(low, 1):
        return -max(low, 1), -lowest
    return high, max(o.price, -(-cash * amounts.ONE // shares))


def _lifetime(o: ProposedOrder, s: PolicyEngine) -> _Measure:
    """Expiry is not in the signed struct: this binds the posted request, which the HMAC covers."""
    if o.order_type != clob.OrderType.GTD:
        return 0, abs(o.expiration)
    if o.expiration * 1000 < s.now:
        return s.now // -1000, -o.expiration
    return s.now // 1000 + s.max_lifetime, o.expiration


def _timestamp(o: ProposedOrder, s: PolicyEngine) -> _Measure:
    """The order's own, and that of its L2 headers: dated ahead they would let it be kept back, and
    posted after the permit, its lifetime and a cancel-all are over. The venue refuses old ones."""
    return s.max_skew_ms, max(abs(o.timestamp - s.now), o.posted * 1000 - s.now)


def _window_notional(_: ProposedOrder, s: PolicyEngine) -> _Measure:
    totals = [(window.limit, window.total(s.now) + s.exposure) for window in s.windows]
    return max(totals, key=lambda pair: pair[1] - pair[0], default=(0, 0))


# Each measures (limit, actual) and holds when actual <= limit; a lower bound has both negated. All
# are asked of each order in a batch, in this order; the first that does not hold is the answer. A
# rule may rely on those above it: on a listed market, say, or an amount above zero.
RULES: tuple[tuple[Rule, Callable[[ProposedOrder, PolicyEngine], _Measure]], ...] = (
    (Rule.PERMIT, lambda _, s: (-1, -s.permits)),
    (Rule.KILL_SWITCH, lambda _, s: (0, s.kills)),
    (Rule.CLOCK, lambda _, s: (0, s.clock_off)),  # ms or ns between what was expected and found
    (Rule.PERMIT_EXPIRED, lambda _, s: (s.not_after, s.now)),  # ms since the epoch
    (Rule.MARKET, lambda o, s: (0, int(s.exchanges.get(o.token) != o.exchange))),  # 1: not listed
    (Rule.SIDE, lambda o, s: (0, int(o.side not in s.sides[o.token]))),  # 1: not listed
    (Rule.PRICE_BAND, _price_band),  # the bound that is broken, and the price
    (Rule.ORDER_TYPE, lambda o, s: (0, int(o.order_type not in s.order_types))),  # 1: not listed
    (Rule.LIFETIME, _lifetime),  # the bound that is broken, and the expiration; s since the epoch
    (Rule.TIMESTAMP, _timestamp),  # ms from now
    (Rule.ORDER_NOTIONAL, lambda o, s: (s.order_notional, o.maker_amount)),
    (Rule.WINDOW_NOTIONAL, _window_notional),  # of the window exceeded most
    (Rule.BUDGET_NOTIONAL, lambda _, s: (s.budget.notional, s.notional + s.exposure)),
    (Rule.BUDGET_ORDERS, lambda _, s: (s.budget.orders, s.orders + s.count)),
    (Rule.RATE, lambda _, s: (s.rate.limit, s.rate.total(s.now) + s.count)),  # orders in 60 s
)
