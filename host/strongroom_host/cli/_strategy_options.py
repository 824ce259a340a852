"""Options that the commands about strategies share."""

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from strongroom_host.errors import BadInput
from strongroom_host.strategy.decisions import SessionRecord
from strongroom_host.strategy.fills import Costs
from strongroom_host.strategy.port import Strategy

__all__ = [
    "CashOption",
    "FeeOption",
    "LatencyOption",
    "OptionOption",
    "StrategyOption",
    "costs_of",
    "given",
    "session_record",
]

StrategyOption = Annotated[
    str, typer.Option("--strategy", metavar="NAME", help="See `strongroom strategy list`.")
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An option of the strategy. Repeatable."),
]
LatencyOption = Annotated[
    float,
    typer.Option(min=0, max=3_600_000, help="From decision to book, and from there back, ms each."),
]
FeeOption = Annotated[int, typer.Option(min=0, max=10_000, help="What takers pay, 1e-4.")]
CashOption = Annotated[int, typer.Option(min=1, max=10**9, help="pUSD to begin with.")]


def given(options: list[str] | None) -> dict[str, str]:
    """Returns options by name.

    Raises:
        BadInput: one is not NAME=VALUE, or comes twice.
    """
    found = dict[str, str]()
    for text in options or ():
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise BadInput(
                "an option of a strategy cannot be read", expected="NAME=VALUE, once", actual=text
            )
        found[name] = value
    return found


def costs_of(latency_ms: float, fee_bps: int, cash: int) -> Costs:
    """Returns what stands between a decision and its profit."""
    return Costs(round(latency_ms * 1_000_000), fee_bps, cash * 1_000_000)


def session_record(
    strategy: Strategy, names: Sequence[str], source: str, *, after: int = 0
) -> SessionRecord:
    """Returns the first line of a session's record."""
    return SessionRecord(
        strategy=strategy.name,
        model_sha256=strategy.model_sha256.hex(),
        parameters=dict(strategy.parameters),
        instruments=tuple(names),
        source=source,
        started_ns=time.time_ns(),
        after=after,
    )
