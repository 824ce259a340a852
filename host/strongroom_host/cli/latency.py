"""`strongroom latency`: where the time goes between a tick and its order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from strongroom_host.cli._strategy_options import given
from strongroom_host.cli.output import print_json, say
from strongroom_host.cli.session import JsonOption
from strongroom_host.errors import BadInput
from strongroom_host.latency.plot import bars, page, svg
from strongroom_host.latency.stats import Counter, read_stats, running
from strongroom_host.latency.table import Row, aligned, budget, legend
from strongroom_host.private_files import write_atomic

__all__ = ["latency", "print_budget"]


def latency(
    name: Annotated[
        str, typer.Argument(help="A running session (`strongroom trade run --name`).")
    ] = "",
    tape: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Play this tape through a pipeline of its own: enclave, test venue, relay.",
        ),
    ] = None,
    strategy: Annotated[str, typer.Option(metavar="NAME", help="With --tape.")] = "baseline",
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of the strategy.")
    ] = None,
    speed: Annotated[str, typer.Option(help="With --tape: as `strongroom tape replay`.")] = "10",
    busy_poll: Annotated[
        bool, typer.Option("--busy-poll", help="With --tape: spin instead of sleeping.")
    ] = False,
    apart: Annotated[
        bool, typer.Option("--apart/--no-apart", help="Also time what only its own code shows.")
    ] = True,
    rounds: Annotated[int, typer.Option(min=100, help="Of what is timed apart.")] = 10_000,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it: .svg or .html.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the latency budget, stage by stage: of a running session, or of a tape played here.

    Live stages are stamped in every order. What happens inside the enclave nobody sees from
    outside: the same code is timed beside it, and marked with a star.
    """
    if plot is not None and plot.suffix not in (".svg", ".html"):
        raise BadInput("cannot draw such a file", expected=".svg, .html", actual=plot.suffix)
    if tape is not None:
        from strongroom_host.latency.rehearsal import rehearse

        title = f"{strategy} on {tape.name}"
        played = rehearse(tape, strategy, given(option), speed, busy_poll=busy_poll)
        stages, counts = dict(played.stages), played.counts
    else:
        chosen = name or next(iter(running()), "trade")
        figures = read_stats(chosen)[2]
        title, stages = f"session {chosen}", dict(figures.stages)
        counts = {key.name.lower(): figures.counters[key] for key in Counter}
    if apart:
        from strongroom_host.latency.apart import measured_apart

        stages |= measured_apart(rounds)
    rows = budget(stages)
    if plot is not None:
        drawn = svg(rows, title) if plot.suffix == ".svg" else page(rows, title, legend(rows))
        write_atomic(plot, drawn.encode())
    if json:
        print_json(report(rows, counts))
        return
    print_budget(title, rows)
    if plot is not None:
        say(f"written: {plot}")


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
    say(title)
    for text in aligned(rows):
        say(text)
    for text in bars(rows, plain=not sys.stdout.encoding.lower().startswith("utf")):
        say(text)
    if explained:
        for text in legend(rows):
            say(text)
