"""Rows of answers as events: what a rule says about a row, done to one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from typing import Final

from msgspec import Struct

from strongroom_enclave.record.connectors.rules import Reason, Rule, VenueFault
from strongroom_enclave.record.connectors.session import Session
from strongroom_enclave.record.errors import RecordError
from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Side, Trade
from strongroom_enclave.record.exact import ZERO, exactly

__all__ = ["EPOCH", "Entry", "amount", "entries", "inside", "listed", "text"]

EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MS: Final = timedelta(milliseconds=1)
_SECONDS: Final = 11
"""Digits of a time in seconds, at most: as many in ms were before any venue."""
# MEXC's contracts: 1 opens long, 2 closes short, 3 opens short, 4 closes long.
_BOUGHT: Final = {"buy": 1, "true": 1, "1": 1, "2": 1, "sell": -1, "false": -1, "3": -1, "4": -1}


class Entry(Struct, frozen=True, gc=False):
    """A row: its time, what tells it apart, and what it means: nothing, or nothing yet."""

    time_ms: int
    key: str
    event: Event | None = None
    pending: bool = False


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
    """Returns a field as the number it was sent as; 0 without a path.

    Raises:
        VenueFault: MALFORMED, it is no number.
    """
    try:
        value = Decimal(text(row, path.removeprefix("-"))) if path else ZERO
    except DecimalException:
        raise VenueFault(Reason.MALFORMED, "a number", "another text") from None
    return value.copy_negate() if path.startswith("-") else value


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


def entries(session: Session, rule: Rule, answer: object) -> list[Entry]:
    """Returns the rows of an answer in the order they came.

    Raises:
        VenueFault: MALFORMED, UNKNOWN_KIND or UNKNOWN_MARKET.
    """
    try:
        with exactly():
            return [_entry(session, rule, row) for row in listed(answer, rule.rows)]
    except VenueFault:
        raise
    except (RecordError, LookupError, ValueError, OverflowError):
        raise VenueFault(Reason.MALFORMED, "rows of that stream", "others") from None


def _entry(session: Session, rule: Rule, row: object) -> Entry:
    at, status, asset = rule.row, text(row, rule.row.status), text(row, rule.row.asset)
    time_ms, identifier = _time_ms(text(row, at.time)), text(row, at.id)
    kind = "+".join(text(row, path) for path in at.kind)
    what = rule.event if isinstance(rule.event, str) else rule.event.get(kind)
    if what is None:
        raise VenueFault(Reason.UNKNOWN_KIND)
    if what == "SKIP" or status in rule.void:
        return Entry(time_ms, kind + identifier)
    if rule.done and status not in rule.done:
        return Entry(time_ms, kind + identifier, pending=True)
    market = session.market(text(row, at.symbol), rule.contracts) if at.symbol else None
    # A spot market's fee may be in either asset, so a venue that names it always has to.
    if asset or not market or (at.asset and market.kind is Kind.SPOT):
        asset = session.asset(asset) if asset else ""
    else:
        asset = market.settle
    size, fee = amount(row, at.amount), amount(row, at.fee)
    if what == "TRADE" and market:
        side, price = Side(_BOUGHT[text(row, at.side).lower()]), amount(row, at.price)
        trade = Trade(time_ms, identifier, market.symbol, side, size, price, fee, asset)
        return Entry(time_ms, kind + identifier, trade)
    changed = amount(row, at.change) if at.change else size + fee
    changed = changed.copy_negate() if what.startswith("-") else changed
    flow = Flow(time_ms, identifier, asset, changed, FlowKind[what.removeprefix("-")])
    return Entry(time_ms, kind + identifier, flow)


def _time_ms(when: str) -> int:
    if "-" in when:  # without a zone it is UTC
        moment = datetime.fromisoformat(when)
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // _MS
    whole, _, part = when.partition(".")
    return int(whole) * 1000 + int(part.ljust(3, "0")[:3]) if len(whole) <= _SECONDS else int(whole)
