"""Orders at the venue held against what the log says was signed: the last check on a trading key.

Whatever else fails, whoever holds a copy of the key trades at the venue, and the venue says so. An
order, filled or resting, that no leaf knows means that the key signs outside, or that the log lost
leaves.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from strongroom_host.log.signed_orders import LoggedOrder, LoggedOrders
from strongroom_host.store.states import OrderState
from strongroom_host.venue.trades import Fill

__all__ = ["Explained", "Reconciled", "Untraced", "reconcile_fills"]

_TRACED = frozenset(
    {
        OrderState.REJECTED,
        OrderState.CLOSED,
        OrderState.ABSENT,
        OrderState.UNSENT,
        OrderState.OPEN,
        OrderState.ACCEPTED,
        OrderState.FILLED,
    }
)
"""What the journal knows the fate of, as far as this machine could."""


class Explained(enum.Enum):
    """What the log says of an order at the venue."""

    SIGNED = "signed"
    """A leaf that a signed head has says so."""
    UNPROVEN = "not proven yet"
    """A leaf says so, and no signed head has that leaf yet."""
    LOST = "lost from the log"
    """This client was handed it by the enclave, and the log has no such leaf: alarm."""
    UNOPENED = "perhaps in a leaf that cannot be opened"
    """No leaf that could be opened says so, and some could not: alarm."""
    NEVER = "never signed"
    """No leaf of the whole log says so: alarm."""

    @property
    def alarm(self) -> bool:
        """Whether somebody has to act now."""
        return self in (Explained.LOST, Explained.UNOPENED, Explained.NEVER)


@dataclass(frozen=True, slots=True)
class Untraced:
    """An order that was signed, and of which neither venue nor journal shows a trace."""

    order_hash: bytes
    logged: LoggedOrder


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Every fill and every resting order with what the log says of it, and signed orders of the key
    without a trace."""

    fills: tuple[tuple[Fill, Explained], ...]
    resting: tuple[tuple[bytes, Explained], ...]
    untraced: tuple[Untraced, ...]

    @property
    def alarms(self) -> tuple[Explained, ...]:
        """What the log says of each fill and resting order that it does not explain."""
        return tuple(how for _, how in (*self.fills, *self.resting) if how.alarm)


def reconcile_fills(
    fills: Sequence[Fill],
    open_orders: Collection[bytes],
    logged: LoggedOrders,
    journalled: Mapping[bytes, OrderState],
    key: str,
) -> Reconciled:
    """Explains every fill and resting order by the log, and finds every signed order of `key` at
    the venue or in the journal.

    `fills` and `open_orders` have to be older than `logged`: an order is logged before it can be
    filled.
    """
    found = tuple((fill, _explain(fill.order_hash, logged, journalled)) for fill in fills)
    resting = tuple((each, _explain(each, logged, journalled)) for each in sorted(open_orders))
    seen = {fill.order_hash for fill in fills} | set(open_orders)
    seen |= {item for item, state in journalled.items() if state in _TRACED}
    untraced = tuple(
        Untraced(order_hash, each)
        for order_hash, each in logged.orders.items()
        if each.key == key and order_hash not in seen
    )
    return Reconciled(found, resting, untraced)


def _explain(
    order_hash: bytes, logged: LoggedOrders, journalled: Mapping[bytes, OrderState]
) -> Explained:
    order = logged.orders.get(order_hash)
    if order is not None:
        return Explained.SIGNED if order.proven else Explained.UNPROVEN
    if order_hash in journalled:
        return Explained.LOST
    return Explained.UNOPENED if logged.unopened or logged.wrong else Explained.NEVER
