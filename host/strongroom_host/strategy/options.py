"""Options of strategies: checked once, with defaults, complete in every record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.strategy.errors import StrategyUnsuited

__all__ = ["PRICE_UNIT", "Option", "instrument", "number", "read"]

PRICE_UNIT: Final = 100
"""A tick's price and size count 1e-8, an intent's 1e-6."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its default, what it means, and its range if it is a number. A default of None
    means that it must be given."""

    default: str | int | None
    means: str
    low: int = 0
    high: int = 1 << 62


def read(
    strategy: str, table: Mapping[str, Option], given: Mapping[str, str]
) -> dict[str, str | int]:
    """Returns every option's value.

    Raises:
        StrategyUnsuited: one is unknown, missing, no number, or out of range.
    """
    for name in given:
        if name not in table:
            raise StrategyUnsuited(
                f"{strategy} has no option {name}",
                expected=", ".join(sorted(table)),
                actual=name,
                remedy=f"strongroom strategy list {strategy}",
            )
    return {name: _value(strategy, name, option, given.get(name)) for name, option in table.items()}


def _value(strategy: str, name: str, option: Option, given: str | None) -> str | int:
    if given is None:
        if option.default is None:
            raise StrategyUnsuited(
                f"{strategy} needs the option {name}: {option.means}",
                remedy=f"--option {name}=...",
            )
        return option.default
    if isinstance(option.default, str) or option.default is None:
        return given
    try:
        value = int(given)
    except ValueError:
        value = -1
    if str(value) != given or not option.low <= value <= option.high:
        raise StrategyUnsuited(
            f"the option {name} of {strategy} is not a number that it can be",
            expected=f"{option.low} to {option.high}: {option.means}",
            actual=given,
        )
    return value


def instrument(
    strategy: str, options: Mapping[str, str | int], name: str, instruments: Sequence[str]
) -> int:
    """Returns the index of the instrument that an option names; 0 if it names none.

    Raises:
        StrategyUnsuited: the ring or tape has no such instrument.
    """
    wanted = str(options[name])
    if not wanted:
        return 0
    if wanted not in instruments:
        have = ", ".join(each for each in instruments if each) or "none"
        raise StrategyUnsuited(
            f"{strategy} needs {wanted}, of which there are no ticks here",
            expected=f"an instrument of the ring or tape: {have}",
            actual=f"{name}={wanted}",
            remedy="name another, or run the feed that has it before the strategy",
        )
    return list(instruments).index(wanted)


def number(options: Mapping[str, str | int], name: str) -> int:
    """Returns the value of an option that is a number."""
    value = options[name]
    if not isinstance(value, int):
        raise TypeError(f"{name} is no number")
    return value
