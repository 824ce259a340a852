"""One token's book as the feed has published it: levels by price, the best of both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from strongroom_host.feeds.fixed import fixed8
from strongroom_host.feeds.polymarket_messages import Book, Level, book_hash

__all__ = ["Half", "TokenBook", "fixed_levels"]


class Half:
    """One side. Prices and sizes in 1e-8; each level keeps the venue's texts, which it hashes."""

    __slots__ = ("_sign", "best", "levels")

    def __init__(self, *, highest: bool) -> None:
        self._sign = 1 if highest else -1
        self.levels: dict[int, tuple[int, Level]] = {}
        self.best = 0
        """The best price, 0 for an empty side: no market trades at 0."""

    def put(self, price: int, size: int, level: Level) -> None:
        """A level has a new size; 0 removes it."""
        if size:
            self.levels[price] = (size, level)
            if not self.best or (price - self.best) * self._sign > 0:
                self.best = price
        elif self.levels.pop(price, None) is not None and price == self.best:
            self._find()

    def replace(self, levels: Iterable[tuple[int, int, Level]]) -> None:
        """All levels at once."""
        self.levels = {price: (size, level) for price, size, level in levels if size}
        self._find()

    def _find(self) -> None:
        best = max if self._sign > 0 else min
        self.best = best(self.levels, default=0)

    @property
    def size(self) -> int:
        """What rests at the best price."""
        return self.levels[self.best][0] if self.best else 0

    def listed(self) -> list[Level]:
        """The levels in the venue's order: towards the best, which is last."""
        ordered = sorted(self.levels, reverse=self._sign < 0)
        return [self.levels[price][1] for price in ordered]

    def sizes(self) -> dict[int, int]:
        """Size by price, to compare with."""
        return {price: size for price, (size, _) in self.levels.items()}


class TokenBook:
    """Both sides of one token, and what the venue's hash of them is made of."""

    __slots__ = (
        "asks",
        "base_from",
        "base_ns",
        "based",
        "bids",
        "instrument",
        "last_ns",
        "last_trade_price",
        "market",
        "min_order_size",
        "neg_risk",
        "shown",
        "tick_size",
        "token",
    )

    def __init__(self, token: str, instrument: int) -> None:
        self.token, self.instrument = token, instrument
        self.bids, self.asks = Half(highest=True), Half(highest=False)
        self.based = False
        """Whether a snapshot underlies the levels: without one they are only some of them."""
        self.base_from = -1
        self.base_ns = self.last_ns = 0
        self.shown = (0, 0, 0, 0)
        """Best bid and ask as published: prices and sizes."""
        self.market = ""
        self.min_order_size: str | None = None
        self.tick_size: str | None = None
        self.neg_risk: bool | None = None
        self.last_trade_price: str | None = None

    def settle(self, connection: int, venue_ns: int) -> None:
        """A snapshot of `connection` is what the levels are based on now."""
        self.based, self.base_from = True, connection
        self.base_ns = self.last_ns = venue_ns

    def holds(self, connection: int, venue_ns: int) -> bool:
        """Whether the snapshot includes an event already, because it is older and another's.

        What follows on the snapshot's own connection is never in it, whatever its time says.
        """
        return self.based and connection != self.base_from and venue_ns < self.base_ns

    def learn(self, event: Book) -> None:
        """Remember what the venue says once and hashes ever after."""
        self.market = event.market
        if event.min_order_size is not None:
            self.min_order_size = event.min_order_size
        if event.tick_size is not None:
            self.tick_size = event.tick_size
        if event.neg_risk is not None:
            self.neg_risk = event.neg_risk
        if event.last_trade_price is not None:
            self.last_trade_price = event.last_trade_price

    def hash(self, timestamp: str) -> str | None:
        """The venue's hash of this book at `timestamp`, or None while a part of it is unknown."""
        if (
            self.min_order_size is None
            or self.tick_size is None
            or self.neg_risk is None
            or self.last_trade_price is None
        ):
            return None
        return book_hash(
            self.market,
            self.token,
            timestamp,
            self.bids.listed(),
            self.asks.listed(),
            min_order_size=self.min_order_size,
            tick_size=self.tick_size,
            neg_risk=self.neg_risk,
            last_trade_price=self.last_trade_price,
        )

    def bests(self) -> tuple[int, int, int, int]:
        """Best bid's price and size, best ask's price and size; zeros for an empty side."""
        return self.bids.best, self.bids.size, self.asks.best, self.asks.size


def fixed_levels(levels: Iterable[Level]) -> Iterator[tuple[int, int, Level]]:
    """Price and size of each level in 1e-8.

    Raises:
        Refused: a text is no such number.
    """
    for level in levels:
        yield fixed8(level.price), fixed8(level.size), level
