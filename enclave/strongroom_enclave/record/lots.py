"""What is open in each market, at what cost and since when, by average cost and by FIFO.

Only trades count here. The realised profit is never added up: it is what the open cost leaves of
the total cost, so realised and unrealised profit make the position's whole profit, always.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec import Struct, field

from strongroom_enclave.record.events import Event, Kind, Market, Trade
from strongroom_enclave.record.exact import MONEY, ZERO, quotient
from strongroom_enclave.record.ledger import Prices, market_of, valued, worth

__all__ = ["Lot", "Lots", "Position"]

_REMAINDER = 1000


class Lot(Struct):
    """What is left of one opening fill. `opened` is the quantity that it began with."""

    time_ms: int
    quantity: Decimal
    cost: Decimal
    opened: Decimal


class Position(Struct):
    """One market's trades: quantity, cost of all fills, cost of what is open by average cost, lots
    of what is open by FIFO. Costs are what `worth` says, so of a bought inverse contract negative:
    the `s` of README.md is in them."""

    quantity: Decimal = ZERO
    total: Decimal = ZERO
    average: Decimal = ZERO
    lots: deque[Lot] = field(default_factory=deque)

    def fill(self, time_ms: int, quantity: Decimal, cost: Decimal) -> None:
        """Adds a fill; fills come in canonical order. One of nothing changes nothing."""
        self.total += cost
        held, self.quantity = self.quantity, self.quantity + quantity
        if held and (held > 0) != (quantity > 0):
            if abs(quantity) < abs(held):
                self.average += quotient(self.average * quantity, held, MONEY)
                self._close(quantity)
                return
            cost -= quotient(cost * -held, quantity, MONEY)
            quantity, self.average = self.quantity, ZERO
            self.lots.clear()
        if quantity:
            self.average += cost
            self.lots.append(Lot(time_ms, quantity, cost, quantity))

    def _close(self, quantity: Decimal) -> None:
        """Takes less than all of it from the oldest lots on."""
        while abs(self.lots[0].quantity) <= abs(quantity):
            quantity += self.lots.popleft().quantity
        lot = self.lots[0]
        lot.cost += quotient(lot.cost * quantity, lot.quantity, MONEY)
        lot.quantity += quantity

    def cost(self, *, fifo: bool = False) -> Decimal:
        """Returns the cost of what is open, by average cost or by FIFO."""
        return sum((lot.cost for lot in self.lots), ZERO) if fifo else self.average


class Lots:
    """The positions of an account by symbol. Call its methods within `exactly()`."""

    def __init__(self, markets: Mapping[str, Market]) -> None:
        self.markets = markets
        self.positions = defaultdict[str, Position](Position)

    def fold(self, events: Iterable[Event]) -> dict[str, Decimal]:
        """Adds the trades among events, which come in canonical order; returns what they realised
        by average cost, by the asset that it is in.

        Raises:
            MarketUnknown: a trade is in a market that was not described.
        """
        made = defaultdict[str, Decimal](Decimal)
        for trade in events:
            if not isinstance(trade, Trade):
                continue
            market, position = market_of(self.markets, trade.symbol), self.positions[trade.symbol]
            quantity = trade.amount * trade.side * market.size
            if market.kind is Kind.SPOT and trade.fee_asset == market.base:
                quantity -= trade.fee
            made[market.settle] -= position.cost() - position.total
            position.fill(trade.time_ms, quantity, worth(market, quantity, trade.price))
            made[market.settle] += position.cost() - position.total
        return made

    def realised(self, symbol: str, *, fifo: bool = False) -> Decimal:
        """Returns the profit of everything closed so far in this market, in its settle units."""
        position = self.positions[symbol]
        return position.cost(fifo=fifo) - position.total

    def unrealised(self, symbol: str, price: Prices, *, fifo: bool = False) -> Decimal:
        """Returns the profit of what is open in this market, in the account's currency."""
        position, market = self.positions[symbol], self.markets[symbol]
        if not position.quantity:
            return ZERO
        cost = position.cost(fifo=fifo) * price(market.settle)
        return valued(market, position.quantity, price) - cost

    def open_since(self) -> int | None:
        """Returns the time of the oldest lot with more than a thousandth left, in ms; None if there
        is none: what a step size leaves behind is no position."""
        times = (
            lot.time_ms
            for position in self.positions.values()
            for lot in position.lots
            if abs(lot.quantity) * _REMAINDER > abs(lot.opened)
        )
        return min(times, default=None)
