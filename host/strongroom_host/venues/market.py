"""One deterministic market: the price of everything at every minute, derived and never stored.

A price path is value noise: for each octave a lattice of hashed integers, interpolated linearly and
added up. So any minute of any year is computed on its own, in integers, and comes out the same in
every process that has the seed.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Final

from strongroom_host.venues.errors import ConfigError

__all__ = ["HOUR_MS", "MINUTE_MS", "Candle", "Instrument", "Kind", "Market", "draw"]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
_MILLION: Final = 1_000_000
# Period of an octave in minutes (a power of two), and its amplitude in millionths of the price.
_OCTAVES: Final = ((3, 500), (6, 1_500), (9, 4_000), (12, 12_000), (15, 35_000), (18, 90_000))
_WICK: Final = 400
_BLOCK: Final = 64
_KEPT: Final = 65_536


class Kind(enum.Enum):
    """How an instrument settles."""

    SPOT = "spot"
    LINEAR = "linear"
    """A perpetual that settles in its quote."""
    INVERSE = "inverse"
    """A perpetual that settles in its base; its amounts are in quote."""


@dataclass(frozen=True)
class Instrument:
    """What can be traded: `level` is the price it swings around, `size` its contract size.

    `silent` are spans (start, end) in ms without candles, as after an outage of the venue; after
    `delisted_ms` there are none at all.
    """

    base: str
    quote: str
    level: Decimal
    tick: Decimal
    step: Decimal
    kind: Kind = Kind.SPOT
    size: Decimal = Decimal(1)
    listed_ms: int = 0
    delisted_ms: int | None = None
    silent: tuple[tuple[int, int], ...] = ()

    @property
    def settle(self) -> str:
        """The asset that profit of a contract is paid in."""
        return self.base if self.kind is Kind.INVERSE else self.quote

    def value(self, amount: Decimal, price: Decimal) -> Decimal:
        """What an amount is worth, in quote; of an inverse contract in base, to 18 places."""
        if self.kind is Kind.INVERSE:
            return round(amount * self.size / price, 18)
        return amount * self.size * price

    @cached_property
    def symbol(self) -> str:
        """The unified name: ``BTC/USDT``, or ``BTC/USDT:USDT`` for a perpetual."""
        pair = f"{self.base}/{self.quote}"
        return pair if self.kind is Kind.SPOT else f"{pair}:{self.settle}"

    def trading(self, time_ms: int) -> bool:
        """Whether it trades at that time."""
        ended = self.delisted_ms is not None and time_ms >= self.delisted_ms
        return self.listed_ms <= time_ms and not ended

    def quotes(self, time_ms: int) -> bool:
        """Whether there is a candle of the minute that begins then."""
        return self.trading(time_ms) and not any(a <= time_ms < b for a, b in self.silent)


@dataclass(frozen=True, slots=True)
class Candle:
    """Prices in quote per base, volume in base units, over [start, start + span)."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@lru_cache(maxsize=65_536)
def draw(seed: str, *place: str | int) -> int:
    """A number below 2**64 that depends on seed and place alone."""
    text = "\x1f".join((seed, *map(str, place))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def _signed(seed: str, *place: str | int, bound: int) -> int:
    return draw(seed, *place) % (2 * bound + 1) - bound


class Market:
    """The instruments by unified symbol, and their prices.

    Raises:
        ConfigError: two instruments have one symbol.
    """

    def __init__(self, seed: str, instruments: Iterable[Instrument]) -> None:
        self.seed = seed
        found: dict[str, Instrument] = {}
        for instrument in instruments:
            if instrument.symbol in found:
                raise ConfigError("two instruments have one symbol", actual=instrument.symbol)
            found[instrument.symbol] = instrument
        self.instruments: Mapping[str, Instrument] = found
        self._levels = {name: int(item.level / item.tick) for name, item in found.items()}
        self._candles: dict[tuple[str, int, int], Candle | None] = {}
        self._blocks: dict[tuple[str, int], tuple[int, ...]] = {}

    def ticks(self, instrument: Instrument, minute: int) -> int:
        """The price at the start of a minute since the epoch, in ticks; at least 1."""
        block, offset = divmod(minute, _BLOCK)
        total = self._block(instrument.symbol.partition(":")[0], block)[offset]
        if instrument.kind is not Kind.SPOT:  # a basis of its own, so spot marks are not its marks
            total += _signed(self.seed, instrument.symbol, "basis", minute >> 5, bound=300)
        level = self._levels[instrument.symbol]
        return max(1, level * (_MILLION + total) // _MILLION)

    def price(self, instrument: Instrument, time_ms: int) -> Decimal:
        """The mark at a time: that of the minute's start."""
        return self.ticks(instrument, time_ms // MINUTE_MS) * instrument.tick

    def traded_price(self, instrument: Instrument, time_ms: int, *place: str | int) -> Decimal:
        """A price between low and high of the minute, another one for each place."""
        low, high, _ = self._range(instrument, time_ms // MINUTE_MS)
        at = draw(self.seed, instrument.symbol, time_ms, *place) % (high - low + 1)
        return (low + at) * instrument.tick

    def candle(self, instrument: Instrument, start_ms: int, span_ms: int) -> Candle | None:
        """The candle of a span of whole minutes, or None where the venue has none."""
        place = instrument.symbol, start_ms, span_ms
        if place not in self._candles:
            if len(self._candles) >= _KEPT:
                self._candles.clear()
            self._candles[place] = self._make_candle(instrument, start_ms, span_ms)
        return self._candles[place]

    def _make_candle(self, instrument: Instrument, start_ms: int, span_ms: int) -> Candle | None:
        first, end = start_ms // MINUTE_MS, (start_ms + span_ms) // MINUTE_MS
        minutes = [minute for minute in range(first, end) if instrument.quotes(minute * MINUTE_MS)]
        if not minutes:
            return None
        ranges = [self._range(instrument, minute) for minute in minutes]
        tick = instrument.tick
        return Candle(
            start_ms,
            self.ticks(instrument, minutes[0]) * tick,
            max(high for _, high, _ in ranges) * tick,
            min(low for low, _, _ in ranges) * tick,
            self.ticks(instrument, minutes[-1] + 1) * tick,
            sum(volume for _, _, volume in ranges) * instrument.step,
        )

    def candles(
        self, instrument: Instrument, start_ms: int, end_ms: int, span_ms: int, limit: int
    ) -> list[Candle]:
        """Up to `limit` candles that start in [start, end], oldest first; what is missing is left
        out, as venues do.
        """
        start = -(-max(start_ms, instrument.listed_ms) // span_ms) * span_ms
        found: list[Candle] = []
        while start <= end_ms and len(found) < limit:
            if not instrument.trading(start) and start > instrument.listed_ms:
                break
            candle = self.candle(instrument, start, span_ms)
            if candle is not None:
                found.append(candle)
            start += span_ms
        return found

    def _range(self, instrument: Instrument, minute: int) -> tuple[int, int, int]:
        """Low and high of a minute in ticks, and its volume in steps."""
        edges = self.ticks(instrument, minute), self.ticks(instrument, minute + 1)
        wick = max(edges) * _WICK // _MILLION + 1
        drawn = draw(self.seed, instrument.symbol, "minute", minute)
        low = min(edges) - (drawn & 0xFFFFF) % wick
        high = max(edges) + (drawn >> 20 & 0xFFFFF) % wick
        return max(1, low), max(1, high), (drawn >> 40) % 10_000

    def _block(self, pair: str, block: int) -> tuple[int, ...]:
        """How far the price is from its level, in millionths, at each minute of a block.

        A block is a whole part of every octave's period but those of the shortest.
        """
        kept = self._blocks.get((pair, block))
        if kept is not None:
            return kept
        totals = [0] * _BLOCK
        for power, bound in _OCTAVES:
            period = 1 << power
            for first in range(0, _BLOCK, period):
                index, offset = divmod(block * _BLOCK + first, period)
                left = _signed(self.seed, pair, power, index, bound=bound)
                slope = _signed(self.seed, pair, power, index + 1, bound=bound) - left
                for place in range(min(period, _BLOCK)):
                    totals[first + place] += left + slope * (offset + place) // period
        if len(self._blocks) >= _KEPT:
            self._blocks.clear()
        made = self._blocks[pair, block] = tuple(totals)
        return made
