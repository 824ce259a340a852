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
_FEWEST: Final = 3
_FRAME: Final = 3
"""Rows of the panel's frame, and the one that the cursor is in."""
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

    def drawn(self, now: float, rows: int = 0, columns: int = 80) -> Group:
        """Returns the picture of this moment, for a terminal of so many rows; of any height at 0.

        State and counts are cut to a row each. Of the last lines there are as many as fit, and
        where too few would, the latency is left out.
        """
        counters = self._figures.counters
        if now - self._at >= 1:
            ticks = counters[Counter.TICKS]
            self._rate = (ticks - self._ticks) / (now - self._at)
            self._ticks, self._at = ticks, now
        state = Text(self._state, "bold", no_wrap=True, overflow="ellipsis")
        pace = _row(
            f"{self._rate:,.0f} ticks/s",
            f"{counters[Counter.TICKS]:,} ticks",
            f"{counters[Counter.MISSED]:,} missed",
        )
        counts = [f"{name} {counters[key]}" for name, key in COUNTS]
        half = (len(counts) + 1) // 2
        whole = len("   ".join(counts)) <= columns
        count_rows = [_row(*counts)] if whole else [_row(*counts[:half]), _row(*counts[half:])]
        top = [state, pace, *count_rows]
        times = Table(box=None, pad_edge=False)
        times.add_column("latency", style="dim", no_wrap=True)
        for name in POINTS:
            times.add_column(name, justify="right", no_wrap=True)
        for stage in _TIMED:
            points = self._figures.stages[stage].points()
            times.add_row(stage.title, *(shown(points[name]) for name in POINTS))
        # Beside the lines: what is above, the table with its head, the frame, the cursor's row.
        above = len(top) + 1 + len(_TIMED)
        left = rows - above - _FRAME if rows else _LINES
        timed = left >= _FEWEST
        if not timed:
            left = rows - len(top) - _FRAME
        lines = list(self._lines)[-max(1, left) :]
        said = (
            Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
            if lines
            else Text("nothing yet", "dim")
        )
        panel = Panel(said, title="decisions", title_align="left")
        return Group(*top, times, panel) if timed else Group(*top, panel)


def _row(*texts: str) -> Text:
    return Text("   ".join(texts), no_wrap=True, overflow="ellipsis")


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
            size = live.console.size
            picture = screen.drawn(time.monotonic(), size.height, size.width)
            live.update(picture, refresh=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
