"""The curve as SVG: growth above, drawdowns below, gaps hatched. No script, no style sheet.

Everything is a presentation attribute, so the same element stands in a page whose policy forbids
styles, and alone in a file.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from strongroom_host.charts.curve import Curve, Line, Point, thinned
from strongroom_host.charts.scales import moment, percent, steps, time_ticks, told_apart
from strongroom_host.log.report.markup import Html, joined, tag

__all__ = ["drawing", "svg_file"]

_WIDTH, _LEFT, _RIGHT = 1000, 74, 14
_TOP, _EQUITY, _BETWEEN, _DRAWDOWN, _BOTTOM = 26, 330, 40, 130, 34
_HEIGHT: Final = _TOP + _EQUITY + _BETWEEN + _DRAWDOWN + _BOTTOM
_COLUMNS: Final = _WIDTH - _LEFT - _RIGHT
_INK, _DIM, _RULE, _LINE, _FALL, _HATCH = (
    *("#1c2430", "#5d6b7c", "#d9dfe7", "#31449b", "#a3121f", "#8a5200"),
)
_LOGARITHMIC: Final = 10.0
_FONT: Final = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True, slots=True)
class _Panel:
    curve: Curve
    top: float
    height: float
    low: float
    high: float
    value: Callable[[Point], float]
    logarithmic: bool = False

    def x(self, time_ms: int) -> float:
        """Returns where a time stands."""
        whole = max(1, self.curve.end_ms - self.curve.start_ms)
        return _LEFT + _COLUMNS * (time_ms - self.curve.start_ms) / whole

    def y(self, value: float) -> float:
        """Returns where a value stands."""
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(max(value, low))
        return self.top + self.height * ((high - at) / (high - low) if high > low else 0.5)

    def path(self, line: Line) -> str:
        """Returns the points of a line as the data of a path."""
        points = thinned(line, _COLUMNS, self.curve.start_ms, self.curve.end_ms)
        return "M" + "L".join(
            f"{self.x(point.time_ms):.1f} {self.y(self.value(point)):.1f}" for point in points
        )


def drawing(curve: Curve, title: str) -> Html:
    """Returns an `svg` element; `title` is what a screen reader says first."""
    low, high = curve.levels
    logarithmic = low > 0 and high / low > _LOGARITHMIC
    equity = _Panel(
        *(curve, _TOP, _EQUITY, low, high, lambda point: point.level), logarithmic=logarithmic
    )
    deepest = min(curve.deepest, -1e-6)
    top = _TOP + _EQUITY + _BETWEEN
    drawdown = _Panel(curve, top, _DRAWDOWN, deepest, 0.0, lambda point: point.below)
    scale = " (logarithmic)" if logarithmic else ""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", _described(curve)),
        _hatching(),
        *_gaps(equity),
        *_gaps(drawdown),
        *_rules(equity, _equity_ticks(equity)),
        *_rules(drawdown, steps(deepest, 0.0, 3)),
        _words(f"growth of 1, less 1{scale}", _LEFT, _TOP - 9, "start", _DIM),
        _words("below the highest point so far", _LEFT, top - 9, "start", _DIM),
        *(_stroke(equity.path(line), _LINE) for line in curve.lines),
        *(_area(drawdown, line) for line in curve.lines),
        *_times(drawdown),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width="100%",
        role="img",
        font_family=_FONT,
        font_size="12",
    )


def svg_file(curve: Curve, title: str) -> str:
    """Returns a file that is the drawing alone."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{drawing(curve, title)}\n'


def _described(curve: Curve) -> str:
    low, high = curve.levels
    last = curve.lines[-1][-1].level if curve.lines else 1.0
    text = (
        f"From {moment(curve.start_ms)} to {moment(curve.end_ms)} UTC: growth between"
        f" {percent(low - 1)} and {percent(high - 1)}, {percent(last - 1)} at the end;"
        f" deepest fall {percent(curve.deepest)}"
    )
    gaps = f"; {len(curve.gaps)} stretches without a return" if curve.gaps else ""
    return text + gaps


def _hatching() -> Html:
    stroke = tag("path", d="M0 6L6 0", stroke=_HATCH, stroke_width="1", stroke_opacity="0.55")
    pattern = tag(
        *("pattern", stroke), id="gap", width="6", height="6", patternUnits="userSpaceOnUse"
    )
    return tag("defs", pattern)


def _gaps(panel: _Panel) -> Iterator[Html]:
    for gap in panel.curve.gaps:
        left = panel.x(gap.start_ms)
        # Never too narrow to be seen.
        width = max(1.5, panel.x(gap.end_ms) - left)
        shown = f"{moment(gap.start_ms)} to {moment(gap.end_ms)}: {gap.why}"
        yield tag(
            "rect",
            tag("title", shown),
            x=f"{left:.1f}",
            y=f"{panel.top:.1f}",
            width=f"{width:.1f}",
            height=f"{panel.height:.1f}",
            fill="url(#gap)",
        )


def _equity_ticks(panel: _Panel) -> list[float]:
    if not panel.logarithmic:
        return [1 + each for each in steps(panel.low - 1, panel.high - 1, 6)]
    first, last = math.floor(math.log2(panel.low)), math.ceil(math.log2(panel.high))
    stride = max(1, (last - first) // 7)
    levels = [2.0**power for power in range(first, last + 1, stride)]
    return [level for level in levels if panel.low <= level <= panel.high]


def _rules(panel: _Panel, values: list[float]) -> Iterator[Html]:
    base = 1.0 if panel.high > 0 else 0.0
    nearest = min((after - before for before, after in pairwise(values)), default=0.0001)
    places = 0 if nearest >= 0.0099 else 1 if nearest >= 0.00099 else 2
    for value in told_apart(values, base, places):
        y = panel.y(value)
        heavy = abs(value - base) < 1e-9
        yield tag(
            "path",
            d=f"M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}",
            stroke=_DIM if heavy else _RULE,
            stroke_width="1",
        )
        label = percent(value - base, places=places)
        yield _words(label, _LEFT - 8, y + 4, "end", _INK)


def _times(panel: _Panel) -> Iterator[Html]:
    bottom = panel.top + panel.height
    for time_ms, name in time_ticks(panel.curve.start_ms, panel.curve.end_ms, 10):
        x = panel.x(time_ms)
        yield tag("path", d=f"M{x:.1f} {bottom:.1f}v5", stroke=_DIM)
        anchor = "end" if x > _WIDTH - _RIGHT - 20 else "middle" if x > _LEFT + 10 else "start"
        yield _words(name, x, bottom + 19, anchor, _INK)


def _stroke(path: str, colour: str) -> Html:
    shape = {"fill": "none", "stroke": colour, "stroke_width": "1.6", "stroke_linejoin": "round"}
    return tag("path", d=path, **shape)


def _area(panel: _Panel, line: Line) -> Html:
    zero = panel.y(0.0)
    first, last = panel.x(line[0].time_ms), panel.x(line[-1].time_ms)
    closed = f"{panel.path(line)}L{last:.1f} {zero:.1f}L{first:.1f} {zero:.1f}Z"
    filled = tag("path", d=closed, fill=_FALL, fill_opacity="0.18")
    return joined((filled, _stroke(panel.path(line), _FALL)))


def _words(text: str, x: float, y: float, anchor: str, colour: str) -> Html:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, fill=colour)
