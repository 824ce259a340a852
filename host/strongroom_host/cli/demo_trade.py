"""`strongroom demo-trade`: ticks to fills on this machine, all processes and all checks real."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from strongroom_wire.errors import Rule

from strongroom_host.cli._stopping import stoppable
from strongroom_host.cli.explain import RULES
from strongroom_host.demo_trade.scenario import Told, perform
from strongroom_host.trading.words import money

__all__ = ["demo_trade"]


def demo_trade(
    seconds: Annotated[
        float, typer.Option(min=3, max=3600, help="How long the strategy trades.")
    ] = 25.0,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep everybody's folders here.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live view.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON report.")] = False,
) -> None:
    """Let a strategy trade here: feed, ring, enclave, relay, and a venue whose markets move.

    Every order passes the owners' limits inside the enclave; the books of venue, journal, log and
    strategy are compared at the end. All processes are gone then.
    """
    console = None if as_json else Console(highlight=False)
    with stoppable():
        told = perform(console, seconds, keep, plain=plain)
    if console is None:
        typer.echo(json.dumps(told.report(), indent=2))
        return
    for text in _words(told):
        console.print(Text(text), soft_wrap=True)


def _words(told: Told) -> list[str]:
    facts = told.facts
    denials = "; ".join(
        f"{count} by {rule} ({RULES[Rule[rule]].wrong})" for rule, count in facts.denials.items()
    )
    return [
        "",
        f"{facts.decisions} decisions, {facts.orders} orders signed inside the enclave and sent"
        f" through the relay; the venue got each exactly once.",
        f"{facts.filled} of them were traded: {money(facts.shares, 2)} shares. Nothing rests any"
        " more.",
        f"Denied inside, whatever the host wanted: {denials}.",
        f"{facts.leaves} answers, each a leaf of the enclave's log under a head that it signed.",
        f"{told.total_s:.0f} s in all, {told.ready_s:.0f} s of them to start. Every process is"
        " gone.",
    ]
