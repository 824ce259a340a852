"""What is drawn: the growth of one unit, how far it is below its highest point, and the gaps.

Nothing is drawn where there is no return. After a gap the line goes on at the level at which it
stopped: what happened in between is not known, so a step would be invented, and so is none. Highest
points start anew there, as in `metrics`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from strongroom_host.metrics.drawdown import depths
from strongroom_host.metrics.series import ONE, Period, Series

__all__ = ["Curve", "Gap", "Line", "Point", "curve_of", "thinned"]


@dataclass(frozen=True, slots=True)
class Point:
    """A time in ms, the level then (1 at the start), and its distance below the highest one (0 or
    negative, as a fraction of that). Floats: for the eye."""

    time_ms: int
    level: float
    below: float


Line = tuple[Point, ...]
"""A stretch without a gap; its first point is where it begins."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without returns, and why."""

    start_ms: int
    end_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines and gaps, each in order of time; together they are the whole series."""

    start_ms: int
    end_ms: int
    lines: tuple[Line, ...]
    gaps: tuple[Gap, ...]

    @property
    def levels(self) -> tuple[float, float]:
        """The lowest and the highest level."""
        levels = [point.level for line in self.lines for point in line] or [1.0]
        return min(levels), max(levels)

    @property
    def deepest(self) -> float:
        """The greatest distance below a highest point, 0 or negative."""
        return min((point.below for line in self.lines for point in line), default=0.0)


def curve_of(series: Series) -> Curve:
    """Returns the curve of a series."""
    lines, gaps, level = list[Line](), list[Gap](), 1.0
    for known, group in groupby(series.periods, lambda period: period.value is not None):
        periods = list(group)
        if known:
            line = _line(periods, level)
            lines.append(line)
            level = line[-1].level
        else:
            gaps += _gaps(periods)
    return Curve(series.start_ms, series.end_ms, tuple(lines), tuple(gaps))


def _line(periods: Sequence[Period], level: float) -> Line:
    values = [period.units or 0 for period in periods]
    points = [Point(periods[0].start_ms, level, 0.0)]
    for period, value, below in zip(periods, values, depths(values), strict=True):
        level *= 1 + value / ONE
        points.append(Point(period.end_ms, level, float(below)))
    return tuple(points)


def _gaps(periods: Sequence[Period]) -> Iterator[Gap]:
    for why, same in groupby(periods, lambda period: period.why):
        part = list(same)
        yield Gap(part[0].start_ms, part[-1].end_ms, why)


def thinned(line: Line, columns: int, start_ms: int, end_ms: int) -> Line:
    """Returns a line with at most a few points for each of `columns` equal parts of the time: where
    it enters and leaves, its highest, lowest and deepest. So no peak or trough is lost."""
    if len(line) <= 4 * columns or end_ms <= start_ms:
        return line
    kept = list[Point]()
    width = end_ms - start_ms
    for _, part in groupby(line, lambda point: (point.time_ms - start_ms) * columns // width):
        points = list(part)
        chosen = {points[0], points[-1], min(points, key=lambda point: point.below)}
        chosen.add(min(points, key=lambda point: point.level))
        chosen.add(max(points, key=lambda point: point.level))
        kept += sorted(chosen, key=lambda point: point.time_ms)
    return tuple(kept)
