"""Public prices: what anybody can have of every asset at every hour.

CSV with a header `time_ms,asset,price`: the price at that time, the close of the candle that ends
then. Or JSON with candles as ccxt gives them, `{"BTC/USDT": [[start_ms, open, high, low, close,
volume], …]}`, whose closes count at their ends; a candle is as long as the smallest distance
between two of them.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from strongroom_host.leakage.errors import CandlesUnreadable
from strongroom_host.private_files import read_file

__all__ = ["LIMIT", "Candles", "parse_candles", "read_candles"]

LIMIT: Final = 512 << 20
"""Bytes of a file: two years of hours of a thousand assets."""

_CLOSE: Final = 4


class Candles:
    """Prices by asset and time. Binary floats: an estimate is made of them, never money."""

    def __init__(self, prices: Mapping[str, Mapping[int, float]]) -> None:
        self._prices = prices

    @property
    def assets(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(sorted(self._prices))

    def changes(self, times_ms: Sequence[int]) -> dict[str, list[float]]:
        """Returns, for each asset that has a price at all of the times, its change from each to the
        next one as a fraction of its first price."""
        found = dict[str, list[float]]()
        for asset, prices in self._prices.items():
            try:
                at = [prices[time_ms] for time_ms in times_ms]
            except KeyError:
                continue
            found[asset] = [(after - before) / at[0] for before, after in pairwise(at)]
        return found

    def turned(self, by_ms: int) -> "Candles":
        """Returns the same prices at other times: each asset's own turned round by so much, which
        keeps everything about them but their having anything to do with the returns."""
        turned = dict[str, dict[int, float]]()
        for asset, prices in self._prices.items():
            times = sorted(prices)
            span = times[-1] - times[0]
            step = min((b - a for a, b in pairwise(times)), default=span)
            whole = span + step
            if whole:
                turned[asset] = {
                    times[0] + (time_ms - times[0] + by_ms) % whole: price
                    for time_ms, price in prices.items()
                }
        return Candles(turned)


def read_candles(path: Path) -> Candles:
    """Returns the prices in a file.

    Raises:
        BadInput: the file cannot be read; CandlesUnreadable: it holds no prices.
    """
    try:
        text = read_file(path, limit=LIMIT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable("the file is no text", "UTF-8", error.reason) from error
    return parse_candles(text)


def parse_candles(text: str) -> Candles:
    """Returns the prices in a text, JSON or CSV.

    Raises:
        CandlesUnreadable: it holds none, a price is not above 0, or an asset has two at one time.
    """
    rows = _json(text) if text.lstrip()[:1] == "{" else _csv(text)
    prices = dict[str, dict[int, float]]()
    for asset, time_ms, price in rows:
        if not (math.isfinite(price) and price > 0) or time_ms < 0:
            raise _unreadable(f"a price of {asset} is none", "above 0", f"{price} at {time_ms}")
        if prices.setdefault(asset, {}).setdefault(time_ms, price) != price:
            raise _unreadable(f"{asset} has two prices at one time", "one", time_ms)
    if not prices:
        raise _unreadable("there are no prices", "one asset or more", "none")
    return Candles(prices)


def _csv(text: str) -> Iterator[tuple[str, int, float]]:
    try:
        for row in csv.DictReader(io.StringIO(text), strict=True):
            yield row["asset"], int(row["time_ms"]), float(row["price"])
    except (csv.Error, KeyError, ValueError, TypeError) as error:
        raise _unreadable("the file is no table of prices", "time_ms,asset,price", error) from error


def _json(text: str) -> Iterator[tuple[str, int, float]]:
    try:
        found: object = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("no object")
        for asset, candles in found.items():
            closes = [(int(candle[0]), float(candle[_CLOSE])) for candle in candles]
            length = _length(start_ms for start_ms, _ in closes)
            for start_ms, close in closes:
                yield asset, start_ms + length, close
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError) as error:
        raise _unreadable(
            "the JSON holds no candles", '{"BTC/USDT": [[start_ms, o, h, l, c, v], …]}', error
        ) from error


def _length(starts: Iterable[int]) -> int:
    steps = [after - before for before, after in pairwise(sorted(set(starts)))]
    if not steps:
        raise ValueError("an asset has fewer than two candles, so nobody can say how long they are")
    return min(steps)


def _unreadable(finding: str, expected: str, actual: object) -> CandlesUnreadable:
    return CandlesUnreadable(
        finding,
        expected=expected,
        actual=str(actual)[:200],
        remedy="host/strongroom_host/leakage/README.md describes the files",
    )
