"""What is known of a venue as data: which calls tell an account's history, how they page, what a
row means; how a row is read; what comes out: cursors, pages, gaps and why there are gaps.
"""

from collections.abc import Callable
from decimal import Decimal, DecimalException
from enum import IntEnum
from typing import Any, Final

import msgspec
from msgspec import Struct
from strongroom_wire.errors import Code

from strongroom_enclave.record.errors import RecordError
from strongroom_enclave.record.events import Event

__all__ = ["Cursor", "Gap", "KeyTooPowerful", "Page", "Reason", "Rule", "Stream", "Venue"]
__all__ += ["VenueFault", "amount", "inside", "listed", "rules", "text"]

_GROUPS: Final = {".": "fields", "?": "given", ":": "kinds"}


class Reason(IntEnum):
    """Why a span is not covered. A venue's own words stay where they were said."""

    DEPTH = 1
    """Older than the venue tells."""
    RATE_LIMIT = 2
    UNREACHABLE = 3
    MALFORMED = 4
    """No JSON, or not of the shape that was asked for."""
    DISCONTINUED = 5
    """A page that does not continue the one before: replayed, another's, lost, out of its span."""
    CLOCK = 6
    """Times ahead of the venue's own clock, or clocks too far apart."""
    UNKNOWN_KIND = 7
    """A change of balance that nobody here knows the meaning of."""
    UNKNOWN_MARKET = 8
    OVERFULL = 9
    """More rows of one ms than can be had."""
    PENDING = 10
    """Money on its way: what becomes of it is not known yet."""
    KEY = 11
    """The venue takes the key for wrong, expired or not allowed to read this."""
    REFUSED = 12
    """Anything else that the venue refuses."""


class VenueFault(RecordError):
    """A venue's answer that is none, or cannot be believed; `reason` becomes that of a gap."""

    code = Code.VENUE_REFUSED

    def __init__(self, reason: Reason, expected: object = None, actual: object = None) -> None:
        super().__init__(f"venue: {reason.name}", expected, actual)
        self.reason = reason


class KeyTooPowerful(RecordError):
    """The key may do more than read. The owner has to make one that cannot."""

    code = Code.VENUE_NOT_ALLOWED


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a venue: a stream of rows, or one per symbol of the kind `each`.

    `size` is rows of a full page, `span` days that one call may ask for, `depth` days that the
    venue looks back. How what is left of a full page is asked for is one of: `from_id` onwards,
    oldest first, without times; with the `cursor` that the answer holds at `next`; by number of
    `page`; `below_id`, the page's lowest, newest first. Else both halves of the span are asked for.

    `fields` names where in a row each of these is, a dot going one level deeper: id, time, status;
    of trades symbol, side, amount, price, fee, asset (of the fee); of flows asset, amount, fee (on
    top of it). paid and rebated are amount and fee of the other sign. `kind` (one, or some with a +
    between) picks the event from `kinds`. An event is TRADE; or a name of `FlowKind`, with a minus
    where what leaves is written without one; or SKIP for what other rules tell; or BALANCE: rows
    of what is held, `plus` and `minus` naming what makes it up. Rows of a status in `void` never
    happened, those of another than `done` are not over.
    """

    name: str
    call: str
    event: str
    fields: dict[str, str]
    given: dict[str, str]
    kinds: dict[str, str]
    size: int = 0
    size_as: str = "limit"
    since_as: str = "startTime"
    until_as: str = "endTime"
    span: int = 0
    depth: int = 0
    from_id: str = ""
    cursor: str = ""
    next: str = ""
    page: str = ""
    below_id: str = ""
    rows: str = ""
    contracts: bool = False
    each: str = ""
    done: str = ""
    void: str = ""


def rules(table: str) -> tuple[Rule, ...]:
    """Returns the rules of a table: lines that begin with `=`, name, call and event.

    Then follow words `name=value`: of `fields` with a dot before, of `given` (what is always sent)
    with a question mark, of `kinds` with a colon.
    """
    found = []
    for line in table.split("\n= ")[1:]:
        content: dict[str, Any] = {group: {} for group in _GROUPS.values()}
        content["name"], content["call"], content["event"], *rest = line.split()
        for key, _, value in (word.partition("=") for word in rest):
            group = _GROUPS.get(key[0])
            (content[group] if group else content)[key[1:] if group else key] = value
        found.append(content)
    return msgspec.convert(found, tuple[Rule, ...], strict=False)


class Venue(Struct, frozen=True):
    """A venue: the class of ccxt that signs for it; which of its markets to list; its rules; of
    which lists positions are asked for; and a call whose answer is such that the key can only read
    (None where the venue does not tell).
    """

    client: Callable[[dict[str, Any]], Any]
    types: str
    rules: tuple[Rule, ...]
    positions: tuple[dict[str, str], ...]
    access: tuple[str, Callable[[object], bool]] | None = None


class Stream(Struct, frozen=True):
    """A rule of a venue by name, and the symbol where it needs one."""

    rule: str
    symbol: str = ""


class Cursor(Struct, frozen=True):
    """How far a stream is: all before `next_ms` was asked for; the newest row that was found."""

    next_ms: int
    last_ms: int = -1
    last_key: str = ""


class Gap(Struct, frozen=True):
    """From `start_ms` to `end_ms` (inclusive) nothing is proved."""

    start_ms: int
    end_ms: int
    reason: Reason


class Page(Struct, frozen=True):
    """Events, and what they prove: `covered` (inclusive) is complete as this venue tells it.

    `late` of the events lie before it: the venue booked them after that time was asked for.
    """

    events: tuple[Event, ...]
    cursor: Cursor
    covered: tuple[int, int] | None = None
    gap: Gap | None = None
    late: int = 0
    complete: bool = False


def inside(value: object, path: str) -> object:
    """Returns what an answer holds at a path of names and numbers, or None."""
    for name in path.split(".") if path else ():
        if isinstance(value, list):
            value = value[int(name)] if name.isdecimal() and int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value


def text(row: object, path: str) -> str:
    """Returns a field as the text it was sent as; empty where there is none, or it is no text."""
    value = inside(row, path)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""


def amount(row: object, path: str) -> Decimal:
    """Returns a field as the number it was sent as; 0 where there is none.

    Raises:
        VenueFault: MALFORMED, it is no number.
    """
    try:
        return Decimal(text(row, path) or 0)
    except DecimalException:
        raise VenueFault(Reason.MALFORMED, "a number", "another text") from None


def listed(answer: object, path: str) -> list[object]:
    """Returns the rows of an answer; none where it says that there are none in total.

    Raises:
        VenueFault: MALFORMED.
    """
    rows = inside(answer, path)
    if isinstance(rows, list):
        return rows
    if rows is None and text(answer, "total") == "0":
        return []
    raise VenueFault(Reason.MALFORMED, "a list of rows", type(rows).__name__)
