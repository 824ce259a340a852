"""An account at a venue: what its streams are, how far they go, what it holds, what it is worth;
and page by page through a stream, each page proved to continue the one before.

What is proved: rows lie in the span that was asked for, none comes twice, a full page is never the
last, and the newest row known from before is there again (so the pages are still this account's).
What no page can prove: that a venue did not leave out a row in the middle. Balances show that.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from strongroom_wire.errors import Code, Refused

from strongroom_enclave.record.connectors import rules
from strongroom_enclave.record.connectors.rules import Cursor, Reason, VenueFault, amount, text
from strongroom_enclave.record.connectors.session import Session
from strongroom_enclave.record.errors import RecordError
from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Side, Trade
from strongroom_enclave.record.exact import ZERO, exactly

_CANDLES: Final = 200
_Closes = Iterator[tuple[int, Decimal]]
_INTERVALS: Final = {60_000: ("1m", "1Min"), 3_600_000: ("1h", "1Hour")}
_MAX_PAGES: Final = 10_000
_AHEAD_MS, _SLACK_MS = 1_000, 2_000
_DAY_MS: Final = 86_400_000
_ONWARDS: Final = {"$next", "$from", "$page", "$offset"}
# MEXC's contracts: 1 opens long, 2 closes short, 3 opens short, 4 closes long.
_BOUGHT: Final = ("buy", "true", "1", "2")
_SOLD: Final = ("sell", "sell_short", "false", "3", "4")


class Connector(Session):
    """A session of which an account is asked; `check` comes first.

    Nothing that computes may be in between: numbers are passed on as they were told.
    """

    def check(self) -> str:
        """Learns clock, markets and wallets of the venue, once the key can only read; returns whose
        account it opens. Both as far as the venue tells.

        Raises:
            Refused: VENUE_NOT_ALLOWED, it can trade or move money.
            VenueFault: CLOCK, KEY, or whatever else is wrong.
        """
        self.begin()
        if (access := self.venue.access) is not None:
            told = rules.inside(self.ask(access.call), access.path)
            names = told if isinstance(told, dict) else ()
            granted = {name for name in names if text(told, name) in ("true", "1")}
            if not {access.needs} <= granted <= {access.needs, *(access.allows or granted)}:
                raise Refused(Code.VENUE_NOT_ALLOWED, "what the key may", "read", "more or less")
        for wallet in self.venue.balances.values():
            if wallet.wallet:
                self.places["WALLET"] |= {text(row, wallet.wallet) for row in self._held(wallet)}
        call, path = self.venue.holder
        return text(self.ask(call), path)

    def streams(self) -> list[rules.Stream]:
        """Returns all streams of the account. Where trades are told by symbol, those of all that
        the venue lists: what an account holds says nothing of what it sold."""
        return [
            rules.Stream(name, place)
            for name, rule in self.venue.rules.items()
            for place in sorted(self.places.get(rule.places, rule.places))
        ]

    def pages(self, stream: rules.Stream, cursor: Cursor, until_ms: int) -> Iterator[rules.Page]:
        """Yields the pages of a stream from `Cursor(since_ms)` or the last page's cursor on.

        They go no further than some seconds before now. Nothing is raised for a venue's sake: the
        last page's gap says what was wrong, and its cursor is where the next attempt begins.
        """
        return Walk(self, stream, cursor, min(until_ms, self.settled_ms())).pages()

    def candles(self, symbol: str, interval_ms: int, start_ms: int, end_ms: int) -> _Closes:
        """Yields (end of the candle, its closing price) for closed ones that end in (start, end].

        Missing ones, and what is no candle of that grid, are missing. The interval is a minute or
        an hour; start is a multiple of it.

        Raises:
            VenueFault: MALFORMED, or another reason why there is no answer.
        """
        end_ms = min(end_ms, self.time_ms())
        for first in range(start_ms, end_ms, _CANDLES * interval_ms):
            until = min(first + _CANDLES * interval_ms, end_ms)
            told = self._closes(symbol, interval_ms, first, until - 1)
            for opened in range(first, until - interval_ms + 1, interval_ms):
                if str(opened) in told:
                    yield opened + interval_ms, told[str(opened)]

    def balances(self) -> dict[str, Decimal]:
        """Returns what all wallets of the account hold, without open profit, by asset."""
        found = defaultdict[str, Decimal](Decimal)
        for wallet in self.venue.balances.values():
            for row in self._held(wallet):
                with exactly():
                    held = sum((amount(row, path) for path in wallet.plus), ZERO)
                    found[self.asset(text(row, wallet.asset))] += held
        return found

    def positions(self) -> list[tuple[str, Decimal, Decimal]]:
        """Returns the open positions, each leg of a hedge by itself: symbol, contracts (signed),
        and the price that they are booked at."""
        sides = {"short": "-contracts"}
        return [
            (text(row, "symbol"), size, amount(row, "entryPrice"))
            for given in self.venue.positions
            for row in self.ask("fetch_positions", None, given)
            if (size := amount(row, sides.get(text(row, "side"), "contracts")))
        ]

    def _closes(self, symbol: str, interval_ms: int, first: int, last: int) -> dict[str, Decimal]:
        """Returns closing prices by when their candle opened. ccxt lists no shares, so the venue is
        asked for those itself."""
        if not (self.venue.shares and " STK/" in symbol):
            given = symbol, _INTERVALS[interval_ms][0], first, _CANDLES, {"until": last}
            return {text(row, "0"): amount(row, "4") for row in self.ask("fetch_ohlcv", *given)}
        name, iso = self.ids[symbol], self._exchange.iso8601
        asked = {"symbols": name, "limit": _CANDLES, "feed": "iex"}
        asked |= {"timeframe": _INTERVALS[interval_ms][1], "start": iso(first), "end": iso(last)}
        bars = rules.inside(self.ask("marketPrivateGetV2StocksBars", asked), "bars")
        rows = bars.get(name) if isinstance(bars, dict) else None
        return {str(rules.time_ms(text(row, "t"))): amount(row, "c") for row in rows or ()}

    def _held(self, wallet: rules.Balance) -> list[object]:
        answer = self.ask(wallet.call, wallet.given)
        if text(answer, wallet.more) == "true":
            raise VenueFault(Reason.OVERFULL, "all wallets", "more of them")
        return [answer] if wallet.rows is None else rules.listed(answer, wallet.rows)


class _Entry(NamedTuple):
    """A row: its time, what tells it apart, and what it means: nothing, or nothing yet."""

    time_ms: int
    key: str
    event: Event | None = None
    pending: bool = False


class Walk:
    """A way through a stream, from a cursor to `until` (inclusive)."""

    def __init__(self, session: Session, stream: rules.Stream, cursor: Cursor, until: int) -> None:
        self._session, self._rule = session, session.venue.rules[stream.rule]
        self._symbol = stream.place if stream.place in session.markets else ""
        self._place = session.ids.get(stream.place, stream.place)
        self._sent = {*self._rule.given.values()}
        self._cursor, self._until = cursor, until

    def pages(self) -> Iterator[rules.Page]:
        """Yields what the venue tells, oldest first; if that is not everything, the last page is a
        gap that says why not."""
        depth_ms = self._rule.depth * _DAY_MS
        # A minute later than the venue says: a request takes time, and a clock may differ.
        oldest = self._session.time_ms() - depth_ms + 60_000
        if depth_ms and self._cursor.next_ms < oldest:
            self._cursor = Cursor(oldest)
            yield rules.Page((), self._cursor, Reason.DEPTH)
        try:
            while self._cursor.next_ms <= self._until:
                events = self._step()
                yield rules.Page(events, self._cursor)
        except (RecordError, LookupError, ValueError, OverflowError) as fault:
            # All but a fault with its reason: a row that is no event.
            yield rules.Page((), self._cursor, getattr(fault, "reason", Reason.MALFORMED))

    def _step(self) -> tuple[Event, ...]:
        """Returns the events of one span more, and goes on to its end, or to money on its way."""
        last, span = self._cursor, self._rule.span * _DAY_MS
        again = last.last_key and last.next_ms - last.last_ms <= span // 2
        opened = int(self._session.venue.opened.timestamp()) * 1000
        start = last.last_ms if again else max(last.next_ms, opened)
        start -= self._rule.late * _DAY_MS
        end = min(start + span - 1, self._until)
        found = self._window(start, end)
        if again:
            if (last.last_ms, last.last_key) not in [(each.time_ms, each.key) for each in found]:
                raise VenueFault(Reason.DISCONTINUED, "the last row again", "none")
            found = [each for each in found if self._rule.late or each.time_ms > last.last_ms]
        stuck = next((each.time_ms for each in found if each.pending), end + 1)
        if stuck <= last.next_ms:
            raise VenueFault(Reason.PENDING)
        fresh = [each for each in found if each.time_ms < stuck]
        newest = (fresh[-1].time_ms, fresh[-1].key) if fresh else (last.last_ms, last.last_key)
        self._cursor = Cursor(stuck, *newest)
        return tuple(each.event for each in fresh if each.event)

    def _window(self, start: int, end: int) -> list[_Entry]:
        """Returns every row from start to end, oldest first: there is no half of a window."""
        rule, found, seen, times = self._rule, list[_Entry](), set[str](), _times(start, end)
        asked, onwards = not self._sent.isdisjoint(times), "$from" in self._sent
        token: Any = self._cursor.last_key.partition(" ")[0] or "0" if onwards else None
        for number in range(1, _MAX_PAGES):
            place = {"$next": token, "$from": token, "$page": number, "$offset": len(found)}
            page, answer = self._page({**times, **place, "$place": self._place})
            ids = [each.key.partition(" ")[0] for each in page]  # as the venue calls them
            found += page
            seen.update(each.key for each in page)
            near = all(start - _SLACK_MS <= each.time_ms <= end + _SLACK_MS for each in page)
            low = onwards and page and int(ids[0]) < int(token)
            if (asked and not near) or low or len(seen) < len(found):
                raise VenueFault(Reason.DISCONTINUED, "rows of the span, each once", "others")
            token = rules.inside(answer, rule.next) if rule.next else "".join(ids[-1:])
            # Some name a next page after the last one, which is empty then.
            more = bool(token and page) if rule.next else len(page) >= rule.size
            if not more or (not asked and not onwards and page[-1].time_ms < start):
                told = sorted(found, key=lambda each: each.time_ms)
                when = [each.time_ms for each in found]
                if [each.time_ms for each in told] not in (when, when[::-1]):
                    raise VenueFault(Reason.DISCONTINUED, "rows in order", "in none")
                return [each for each in told if start <= each.time_ms <= end]
            if onwards:
                token = int(ids[-1]) + 1
            if self._sent.isdisjoint(_ONWARDS):
                if start == end:
                    break
                middle = (start + end) // 2
                return self._window(start, middle) + self._window(middle + 1, end)
        raise VenueFault(Reason.OVERFULL)

    def _page(self, place: dict[str, object]) -> tuple[list[_Entry], object]:
        session, rule, symbol = self._session, self._rule, self._symbol
        sent = [(name, place.get(value, value)) for name, value in rule.given.items()]
        answer = session.ask(rule.call, {name: value for name, value in sent if value is not None})
        with exactly():
            page = [_entry(session, rule, row) for row in rules.listed(answer, rule.rows)]
        if any(each.time_ms > session.time_ms() + _AHEAD_MS for each in page):
            raise VenueFault(Reason.CLOCK, "times that have been", "a time to come")
        if symbol and any(getattr(each.event, "symbol", symbol) != symbol for each in page):
            raise VenueFault(Reason.DISCONTINUED, "rows as asked for", "others")
        return page, answer


def _times(start: int, end: int) -> dict[str, object]:
    """Returns a span as venues want it; in seconds with one on either side, whichever of its ends
    they leave out and however fine their times are."""
    since_s, until_s = start // 1000 - 1, end // 1000 + 2
    since, until = (rules.EPOCH + timedelta(seconds=each) for each in (since_s, until_s))
    found: dict[str, object] = {"$since": start, "$until": end}
    found |= {"$since_s": since_s, "$until_s": until_s}
    return found | {"$since_iso": since.isoformat(), "$until_iso": until.isoformat()}


def _entry(session: Session, rule: rules.Rule, row: object) -> _Entry:
    at, status, asset = rule.row, text(row, rule.row.status), text(row, rule.row.asset)
    time_ms = rules.time_ms(text(row, at.time) or text(row, at.day))
    kind, identifier = "+".join(text(row, path) for path in at.kind), text(row, at.id)
    key = f"{identifier} {kind}".strip()
    what = rule.event if isinstance(rule.event, str) else rule.event.get(kind)
    if what is None:
        raise VenueFault(Reason.UNKNOWN_KIND)
    if what == "SKIP" or status in rule.void:
        return _Entry(time_ms, key)
    if rule.done and status not in rule.done:
        return _Entry(time_ms, key, pending=True)
    market = session.market(text(row, at.symbol), rule.contracts) if at.symbol else None
    # A spot market's fee may be in either asset, so a venue that names it always has to.
    own = market and not asset and not (at.asset and market.kind is Kind.SPOT)
    other = session.asset(asset) if asset else session.venue.shares
    asset = market.settle if market and own else other
    size = amount(row, at.amount)
    fee = sum((amount(row, path) for path in at.fee), ZERO)
    if what == "TRADE" and market:
        side, price = text(row, at.side).lower(), amount(row, at.price)
        sign = Side((side in _BOUGHT) - (side in _SOLD))
        trade = Trade(time_ms, identifier, market.symbol, sign, size, price, fee, asset)
        return _Entry(time_ms, key, trade)
    changed = amount(row, at.change) if at.change else size + fee
    changed = changed.copy_negate() if what.startswith("-") else changed
    flow = Flow(time_ms, identifier, asset, changed, FlowKind[what.removeprefix("-")])
    return _Entry(time_ms, key, flow)
