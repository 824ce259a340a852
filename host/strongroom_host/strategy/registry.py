"""Strategies by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.strategy import baseline, gru, whale
from strongroom_host.strategy.errors import StrategyUnknown
from strongroom_host.strategy.options import Option
from strongroom_host.strategy.told import Told

__all__ = ["STRATEGIES", "Entry", "load_strategy"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A strategy that can be run: what it is, its options, and how it is made."""

    means: str
    options: Mapping[str, Option]
    make: Callable[[Mapping[str, str], Sequence[str]], Told]


STRATEGIES: Final[Mapping[str, Entry]] = {
    "baseline": Entry(
        "quotes at the best prices and leans on the mean; no model",
        baseline.OPTIONS,
        baseline.Baseline,
    ),
    "gru": Entry("a small recurrent network foresees the token's price", gru.OPTIONS, gru.Gru),
    "whale": Entry(
        "acts on large transfers and trades of the coin; no model", whale.OPTIONS, whale.Whale
    ),
}


def load_strategy(name: str, options: Mapping[str, str], instruments: Sequence[str]) -> Told:
    """Returns a strategy that was told nothing yet.

    Args:
        name: One of `STRATEGIES`.
        options: By name; what is not given has its default.
        instruments: The ring's or tape's table: names by index, "" at 0.

    Raises:
        StrategyUnknown: there is none of that name.
        StrategyUnsuited: an option or an instrument is not right.
        ModelMissing, ModelChanged, ModelUnfit, RuntimeAbsent: it has a model, which cannot run.
    """
    entry = STRATEGIES.get(name)
    if entry is None:
        raise StrategyUnknown(
            f"there is no strategy {name}",
            expected=", ".join(STRATEGIES),
            remedy="strongroom strategy list",
        )
    return entry.make(options, instruments)
