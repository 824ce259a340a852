"""What is open in one market, at what cost and since when, by average cost and by FIFO.

Only trades count here. The realised profit is never added up: it is what the open cost leaves of
the total cost, so realised and unrealised profit make the position's whole profit, always.
"""

from collections import deque
from decimal import Decimal

from msgspec import Struct, field

from strongroom_enclave.record.exact import MONEY, ZERO, quotient


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

    def cost(self, *, fifo: bool = False) -> Decimal:
        """Returns the cost of what is open, by average cost or by FIFO."""
        return sum((lot.cost for lot in self.lots), ZERO) if fifo else self.average

    def realised(self, *, fifo: bool = False) -> Decimal:
        """Returns the profit of everything closed so far."""
        return self.cost(fifo=fifo) - self.total
