"""Polymarket's market channel: books, trades and best prices of the tokens asked for.

What is checked of a book, each time after its ticks are out:

* the hash of a ``book`` message, where the message carries all that goes into it;
* the best prices that the venue states beside each change, against those of the book kept here;
* the hash beside each change, once one was seen to be the book's: the venue does not say what it
  is; and from then on, that a whole book shows nothing that no change has told of;
* the last trade's price in a whole book, against the last one that came;
* that nothing comes in an order that the venue's own times contradict.

A check that fails ends the epoch (`Status.BOOK_MISMATCH`) and gets a fresh snapshot. If that shows
that the book was right, the check was wrong: after three such false alarms it is only counted. A
print of the same size and price in the same transaction and millisecond is told from a repetition
by how often one connection brought it, for the venue gives trades no number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from strongroom_host.feeds.codes import (
    ASK_BEST,
    BID_BEST,
    BUY,
    DERIVED,
    LAST,
    LEVEL,
    NO_SIDE,
    SELL,
    SNAPSHOT,
    STATUS,
    TICK_SIZE,
    TRADE,
)
from strongroom_host.feeds.core import Feed, Timing
from strongroom_host.feeds.errors import BadFeed, Reason, Refused
from strongroom_host.feeds.fixed import fixed8, millis_ns
from strongroom_host.feeds.polymarket_book import Half, TokenBook, fixed_levels
from strongroom_host.feeds.polymarket_checks import BookChecks
from strongroom_host.feeds.polymarket_messages import (
    BestBidAsk,
    Book,
    Event,
    LastTrade,
    Level,
    MarketResolved,
    NewMarket,
    PriceChange,
    TickSizeChange,
    Typed,
    read_events,
)
from strongroom_host.ring.sink import TickSink
from strongroom_host.ring.tick import Status

__all__ = ["Polymarket"]

_SIDES: Final = {"BUY": BUY, "SELL": SELL, "buy": BUY, "sell": SELL}
_ONE: Final = 100_000_000
_MANY: Final = 4096


class Polymarket(Feed[str, Event]):
    """The channel for some tokens.

    Args:
        feed: The feed's number in ticks.
        sink: Where ticks go.
        tokens: Decimal token ids.
        first_epoch: See `Lane`.
        timing: See `Timing`.

    Raises:
        BadFeed: no token, or one that is not a decimal number.
    """

    name = "polymarket"
    heartbeat = "PING"

    def __init__(
        self,
        feed: int,
        sink: TickSink,
        tokens: Sequence[str],
        *,
        first_epoch: int,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(feed, sink, first_epoch=first_epoch, timing=timing)
        if not tokens:
            raise BadFeed("a Polymarket feed needs tokens", expected="decimal token ids")
        for token in tokens:
            if not (token.isascii() and token.isdigit() and len(token) <= 78):
                raise BadFeed("not a token id", expected="a decimal number", actual=token[:100])
        self._books = {
            token: TokenBook(token, sink.instrument(f"polymarket:{token}")) for token in tokens
        }
        self._dumped: dict[int, set[str]] = {}
        self._prints: dict[int, dict[int, int]] = {}
        self._states: dict[int, tuple[tuple[int, str], dict[int, int]]] = {}
        self._checks = BookChecks(self._suspect, self.counters)

    # --- subscriptions ------------------------------------------------------------------------

    def _hello(self) -> Iterable[str]:
        asked = {
            "type": "market",
            "assets_ids": list(self._books),
            "custom_feature_enabled": True,
            "initial_dump": True,
        }
        yield msgspec.json.encode(asked).decode()

    def _needs_state(self) -> bool:
        return not all(book.based for book in self._books.values())

    def _forget(self, connection: int) -> None:
        self._dumped.pop(connection, None)
        self._prints.pop(connection, None)
        self._states.pop(connection, None)

    def _unsettle(self) -> None:
        for book in self._books.values():
            book.based = False

    # --- reading ------------------------------------------------------------------------------

    def _read(self, connection: int, message: str, received_ns: int) -> None:
        if message == "PONG":
            return
        try:
            events = read_events(message)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            events = self._salvage(connection, message, received_ns)
        for event in events:
            self._admit(connection, event, received_ns)

    def _salvage(self, connection: int, message: str, received_ns: int) -> list[Event]:
        """The events that can be read of a message that holds others as well."""
        try:
            if message.lstrip().startswith("["):
                parts = msgspec.json.decode(message, type=list[msgspec.Raw])
            else:
                parts = [msgspec.json.decode(message, type=msgspec.Raw)]
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Refused(Reason.MALFORMED, "not JSON", actual=message[:80]) from error
        found: list[Event] = []
        for part in parts:
            text = bytes(part).decode()
            try:
                found.extend(read_events(text))
            except (msgspec.MsgspecError, RecursionError):
                self._turn_down(connection, text, received_ns)
        return found

    def _turn_down(self, connection: int, text: str, received_ns: int) -> None:
        try:
            said = msgspec.json.decode(text, type=Typed)
        except (msgspec.MsgspecError, RecursionError):
            said = Typed()
        known = {"book", "price_change", "last_trade_price", "tick_size_change", "market_resolved"}
        if said.error or said.type == "error":
            reason = Reason.VENUE_ERROR
        elif said.event_type and said.event_type not in known | {"best_bid_ask"}:
            reason = Reason.UNKNOWN_TYPE
        else:
            reason = Reason.MALFORMED
        what = f"a message is not understood: {text[:120]}"
        self.refused(connection, reason, received_ns, Refused(reason, what))

    def _admit(self, connection: int, event: Event, received_ns: int) -> None:
        """Give an event its key and its place in the stream."""
        if isinstance(event, NewMarket):
            return
        self._ready(connection, received_ns)
        if isinstance(event, PriceChange):
            parts = [(c.asset_id, c.price, c.size, c.side, c.hash) for c in event.price_changes]
            # A level may go and come back within the timestamp's millisecond.
            content = hash((event.timestamp, event.market, *parts))
            key = self._state_key(connection, content, event.timestamp)
        elif isinstance(event, Book):
            book = self._books.get(event.asset_id)
            if book is None:
                raise Refused(Reason.NOT_ASKED_FOR, "a book of another token")
            dumped = self._dumped.setdefault(connection, set())
            if event.asset_id not in dumped:
                dumped.add(event.asset_id)
                # Another connection's first picture of a book that is known shows nothing new, and
                # may be older.
                if not book.based:
                    self._base(book, event, connection, received_ns)
                return
            texts = [(level.price, level.size) for level in (*event.bids, *event.asks)]
            content = hash((event.asset_id, event.timestamp, event.hash, *texts))
            key = self._state_key(connection, content, event.timestamp)
        elif isinstance(event, LastTrade):
            key = self._print_key(connection, event)
        elif isinstance(event, TickSizeChange):
            key = hash(("tick", event.asset_id, event.new_tick_size, event.timestamp))
        elif isinstance(event, BestBidAsk):
            key = hash((event.asset_id, event.best_bid, event.best_ask, event.timestamp))
        else:
            key = hash(("resolved", event.market, event.timestamp))
        self._offer(connection, key, event, received_ns)

    def _print_key(self, connection: int, event: LastTrade) -> int:
        content = (event.asset_id, event.transaction_hash, event.price, event.size)
        prints = self._prints.setdefault(connection, {})
        return _numbered(prints, hash((*content, event.side, event.timestamp)))

    def _state_key(self, connection: int, content: int, timestamp: str) -> int:
        """Equal states of one connection in its newest millisecond are several: a level may have
        gone and come back. Anything equal and older is an echo."""
        moment = len(timestamp), timestamp
        newest, states = self._states.get(connection, ((0, ""), {}))
        if moment < newest:
            return hash((content, 0))
        if moment > newest:
            states = {}
            self._states[connection] = moment, states
        return _numbered(states, content)

    # --- taking -------------------------------------------------------------------------------

    def _take(self, event: Event, connection: int, received_ns: int) -> None:
        try:
            if isinstance(event, PriceChange):
                self._take_changes(event, connection, received_ns)
            elif isinstance(event, LastTrade):
                self._take_trade(event, received_ns)
            elif isinstance(event, Book):
                self._take_book(event, connection, received_ns)
            elif isinstance(event, TickSizeChange):
                self._take_tick_size(event, received_ns)
            elif isinstance(event, MarketResolved):
                self._take_resolved(event, received_ns)
            # A best_bid_ask says nothing that changes and books do not say better.
        except Refused as refusal:
            self.refused(connection, refusal.reason, received_ns, refusal)

    def _take_changes(self, event: PriceChange, connection: int, received_ns: int) -> None:
        venue_ns = millis_ns(event.timestamp)
        wanted = []
        for change in event.price_changes:
            book = self._books.get(change.asset_id)
            if book is not None and not book.holds(connection, venue_ns):
                side = _SIDES.get(change.side)
                if side is None:
                    raise Refused(Reason.MALFORMED, "no such side", actual=change.side[:20])
                wanted.append((book, side, fixed8(change.price), fixed8(change.size), change))
        if not wanted:
            return
        if any(venue_ns < book.last_ns for book, *_ in wanted) and self._checks.doubt(
            wanted[0][0], "order"
        ):
            return
        self.skew.note(received_ns, venue_ns)
        touched: dict[str, TokenBook] = {}
        for book, side, price, size, change in wanted:
            half = book.bids if side == BUY else book.asks
            half.put(price, size, Level(change.price, change.size))
            book.last_ns = venue_ns
            touched[book.token] = book
        moved = [book for book in touched.values() if book.based and book.bests() != book.shown]
        last = len(wanted) - 1
        for position, (book, side, price, size, _) in enumerate(wanted):
            flags = LAST if position == last and not moved else 0
            self.lane.emit(
                LEVEL, side, flags, book.instrument, price, size, received_ns, venue_ns, 0
            )
        for position, book in enumerate(moved):
            self._show(book, received_ns, venue_ns, last=position == len(moved) - 1)
        finals = {change.asset_id: change for *_, change in wanted}
        for token, book in touched.items():
            change = finals[token]
            if book.based and self._checks.bests(book, change.best_bid, change.best_ask):
                if change.hash:
                    self._checks.change_hash(book, change.hash, event.timestamp)

    def _take_trade(self, event: LastTrade, received_ns: int) -> None:
        book = self._books.get(event.asset_id)
        if book is None:
            raise Refused(Reason.NOT_ASKED_FOR, "a trade of another token")
        side = _SIDES.get(event.side)
        if side is None:
            raise Refused(Reason.MALFORMED, "no such side", actual=event.side[:20])
        venue_ns = millis_ns(event.timestamp)
        price, size = fixed8(event.price), fixed8(event.size)
        book.last_trade_price = event.price
        self.skew.note(received_ns, venue_ns)
        self.lane.emit(
            TRADE,
            side,
            LAST,
            book.instrument,
            price,
            size,
            received_ns,
            venue_ns,
            _first_bytes(event.transaction_hash),
        )

    def _take_book(self, event: Book, connection: int, received_ns: int) -> None:
        book = self._books[event.asset_id]
        if not book.based:
            self._base(book, event, connection, received_ns)
            return
        venue_ns = millis_ns(event.timestamp)
        if book.holds(connection, venue_ns):
            return
        if venue_ns < book.last_ns and self._checks.doubt(book, "order"):
            return
        halves = self._halves(book, event)
        flags = DERIVED
        told = event.last_trade_price in (None, book.last_trade_price)
        book.learn(event)
        book.last_ns = venue_ns
        changes: list[tuple[int, int, int]] = []
        for side, half, levels in halves:
            before = half.sizes()
            half.replace(levels)
            after = half.sizes()
            changes += [(side, price, 0) for price in before if price not in after]
            changes += [
                (side, price, size) for price, size in after.items() if before.get(price) != size
            ]
        moved = book.bests() != book.shown
        for position, (side, price, size) in enumerate(changes):
            last = LAST if position == len(changes) - 1 and not moved else 0
            self.lane.emit(
                LEVEL,
                side,
                flags | last,
                book.instrument,
                price,
                size,
                received_ns,
                venue_ns,
                0,
            )
        if moved:
            self._show(book, received_ns, venue_ns, last=True)
        if not told:
            self._checks.doubt(book, "trade")
        elif changes and self._checks.change_hashes:
            self._checks.doubt(book, "unexplained")
        else:
            self._checks.book_hash(book, event)

    def _base(self, book: TokenBook, event: Book, connection: int, received_ns: int) -> None:
        """A snapshot to build on: all its levels are published as such."""
        try:
            halves = self._halves(book, event)
            venue_ns = millis_ns(event.timestamp)
        except Refused as refusal:
            self.refused(connection, refusal.reason, received_ns, refusal)
            return
        same = all(
            half.sizes() == {price: size for price, size, _ in levels if size}
            for _, half, levels in halves
        )
        self._checks.judge(book, same=same)
        book.learn(event)
        for _, half, levels in halves:
            half.replace(levels)
        book.settle(connection, venue_ns)
        if not (event.bids or event.asks):
            flags = SNAPSHOT
            self.lane.emit(LEVEL, NO_SIDE, flags, book.instrument, 0, 0, received_ns, venue_ns, 0)
        for side, _, levels in halves:
            for price, size, _ in levels:
                self.lane.emit(
                    LEVEL,
                    side,
                    SNAPSHOT,
                    book.instrument,
                    price,
                    size,
                    received_ns,
                    venue_ns,
                    0,
                )
        self._show(book, received_ns, venue_ns, last=True, snapshot=True)
        self._checks.book_hash(book, event)

    def _halves(
        self, book: TokenBook, event: Book
    ) -> list[tuple[int, Half, list[tuple[int, int, Level]]]]:
        return [
            (BUY, book.bids, list(fixed_levels(event.bids))),
            (SELL, book.asks, list(fixed_levels(event.asks))),
        ]

    def _show(
        self,
        book: TokenBook,
        received_ns: int,
        venue_ns: int,
        *,
        last: bool,
        snapshot: bool = False,
    ) -> None:
        """Publish the best prices that changed; after a snapshot, both."""
        now, before = book.bests(), book.shown
        book.shown = now
        flags = DERIVED | (SNAPSHOT if snapshot else 0)
        bid, ask = snapshot or now[:2] != before[:2], snapshot or now[2:] != before[2:]
        end = LAST if last else 0
        if bid:
            self.lane.emit(
                BID_BEST,
                BUY,
                flags | (0 if ask else end),
                book.instrument,
                now[0],
                now[1],
                received_ns,
                venue_ns,
                0,
            )
        if ask:
            self.lane.emit(
                ASK_BEST,
                SELL,
                flags | end,
                book.instrument,
                now[2],
                now[3],
                received_ns,
                venue_ns,
                0,
            )

    def _take_tick_size(self, event: TickSizeChange, received_ns: int) -> None:
        book = self._books.get(event.asset_id)
        if book is None:
            raise Refused(Reason.NOT_ASKED_FOR, "a tick size of another token")
        size = fixed8(event.new_tick_size)
        book.tick_size = event.new_tick_size
        venue_ns = millis_ns(event.timestamp)
        self.lane.emit(
            TICK_SIZE,
            NO_SIDE,
            LAST,
            book.instrument,
            0,
            0,
            received_ns,
            venue_ns,
            size,
        )

    def _take_resolved(self, event: MarketResolved, received_ns: int) -> None:
        for token in event.assets_ids or event.asset_ids:
            book = self._books.get(token)
            if book is not None:
                pays = _ONE if token == event.winning_asset_id else 0
                self.lane.emit(
                    STATUS,
                    NO_SIDE,
                    0,
                    book.instrument,
                    pays,
                    0,
                    received_ns,
                    millis_ns(event.timestamp),
                    Status.MARKET_RESOLVED,
                )


def _numbered(seen: dict[int, int], content: int) -> int:
    """The key of an event that came as often as `seen` says, which counts it."""
    nth = seen.get(content, 0)
    if len(seen) >= _MANY and content not in seen:
        del seen[next(iter(seen))]
    seen[content] = nth + 1
    return hash((content, nth))


def _first_bytes(transaction_hash: str) -> int:
    """The first 8 bytes of a hash in hexadecimal; 0 where there is none."""
    digits = transaction_hash.removeprefix("0x")[:16]
    try:
        return int(digits, 16) if len(digits) == 16 and digits.isalnum() else 0
    except ValueError:
        return 0
