"""What a leaf says, and what it commits to, in lines for people; JSON has the plain values."""

from collections.abc import Mapping
from typing import Final

from strongroom_wire.errors import Rule
from strongroom_wire.leaves import Leaf

from strongroom_host.cli.explain import figures
from strongroom_host.cli.log_time import shown_time
from strongroom_host.cli.output import say
from strongroom_host.log.decoded import Plain, decode_leaf
from strongroom_host.log.report.words import quantity

__all__ = ["say_leaf", "say_record"]

_WIDTH: Final = 16
_MS: Final = "_ms"


def say_leaf(leaf: Leaf) -> None:
    """Prints what a leaf says in public."""
    _lines(decode_leaf(leaf))


def say_record(record: Plain | None) -> None:
    """Prints what a leaf commits to, as far as that is known."""
    if record is None:
        say("what it commits to: no opening is known here")
        return
    say("what it commits to:")
    _lines(record)


def _lines(facts: Plain) -> None:
    rule, limit, asked = (facts.get(name) for name in ("rule", "limit", "asked"))
    shown = dict(facts)
    if isinstance(rule, str) and isinstance(limit, int) and isinstance(asked, int):
        shown["limit"], shown["asked"] = figures(Rule[rule], limit, asked)
    for name, value in shown.items():
        if name.endswith(_MS) and isinstance(value, int):
            name, value = name.removesuffix(_MS), shown_time(value)
        say(f"  {name.replace('_', ' '):<{_WIDTH}}{_text(value)}")


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return _together(value)
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _together(value: Mapping[str, object]) -> str:
    """A head, an amount with its orders, or such of several keys."""
    if value.keys() == {"size", "root"}:
        return f"{quantity(int(str(value['size'])), 'leaf', 'leaves')}, root {value['root']}"
    if value.keys() == {"notional", "orders"}:
        return f"{value['notional']} pUSD in {quantity(int(str(value['orders'])), 'order')}"
    return "; ".join(f"{name}: {_text(each)}" for name, each in value.items()) or "none"
