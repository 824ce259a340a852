"""What an account holds, has open and has made after some events.

A contract is held as if it had been bought for cash (README.md): no entry price, no average, and
nothing to round but the cost of inverse fills. Only lots depend on the order of events, and only
trades count for them. The realised profit is never added up: it is what the open cost leaves of the
total cost, so realised and unrealised profit make the position's whole profit, always.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from msgspec import Struct, field

from strongroom_enclave.record.errors import MarketUnknown
from strongroom_enclave.record.events import Event, FlowKind, Kind, Market, Markets, Trade
from strongroom_enclave.record.exact import MONEY, UNKNOWN, ZERO, quotient

_REMAINDER = 1000
Amounts = Mapping[str, Decimal]
# Of an asset: in the account's currency; of a contract's symbol: quote per base; or UNKNOWN.
Prices = Callable[[str], Decimal]


def worth(market: Market, quantity: Decimal, price: Decimal) -> Decimal:
    """Returns what a quantity costs or is worth at a price, in settle units with the sign of the
    quantity; of an inverse contract with the other one, since who is long owes it. So the `s` of
    README.md is in every cost."""
    inverse = market.kind is Kind.INVERSE
    return -quotient(quantity, price, MONEY) if inverse else quantity * price


def value(amounts: Amounts, price: Prices) -> Decimal:
    """Returns what assets are worth in the account's currency. What is not there needs no mark, but
    every other one is asked for even when one is missing: what is noted about marks on the way does
    not depend on an order."""
    return sum((amount * price(name) for name, amount in amounts.items() if amount), ZERO)


def valued(market: Market, quantity: Decimal, price: Prices) -> Decimal:
    """Returns what is held in a market is worth in the account's currency. At a mark of 0 an
    inverse contract is worth no number."""
    if market.kind is Kind.SPOT:
        return quantity * price(market.base)
    mark = price(market.symbol)
    known = mark or market.kind is not Kind.INVERSE
    return worth(market, quantity, mark if known else UNKNOWN) * price(market.settle)


def less(some: Amounts, other: Amounts) -> dict[str, Decimal]:
    """Returns the first amounts less the second."""
    return {name: some.get(name, ZERO) - other.get(name, ZERO) for name in some.keys() | other}


class Lot(Struct):
    """What is left of one opening fill. `opened` is the quantity that it began with."""

    time_ms: int
    quantity: Decimal
    cost: Decimal
    opened: Decimal


class Position(Struct):
    """One market's trades: quantity, cost of all fills, cost of what is open by average cost, lots
    of what is open by FIFO. Call its methods within `exactly()`."""

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


class Ledger:
    """Cash, by asset; contracts and positions, by symbol. And by asset, since who reads them last
    cleared them: profit realised in markets by average cost, fees paid, funding and the like.

    All of it is exact. Call its methods within `exactly()`.
    """

    def __init__(self, markets: Markets) -> None:
        self.markets, self.positions = markets, defaultdict[str, Position](Position)
        self.cash, self.contracts, self.realised, self.fees, self.funding = (
            defaultdict[str, Decimal](Decimal) for _ in range(5)
        )

    def fold(self, events: Iterable[Event]) -> None:
        """Adds events. They come in canonical order; cash and quantities are the same in any.

        Raises:
            MarketUnknown: a trade is in a market that was not described.
        """
        for event in events:
            if isinstance(event, Trade):
                self._trade(event)
                continue
            self.cash[event.asset] += event.amount
            if event.kind in (FlowKind.FEE, FlowKind.REBATE):
                self.fees[event.asset] -= event.amount
            elif not event.external:
                self.funding[event.asset] += event.amount

    def _trade(self, trade: Trade) -> None:
        if (market := self.markets.get(trade.symbol)) is None:
            raise MarketUnknown("market", "a described one", trade.symbol)
        quantity, spot = trade.amount * trade.side * market.size, market.kind is Kind.SPOT
        cost = worth(market, quantity, trade.price)
        self.cash[market.settle] -= cost
        held, name = (self.cash, market.base) if spot else (self.contracts, trade.symbol)
        held[name] += quantity
        if trade.fee:
            self.cash[trade.fee_asset] -= trade.fee
            self.fees[trade.fee_asset] += trade.fee
            if spot and trade.fee_asset == market.base:
                quantity -= trade.fee
                cost = worth(market, quantity, trade.price)
        position = self.positions[trade.symbol]
        before = position.average
        position.fill(trade.time_ms, quantity, cost)
        self.realised[market.settle] += position.average - before - cost

    def equity(self, price: Prices) -> Decimal:
        """Returns what all of it is worth in the account's currency; UNKNOWN without a mark."""
        contracts = [(self.markets[name], held) for name, held in self.contracts.items() if held]
        return sum((valued(*each, price) for each in contracts), value(self.cash, price))

    def unrealised(self, symbol: str, price: Prices) -> Decimal:
        """Returns the profit of what is open in a market, in the account's currency."""
        position, market = self.positions[symbol], self.markets[symbol]
        if not position.quantity:
            return ZERO
        cost = position.average * price(market.settle)
        return valued(market, position.quantity, price) - cost

    def open_since(self) -> int | None:
        """Returns the time of the oldest lot with more than a thousandth left, in ms; None if there
        is none: what a step size leaves behind is no position."""
        lots = (lot for position in self.positions.values() for lot in position.lots)
        still = (lot.time_ms for lot in lots if abs(lot.quantity) * _REMAINDER > abs(lot.opened))
        return min(still, default=None)
