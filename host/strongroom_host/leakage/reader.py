"""What somebody finds who reads a series beside public prices: over windows of it, by tier.

Nobody here knows what was really held, so nothing is counted as right. Counted is what a reader
would believe, and beside it what he would believe if the same prices were turned round in time and
so had nothing to do with the account: how often the method is fooled by chance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from statistics import median
from typing import Final

from strongroom_host.leakage.candles import Candles
from strongroom_host.leakage.errors import NothingToMatch
from strongroom_host.leakage.matching import Moves, best_fits, consistent, moves, portfolio
from strongroom_host.leakage.tiers import TIERS, View, as_given, seen_under
from strongroom_host.metrics.series import HOUR_MS, Period, Series

__all__ = ["Found", "Leakage", "Portfolios", "Reading", "Tally", "measure_leakage"]

PATIENCE: Final = (2, 3, 6, 24)
"""Periods over which one position is supposed to stay, if there are as many."""

SPANS: Final = (24, 72, 168)
"""The same for several positions at once."""

_FEW: Final = 5
_POINTING: Final = 6
_FITS: Final = 0.01
_CLEARLY: Final = 4.0
_MOST: Final = 10
_HELD_OUT: Final = 3
_FORESEEN: Final = 0.1


class Found(Enum):
    """What a reader takes from one window, from most to least."""

    NAMED = "named"
    FEW = "few"
    POINTED = "pointed at"
    OPEN = "open"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Tally:
    """Windows by what was found in them.

    Attributes:
        windows: How many were looked at.
        found: How many ended in which way; `FLAT` ones showed no move at all.
        size_error: Of those named: the median of what is left open of the size, as a part of it.
        assets: Of those named or pointed at: how often each asset, most often first.
    """

    windows: int
    found: dict[Found, int]
    size_error: float | None
    assets: tuple[tuple[str, int], ...]

    def share(self, *kinds: Found) -> float:
        """Returns the share of windows that ended in one of these ways."""
        return sum(self.found[kind] for kind in kinds) / self.windows if self.windows else 0.0

    @property
    def told(self) -> float:
        """The share of windows in which a reader takes one asset for the position."""
        return self.share(Found.NAMED, Found.POINTED)


@dataclass(frozen=True, slots=True)
class Reading:
    """One position that stays over `periods` periods: what is seen, and what chance alone shows."""

    periods: int
    seen: Tally
    chance: Tally


@dataclass(frozen=True, slots=True)
class Portfolios:
    """Up to ten positions that stay over `periods` periods.

    A window counts as explained if what was found in its first two thirds foretells its last one to
    nine tenths. `positions` is the median number found in those.
    """

    periods: int
    windows: int
    explained: int
    by_chance: int
    positions: float | None


@dataclass(frozen=True, slots=True)
class Leakage:
    """What a tier leaves to a reader."""

    view: View
    given: bool
    readings: tuple[Reading, ...]
    portfolios: tuple[Portfolios, ...]

    @property
    def worst(self) -> Reading | None:
        """The reading that tells most beyond chance."""
        return max(self.readings, key=lambda each: each.seen.told - each.chance.told, default=None)


def measure_leakage(
    series: Series, candles: Candles, *, windows: int = 60, tiers: Sequence[View] = TIERS
) -> tuple[Leakage, ...]:
    """Returns what a reader finds in a series as it is, and under every tier that is coarser.

    At most `windows` windows for each tier and length, drawn over the whole series, the same ones
    every time; a third as many for portfolios, which take longer.

    Raises:
        NothingToMatch: there is no window for which there are both returns and prices.
    """
    given = as_given(series)
    views = [given, *(view for view in tiers if _coarser(view, given))]
    turned = candles.turned((series.hours // 2) * HOUR_MS)
    found = tuple(_under(series, view, view is given, candles, turned, windows) for view in views)
    if not any(reading.seen.windows for each in found for reading in each.readings):
        raise NothingToMatch(
            "returns and prices have no time in common, or no stretch of two periods",
            expected=f"prices from {series.start_ms} to {series.end_ms}, at the ends of periods",
            actual=f"{len(candles.assets)} assets",
            remedy="give candles of the same hours; this is no statement that nothing leaks",
        )
    return found


def _coarser(view: View, given: View) -> bool:
    return view != given and not view.hours % given.hours and not view.grid % given.grid


def _under(
    series: Series, view: View, given: bool, candles: Candles, turned: Candles, windows: int
) -> Leakage:
    shown = seen_under(series, view)
    readings, portfolios = list[Reading](), list[Portfolios]()
    for periods in PATIENCE:
        spread = list(_windows(shown, view, periods, windows))
        seen, chance = (_tally(spread, view, each) for each in (candles, turned))
        if seen.windows:
            readings.append(Reading(periods, seen, chance))
    for periods in SPANS:
        spread = list(_windows(shown, view, periods, max(1, windows // 3)))
        if spread and (several := _several(periods, spread, view, candles, turned)):
            portfolios.append(several)
    return Leakage(view, given, tuple(readings), tuple(portfolios))


def _windows(series: Series, view: View, periods: int, count: int) -> Iterator[tuple[Period, ...]]:
    """Yields up to `count` windows of full periods with returns: always the same ones."""
    starts = [
        run[at : at + periods]
        for run in series.runs()
        for at in range(len(run) - periods + 1)
        if all(each.hours == view.hours for each in run[at : at + periods])
    ]
    # Drawn, not evenly spread: an even step falls into the rhythm of whoever trades by the clock.
    chance = Random(periods)  # noqa: S311  repeatable
    drawn = chance.sample(range(len(starts)), min(count, len(starts)))
    yield from (starts[at] for at in sorted(drawn))


def _moves(window: Sequence[Period], view: View) -> Moves:
    return moves([float(each.value or 0) for each in window], view.half)


def _times(window: Sequence[Period]) -> list[int]:
    return [window[0].start_ms, *(each.end_ms for each in window)]


def _tally(windows: Sequence[Sequence[Period]], view: View, candles: Candles) -> Tally:
    found = dict.fromkeys(Found, 0)
    errors, named = list[float](), dict[str, int]()
    for window in windows:
        if not (assets := candles.changes(_times(window))):
            continue
        kind, asset, error = _read(_moves(window, view), assets)
        found[kind] += 1
        if asset is not None:
            named[asset] = named.get(asset, 0) + 1
        if error is not None:
            errors.append(error)
    ranked = sorted(named.items(), key=lambda each: (-each[1], each[0]))
    middle = median(errors) if errors else None
    return Tally(sum(found.values()), found, middle, tuple(ranked))


def _read(seen: Moves, assets: dict[str, list[float]]) -> tuple[Found, str | None, float | None]:
    if seen.flat:
        return Found.FLAT, None, None
    possible = consistent(seen, assets)
    if len(possible) == 1:
        [fit] = possible
        return Found.NAMED, fit.asset, fit.error / abs(fit.size) if fit.size else None
    if possible:
        return (Found.FEW if len(possible) <= _FEW else Found.OPEN), None, None
    # No one asset alone: fees, funding or a second position are in it, and may be small.
    fits = best_fits(seen, assets)
    clear = len(fits) == 1 or (
        len(fits) > 1 and fits[1].unexplained > _CLEARLY * fits[0].unexplained
    )
    # A few moves are nearly parallel to those of some asset whatever they are.
    if len(seen.values) >= _POINTING and fits and fits[0].unexplained < _FITS and clear:
        return Found.POINTED, fits[0].asset, None
    return Found.OPEN, None, None


def _several(
    periods: int,
    windows: Sequence[Sequence[Period]],
    view: View,
    candles: Candles,
    turned: Candles,
) -> Portfolios | None:
    def explained(prices: Candles) -> Callable[[Sequence[Period]], int | None]:
        def positions(window: Sequence[Period]) -> int | None:
            seen, assets = _moves(window, view), prices.changes(_times(window))
            if seen.flat or not assets:
                return None
            found = portfolio(seen, assets, _MOST, held_out=periods // _HELD_OUT)
            told = found.beyond is not None and found.beyond < _FORESEEN
            return len(found.sizes) if told else 0

        return positions

    counts, chance = (
        [count for window in windows if (count := explained(each)(window)) is not None]
        for each in (candles, turned)
    )
    if not counts:
        return None
    some = [count for count in counts if count]
    return Portfolios(
        periods=periods,
        windows=len(counts),
        explained=len(some),
        by_chance=sum(count > 0 for count in chance),
        positions=median(some) if some else None,
    )
