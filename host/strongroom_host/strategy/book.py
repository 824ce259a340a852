"""One instrument's book as the ticks tell it, and whether it can be believed."""

from typing import Final

from strongroom_host.ring.tick import Flag, Kind, Side, Status
from strongroom_host.strategy.port import TickView

__all__ = ["Book"]

_LEVEL: Final = int(Kind.LEVEL)
_BID: Final = int(Kind.BEST_BID)
_ASK: Final = int(Kind.BEST_ASK)
_STATUS: Final = int(Kind.STATUS)
_SNAPSHOT: Final = int(Flag.SNAPSHOT)
_LAST: Final = int(Flag.LAST)
_BUY: Final = int(Side.BUY)
_SELL: Final = int(Side.SELL)
_VOID: Final = frozenset(
    {int(Status.LOST), int(Status.STALLED), int(Status.MARKET_RESOLVED), int(Status.BOOK_MISMATCH)}
)


class Book:
    """Prices in 1e-8 of the quote unit, sizes in 1e-8 of the base unit, 0 for none.

    Attributes:
        bid, bid_size, ask, ask_size: The best of each side.
        bids, asks: Sizes by price, where the venue tells levels.
        whole: Whether it is all of one moment: no message of several ticks is half read.
        resolved: Whether the market is over.
    """

    __slots__ = (
        *("_filling", "ask", "ask_size", "asks", "bid", "bid_size", "bids", "resolved", "whole"),
    )

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.bid = self.bid_size = self.ask = self.ask_size = 0
        self.whole = self.resolved = self._filling = False

    @property
    def good(self) -> bool:
        """Whether both sides are known, and not crossed."""
        return self.whole and 0 < self.bid < self.ask

    @property
    def twice_mid(self) -> int:
        """The sum of the best prices."""
        return self.bid + self.ask

    def clear(self) -> None:
        """Forgets everything: from here to the next snapshot, nothing is known."""
        self.bids.clear()
        self.asks.clear()
        self.bid = self.bid_size = self.ask = self.ask_size = 0
        self.whole = self._filling = False

    def apply(self, view: TickView) -> None:
        """Takes a tick of this instrument, or a status that concerns it."""
        kind = view.kind
        if kind == _STATUS:
            if view.detail in _VOID:
                self.resolved = self.resolved or view.detail == Status.MARKET_RESOLVED
                self.clear()
            return
        if not _LEVEL <= kind <= _ASK:
            return
        flags = view.flags
        if flags & _SNAPSHOT and not self._filling:
            self.clear()
            self._filling = True
        if kind == _LEVEL:
            self._level(view.side, view.price, view.size)
        elif kind == _BID:
            self.bid = view.price
            self.bid_size = view.size or self.bids.get(self.bid, 0)
        else:
            self.ask = view.price
            self.ask_size = view.size or self.asks.get(self.ask, 0)
        self.whole = bool(flags & _LAST)
        if self.whole:
            self._filling = False

    def _level(self, side: int, price: int, size: int) -> None:
        if side != _BUY and side != _SELL:
            if side:  # nobody's level: what else is wrong in here cannot be told
                self.clear()
            return  # a side of none is how an empty book is told
        levels = self.bids if side == _BUY else self.asks
        if size:
            levels[price] = size
        else:
            levels.pop(price, None)
        if side == _BUY:
            if price >= self.bid:
                self.bid = price if size else max(levels, default=0)
                self.bid_size = levels.get(self.bid, 0)
        elif not self.ask or price <= self.ask:
            self.ask = price if size else min(levels, default=0)
            self.ask_size = levels.get(self.ask, 0)
