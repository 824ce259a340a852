"""What may be known of a venue: which calls tell an account's history, how they page, what a row
means. `venues.toml` holds it; whatever it says in other words fails at import. Then what comes out
(cursors, pages, gaps and why there are gaps) and how a path leads to a number or a text.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from enum import IntEnum
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct
from strongroom_wire.errors import Code

from strongroom_enclave.record.errors import RecordError
from strongroom_enclave.record.events import Event

EPOCH: Final = datetime.fromtimestamp(0, UTC)
_SECONDS: Final = 11  # digits of a time in seconds, at most: as many in ms were before any venue
# Why a span is not covered; a venue's own words stay where they were said. DEPTH: older than the
# venue tells. MALFORMED: no JSON, or not of the shape that was asked for. DISCONTINUED: does not
# continue what came before: replayed, another's, lost, out of its span. CLOCK: times ahead of the
# venue's own clock, or clocks too far apart. UNKNOWN_KIND: a change of balance that nobody here
# knows the meaning of. OVERFULL: more rows of one ms than can be had, or more wallets. PENDING:
# money on its way: what becomes of it is not known yet. KEY: the venue takes the key for wrong,
# expired or not allowed to read this. REFUSED: anything else that the venue refuses. LATE: the run
# took too long, and the next one goes on from there.
Reason = IntEnum(
    "Reason",
    "DEPTH RATE_LIMIT UNREACHABLE MALFORMED DISCONTINUED CLOCK UNKNOWN_KIND UNKNOWN_MARKET "
    "OVERFULL PENDING KEY REFUSED LATE",
)


class VenueFault(RecordError, code=Code.VENUE_REFUSED):
    """A venue's answer that is none, or cannot be believed; `reason` becomes that of a gap."""

    def __init__(self, reason: Reason, expected: object = None, actual: object = None) -> None:
        super().__init__(f"venue: {reason.name}", expected, actual)
        self.reason = reason


class _Said(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of the tables, without a word that is not defined here. A path is names and numbers with
    dots between; that of a number turns its sign with a minus before it."""


class Row(_Said, frozen=True, kw_only=True):
    """Paths within a row; those of a mapping are `key` and `row`.

    `day` is where a row without a `time` has its date: it was when that day, in UTC, began.
    `kind`, with a plus between if it is several, picks the event. `side` and `price` are a trade's;
    `asset` is what a flow or the fee of a trade is in, and without a path that is the market's.
    A `fee` is the sum of what is listed. `change` is all that a flow changes where that is not
    amount and fee.
    """

    id: str
    time: str
    amount: str
    day: str = ""
    kind: tuple[str, ...] = ()
    status: str = ""
    symbol: str = ""
    side: str = ""
    price: str = ""
    fee: tuple[str, ...] = ()
    asset: str = ""
    change: str = ""


class Rule(_Said, frozen=True, kw_only=True):
    """A call of a venue that tells one stream of rows, or one for each of `places`, which are named
    or are the symbols of a kind or the wallets there.

    An event is TRADE, a name of `FlowKind` (with a minus where what leaves is written without one),
    or SKIP for what other rules tell. Rows of a status in `void` never happened, those of another
    than `done` are not over. `contracts` says whose names a symbol is among.

    `given` is what is sent. In it stands $place for that; $since and $until for ms, with _s for
    seconds, with _iso for text: rules that send none get rows newest first. A page has `size` rows
    if others follow, which are then asked for by $next, which the answer holds at `next`, or else
    is the last row's id; by $page, from 1 on; by $offset in rows. $from asks for rows from an id
    on, oldest first. Where none of these is sent, both halves of the span are asked for.

    One call may ask for `span` days; the venue looks back `depth` days, or for ever. It may book
    rows up to `late` days after their time, so as many are read again each time.
    """

    call: str
    given: dict[str, str]
    row: Row
    event: str | dict[str, str]
    size: int
    rows: str = ""
    next: str = ""
    places: Literal["SPOT", "LINEAR", "WALLET"] | tuple[str, ...] = ("",)
    contracts: bool = False
    span: int = 3650
    depth: int = 0
    late: int = 0
    done: tuple[str, ...] = ()
    void: tuple[str, ...] = ()


class Balance(_Said, frozen=True, kw_only=True):
    """A call that tells what wallets hold: of an asset, the sum of `plus`; without `rows` the
    answer is the only one. At `more` is whether these are not all rows, at `wallet` the place to
    ask for that wallet's history."""

    call: str
    asset: str
    plus: tuple[str, ...]
    rows: str | None = None
    given: dict[str, str] = {}
    more: str = ""
    wallet: str = ""


class Access(_Said, frozen=True, kw_only=True):
    """A call that tells what a key may do, at a path: `needs` has to be true, and where `allows`
    names anything, all else that is true has to be among it."""

    call: str
    needs: str
    path: str = ""
    allows: tuple[str, ...] = ()


class Venue(_Said, frozen=True, kw_only=True):
    """A venue. Nothing happened there before it `opened`. `holder` is a call, and the path at which
    it tells whose account a key opens, the same for each of its keys. `options` are ccxt's;
    `listing` is sent for the list of markets. Names of spot markets end in a quote where those that
    are not listed any more are `guessable`, and what is called neither so nor listed is a share,
    for money called `shares`. Positions are asked for by each of `positions`. `environments` are
    those that there are. Names of assets end at `cut`. One that is `daily` tells of days that are
    over."""

    opened: datetime
    holder: tuple[str, str]
    balances: dict[str, Balance]
    rules: dict[str, Rule]
    options: dict[str, dict[str, list[str]]] = {}
    listing: dict[str, str] = {}
    guessable: bool = False
    shares: str = ""
    environments: tuple[str, ...] = ("live", "test")
    cut: str = "\0"
    daily: bool = False
    positions: tuple[dict[str, str], ...] = ()
    access: Access | None = None


class Stream(NamedTuple):
    """A rule of a venue by name, and one of its places."""

    rule: str
    place: str = ""


class Cursor(Struct, frozen=True):
    """How far a stream is: all before `next_ms` was asked for; the newest row that was found."""

    next_ms: int
    last_ms: int = -1
    last_key: str = ""


class Page(Struct, frozen=True):
    """Events, or why there is a gap. Without one, all is told from the cursor before up to this
    cursor; events that lie before were booked late. With one, that is not told if this cursor is
    further; else what follows it is not, and an attempt later begins there."""

    events: tuple[Event, ...]
    cursor: Cursor
    gap: Reason | None = None


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
    written = str(value).lower() if isinstance(value, bool) else value
    return str(written) if isinstance(written, str | int) else ""


def amount(row: object, path: str) -> Decimal:
    """Returns a field as the number it was sent as.

    Raises:
        VenueFault: MALFORMED, it is no number.
    """
    try:
        value = Decimal(text(row, path.removeprefix("-")))
    except DecimalException:
        raise VenueFault(Reason.MALFORMED, "a number", "another text") from None
    return value.copy_negate() if path.startswith("-") else value


def time_ms(when: str) -> int:
    """Returns a time as venues write it, in ms: a number of seconds or ms, or ISO 8601; without a
    zone it is UTC.

    Raises:
        ValueError: it is none.
    """
    if "-" in when:
        moment = datetime.fromisoformat(when)
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)
    whole, _, part = when.partition(".")
    return int(whole) * 1000 + int(part.ljust(3, "0")[:3]) if len(whole) <= _SECONDS else int(whole)


def listed(answer: object, path: str) -> list[object]:
    """Returns the rows of an answer; none where it says that there are none in total.

    Raises:
        VenueFault: MALFORMED.
    """
    rows = inside(answer, path)
    if isinstance(rows, list):
        return rows
    if isinstance(rows, dict) and path:
        return [{"key": key, "row": row} for key, row in rows.items()]
    if rows is None and text(answer, "total") == "0":
        return []
    raise VenueFault(Reason.MALFORMED, "a list of rows", type(rows).__name__)


# The venues by name.
_TABLE: Final = Path(__file__).with_name("venues.toml")
VENUES: Final = msgspec.toml.decode(_TABLE.read_bytes(), type=dict[str, Venue])
