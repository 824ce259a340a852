"""What a venue would have done with orders, worked out from a tape: never kinder than the tape.

The tape's market did not see our orders, so nothing here is what would have happened. Each rule is
the worse of what can be argued:

- An order or a cancel counts `latency` after the decision, and its answer takes as long again. It
  meets the book before the first tick that arrives later.
- Taking pays each level's own price, never better than the limit. What was taken stays gone until
  the level itself does.
- An order that rests is behind all that is shown. Others' cancels move it up only as far as they
  must. It is filled by trades at its price once all ahead of it were, by no more than was traded;
  but at once and in full where the other side crosses its price.
- Takers pay `fee_bps` of the notional, rounded up; makers pay nothing and get no rebate.
- Cash is rounded to 1e-6 pUSD, against us.
- What may be sold is what is held and not yet offered; what may be bought, what cash is there for.
- After a gap nothing is filled until the next whole book, and then at the end of the queue.

So resting orders fill last when it pays and first when it does not. What it cannot know: how others
would have answered our orders, and what a venue would have refused for reasons of its own.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.ring.tick import Flag, Kind, Side, Status
from strongroom_host.strategy.book import Book
from strongroom_host.strategy.options import PRICE_UNIT
from strongroom_host.strategy.port import (
    Cancel,
    CancelAll,
    Decision,
    Intent,
    OrderEvent,
    OrderType,
    Outcome,
    TickView,
)

__all__ = ["Costs", "FillModel", "paid", "received"]

_MILLION: Final = 1_000_000
_REFUSED: Final = 400
_RESTS: Final = {int(Side.SELL): Side.BUY, int(Side.BUY): Side.SELL}
"""Whose orders a taker of a side meets."""


def paid(price: int, size: int) -> int:
    """Returns what `size` (1e-6) at `price` (1e-6) costs, in 1e-6, rounded up."""
    return -(-price * size // _MILLION)


def received(price: int, size: int) -> int:
    """Returns what `size` (1e-6) at `price` (1e-6) brings, in 1e-6, rounded down."""
    return price * size // _MILLION


@dataclass(frozen=True, slots=True)
class Costs:
    """What stands between a decision and its profit.

    Attributes:
        latency_ns: From a decision to the venue's book, and from there back.
        fee_bps: What a taker pays, 1e-4 of the notional.
        cash: pUSD to begin with, 1e-6.
    """

    latency_ns: int = 50_000_000
    fee_bps: int = 0
    cash: int = 1_000 * _MILLION


@dataclass(slots=True)
class _Resting:
    number: int
    intent: Intent
    open: int
    ahead: int
    lost: bool = False


class FillModel:
    """One account at a simulated venue. A `Desk`.

    Attributes:
        cash: pUSD, 1e-6.
        held: Shares by instrument, 1e-6.
        fees: Paid so far, 1e-6.
        turnover: Notional of all fills, 1e-6.
        outcomes: How often each came about.
    """

    def __init__(self, markets: Iterable[int], costs: Costs, *, wall_ns: int = 0) -> None:
        """Opens an account.

        Args:
            markets: Instruments that can be traded.
            costs: See `Costs`.
            wall_ns: Wall clock (ns since the epoch) less the ticks' clock: when GTD orders end.
        """
        self.books = {instrument: Book() for instrument in markets}
        self.cash, self.held = costs.cash, Counter[int]()
        self.fees = self.turnover = 0
        self.outcomes: Counter[Outcome] = Counter()
        self._costs, self._wall_ns = costs, wall_ns
        self._coming: deque[tuple[int, int, Decision]] = deque()
        self._told: deque[OrderEvent] = deque()
        self._resting: dict[int, _Resting] = {}
        self._hashes: dict[bytes, int] = {}
        self._taken: Counter[tuple[int, int, int]] = Counter()
        self._feeds: dict[int, int] = {}
        self._epochs: dict[int, int] = {}

    def submit(self, number: int, decision: Decision, now_ns: int) -> None:
        """See `Desk`."""
        self._coming.append((now_ns + self._costs.latency_ns, number, decision))

    def events(self, view: TickView) -> Sequence[OrderEvent]:
        """See `Desk`."""
        now_ns = view.received_ns
        while self._coming and self._coming[0][0] <= now_ns:
            self._arrive(*self._coming.popleft())
        if view.kind == Kind.STATUS or view.instrument in self.books:
            self._market(view)
        told = list[OrderEvent]()
        while self._told and self._told[0].at_ns <= now_ns:
            told.append(self._told.popleft())
        return told

    def gap(self) -> None:
        """See `Desk`."""
        for instrument in self.books:
            self._lose(instrument)

    # --- orders arrive ------------------------------------------------------------------------

    def _arrive(self, at_ns: int, number: int, decision: Decision) -> None:
        match decision:
            case Intent():
                self._order(at_ns, number, decision)
            case Cancel():
                there = self._resting.get(self._hashes.get(decision.order_hash, 0))
                if there is not None:
                    self._end(there, Outcome.CANCELLED, at_ns)
            case CancelAll():
                for there in list(self._resting.values()):
                    self._end(there, Outcome.CANCELLED, at_ns)

    def _order(self, at_ns: int, number: int, intent: Intent) -> None:
        there = _Resting(number, intent, intent.size, 0)
        book = self.books.get(intent.instrument)
        if book is None or not book.whole or not self._affordable(intent):
            self._tell(there, Outcome.REFUSED, at_ns, left=0, code=_REFUSED)
            return
        offers = list(self._offers(book, intent))
        available = sum(size for _, size in offers)
        whole = intent.order_type is OrderType.FOK and available < intent.size
        if whole or (intent.post_only and offers):
            self._tell(there, Outcome.REFUSED, at_ns, left=0, code=_REFUSED)
            return
        self._take(there, offers, at_ns)
        if not there.open:
            return
        if intent.order_type in (OrderType.FAK, OrderType.FOK):
            self._tell(there, Outcome.CANCELLED, at_ns, left=0)
            return
        there.ahead = self._shown(book, intent)
        self._resting[number] = there
        self._hashes[self._hash(number)] = number
        self._tell(there, Outcome.LIVE, at_ns, left=there.open)

    def _affordable(self, intent: Intent) -> bool:
        if intent.side is Side.SELL:
            offered = sum(
                each.open
                for each in self._resting.values()
                if each.intent.side is Side.SELL and each.intent.instrument == intent.instrument
            )
            return self.held[intent.instrument] - offered >= intent.size
        promised = sum(
            paid(each.intent.price, each.open)
            for each in self._resting.values()
            if each.intent.side is Side.BUY
        )
        cost = paid(intent.price, intent.size)
        return self.cash - promised >= cost + self._fee(cost)

    def _offers(self, book: Book, intent: Intent) -> Iterator[tuple[int, int]]:
        """Yields price and size (1e-6) of what the order may take, the best first."""
        buys = intent.side is Side.BUY
        levels = book.asks if buys else book.bids
        best = (book.ask, book.ask_size) if buys else (book.bid, book.bid_size)
        shown = levels or ({best[0]: best[1]} if best[0] else {})
        other = Side.SELL if buys else Side.BUY
        for tick_price in sorted(shown, reverse=not buys):
            price = tick_price // PRICE_UNIT
            if price > intent.price if buys else price < intent.price:
                return
            gone = self._taken[intent.instrument, other, price]
            size = shown[tick_price] // PRICE_UNIT - gone
            if size > 0:
                yield price, size

    def _shown(self, book: Book, intent: Intent) -> int:
        """Returns the size on show at the order's own price and side, 1e-6, rounded up."""
        levels = book.bids if intent.side is Side.BUY else book.asks
        price = intent.price * PRICE_UNIT
        size = levels.get(price, 0)
        if not levels and price == (book.bid if intent.side is Side.BUY else book.ask):
            size = book.bid_size if intent.side is Side.BUY else book.ask_size
        return -(-size // PRICE_UNIT)

    def _take(self, there: _Resting, offers: list[tuple[int, int]], at_ns: int) -> None:
        intent = there.intent
        other = Side.SELL if intent.side is Side.BUY else Side.BUY
        for price, size in offers:
            part = min(size, there.open)
            if part:
                self._taken[intent.instrument, other, price] += part
                self._fill(there, price, part, at_ns, taker=True)

    # --- the market moves ---------------------------------------------------------------------

    def _market(self, view: TickView) -> None:
        instrument, feed = view.instrument, view.feed
        if instrument:
            self._feeds[instrument] = feed
        if self._epochs.setdefault(feed, view.epoch) != view.epoch:
            self._epochs[feed] = view.epoch
            self._lose_feed(feed)
        if view.kind == Kind.STATUS:
            self._status(view)
            return
        book = self.books[instrument]
        book.apply(view)
        if view.kind == Kind.LEVEL:
            self._level(view)
        elif view.kind == Kind.TRADE and book.whole:
            self._trade(view)
        if book.whole and view.flags & Flag.LAST:
            self._settle(book, instrument, view.received_ns)

    def _status(self, view: TickView) -> None:
        about = [
            instrument
            for instrument in self.books
            if view.instrument == instrument
            or (not view.instrument and self._feeds.get(instrument) == view.feed)
        ]
        for instrument in about:
            self.books[instrument].apply(view)
            if view.detail == Status.MARKET_RESOLVED:
                for there in [*self._of(instrument)]:
                    self._end(there, Outcome.CANCELLED, view.received_ns)
            elif not self.books[instrument].whole:
                self._lose(instrument)

    def _level(self, view: TickView) -> None:
        """Others' changes at a level: what is ahead of us is never more than what is shown."""
        price, size = view.price // PRICE_UNIT, -(-view.size // PRICE_UNIT)
        if not size:
            self._taken.pop((view.instrument, view.side, price), None)
        for there in self._of(view.instrument):
            if there.intent.side == view.side and there.intent.price == price and not there.lost:
                there.ahead = min(there.ahead, size)

    def _trade(self, view: TickView) -> None:
        """Somebody took the side on which we rest: those ahead of us first, then we."""
        price, left = view.price // PRICE_UNIT, view.size // PRICE_UNIT
        rests = _RESTS.get(view.side)
        if rests is None:  # nobody's side, so nobody's fill
            return
        better = -1 if rests is Side.BUY else 1
        mine = [each for each in self._of(view.instrument) if each.intent.side is rests]
        for there in sorted(mine, key=lambda each: (better * each.intent.price, each.number)):
            reached = (there.intent.price - price) * -better
            if reached < 0 or not left:
                continue
            if not reached:
                passed = min(there.ahead, left)
                there.ahead -= passed
                left -= passed
            part = min(there.open, left)
            if part:
                left -= part
                self._fill(there, there.intent.price, part, view.received_ns, taker=False)

    def _settle(self, book: Book, instrument: int, now_ns: int) -> None:
        """The book is whole again: lost places are the last, and what crosses us has filled us."""
        for there in [*self._of(instrument)]:
            if there.lost:
                there.lost, there.ahead = False, max(there.ahead, self._shown(book, there.intent))
            intent = there.intent
            crossed = book.ask <= intent.price * PRICE_UNIT if book.ask else False
            if intent.side is Side.SELL:
                crossed = book.bid >= intent.price * PRICE_UNIT
            if crossed:
                other = Side.SELL if intent.side is Side.BUY else Side.BUY
                for price, size in [*self._offers(book, intent)]:
                    part = min(size, there.open)
                    if part:
                        self._taken[instrument, other, price] += part
                        self._fill(there, intent.price, part, now_ns, taker=False)
            if intent.expires_s and (now_ns + self._wall_ns) // 10**9 >= intent.expires_s:
                self._end(there, Outcome.EXPIRED, now_ns)

    def _lose_feed(self, feed: int) -> None:
        for instrument in self.books:
            if self._feeds.get(instrument) == feed:
                self._lose(instrument)

    def _lose(self, instrument: int) -> None:
        self.books[instrument].clear()
        for there in self._of(instrument):
            there.lost = True

    # --- what follows -------------------------------------------------------------------------

    def _of(self, instrument: int) -> list[_Resting]:
        if not self._resting:
            return []
        return [each for each in self._resting.values() if each.intent.instrument == instrument]

    def _fill(self, there: _Resting, price: int, size: int, at_ns: int, *, taker: bool) -> None:
        intent = there.intent
        there.open -= size
        buys = intent.side is Side.BUY
        notional = paid(price, size) if buys else received(price, size)
        fee = self._fee(notional) if taker else 0
        cash = (-notional if buys else notional) - fee
        self.cash += cash
        self.held[intent.instrument] += size if buys else -size
        self.fees += fee
        self.turnover += notional
        self._tell(there, Outcome.FILLED, at_ns, left=there.open, filled=size, cash=cash)
        if not there.open:
            self._resting.pop(there.number, None)
            self._hashes.pop(self._hash(there.number), None)

    def _fee(self, notional: int) -> int:
        return -(-notional * self._costs.fee_bps // 10_000)

    def _end(self, there: _Resting, outcome: Outcome, at_ns: int) -> None:
        if self._resting.pop(there.number, None) is not None:
            self._hashes.pop(self._hash(there.number), None)
            self._tell(there, outcome, at_ns, left=0)

    def _tell(
        self,
        there: _Resting,
        outcome: Outcome,
        at_ns: int,
        *,
        left: int,
        filled: int = 0,
        cash: int = 0,
        code: int = 0,
    ) -> None:
        intent, after = there.intent, at_ns + self._costs.latency_ns
        self.outcomes[outcome] += 1
        named = (there.number, outcome, self._hash(there.number), intent.instrument)
        self._told.append(
            OrderEvent(*named, intent.side, intent.price, filled, cash, left, code, after)
        )

    @staticmethod
    def _hash(number: int) -> bytes:
        """Returns what stands for an order's hash: nothing was signed."""
        return hashlib.sha256(b"strongroom/paper" + number.to_bytes(8, "little")).digest()
