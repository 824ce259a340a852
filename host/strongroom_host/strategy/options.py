"""Options of strategies: checked once, with defaults, complete in every record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.strategy.errors import StrategyUnsuited

__all__ = [
    "COINS",
    "PRICE_UNIT",
    "TOKENS",
    "TRANSFERS",
    "Option",
    "instrument",
    "number",
    "read",
]

TOKENS: Final = ("polymarket",)
COINS: Final = ("binance", "coinbase")
TRANSFERS: Final = ("bitcoin",)
"""Whose instruments outcome tokens, coins and transfers of coins are: a name begins with its feed's
and a colon."""

PRICE_UNIT: Final = 100
"""A tick's price and size count 1e-8, an intent's 1e-6."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        default: None means that it must be given, unless `feeds` leave one choice.
        means: What it is.
        low, high: Its range, if it is a number.
        feeds: Of an instrument: whose it can be expected to be. It may be left out where the ring
            or tape has one instrument of these feeds.
    """

    default: str | int | None
    means: str
    low: int = 0
    high: int = 1 << 62
    feeds: tuple[str, ...] = ()


def read(
    strategy: str,
    table: Mapping[str, Option],
    given: Mapping[str, str],
    instruments: Sequence[str],
) -> dict[str, str | int]:
    """Returns every option's value, also of those that were left out.

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
    return {
        name: _value(strategy, name, option, given.get(name), instruments)
        for name, option in table.items()
    }


def _value(
    strategy: str, name: str, option: Option, given: str | None, instruments: Sequence[str]
) -> str | int:
    if given is None:
        if option.default is None:
            return _only_choice(strategy, name, option, instruments)
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


def _only_choice(strategy: str, name: str, option: Option, instruments: Sequence[str]) -> str:
    """Returns the one instrument that the option can mean. Of two, none is the likelier one."""
    choices = [each for each in instruments if each.partition(":")[0] in option.feeds]
    if len(choices) == 1:
        return choices[0]
    have = ", ".join(each for each in instruments if each) or "no instrument"
    raise StrategyUnsuited(
        f"{strategy} needs the option {name}: {option.means}",
        expected=f"{name}=" + (" or ".join(choices) or "one of the ring's or tape's instruments"),
        actual=None if choices else f"not given, and here are {have}",
        remedy=f"--option {name}={choices[0] if choices else '...'}",
    )


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
