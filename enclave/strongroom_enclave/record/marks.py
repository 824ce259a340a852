"""Marks from a venue's candles: of a contract its own, of an asset over one pair or two.

A mark is a closing price that the venue told, with its age and the way to it, or there is none.
README.md ("Marks") defines which.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Final

from strongroom_enclave.record.connectors.rules import Reason, VenueFault
from strongroom_enclave.record.events import Kind, Markets
from strongroom_enclave.record.exact import ONE, bounded, product
from strongroom_enclave.record.returns import HOUR_MS, STALE_MS, Mark

_MINUTES: Final = (60_000, HOUR_MS, "1m")
_HOURS: Final = (HOUR_MS, 168 * HOUR_MS, "1h")
_WEEK_MS: Final = _HOURS[1]
_BETWEEN: Final = ((), ("USDT",), ("USDC",), ("USD",), ("EUR",), ("BTC",), ("ETH",), ("BNB",))
_Told = Callable[[str, int, int, int], Iterable[tuple[int, Decimal]]]
_Leg = tuple[int, tuple[Decimal, Decimal], str]


class Candles:
    """Marks in `currency`, from `candles(symbol, interval_ms, start_ms, end_ms)`: (end, close) of
    the closed ones that end in (start, end], in order; and the markets that account and venue know.

    Ask for past times only, and more or less in their order: of the last thousand windows nothing
    is asked twice, so that the same question has the same answer.
    """

    def __init__(self, candles: _Told, markets: Markets, currency: str) -> None:
        spot = [market for market in markets.values() if market.kind is Kind.SPOT]
        self._contracts = markets.keys() - {pair.symbol for pair in spot}
        self._pairs = {(pair.quote, pair.base): (pair.symbol, True) for pair in spot}
        self._pairs |= {(pair.base, pair.quote): (pair.symbol, False) for pair in spot}
        self._candles, self._currency = candles, currency
        self._window = lru_cache(1024)(self._asked)

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
            legs = [leg for pair in way if (leg := self._last(*pair, time_ms))]
            if len(legs) == len(way):
                ages, factors, sources = zip(*legs, strict=True)
                found.append(Mark(product(factors, 30), ", ".join(sources), max(ages)))
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

    def _last(self, symbol: str, inverse: bool, time_ms: int) -> _Leg | None:
        """Returns age, price as a fraction and source of the last candle: of a minute of the hour
        that runs, else of an hour that ended at most a week ago."""
        hour = time_ms - time_ms % HOUR_MS
        week = (hour - 1) // _WEEK_MS * _WEEK_MS
        starts = (_MINUTES, hour), (_HOURS, week), (_HOURS, week - _WEEK_MS)
        # At a full hour no minute of the hour that begins is of use.
        for (interval_ms, span_ms, named), start_ms in starts if time_ms > hour else starts[1:]:
            closes = self._window(symbol, interval_ms, start_ms, start_ms + span_ms)
            if past := [told for told in closes if time_ms - _WEEK_MS <= told[0] <= time_ms]:
                end_ms, close = past[-1]
                factor = (ONE, close) if inverse else (close, ONE)
                return time_ms - end_ms, factor, f"{symbol} {named}"
        return None

    def _asked(self, symbol: str, *window: int) -> list[tuple[int, Decimal]]:
        try:
            told = list(self._candles(symbol, *window))
        except VenueFault as fault:
            if fault.reason not in (Reason.UNKNOWN_MARKET, Reason.REFUSED):
                raise
            return []
        return [(end_ms, close) for end_ms, close in told if bounded("close", close) > 0]
