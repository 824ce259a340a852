"""What leaves of a series of hours, under the tier that the owner chose in the manifest.

The periods returned here are all that may leave, in any form. README.md has the steps and why each
holds back what it does; two properties hold them together: what was disclosed stays, and hours that
are held back have no influence on what is disclosed.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import reduce
from itertools import pairwise
from operator import or_

from msgspec import Struct

from strongroom_enclave.record.errors import SeriesBroken, TierInvalid
from strongroom_enclave.record.exact import RETURN, exactly, linked, money, quotient
from strongroom_enclave.record.returns import HOUR_MS, Flag, Hour

__all__ = ["EXACT", "Period", "Tier", "disclosed"]


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """How much of an account may be seen. As it starts out: daily, rounded to a basis point.

    `hours` in a period; `least_trades` in one; `grid` of returns, None for exact ones; whether
    hours wait until what was opened in them is closed, and for at most how many hours (0: any).

    Raises:
        TierInvalid: periods that do not divide a day, a grid that is none, a negative number.
    """

    hours: int = 24
    least_trades: int = 0
    grid: Decimal | None = Decimal("0.0001")
    embargo: bool = False
    longest: int = 0

    def __post_init__(self) -> None:
        if self.hours < 1 or 24 % self.hours:
            raise TierInvalid("hours", "a divisor of 24", self.hours)
        if self.least_trades < 0 or self.longest < 0 or (self.longest and not self.embargo):
            raise TierInvalid("counts", "none below zero", (self.least_trades, self.longest))
        if (grid := self.grid) is not None and not (
            grid.is_finite() and RETURN <= grid <= 1 and not grid % RETURN
        ):
            raise TierInvalid("grid", "a multiple of 1e-12 up to 1", self.grid)


EXACT = Tier(hours=1, grid=None)
"""Every hour as it is, at once."""


class Period(Struct, frozen=True):
    """Some hours as one: `value` is its return, `closing` the equity at its end; under `EXACT`, or
    it with an embargo, also the hour itself."""

    start_ms: int
    hours: int
    closing: Decimal | None
    value: Decimal | None
    flags: Flag
    exact: Hour | None


def disclosed(series: Sequence[Hour], tier: Tier, open_since_ms: int | None) -> tuple[Period, ...]:
    """Returns what may leave of an account's hours, from its first to its latest.

    `open_since_ms` is the time of the oldest lot open at the end of the latest hour, None if there
    is none (`Lots.open_since`).

    Raises:
        SeriesBroken: the hours do not follow each other.
    """
    for before, after in pairwise(series):
        if after.start_ms - before.start_ms != HOUR_MS:
            raise SeriesBroken("hour", before.start_ms + HOUR_MS, after.start_ms)
    if tier.embargo and open_since_ms is not None and series:
        longest_ms = (tier.longest or len(series)) * HOUR_MS
        held_ms = max(open_since_ms, series[-1].start_ms + HOUR_MS - longest_ms)
        series = [hour for hour in series if hour.start_ms + HOUR_MS <= held_ms]
    with exactly():
        return tuple(_period(hours, tier) for hours in _periods(series, tier))


def _periods(series: Iterable[Hour], tier: Tier) -> Iterator[list[Hour]]:
    hours, trades = list[Hour](), 0
    for hour in series:
        hours.append(hour)
        trades += hour.trades
        ended = not (hour.start_ms + HOUR_MS) % (tier.hours * HOUR_MS)
        if ended and trades >= tier.least_trades:
            yield hours
            hours, trades = [], 0


def _period(hours: list[Hour], tier: Tier) -> Period:
    first, last, grid = hours[0], hours[-1], tier.grid
    values = [hour.value for hour in hours if hour.value is not None]
    value = linked((1 + each, Decimal(1)) for each in values) if len(values) == len(hours) else None
    closing, flags = last.closing, reduce(or_, (hour.flags for hour in hours))
    if grid is not None and value is not None:
        value = (quotient(value, grid, Decimal(1)) * grid).quantize(RETURN)
    if grid is not None and closing:
        width = abs(closing) * grid
        power = width.adjusted() + (width != Decimal(1).scaleb(width.adjusted()))
        closing = money(quotient(closing, Decimal(1), Decimal(1).scaleb(power)))
    alone = grid is None and tier.hours == 1 and not tier.least_trades
    return Period(first.start_ms, len(hours), closing, value, flags, first if alone else None)
