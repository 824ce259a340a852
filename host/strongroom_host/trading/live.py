"""What the trading process says of itself: plain lines, or to a viewer in another process.

Drawing a terminal takes milliseconds, which ticks would wait for. So the loop only writes a line
when something happens; the viewer (`viewer`) draws, and reads the figures out of shared memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from strongroom_host.latency.stages import Stage
from strongroom_host.latency.stats import Counter, Figures
from strongroom_host.latency.table import shown
from strongroom_host.ring.tick import Status
from strongroom_host.trading.gate import Gate, Held
from strongroom_host.trading.loop import Said
from strongroom_host.trading.markets import TradedMarket
from strongroom_host.trading.orders import OrderBook
from strongroom_host.trading.words import line

__all__ = ["COUNTS", "PipedView", "PlainLines", "state_words"]

COUNTS: Final = (
    ("orders", Counter.SENT),
    ("fills", Counter.FILLS),
    ("denied", Counter.DENIED),
    ("held", Counter.HELD),
    ("refused", Counter.REFUSED),
    ("unknown", Counter.UNKNOWN),
    ("cancels", Counter.CANCELS),
    ("heartbeats", Counter.HEARTBEATS),
)
_SUMMARY_NS: Final = 5_000_000_000
_STATE_NS: Final = 250_000_000
_STOP_S: Final = 3.0


def state_words(gate: Gate, book: OrderBook, trouble: str = "") -> str:
    """Returns what the session is doing, or what stands in its way."""
    if gate.closing:
        words = "ending: open orders are taken back"
    elif gate.killed:
        words = "stopped by the owner's kill switch; cancels pass"
    elif gate.down:
        named = (f"feed {feed} {Status(at).name.lower()}" for feed, at in gate.down.items())
        words = f"standing aside: {', '.join(named)}"
    else:
        words = "trading"
    return f"{words} · {len(book.open)} open" + (f" · {trouble}" if trouble else "")


class PlainLines:
    """One line for each thing that happens, and a summary every few seconds. What is held back for
    one reason again and again is told once, and then counted."""

    def __init__(
        self,
        write: Callable[[str], object],
        figures: Figures,
        markets: dict[int, TradedMarket],
        state: Callable[[], str],
    ) -> None:
        self._write, self._figures, self._markets, self._state = write, figures, markets, state
        self._due_ns = self._more = 0
        self._held: Held | None = None

    def hear(self, said: Said) -> None:
        """Takes what happened."""
        if not (text := line(said, self._markets)):
            return
        if said.held is not None and said.held is self._held:
            self._more += 1
            return
        self._count()
        self._held = said.held
        self._write(text)

    def _count(self) -> None:
        if self._held is not None and self._more:
            self._write(f"{self._more} more held: {self._held.value}")
        self._more = 0

    def turn(self, now_ns: int) -> None:
        """Writes a summary when it is due."""
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + _SUMMARY_NS
        counters = self._figures.counters
        counts = ", ".join(f"{name} {counters[key]}" for name, key in COUNTS)
        whole = self._figures.stages[Stage.OUT].at(0.5) or None
        ticks = f"{counters[Counter.TICKS]} ticks"
        self._write(f"{self._state()}; {ticks}, {counts}; tick -> request out p50 {shown(whole)}")

    def close(self) -> None:
        """Says what is still to be counted."""
        self._count()


class PipedView:
    """Lines to a viewer in a process of its own. Never waits for it: what it is too slow for is
    left out of the view, and of nothing else."""

    def __init__(
        self, name: str, markets: dict[int, TradedMarket], state: Callable[[], str]
    ) -> None:
        """Starts the viewer of the session of that name."""
        self._markets, self._state = markets, state
        self._due_ns = 0
        command = [sys.executable, "-P", "-m", "strongroom_host.trading.viewer", name]
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            process_group=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)

    def hear(self, said: Said) -> None:
        """Takes what happened."""
        if text := line(said, self._markets):
            self._send(_style(said), text)

    def turn(self, now_ns: int) -> None:
        """Says how things stand, when that is due."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + _STATE_NS
            self._send("=", self._state())

    def close(self) -> None:
        """Lets the viewer leave the terminal as it was."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, style: str, text: str) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):
                os.write(self._process.stdin.fileno(), f"{style}{text[:400]}\n".encode())


def _style(said: Said) -> str:
    """Returns one character for how a line is to look."""
    if said.held is not None:
        return "h"
    if said.answered is not None and (said.answered.code or said.answered.rule):
        return "d"
    if said.event is not None:
        return "f" if said.event.filled else "e"
    return "m" if said.missed else "i"
