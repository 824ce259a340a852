"""What every venue is: names it answers to, a table of endpoints, a way to refuse.

A handler takes a `Call` and returns what the answer's JSON holds, or raises `Refused`. It is a
plain function of the world, the account and the clock; only `Call.rows` may bend the truth, when a
fault says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol, TypeVar, cast
from urllib.parse import parse_qsl

from strongroom_host.venues.errors import Refused
from strongroom_host.venues.faults import Faults, alike, disturbed
from strongroom_host.venues.history import Fill, Flow, Move
from strongroom_host.venues.market import Instrument, Kind, Market
from strongroom_host.venues.world import Account

__all__ = [
    "Call",
    "Event",
    "Handler",
    "Reply",
    "Venue",
    "before_id",
    "by_pair",
    "decimals",
    "integer",
    "text",
]

Event = TypeVar("Event", bound=Fill | Flow | Move)
_FOREVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with more to it than a JSON body; `content` of type bytes is sent as it is."""

    content: object
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, byte for byte as it was sent.

    `query` is the raw query string: what signatures cover. `path` is what was sent too, still
    percent-encoded.
    """

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    places: Mapping[str, str]
    now_ms: int
    client: str
    faults: Faults

    @property
    def parameters(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the last."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def rows(self, account: Account, page: Sequence[Event]) -> list[Event]:
        """The page as this venue tells it: the truth, unless a fault is armed for it."""
        fault = self.faults.of_the_word(self.host, self.path) if page else None
        if fault is None:
            return list(page)
        stranger = cast("list[Event]", alike(account.stranger, page))
        return disturbed(fault, page, stranger)


Handler = Callable[[Call], object]


class Venue(Protocol):
    """One venue of a server."""

    name: str
    hosts: tuple[str, ...]

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """Method, path (with ``{places}``) and handler of each endpoint."""

    def unknown(self, call: Call) -> Refused:
        """What it says to a path that it does not have."""


def text(number: Decimal, places: int | None = None) -> str:
    """A number as venues write it: no exponent; padded to `places` where they pad.

    Raises:
        ArithmeticError: it has more places than that; a venue must not lose digits of the truth.
    """
    if places is None:
        shown = format(number.normalize(), "f")
        return "0" if shown in ("-0", "0") else shown
    padded = number.quantize(Decimal(1).scaleb(-places))
    if padded != number:
        raise ArithmeticError(f"{number} has more than {places} places")
    return format(padded, "f")


def integer(value: str | None, otherwise: int) -> int:
    """A parameter as a number.

    Raises:
        ValueError: it is not one.
    """
    if value is None or value == "":
        return otherwise
    if not value.lstrip("-").isascii() or not value.lstrip("-").isdigit():
        raise ValueError(value)
    return min(int(value), _FOREVER)


def decimals(step: Decimal) -> int:
    """How many decimals a tick or lot has."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def before_id(events: Sequence[Event], below: int, limit: int) -> list[Event]:
    """The newest events whose numeric id is below a number (0: any), newest first."""
    newest = [event for event in reversed(events) if not below or int(event.id) < below]
    return newest[:limit]


def by_pair(market: Market, kind: Kind) -> dict[str, Instrument]:
    """Instruments of a kind by the name most venues give them: ``BTCUSDT``."""
    return {
        instrument.base + instrument.quote: instrument
        for instrument in market.instruments.values()
        if instrument.kind is kind
    }
