"""The budget drawn: bars of shares for a terminal, ranges of percentiles as SVG and as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Final

from strongroom_host.latency.histogram import POINTS
from strongroom_host.latency.table import Row, shown

__all__ = ["bars", "page", "svg"]

_WIDTH: Final = 960
_LEFT: Final = 170
_RIGHT: Final = 30
_TOP: Final = 56
_ROW: Final = 30
_COLOURS: Final = ("#31449b", "#6b7fd1", "#b3bdea", "#d8ddf5", "#eef0fa")
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#1c2430}.dim{fill:#5d6b7c}"
    ".rule{stroke:#d9dfe7}.title{font-size:17px;font-weight:600}"
)


def bars(rows: Sequence[Row], width: int = 40, *, plain: bool = False) -> list[str]:
    """Returns a line for each part of the way: its share of the medians' sum, as a bar."""
    parts = [row for row in rows if row.share is not None]
    if not parts:
        return []
    named = max(len(row.stage.title) for row in parts)
    most = max(row.share or 0 for row in parts) or 1
    mark = "#" if plain else "█"
    return [
        f"{row.stage.title:{named}}  {mark * max(1, round((row.share or 0) / most * width))}"
        f" {shown(row.points['p50'])}, {row.share:.0%}"
        for row in parts
    ]


def svg(rows: Sequence[Row], title: str) -> str:
    """Returns each stage as a bar from p50 to its furthest percentile, on a logarithmic scale."""
    low, high = _ends(rows)
    height = _TOP + _ROW * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="title" x="{_LEFT}" y="28">{escape(title)}</text>',
    ]
    bottom = _TOP + _ROW * len(rows)
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        x = _x(10**power, low, high)
        parts.append(f'<line class="rule" x1="{x}" x2="{x}" y1="{_TOP - 8}" y2="{bottom}"/>')
        label = escape(shown(10**power))
        parts.append(
            f'<text class="dim" x="{x}" y="{bottom + 20}" text-anchor="middle">{label}</text>'
        )
    for place, row in enumerate(rows):
        parts += _drawn(row, _TOP + _ROW * place, low, high)
    return "".join((*parts, "</svg>"))


def page(rows: Sequence[Row], title: str, notes: Sequence[str]) -> str:
    """Returns a page without scripts: the drawing, its figures, what they mean."""
    head = "".join(f"<th>{escape(name)}</th>" for name in ("stage", "n", *POINTS, "max", "jitter"))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(cell)}</td>"
            for cell in (
                row.stage.title,
                f"{row.count:,}",
                *(shown(row.points[name]) for name in POINTS),
                shown(row.longest),
                shown(row.jitter),
            )
        )
        + "</tr>"
        for row in rows
    )
    said = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
        "padding:0 1rem;color:#1c2430}table{border-collapse:collapse}"
        "td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #d9dfe7}"
        "td:first-child,th:first-child{text-align:left}p{margin:.2rem 0;color:#5d6b7c}</style>"
        f"{svg(rows, title)}<table><tr>{head}</tr>{body}</table>{said}</html>\n"
    )


def _drawn(row: Row, top: int, low: float, high: float) -> list[str]:
    name = escape(row.stage.title)
    known = [value for value in row.points.values() if value is not None] or [row.longest]
    parts = [f'<text x="{_LEFT - 10}" y="{top + 17}" text-anchor="end">{name}</text>']
    ends = [*known, row.longest] if row.longest > known[-1] else known
    for colour, (start, end) in zip(_COLOURS[1:], pairwise(ends), strict=False):
        left, right = _x(start, low, high), _x(end, low, high)
        parts.append(
            f'<rect x="{left}" y="{top + 6}" width="{max(1, right - left)}" height="14"'
            f' fill="{colour}"/>'
        )
    middle = _x(known[0], low, high)
    parts.append(f'<circle cx="{middle}" cy="{top + 13}" r="5" fill="{_COLOURS[0]}"/>')
    return parts


def _ends(rows: Sequence[Row]) -> tuple[float, float]:
    values = [value for row in rows for value in (*row.points.values(), row.longest) if value]
    low, high = min(values, default=1_000), max(values, default=1_000_000)
    return 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9)


def _x(value: float, low: float, high: float) -> int:
    share = (math.log10(max(value, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))
