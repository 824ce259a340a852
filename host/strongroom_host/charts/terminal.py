"""A series in a terminal: the curve in characters, eight dots to a cell, gaps shaded; and rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from strongroom_host.charts.curve import Curve, Line, Point, curve_of
from strongroom_host.charts.scales import day, moment, percent
from strongroom_host.charts.words import ABSENT, hours
from strongroom_host.metrics.series import Series

__all__ = ["COLUMNS", "listed", "plot"]

COLUMNS: Final = ("from (UTC)", "length", "return", "growth so far", "equity at its end", "flags")
"""What `listed` has in a row."""

_BLANK: Final = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_GAP: Final = "░"
_MARGIN: Final = 11


@dataclass(frozen=True, slots=True)
class _Panel:
    curve: Curve
    width: int
    height: int
    low: float
    high: float
    value: Callable[[Point], float]
    filled: bool

    def rows(self) -> list[str]:
        """Returns the cells, one string a row."""
        cells = [[0] * self.width for _ in range(self.height)]
        for line in self.curve.lines:
            for x, top, bottom in self._columns(line):
                for y in range(0 if self.filled else top, bottom + 1):
                    cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
        shaded = self._shaded()
        return [
            "".join(
                chr(_BLANK + cell) if cell or x not in shaded else _GAP
                for x, cell in enumerate(row)
            )
            for row in cells
        ]

    def _columns(self, line: Line) -> Iterator[tuple[int, int, int]]:
        """Yields, for each column of dots that a line crosses, its highest and lowest dot there."""
        before: tuple[int, int] | None = None
        for point in line:
            x, y = self._x(point.time_ms), self._y(self.value(point))
            last_x, last_y = before or (x, y)
            wide = max(1, x - last_x)
            for at in range(last_x, x + 1):
                # To where the next column begins, so that steep parts hang together.
                ends = (at - last_x, min(at + 1 - last_x, wide) if x > last_x else 1)
                reached = [last_y + (y - last_y) * each // wide for each in ends]
                yield at, min(reached), max(reached)
            before = x, y

    def _shaded(self) -> set[int]:
        cells = set[int]()
        for gap in self.curve.gaps:
            # At least one cell: a gap is never too short to be seen.
            first, last = self._x(gap.start_ms) // 2, self._x(gap.end_ms - 1) // 2
            cells.update(range(first, last + 1))
        return cells

    def _x(self, time_ms: int) -> int:
        whole = max(1, self.curve.end_ms - self.curve.start_ms)
        return (time_ms - self.curve.start_ms) * (2 * self.width - 1) // whole

    def _y(self, value: float) -> int:
        span = self.high - self.low
        part = (self.high - value) / span if span else 0.5
        return round(part * (4 * self.height - 1))


def plot(curve: Curve, *, width: int = 80, height: int = 12) -> Text:
    """Returns the growth of the curve and, below it, its drawdowns, as lines of `width` cells."""
    inner = max(10, width - _MARGIN)
    low, high = curve.levels
    equity = _Panel(curve, inner, max(3, height), low, high, lambda point: point.level, False)
    depth = curve.deepest
    drawdown = _Panel(curve, inner, 3, min(depth, -1e-9), 0.0, lambda point: point.below, True)
    text = Text(no_wrap=True)
    _panel(text, equity.rows(), (percent(high - 1), percent(low - 1)), "cyan")
    text.append(" " * _MARGIN + "drawdown\n", style="dim")
    _panel(text, drawdown.rows(), (percent(0), percent(depth)), "red")
    start, end = day(curve.start_ms), day(curve.end_ms)
    text.append(" " * _MARGIN + start + end.rjust(inner - len(start)), style="dim")
    if curve.gaps:
        text.append(f"\n{' ' * _MARGIN}{_GAP} no return", style="yellow")
    return text


def listed(series: Series, count: int) -> Iterator[tuple[str, ...]]:
    """Yields the newest `count` periods, oldest first, as text for a table. Growth is of what is
    known, so after a gap it goes on where it stopped, as in the plot."""
    curve = curve_of(series)
    levels = {point.time_ms: point.level for line in curve.lines for point in line}
    for period in series.periods[-count:] if count else ():
        known = period.value is not None
        yield (
            moment(period.start_ms),
            hours(period.hours),
            percent(float(period.value), places=4) if period.value is not None else ABSENT,
            percent(levels[period.end_ms] - 1, places=2) if known else ABSENT,
            ABSENT if period.closing is None else f"{period.closing:,.2f}",
            period.why,
        )


def _panel(text: Text, rows: list[str], ends: tuple[str, str], style: str) -> None:
    for number, row in enumerate(rows):
        label = ends[0] if number == 0 else ends[1] if number == len(rows) - 1 else ""
        text.append(label.rjust(_MARGIN - 1) + " ", style="dim")
        for cell in row:
            text.append(cell, style="yellow" if cell == _GAP else style)
        text.append("\n")
