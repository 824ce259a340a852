"""Where decisions go: the enclave and the venue in a live session, a fill model in any other."""

from collections.abc import Sequence
from typing import Protocol

from strongroom_host.strategy.port import Decision, OrderEvent, TickView

__all__ = ["Desk"]


class Desk(Protocol):
    """Takes numbered decisions, and tells what became of them."""

    def submit(self, number: int, decision: Decision, now_ns: int) -> None:
        """Takes a decision, made at `now_ns` of the ticks' clock."""

    def events(self, view: TickView) -> Sequence[OrderEvent]:
        """Returns what is known by the time of that tick, which was not yet shown to the
        strategy."""

    def gap(self) -> None:
        """Ticks were lost: what the market did meanwhile is not known."""
