"""The budget as a table: each stage with its percentiles, its share, and its jitter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from strongroom_host.latency.histogram import POINTS, Histogram
from strongroom_host.latency.stages import PARTS, Stage, Where

__all__ = ["COLUMNS", "Row", "aligned", "budget", "cells", "jitter", "legend", "shares", "shown"]

COLUMNS = ("stage", "n", *POINTS, "max", "share", "jitter")


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: durations in ns, None where there are too few to tell.

    Attributes:
        stage: Which.
        count: How many were timed.
        points: By the names of `POINTS`.
        longest: The longest of all.
        share: Of the median of tick -> request out, 0 to 1; only for its parts.
        jitter: p99.99 - p50 in ns: what the worst order in ten thousand pays more than the usual
            one; of the furthest percentile there is, where that is not known.
    """

    stage: Stage
    count: int
    points: Mapping[str, int | None]
    longest: int
    share: float | None = None
    jitter: int | None = None


def budget(histograms: Mapping[Stage, Histogram]) -> list[Row]:
    """Returns the rows of every stage that was timed, in the order of the way."""
    rows = [
        _row(stage, histogram.total(), histogram.points(), histogram.at(1.0))
        for stage in Stage
        if (histogram := histograms.get(stage)) is not None and histogram.total()
    ]
    return shares(rows)


def shares(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows with each part's share of the whole way, by medians."""
    found = list(rows)
    whole = sum(row.points["p50"] or 0 for row in found if row.stage in PARTS)
    return [
        replace(row, share=(row.points["p50"] or 0) / whole)
        if whole and row.stage in PARTS
        else row
        for row in found
    ]


def jitter(points: Mapping[str, int | None]) -> int | None:
    """Returns how much more than the median the furthest known percentile is, in ns."""
    known = [value for value in points.values() if value is not None]
    return known[-1] - known[0] if len(known) > 1 else None


def _row(stage: Stage, count: int, points: Mapping[str, int | None], longest: int) -> Row:
    return Row(stage, count, points, longest, None, jitter(points))


def shown(duration_ns: int | None) -> str:
    """Returns a duration for people, three digits of it."""
    if duration_ns is None:
        return "-"
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        if duration_ns >= size:
            return f"{duration_ns / size:.3g} {unit}"
    return f"{duration_ns} ns"


def cells(row: Row) -> tuple[str, ...]:
    """Returns one row's cells for `COLUMNS`; stages that were measured apart have a star."""
    title = row.stage.title + ("*" if row.stage.where is Where.APART else "")
    figures = [shown(row.points[name]) for name in POINTS]
    share = "" if row.share is None else f"{row.share:.0%}"
    return (title, f"{row.count:,}", *figures, shown(row.longest), share, shown(row.jitter))


def aligned(rows: Iterable[Row]) -> list[str]:
    """Returns the table as lines of text, the figures one under the other."""
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def legend(rows: Iterable[Row]) -> list[str]:
    """Returns what each row means, and how the last two columns are computed."""
    found = list(rows)
    width = max((len(row.stage.title) for row in found), default=0)
    lines = [f"{row.stage.title:{width}}  {row.stage.what}" for row in found]
    if any(row.stage.where is Where.APART for row in found):
        lines.append("*: measured apart on this machine; nobody outside sees into the enclave")
    lines.append("share: of the sum of the parts' medians, up to the request being out")
    lines.append("jitter: p99.99 - p50, or as far up as there are enough orders to tell")
    return lines
