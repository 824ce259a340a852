"""Draws a trading session in a terminal: figures from shared memory, lines from stdin.

`python -m strongroom_host.trading.viewer NAME`, started by `strongroom trade run`. It ends when its
stdin does, and does not decide anything.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections import deque
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from strongroom_host.latency.histogram import POINTS
from strongroom_host.latency.stages import Stage
from strongroom_host.latency.stats import Counter, Figures, read_stats
from strongroom_host.latency.table import shown
from strongroom_host.trading.live import COUNTS

__all__ = ["Screen", "main"]

_LINES: Final = 14
_EVERY_S: Final = 0.25
_STYLES: Final = {"d": "red", "f": "green", "h": "dim", "e": "dim", "m": "yellow", "i": ""}
_TIMED: Final = (
    *(Stage.FEED, Stage.DECIDE, Stage.ENCLAVE, Stage.JOURNAL, Stage.FRAME),
    *(Stage.SIGNED, Stage.OUT, Stage.ANSWER),
)


class Screen:
    """What is drawn: the state, the counts, the latency, the last lines."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._lines: deque[Text] = deque(maxlen=_LINES)
        self._state = "starting"
        self._ticks, self._at, self._rate = figures.counters[Counter.TICKS], time.monotonic(), 0.0

    def take(self, text: str) -> None:
        """Takes one line from the session."""
        if text[:1] == "=":
            self._state = text[1:]
            return
        shown_line = Text(text[1:], _STYLES.get(text[:1], ""), no_wrap=True, overflow="ellipsis")
        if text[:1] == "h" and self._lines and self._lines[-1].plain[:1] != "#":
            self._lines.pop()  # of decisions that went nowhere, the last one is enough
        self._lines.append(shown_line)

    def drawn(self, now: float) -> Group:
        """Returns the picture of this moment."""
        counters = self._figures.counters
        if now - self._at >= 1:
            ticks = counters[Counter.TICKS]
            self._rate = (ticks - self._ticks) / (now - self._at)
            self._ticks, self._at = ticks, now
        head = Text.assemble(
            (self._state, "bold"),
            f"   {self._rate:,.0f} ticks/s   {counters[Counter.TICKS]:,} ticks",
            f"   {counters[Counter.MISSED]:,} missed",
        )
        counts = Text("   ".join(f"{name} {counters[key]}" for name, key in COUNTS))
        times = Table(box=None, pad_edge=False)
        times.add_column("latency", style="dim")
        for name in POINTS:
            times.add_column(name, justify="right")
        for stage in _TIMED:
            points = self._figures.stages[stage].points()
            times.add_row(stage.title, *(shown(points[name]) for name in POINTS))
        said = (
            Text("\n", no_wrap=True, overflow="ellipsis").join(self._lines)
            if self._lines
            else Text("nothing yet", "dim")
        )
        return Group(head, counts, times, Panel(said, title="decisions", title_align="left"))


def main() -> int:
    """Draws until stdin ends."""
    # A person's Ctrl-C is for the session, which then ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    screen = Screen(read_stats(sys.argv[1])[2])
    pending, open_ = b"", True
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        while open_:
            until = time.monotonic() + _EVERY_S
            while (left := until - time.monotonic()) > 0 and open_:
                if not select.select([0], [], [], left)[0]:
                    break
                part = os.read(0, 1 << 16)
                open_ = bool(part)
                *lines, pending = (pending + part).split(b"\n")
                for each in lines:
                    screen.take(each.decode("utf-8", "replace"))
            live.update(screen.drawn(time.monotonic()), refresh=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
