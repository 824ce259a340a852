"""Marks from a venue's candles: of a contract its own, of an asset over one pair or two.

A mark is a closing price that the venue told, with its age and the way to it, or there is none.
README.md ("Marks") defines which.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from math import prod
from operator import itemgetter
from typing import Final

from strongroom_enclave.record.connectors.rules import Reason, VenueFault
from strongroom_enclave.record.events import Kind, Market
from strongroom_enclave.record.exact import FINEST, ONE, bounded, quotient
from strongroom_enclave.record.returns import HOUR_MS, STALE_MS, Mark

__all__ = ["Candles"]

_MINUTE_MS: Final = 60_000
_WEEK_MS: Final = 168 * HOUR_MS
_WINDOWS: Final = 1024
_NONE: Final = (Reason.UNKNOWN_MARKET, Reason.REFUSED)
_BETWEEN: Final = ((), ("USDT",), ("USDC",), ("USD",), ("EUR",), ("BTC",), ("ETH",), ("BNB",))
_Told = Callable[[str, int, int, int], Iterable[tuple[int, Decimal]]]


class Candles:
    """Marks in `currency`, from `candles(symbol, interval_ms, start_ms, end_ms)`: (end, close) of
    the closed ones that end in (start, end], in order; and the markets that account and venue know.

    Ask for past times only, and more or less in their order: of the last thousand windows nothing
    is asked twice, so that the same question has the same answer.
    """

    def __init__(self, candles: _Told, markets: Mapping[str, Market], currency: str) -> None:
        spot = [market for market in markets.values() if market.kind is Kind.SPOT]
        self._contracts = markets.keys() - {pair.symbol for pair in spot}
        self._pairs = {(pair.quote, pair.base): (pair.symbol, True) for pair in spot}
        self._pairs |= {(pair.base, pair.quote): (pair.symbol, False) for pair in spot}
        self._candles, self._currency = candles, currency
        self._window = lru_cache(_WINDOWS)(self._asked)

    def at(self, name: str, time_ms: int) -> Mark | None:
        """Returns the mark of an asset or of a contract's symbol at a time, as `Marks` has it: by
        the first way that is not stale, else by the one that is least so; None if there is none.

        Raises:
            VenueFault: candles cannot be had now, or cannot be believed. That there are none is an
                answer; this is not.
            EventInvalid: a price is out of range.
        """
        if name == self._currency:
            return Mark(ONE, name)
        found = list[Mark]()
        for way in self._ways(name):
            legs = [self._last(symbol, time_ms, inverse) for symbol, inverse in way]
            known = [leg for leg in legs if leg is not None]
            if len(known) == len(legs):
                ages, above, below, sources = zip(*known, strict=True)
                price = quotient(prod(above), prod(below), FINEST)
                found.append(Mark(price, ", ".join(sources), max(ages)))
                if max(ages) <= STALE_MS:
                    break
        return min(found, key=lambda mark: mark.age_ms, default=None)

    def _ways(self, name: str) -> Iterator[list[tuple[str, bool]]]:
        """Yields the ways from a name to its price: pairs, and whether each is the inverse one."""
        if name in self._contracts:
            yield [(name, False)]
        for between in _BETWEEN:
            legs = list(pairwise((name, *between, self._currency)))
            if self._pairs.keys() >= {*legs}:
                yield [self._pairs[leg] for leg in legs]

    def _last(
        self, symbol: str, time_ms: int, inverse: bool
    ) -> tuple[int, Decimal, Decimal, str] | None:
        """Returns age, price as a fraction and source of the last candle: of a minute of the hour
        that runs, else of an hour that ended at most a week ago."""
        hour = time_ms - time_ms % HOUR_MS
        week = (hour - 1) // _WEEK_MS * _WEEK_MS
        for interval, interval_ms, start_ms, span_ms in (
            ("1m", _MINUTE_MS, hour, HOUR_MS),
            ("1h", HOUR_MS, week, _WEEK_MS),
            ("1h", HOUR_MS, week - _WEEK_MS, _WEEK_MS),
        ):
            if start_ms == time_ms:  # at a full hour no minute of the next one is of use
                continue
            closes = self._window(symbol, interval_ms, start_ms, start_ms + span_ms)
            place = bisect_right(closes, time_ms, key=itemgetter(0))
            if place and (age_ms := time_ms - closes[place - 1][0]) <= _WEEK_MS:
                close = closes[place - 1][1]
                price = (ONE, close) if inverse else (close, ONE)
                return age_ms, *price, f"{symbol} {interval}"
        return None

    def _asked(self, symbol: str, *window: int) -> list[tuple[int, Decimal]]:
        try:
            told = list(self._candles(symbol, *window))
        except VenueFault as fault:
            if fault.reason not in _NONE:
                raise
            return []
        return [(end_ms, close) for end_ms, close in told if bounded("close", close) > 0]
