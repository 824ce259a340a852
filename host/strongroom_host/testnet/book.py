"""A price-time priority order book for one token, and the plan of a match.

Planning and applying are two steps: a fill-or-kill order is judged on the plan, and nothing has
moved when it is killed. All shares are whole lots, so every cost is an exact integer.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

from strongroom_host.testnet.orders import Side
from strongroom_host.testnet.units import LOT, PRICE_SCALE, cash_for

__all__ = ["Book", "Fill", "Plan"]


@dataclass(frozen=True, slots=True)
class Fill:
    """`shares` of the resting order `order_id` at its price, for exactly `cash`."""

    order_id: bytes
    price: int
    shares: int
    cash: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The fills an incoming order would get now, and whether they satisfy it whole."""

    fills: tuple[Fill, ...]
    complete: bool

    @property
    def shares(self) -> int:
        """Shares over all fills."""
        return sum(fill.shares for fill in self.fills)

    @property
    def cash(self) -> int:
        """Cash over all fills."""
        return sum(fill.cash for fill in self.fills)


@dataclass(slots=True)
class _Resting:
    order_id: bytes
    price: int
    remaining: int


class _Half:
    """One side: price levels in priority order, first come first in each."""

    def __init__(self, side: Side) -> None:
        self._sign = -1 if side is Side.BUY else 1  # best first: highest bid, lowest ask
        self._keys: list[int] = []
        self.levels: dict[int, dict[bytes, _Resting]] = {}

    def prices(self) -> list[int]:
        return [self._sign * key for key in self._keys]

    def add(self, resting: _Resting) -> None:
        if resting.price not in self.levels:
            self.levels[resting.price] = {}
            insort(self._keys, self._sign * resting.price)
        self.levels[resting.price][resting.order_id] = resting

    def remove(self, resting: _Resting) -> None:
        level = self.levels[resting.price]
        del level[resting.order_id]
        if not level:
            del self.levels[resting.price]
            self._keys.remove(self._sign * resting.price)


class Book:
    """Resting orders of one token."""

    def __init__(self) -> None:
        self._halves = {side: _Half(side) for side in Side}
        self._places: dict[bytes, tuple[Side, _Resting]] = {}
        self.touched: set[tuple[Side, int]] = set()
        """Side and price of the levels that changed since somebody emptied it."""

    def add(self, order_id: bytes, side: Side, price: int, shares: int) -> None:
        """Rest `shares` at `price`, behind everything already there.

        Raises:
            ValueError: a known id, a fraction of a lot, or nothing to rest.
        """
        if order_id in self._places or shares <= 0 or shares % LOT:
            raise ValueError("an order rests once, in whole lots")
        resting = _Resting(order_id, price, shares)
        self._halves[side].add(resting)
        self._places[order_id] = (side, resting)
        self.touched.add((side, price))

    def remove(self, order_id: bytes) -> bool:
        """Take an order off the book; False when it is not on it."""
        place = self._places.pop(order_id, None)
        if place is None:
            return False
        side, resting = place
        self._halves[side].remove(resting)
        self.touched.add((side, resting.price))
        return True

    def best(self, side: Side) -> int | None:
        """The best price of `side`, or None."""
        prices = self._halves[side].prices()
        return prices[0] if prices else None

    def resting(self, side: Side, price: int) -> int:
        """Shares at one price of `side`; 0 where nothing rests."""
        level = self._halves[side].levels.get(price, {})
        return sum(item.remaining for item in level.values())

    def levels(self, side: Side) -> list[tuple[int, int]]:
        """(price, total shares) of `side`, best first."""
        half = self._halves[side]
        return [
            (price, sum(item.remaining for item in half.levels[price].values()))
            for price in half.prices()
        ]

    def crosses(self, side: Side, price: int) -> bool:
        """Whether an incoming order of `side` at `price` would match at once."""
        opposite = Side.SELL if side is Side.BUY else Side.BUY
        best = self.best(opposite)
        return best is not None and (best <= price if side is Side.BUY else best >= price)

    def plan(
        self, side: Side, limit: int, *, shares: int | None = None, cash: int | None = None
    ) -> Plan:
        """What an incoming order of `side` would trade at `limit` or better.

        Exactly one bound is given: `shares`, or `cash` for a BUY that spends. A cash order is
        complete when what is left buys no further lot at its limit.

        Raises:
            ValueError: both bounds or none.
        """
        if (shares is None) == (cash is None):
            raise ValueError("give shares or cash")
        half = self._halves[Side.SELL if side is Side.BUY else Side.BUY]
        shares_left, cash_left = shares or 0, cash or 0
        fills: list[Fill] = []
        for price in half.prices():
            if price > limit if side is Side.BUY else price < limit:
                break
            for resting in half.levels[price].values():
                wanted = (
                    shares_left if cash is None else cash_left * PRICE_SCALE // price // LOT * LOT
                )
                size = min(wanted, resting.remaining)
                if size <= 0:
                    break
                fill = Fill(resting.order_id, price, size, cash_for(size, price))
                fills.append(fill)
                shares_left -= size
                cash_left -= fill.cash
        done = shares_left == 0 if cash is None else cash_left < cash_for(LOT, limit)
        return Plan(tuple(fills), complete=bool(fills) and done)

    def apply(self, plan: Plan) -> None:
        """Take the planned shares off their resting orders.

        Raises:
            ValueError: the book changed since the plan was made.
        """
        for fill in plan.fills:
            side, resting = self._places.get(fill.order_id, (None, None))
            if (
                side is None
                or resting is None
                or resting.remaining < fill.shares
                or resting.price != fill.price
            ):
                raise ValueError("the plan is stale")
            resting.remaining -= fill.shares
            self.touched.add((side, fill.price))
            if resting.remaining == 0:
                self.remove(fill.order_id)
