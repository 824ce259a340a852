"""The end of a session: nothing new goes out, what rests is taken back, the rest is asked for."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import monotonic_ns, sleep

from strongroom_host.errors import HostError
from strongroom_host.trading.errors import SessionUnclear
from strongroom_host.trading.loop import TradingLoop
from strongroom_host.trading.orders import TrackedOrder

__all__ = ["end_session", "trade_until_stopped"]

_TURN_S = 0.002
_PATIENCE_S = 20.0
_NAMED = 5


def trade_until_stopped(
    loop: TradingLoop, settled: Callable[[], None], patience_s: float = _PATIENCE_S
) -> None:
    """Trades; whatever ends it, a mistake of the strategy included, takes back what is open.

    Args:
        loop: Ready to run; `stop` ends it.
        settled: Called once nothing is open, to disarm the dead man's switches.
        patience_s: How long orders may take to be over.

    Raises:
        SessionUnclear: an order may still be open. Its cause is what ended trading early, if it was
            not stopped.
        Exception: what ended trading early; nothing is open then.
    """
    failure: Exception | None = None
    gc.collect()
    gc.freeze()  # what is there now stays: a collection in between has little to look at
    try:
        loop.run()
    except Exception as error:  # noqa: BLE001  a mistake of a strategy leaves nothing open either
        failure = error
    mistakes: list[Exception] = []
    try:
        left = end_session(loop, patience_s, mistakes=mistakes)
    except Exception as error:  # noqa: BLE001  a full disk, say: what is open is named all the same
        failure = failure or error
        left = tuple(loop.path.book.open.values())
    else:
        if not left:
            settled()
    failure = failure or next(iter(mistakes), None)
    if left:
        raise SessionUnclear(
            f"{len(left)} orders may still be open at the venue",
            actual=", ".join(f"0x{order.order_hash.hex()}" for order in left[:_NAMED]),
            remedy="`strongroom order reconcile` asks for them, `strongroom order cancel --all`"
            " takes them back; the relay's and the venue's dead man's switches do so as well",
        ) from failure
    if failure is not None:
        raise failure


def end_session(
    loop: TradingLoop,
    patience_s: float,
    pause: Callable[[float], None] = sleep,
    *,
    mistakes: list[Exception] | None = None,
) -> tuple[TrackedOrder, ...]:
    """Cancels this session's open orders and settles the others; returns those still open.

    Cancels pass the enclave whatever its policy says. Everything that comes meanwhile is told to
    the strategy and recorded as usual, but decisions are not taken any more. What the strategy
    raises then goes into `mistakes` and ends nothing.

    Raises:
        HostError: the enclave or the journal is gone: nobody can tell what is open.
    """
    loop.gate.closing = True
    made = [] if mistakes is None else mistakes
    path, until_ns = loop.path, monotonic_ns() + int(patience_s * 1e9)
    asked: set[bytes] = set()
    while monotonic_ns() < until_ns:
        path.turn()
        _tell(loop, made)
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
    _tell(loop, made)
    loop.decisions.flush()
    return tuple(path.book.open.values())


def _tell(loop: TradingLoop, mistakes: list[Exception]) -> None:
    while True:
        try:
            loop.told()
            return
        except HostError:
            raise
        except Exception as error:  # noqa: BLE001  the strategy's: it was told, the next is told on
            mistakes.append(error)
