"""Page by page through a stream, each page proved to continue the one before.

What is proved: rows lie in the span that was asked for, none comes twice, a full page is never the
last, and the newest row known from before is there again (so the pages are still this account's).
What no page can prove: that a venue did not leave out a row in the middle. Balances show that.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from msgspec import Struct

from strongroom_enclave.record.connectors import rules
from strongroom_enclave.record.connectors.rules import (
    Cursor,
    Page,
    Reason,
    Rule,
    Stream,
    VenueFault,
)
from strongroom_enclave.record.connectors.session import Session
from strongroom_enclave.record.errors import EventInvalid
from strongroom_enclave.record.events import Flow, FlowKind, Kind, Side, Trade

__all__ = ["walk"]

_MAX_PAGES: Final = 10_000
_AHEAD_MS: Final = 1_000
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
# MEXC's contracts: 1 opens long, 2 closes short, 3 opens short, 4 closes long.
_BOUGHT: Final = {"buy": 1, "true": 1, "1": 1, "2": 1, "sell": -1, "false": -1, "3": -1, "4": -1}


class _Entry(Struct, frozen=True, gc=False):
    """A row: its time, what tells it apart, and what it means: nothing, or nothing yet."""

    time_ms: int
    key: str
    event: Trade | Flow | None = None
    pending: bool = False


def walk(
    session: Session, rule: Rule, stream: Stream, cursor: Cursor, until_ms: int
) -> Iterator[Page]:
    """Yields what the venue tells from the cursor to `until_ms` (inclusive), oldest first.

    The last page either is `complete` or has a gap that says why not.
    """
    steps = _Walk(session, rule, stream, cursor, until_ms)
    try:
        yield from steps.start()
        yield from steps.by_id() if rule.from_id else steps.by_time()
    except (VenueFault, ValueError) as fault:  # the latter: an id that should count, and does not
        reason = getattr(fault, "reason", Reason.MALFORMED)
        yield steps.gap(steps.cursor.next_ms, until_ms, reason)


class _Walk:
    def __init__(
        self, session: Session, rule: Rule, stream: Stream, cursor: Cursor, until_ms: int
    ) -> None:
        self._session, self._rule, self._stream = session, rule, stream
        self.cursor, self._until = cursor, until_ms
        self._given: dict[str, object] = {**rule.given, rule.size_as: rule.size}
        if stream.symbol:
            self._given["symbol"] = session.ids.get(stream.symbol, "")

    def gap(self, start_ms: int, end_ms: int, reason: Reason) -> Page:
        return Page((), self.cursor, gap=rules.Gap(start_ms, end_ms, reason))

    def start(self) -> Iterator[Page]:
        """Leaves behind what the venue does not tell any more."""
        # A minute later than it says: a request takes time, and a clock may differ.
        oldest = self._session.time_ms() - self._rule.depth * _DAY_MS + 60_000
        begin = self.cursor.next_ms
        if self._rule.depth and begin < oldest:
            self.cursor = Cursor(oldest)
            yield self.gap(begin, oldest - 1, Reason.DEPTH)

    def by_id(self) -> Iterator[Page]:
        # What a venue tells from its first id on may be older than what was asked for.
        floor = 0 if self.cursor.last_key else self.cursor.next_ms
        for _ in range(_MAX_PAGES):
            before = self.cursor
            found, _ = self._page({self._rule.from_id: before.last_key or "0"})
            if before.last_key and not (found and _is(found.pop(0), before)):
                raise VenueFault(Reason.DISCONTINUED, "the last row again", "another")
            last = before
            for entry in found:
                if int(entry.key) <= int(last.last_key or -1) or entry.time_ms < last.last_ms:
                    raise VenueFault(Reason.DISCONTINUED, "rising ids and times", "falling")
                last = Cursor(entry.time_ms, entry.time_ms, entry.key)
            fresh = [entry for entry in found if entry.time_ms <= self._until]
            if not found or len(fresh) < len(found):
                yield self._done(fresh, self._until, floor)
                return
            # Others of the last ms may follow.
            yield self._done(fresh, fresh[-1].time_ms - 1, floor)
        raise VenueFault(Reason.OVERFULL)

    def by_time(self) -> Iterator[Page]:
        span = self._rule.span * _DAY_MS
        while (begin := self.cursor.next_ms) <= self._until:
            before = self.cursor
            anchored = before.last_key != "" and begin - before.last_ms <= span // 2
            start = before.last_ms if anchored else begin
            end = min(start + span - 1, self._until)
            found = sorted(self._window(start, end), key=lambda entry: entry.time_ms)
            if anchored:
                if not any(_is(entry, before) for entry in found):
                    raise VenueFault(Reason.DISCONTINUED, "the last row again", "none")
                found = [entry for entry in found if entry.time_ms > before.last_ms]
            stuck = next((entry.time_ms for entry in found if entry.pending), end + 1)
            yield self._done([entry for entry in found if entry.time_ms < stuck], stuck - 1)
            if stuck <= end:
                yield self.gap(self.cursor.next_ms, self._until, Reason.PENDING)
                return

    def _done(self, fresh: list[_Entry], end_ms: int, floor: int = 0) -> Page:
        before, last = self.cursor, fresh[-1] if fresh else None
        events = [each.event for each in fresh if each.event is not None and each.time_ms >= floor]
        late = sum(event.time_ms < before.next_ms for event in events)
        newest = (last.time_ms, last.key) if last else (before.last_ms, before.last_key)
        self.cursor = Cursor(max(end_ms + 1, before.next_ms), *newest)
        covered = (before.next_ms, end_ms) if end_ms >= before.next_ms else None
        return Page(tuple(events), self.cursor, covered, None, late, end_ms >= self._until)

    def _window(self, start: int, end: int) -> list[_Entry]:
        """Returns every row from start to end, or fails: there is no half of a window."""
        rule, place, found, seen = self._rule, dict[str, object](), list[_Entry](), set[str]()
        times = {rule.since_as: start, rule.until_as: end} if rule.since_as else {}
        for number in range(2, _MAX_PAGES):
            page, answer = self._page({**times, **place})
            found += page
            seen.update(entry.key for entry in page)
            when, full = [entry.time_ms for entry in found], len(page) >= rule.size
            asked = not times or all(start <= time_ms <= end for time_ms in when)
            ordered = when in (sorted(when), sorted(when, reverse=True))
            if not (asked and ordered and len(seen) == len(found)):
                raise VenueFault(Reason.DISCONTINUED, "rows of the span, in order, once", "others")
            if rule.cursor:
                place = {rule.cursor: rules.inside(answer, rule.next)}
                if (full := bool(place[rule.cursor])) and not page:
                    raise VenueFault(Reason.DISCONTINUED, "the rows that were announced", "none")
            elif rule.page:
                place, full = {rule.page: number}, full and (bool(times) or when[-1] >= start)
            elif rule.below_id and full:
                place = {rule.below_id: str(min(int(entry.key) for entry in page))}
            elif full and start < end:
                middle = (start + end) // 2
                return self._window(start, middle) + self._window(middle + 1, end)
            elif full:
                break
            if not full:
                return [entry for entry in found if start <= entry.time_ms <= end]
        raise VenueFault(Reason.OVERFULL)

    def _page(self, place: dict[str, object]) -> tuple[list[_Entry], object]:
        answer = self._session.ask(self._rule.call, {**self._given, **place})
        page = _entries(self._session, self._rule, answer)
        newest = max((entry.time_ms for entry in page), default=0)
        if newest > self._session.time_ms() + _AHEAD_MS:
            raise VenueFault(Reason.CLOCK, "times that have been", "a time to come")
        symbol = self._stream.symbol
        foreign = any(getattr(entry.event, "symbol", symbol) != symbol for entry in page)
        if len(page) > self._rule.size or (symbol and foreign):
            raise VenueFault(Reason.DISCONTINUED, "rows as asked for", "others")
        return page, answer


def _is(entry: _Entry, last: Cursor) -> bool:
    return (entry.time_ms, entry.key) == (last.last_ms, last.last_key)


def _entries(session: Session, rule: Rule, answer: object) -> list[_Entry]:
    """Returns the rows of an answer in the order they came.

    Raises:
        VenueFault: MALFORMED, UNKNOWN_KIND or UNKNOWN_MARKET.
    """
    try:
        return [_entry(session, rule, row) for row in rules.listed(answer, rule.rows)]
    except (EventInvalid, KeyError, ValueError, OverflowError):
        raise VenueFault(Reason.MALFORMED, "rows of that stream", "others") from None


def _entry(session: Session, rule: Rule, row: object) -> _Entry:
    def given(field: str) -> str:
        return rules.text(row, rule.fields[field]) if field in rule.fields else ""

    def number(field: str) -> Decimal:
        return rules.amount(row, rule.fields[field]) if field in rule.fields else Decimal(0)

    when, identifier = given("time"), given("id")
    time_ms = int(when) if when.isdecimal() else _dated(when)
    what, key = rule.event, identifier
    if rule.kinds:
        kind = "+".join(rules.text(row, name) for name in rule.fields["kind"].split("+"))
        if kind not in rule.kinds:
            raise VenueFault(Reason.UNKNOWN_KIND)
        what, key = rule.kinds[kind], kind + identifier
    if what == "SKIP" or (given("status") in rule.void.split(",") and rule.void):
        return _Entry(time_ms, key)
    if rule.done and given("status") not in rule.done.split(","):
        return _Entry(time_ms, key, pending=True)
    asset = session.asset(given("asset")) if given("asset") else ""
    market = session.market(given("symbol"), rule.contracts) if given("symbol") else None
    if what == "TRADE" and market is not None:
        side = Side(_BOUGHT[given("side").lower()])
        if not asset:
            bought = market.kind is Kind.SPOT and side is Side.BUY
            asset = market.base if bought else market.settle
        size, price, fee = number("amount"), number("price"), number("fee") - number("rebated")
        trade = Trade(time_ms, identifier, market.symbol, side, size, price, fee, asset)
        return _Entry(time_ms, key, trade)
    changed = -number("paid") if "paid" in rule.fields else number("amount") + number("fee")
    changed = -changed if what.startswith("-") else changed
    asset = asset or (market.settle if market else "")
    flow = Flow(time_ms, identifier, asset, changed, FlowKind[what.removeprefix("-")])
    return _Entry(time_ms, key, flow)


def _dated(when: str) -> int:
    moment = datetime.fromisoformat(when)
    # Without a zone it is UTC.
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // timedelta(milliseconds=1)
