"""Which orders the log says were signed: the hashes in the opened records of its leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Decision, Kind, Leaf

from strongroom_host.contract.openings import record_in

__all__ = ["LoggedOrder", "LoggedOrders", "logged_orders"]


@dataclass(frozen=True, slots=True)
class LoggedOrder:
    """One signed order: in which leaf, when (ms since the epoch, 0 without a time), by which key of
    the manifest, and whether a signed head has that leaf."""

    leaf: int
    time_ms: int
    key: str
    proven: bool


@dataclass(frozen=True, slots=True)
class LoggedOrders:
    """The orders in a log by their hash, and which leaves say nothing: `unopened` are decisions
    whose opening is not known here, `wrong` those whose opening is another leaf's, or no record."""

    orders: dict[bytes, LoggedOrder]
    unopened: tuple[int, ...]
    wrong: tuple[int, ...]


def logged_orders(
    entries: Iterable[bytes], opening: Callable[[int], bytes | None], proven: int
) -> LoggedOrders:
    """Returns the signed orders of all leaves; each record is proved to be its leaf's.

    Args:
        entries: The leaves, from the first, verified elsewhere.
        opening: Returns the opening of the leaf at an index, or None.
        proven: How many of them a signed head has.
    """
    orders: dict[bytes, LoggedOrder] = {}
    unopened, wrong = [], []
    for index, entry in enumerate(entries):
        try:
            leaf = Leaf.parse(entry)
        except WireError:
            wrong.append(index)
            continue
        if leaf.kind is not Kind.SIGNED:
            continue
        opened = opening(index)
        if opened is None:
            unopened.append(index)
            continue
        try:
            decision = Decision.parse(record_in(leaf, opened))
        except WireError:
            wrong.append(index)
            continue
        for order_hash in decision.reply.order_hashes:
            found = LoggedOrder(index, leaf.time_ms, decision.key, index < proven)
            orders.setdefault(order_hash, found)
    return LoggedOrders(orders, tuple(unopened), tuple(wrong))
