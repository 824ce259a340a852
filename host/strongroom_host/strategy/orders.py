"""A strategy's own orders and holdings, from its decisions and what became of them.

Whatever may still be filled counts as if it will be: an order is open from the moment it is decided
until an event ends it, and one whose outcome is unknown stays open.
"""

from dataclasses import dataclass, field

from strongroom_host.ring.tick import Side
from strongroom_host.strategy.port import Cancel, CancelAll, Decision, Intent, OrderEvent, Outcome

__all__ = ["Order", "Orders"]


@dataclass(slots=True)
class Order:
    """One order that may be filled.

    Attributes:
        intent: As it was decided.
        open: Shares that may still be traded, 1e-6.
        order_hash: Once it is known, which it must be for a cancel.
        cancelling: A cancel of it was decided.
    """

    intent: Intent
    open: int
    order_hash: bytes = b""
    cancelling: bool = False


@dataclass(slots=True)
class Orders:
    """What is open and what is held.

    Attributes:
        open: Orders by the number of their decision.
        held: Shares by instrument, 1e-6.
        cash: pUSD that all fills moved, 1e-6; negative was paid.
        cancels: The order that each cancel was for, by the number of its decision; b"" is all.
    """

    open: dict[int, Order] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    cash: int = 0
    cancels: dict[int, bytes] = field(default_factory=dict)

    def made(self, number: int, decision: Decision) -> None:
        """Takes a decision and its number."""
        match decision:
            case Intent():
                self.open[number] = Order(decision, decision.size)
            case Cancel():
                self.cancels[number] = decision.order_hash
                for order in self.open.values():
                    order.cancelling |= order.order_hash == decision.order_hash
            case CancelAll():
                self.cancels[number] = b""
                for order in self.open.values():
                    order.cancelling = True

    def learn(self, event: OrderEvent) -> None:
        """Takes what became of an order; fills count even of orders that nobody here decided."""
        if event.filled:
            change = event.filled if event.side is Side.BUY else -event.filled
            self.held[event.instrument] = self.held.get(event.instrument, 0) + change
            self.cash += event.cash
        if event.number in self.cancels:
            self._still_there(self.cancels.pop(event.number))
        order = self.open.get(event.number)
        if order is None:
            return
        order.open = event.open
        order.order_hash = event.order_hash or order.order_hash
        if not event.open and event.outcome is not Outcome.UNKNOWN:
            del self.open[event.number]
            self._settle()

    def _still_there(self, order_hash: bytes) -> None:
        """A cancel came to nothing: what it was for may be cancelled again."""
        for order in self.open.values():
            if order_hash in (b"", order.order_hash):
                order.cancelling = False

    def _settle(self) -> None:
        """Forgets cancels of which no order is left."""
        left = {order.order_hash for order in self.open.values()}
        self.cancels = {
            number: cancelled
            for number, cancelled in self.cancels.items()
            if cancelled in left or (left and not cancelled)
        }

    def holding(self, instrument: int) -> int:
        """Returns the shares held, 1e-6."""
        return self.held.get(instrument, 0)

    def working(self, instrument: int, side: Side) -> int:
        """Returns the shares of that side that may still be traded, 1e-6."""
        return sum(
            order.open
            for order in self.open.values()
            if order.intent.instrument == instrument and order.intent.side is side
        )

    def on(self, instrument: int, side: Side) -> Order | None:
        """Returns the oldest open order there, if there is one."""
        for order in self.open.values():
            if order.intent.instrument == instrument and order.intent.side is side:
                return order
        return None
