"""`strongroom latency`: where the time goes between a tick and its order."""

from __future__ import annotations

from typing import Annotated

import typer

from strongroom_host.cli.output import print_json, say, table
from strongroom_host.cli.session import JsonOption
from strongroom_host.latency.stats import Counter, read_stats, running
from strongroom_host.latency.table import COLUMNS, Row, budget, cells, legend

__all__ = ["latency", "print_budget"]


def latency(
    name: Annotated[
        str, typer.Argument(help="A running session (`strongroom trade run --name`).")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Show the latency budget of a running session, stage by stage."""
    chosen = name or next(iter(running()), "trade")
    _, _, figures = read_stats(chosen)
    rows = budget(figures.stages)
    if json:
        print_json(report(rows, {key.name.lower(): figures.counters[key] for key in Counter}))
        return
    print_budget(f"session {chosen}", rows)


def report(rows: list[Row], counts: dict[str, int]) -> dict[str, object]:
    """Returns the budget for programs; durations in ns."""
    return {
        "counts": counts,
        "stages": [
            {
                "stage": row.stage.name.lower(),
                "what": row.stage.what,
                "from": row.stage.where.value,
                "n": row.count,
                **{point: row.points[point] for point in row.points},
                "share": row.share,
                "max": row.longest,
                "jitter": row.jitter,
            }
            for row in rows
        ],
    }


def print_budget(title: str, rows: list[Row], *, explained: bool = True) -> None:
    """Prints the rows as a table, and what they mean."""
    if not rows:
        say("no order was timed yet")
        return
    table(title, COLUMNS, [cells(row) for row in rows])
    if explained:
        for text in legend(rows):
            say(text)
