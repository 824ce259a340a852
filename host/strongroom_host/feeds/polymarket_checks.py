"""Whether the book kept here is the venue's, by all that the venue says of it; and how far to
believe.

A check that fails is a doubt: it ends the epoch and gets a fresh snapshot. Where that agrees with
the book in doubt, the check was wrong; after three false alarms of its kind in a row it is only
counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from strongroom_host.feeds.counters import Counters
from strongroom_host.feeds.fixed import fixed8
from strongroom_host.feeds.polymarket_book import TokenBook
from strongroom_host.feeds.polymarket_messages import Book

__all__ = ["BookChecks"]

_ONE: Final = 100_000_000
_TRIES: Final = 16
"""How many hashes beside changes are computed before they are taken for something else."""
_FALSE_ALARMS: Final = 3


class BookChecks:
    """The checks of one feed's books.

    Args:
        suspect: Ends the epoch, for the check that it is given.
        counters: Where checks and alarms are counted.
    """

    def __init__(self, suspect: Callable[[str], None], counters: Counters) -> None:
        self._suspect, self._counters = suspect, counters
        self._doubts: dict[str, str] = {}
        self._muted: set[str] = set()
        self._tried = 0
        self.change_hashes: bool | None = None
        """Whether the hash beside a change is the book's; None while that is not known."""

    def doubt(self, book: TokenBook, check: str) -> bool:
        """A check has failed; True when that counts, and the epoch has ended."""
        if check in self._muted:
            self._counters.suspicions[check] += 1
            return False
        self._doubts[book.token] = check
        self._suspect(check)
        return True

    def judge(self, book: TokenBook, *, same: bool) -> None:
        """A fresh snapshot is here, the `same` as the book or not: was a doubt right?"""
        check = self._doubts.pop(book.token, None)
        if check is None:
            return
        alarms = self._counters.false_alarms
        alarms[check] = alarms[check] + 1 if same else 0
        if alarms[check] >= _FALSE_ALARMS:
            self._muted.add(check)

    def bests(self, book: TokenBook, best_bid: str, best_ask: str) -> bool:
        """Whether the venue's best prices are those of the book; it writes 0 or 1 for none.

        Raises:
            Refused: a price is none.
        """
        bid_right = not best_bid or fixed8(best_bid) == book.bids.best
        ask = fixed8(best_ask) if best_ask else book.asks.best
        right = bid_right and (ask == book.asks.best or (not book.asks.best and ask in (0, _ONE)))
        if not right:
            self.doubt(book, "best")
        return right

    def book_hash(self, book: TokenBook, event: Book) -> None:
        """The hash of a whole book, where the message has all that goes into it."""
        if not event.hash:
            return
        made = book.hash(event.timestamp)
        if made == event.hash:
            self._counters.checked_books += 1
        elif made is not None and None not in (
            event.min_order_size,
            event.tick_size,
            event.neg_risk,
            event.last_trade_price,
        ):
            # Filled in from memory, a part of it may be what the venue thought a moment ago.
            self.doubt(book, "book_hash")

    def change_hash(self, book: TokenBook, said: str, timestamp: str) -> None:
        """The hash beside a change, once one has been seen to be the book's."""
        if self.change_hashes is False:
            return
        made = book.hash(timestamp)
        if made == said:
            self.change_hashes = True
            self._counters.checked_books += 1
        elif made is not None and self.change_hashes:
            self.doubt(book, "change_hash")
        elif made is not None:
            self._tried += 1
            if self._tried >= _TRIES:
                self.change_hashes = False
