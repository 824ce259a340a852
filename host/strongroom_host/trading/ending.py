"""The end of a session: nothing new goes out, what rests is taken back, the rest is asked for."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns, sleep

from strongroom_host.trading.loop import TradingLoop
from strongroom_host.trading.orders import TrackedOrder

__all__ = ["end_session"]

_TURN_S = 0.002


def end_session(
    loop: TradingLoop, patience_s: float, pause: Callable[[float], None] = sleep
) -> tuple[TrackedOrder, ...]:
    """Cancels this session's open orders and settles the others; returns those still open.

    Cancels pass the enclave whatever its policy says. Everything that comes meanwhile is told to
    the strategy and recorded as usual, but decisions are not taken any more.

    Raises:
        HostError: the enclave or the journal is gone: nobody can tell what is open.
    """
    loop.gate.closing = True
    path, until_ns = loop.path, monotonic_ns() + int(patience_s * 1e9)
    asked: set[bytes] = set()
    while monotonic_ns() < until_ns:
        path.turn()
        loop.told()
        if not path.book.open and not path.under_way:
            break
        resting = [key for key in path.resting() if key not in asked]
        if resting:
            asked.update(resting)
            path.cancel(resting)
        path.poll()
        for each in loop.timed:
            each.turn(monotonic_ns())
        pause(_TURN_S)
    loop.told()
    loop.decisions.flush()
    return tuple(path.book.open.values())
