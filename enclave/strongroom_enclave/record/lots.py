"""What is open in each market, at what cost and since when, by average cost and by FIFO.

Only trades count here. The realised profit is never added up: it is what the open cost leaves of
the total cost, so realised and unrealised profit make the position's whole profit, always.
"""

from collections.abc import Iterable
from decimal import Decimal
from enum import IntEnum

from msgspec import Struct

from strongroom_enclave.record.events import Kind, Market, Trade
from strongroom_enclave.record.exact import MONEY, ZERO, minus, quotient, times
from strongroom_enclave.record.ledger import Prices, contract_fill, held_value, market_of

__all__ = ["Lot", "Lots", "Method", "Position"]

_REMAINDER = 1000


class Method(IntEnum):
    """How the cost of what is closed is found."""

    AVERAGE = 0
    FIFO = 1


class Lot(Struct):
    """What is left of one opening fill. `opened` is the quantity that it began with."""

    time_ms: int
    quantity: Decimal
    cost: Decimal
    opened: Decimal


class Position(Struct):
    """One market's trades: quantity, cost of all fills, cost of what is open by either method."""

    quantity: Decimal = ZERO
    total: Decimal = ZERO
    average: Decimal = ZERO
    fifo: Decimal = ZERO
    lots: list[Lot] = []

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
            quantity = self.quantity
            self.average = self.fifo = ZERO
            self.lots.clear()
        if quantity:
            self.average, self.fifo = self.average + cost, self.fifo + cost
            self.lots.append(Lot(time_ms, quantity, cost, quantity))

    def _close(self, quantity: Decimal) -> None:
        """Takes less than all of it from the oldest lots on."""
        closed = 0
        for lot in self.lots:
            if abs(lot.quantity) > abs(quantity):
                part = quotient(lot.cost * quantity, lot.quantity, MONEY)
                lot.quantity, lot.cost = lot.quantity + quantity, lot.cost + part
                self.fifo += part
                break
            self.fifo, quantity, closed = self.fifo - lot.cost, quantity + lot.quantity, closed + 1
        del self.lots[:closed]

    def open_cost(self, method: Method) -> Decimal:
        """Returns the signed cost of what is open, in settle units."""
        return self.fifo if method is Method.FIFO else self.average


class Lots(Struct):
    """The positions of an account by symbol. Call its methods within `exactly()`."""

    markets: dict[str, Market]
    positions: dict[str, Position] = {}

    def fold(self, trades: Iterable[Trade]) -> None:
        """Adds trades, which come in canonical order.

        Raises:
            MarketUnknown: a trade is in a market that was not described.
        """
        for trade in trades:
            market = market_of(self.markets, trade.symbol)
            if (position := self.positions.get(trade.symbol)) is None:
                position = self.positions[trade.symbol] = Position()
            quantity, cost = contract_fill(market, trade)
            if market.kind is Kind.SPOT and trade.fee_asset == market.base:
                quantity -= trade.fee
                cost = quantity * trade.price
            position.fill(trade.time_ms, quantity, cost)

    def realised(self, symbol: str, method: Method = Method.AVERAGE) -> Decimal:
        """Returns the profit of everything closed so far in this market, in its settle units."""
        position = self.positions.get(symbol) or Position()
        profit = position.open_cost(method) - position.total
        return -profit if self.markets[symbol].kind is Kind.INVERSE else profit

    def unrealised(
        self, symbol: str, price: Prices, method: Method = Method.AVERAGE
    ) -> Decimal | None:
        """Returns the profit of what is open in this market, in the account's currency."""
        position, market = self.positions[symbol], self.markets[symbol]
        if not (held := position.quantity):
            return ZERO
        cost, settle = position.open_cost(method), price(market.settle)
        if market.kind is Kind.SPOT:
            return minus(times(held, price(market.base)), times(cost, settle))
        worth = held_value(market, held, price(symbol))
        return times(minus(worth, -cost if market.kind is Kind.INVERSE else cost), settle)

    def open_since(self) -> int | None:
        """Returns the time of the oldest lot with more than a thousandth left, in ms; None if there
        is none: what a step size leaves behind is no position."""
        times = [
            lot.time_ms
            for position in self.positions.values()
            for lot in position.lots
            if abs(lot.quantity) * _REMAINDER > abs(lot.opened)
        ]
        return min(times, default=None)
