"""Page by page through a stream, each page proved to continue the one before.

What is proved: rows lie in the span that was asked for, none comes twice, a full page is never the
last, and the newest row known from before is there again (so the pages are still this account's).
What no page can prove: that a venue did not leave out a row in the middle. Balances show that.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from strongroom_enclave.record.connectors.reading import EPOCH, Entry, entries, inside
from strongroom_enclave.record.connectors.rules import Cursor, Gap, Page, Reason, Stream, VenueFault
from strongroom_enclave.record.connectors.session import Session

__all__ = ["walk"]

_MAX_PAGES: Final = 2_000
_AHEAD_MS: Final = 1_000
_DAY_MS: Final = 86_400_000
_SLACK_MS: Final = 2_000


def walk(session: Session, stream: Stream, cursor: Cursor, until_ms: int) -> Iterator[Page]:
    """Yields what the venue tells from the cursor to `until_ms` (inclusive), oldest first, and if
    that is not everything, as the last page a gap that says why not."""
    steps = _Walk(session, stream, cursor, until_ms)
    try:
        yield from steps.pages()
    except (VenueFault, ValueError) as fault:  # the latter: an id that should count, and does not
        yield steps.gap(steps.cursor.next_ms, until_ms, getattr(fault, "reason", Reason.MALFORMED))


class _Walk:
    def __init__(self, session: Session, stream: Stream, cursor: Cursor, until_ms: int) -> None:
        self._session, self._rule = session, session.venue.rules[stream.rule]
        self._symbol = stream.place if stream.place in session.markets else ""
        self._place = session.places.get(stream.place, ("", stream.place))[1]
        self._by = {*self._rule.given.values()}
        self.cursor, self._until = cursor, until_ms

    def gap(self, start_ms: int, end_ms: int, reason: Reason) -> Page:
        return Page((), self.cursor, Gap(start_ms, end_ms, reason))

    def pages(self) -> Iterator[Page]:
        rule, span, begin = self._rule, self._rule.span * _DAY_MS, self.cursor.next_ms
        # A minute later than the venue says: a request takes time, and a clock may differ.
        oldest = self._session.time_ms() - rule.depth * _DAY_MS + 60_000
        if rule.depth and begin < oldest:
            self.cursor = Cursor(oldest)
            yield self.gap(begin, oldest - 1, Reason.DEPTH)
        opened = int(self._session.venue.opened.timestamp()) * 1000
        # What is told from the first id on may be older than what was asked for.
        floor, onwards = 0 if self.cursor.last_key else self.cursor.next_ms, "$from" in self._by
        while (begin := self.cursor.next_ms) <= self._until:
            last, known = self.cursor, (self.cursor.last_ms, self.cursor.last_key)
            again = last.last_key and (onwards or begin - last.last_ms <= span // 2)
            start = last.last_ms if again else max(begin, opened)
            end = min(start + span - 1, self._until)
            found, end = self._onwards() if onwards else (self._window(start, end), end)
            if again and known not in [(entry.time_ms, entry.key) for entry in found]:
                raise VenueFault(Reason.DISCONTINUED, "the last row again", "none")
            # Of the last ms all is known, or all up to the last id.
            after = last.last_ms - onwards if again else -1
            new = [each for each in found if each.time_ms > after and each.key != last.last_key]
            stuck = next((entry.time_ms for entry in new if entry.pending), self._until + 1)
            fresh = [entry for entry in new if entry.time_ms < stuck]
            if fresh:
                last = Cursor(0, fresh[-1].time_ms, fresh[-1].key)
            self.cursor = replace(last, next_ms=max(begin, min(end + 1, stuck)))
            events = [entry.event for entry in fresh if entry.event and entry.time_ms >= floor]
            yield Page(tuple(events), self.cursor)
            if stuck <= self._until:
                yield self.gap(stuck, self._until, Reason.PENDING)
                return

    def _onwards(self) -> tuple[list[Entry], int]:
        """Returns a page from the last known id on, and until when nothing else is."""
        key = self.cursor.last_key or "0"
        page, _ = self._page({"$from": key})
        ids, when = [int(entry.key) for entry in page], [entry.time_ms for entry in page]
        if ids != sorted({*ids}) or when != sorted(when) or (ids and ids[0] < int(key)):
            raise VenueFault(Reason.DISCONTINUED, "rising ids and times", "falling")
        told = [entry for entry in page if entry.time_ms <= self._until]
        # Where all is new, others may follow, even of the last ms.
        more = len(told) == len(page) and ids and ids[-1] > int(self.cursor.last_key or -1)
        return told, when[-1] - 1 if more else self._until

    def _window(self, start: int, end: int) -> list[Entry]:
        """Returns every row from start to end, oldest first: there is no half of a window."""
        rule, found, times, token = self._rule, list[Entry](), _times(start, end), None
        asked = not self._by.isdisjoint(times)
        for number in range(1, _MAX_PAGES):
            place = {"$next": token, "$page": number, "$offset": len(found)}
            page, answer = self._page({**times, **place})
            found += page
            when, keys = [entry.time_ms for entry in found], {entry.key for entry in found}
            near = not asked or all(start - _SLACK_MS <= ms <= end + _SLACK_MS for ms in when)
            ordered = when in (sorted(when), sorted(when, reverse=True))
            if not (near and ordered and len(keys) == len(found)):
                raise VenueFault(Reason.DISCONTINUED, "rows of the span, in order, once", "others")
            token = inside(answer, rule.next) if rule.next else page[-1].key if page else None
            more = bool(token) if rule.next else len(page) >= rule.size
            if more and not page:
                raise VenueFault(Reason.DISCONTINUED, "the rows that were announced", "none")
            if not more or (not asked and when[-1] < start):
                fresh = (entry for entry in found if start <= entry.time_ms <= end)
                return sorted(fresh, key=lambda entry: entry.time_ms)
            if self._by.isdisjoint(place):
                if start == end:
                    break
                middle = (start + end) // 2
                return self._window(start, middle) + self._window(middle + 1, end)
        raise VenueFault(Reason.OVERFULL)

    def _page(self, place: dict[str, object]) -> tuple[list[Entry], object]:
        place["$place"] = self._place
        sent = {name: place.get(value, value) for name, value in self._rule.given.items()}
        given = {name: value for name, value in sent.items() if value is not None}
        answer = self._session.ask(self._rule.call, given)
        page, symbol = entries(self._session, self._rule, answer), self._symbol
        if any(entry.time_ms > self._session.time_ms() + _AHEAD_MS for entry in page):
            raise VenueFault(Reason.CLOCK, "times that have been", "a time to come")
        foreign = symbol and any(getattr(each.event, "symbol", symbol) != symbol for each in page)
        if len(page) > self._rule.size or foreign:
            raise VenueFault(Reason.DISCONTINUED, "rows as asked for", "others")
        return page, answer


def _times(start: int, end: int) -> dict[str, object]:
    """Returns a span as venues want it; in seconds with one on either side, whichever of its ends
    they leave out and however fine their times are."""
    since_s, until_s = start // 1000 - 1, end // 1000 + 1
    since, until = (EPOCH + timedelta(seconds=each) for each in (since_s, until_s))
    found: dict[str, object] = {"$since": start, "$until": end}
    found |= {"$since_s": since_s, "$until_s": until_s}
    return found | {"$since_iso": since.isoformat(), "$until_iso": until.isoformat()}
