"""The life of a journalled order: one table, from which the diagram in the README is made.

What the table guarantees: an order goes out at most once (`SENT` is entered before the first byte
leaves, and only from states in which nothing ever left), and nothing but evidence from the venue
takes it out of `UNKNOWN`.
"""

from __future__ import annotations

import enum
from typing import Final

from strongroom_host.errors import HostError

__all__ = ["SENDABLE", "TRANSITIONS", "UNRESOLVED", "OrderState", "WrongTransition", "diagram"]


class OrderState(enum.Enum):
    """Where an order stands, as far as this host can prove."""

    PREPARED = "prepared"
    """Journalled; nothing was sent."""
    UNSENT = "unsent"
    """An attempt failed before the first byte, or a crash came before the attempt."""
    SENT = "sent"
    """About to be sent, or sent, and no outcome recorded."""
    ACCEPTED = "accepted"
    """The venue answered that it has the order."""
    REJECTED = "rejected"
    """The venue answered that it refused the order. Final."""
    UNKNOWN = "unknown"
    """It may be at the venue. Only a query may settle it; it is never sent again."""
    OPEN = "open"
    """Reconciled: it rests on the book."""
    FILLED = "filled"
    """Reconciled: matched and done with. Final."""
    CLOSED = "closed"
    """Reconciled: cancelled or expired at the venue. Final."""
    ABSENT = "absent"
    """Reconciled: the venue never got it. Final; this very order is not sent again either."""


_S = OrderState
_SETTLED: Final = frozenset({_S.OPEN, _S.FILLED, _S.CLOSED})

TRANSITIONS: Final[dict[OrderState, frozenset[OrderState]]] = {
    _S.PREPARED: frozenset({_S.SENT, _S.UNSENT}),
    _S.UNSENT: frozenset({_S.SENT}),
    _S.SENT: frozenset({_S.ACCEPTED, _S.REJECTED, _S.UNKNOWN, _S.UNSENT}),
    _S.UNKNOWN: _SETTLED | {_S.ABSENT},
    _S.ACCEPTED: _SETTLED,
    _S.OPEN: frozenset({_S.FILLED, _S.CLOSED}),
    _S.REJECTED: frozenset(),
    _S.FILLED: frozenset(),
    _S.CLOSED: frozenset(),
    _S.ABSENT: frozenset(),
}

SENDABLE: Final = frozenset({_S.PREPARED, _S.UNSENT})
"""Nothing of an order in these states has ever left this host."""

UNRESOLVED: Final = frozenset({_S.SENT, _S.UNKNOWN})
"""The outcome of an order in these states must be asked for."""


class WrongTransition(HostError):
    """An order cannot go from its state to the one asked for."""

    def __init__(self, order_hash: bytes, expected: object, actual: object) -> None:
        super().__init__(
            f"order 0x{order_hash.hex()} cannot change state so", expected=expected, actual=actual
        )


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {_S.PREPARED.value}"]
    for state, following in TRANSITIONS.items():
        targets = sorted(item.value for item in following)
        lines += [f"    {state.value} --> {target}" for target in targets or ["[*]"]]
    return "\n".join(lines)
