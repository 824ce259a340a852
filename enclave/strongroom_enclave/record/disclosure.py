"""What leaves of a series of hours, under the tier that the owner chose in the manifest.

The rows returned here are all that may leave, in any form. README.md has the steps and why each
holds back what it does; two properties hold them together: what was disclosed stays, and hours that
are held back have no influence on what is disclosed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import reduce
from itertools import pairwise
from operator import or_

from strongroom_wire.manifest import Tier
from strongroom_wire.record import PublishedHour

from strongroom_enclave.record.errors import SeriesBroken
from strongroom_enclave.record.exact import ONE, RETURN, exactly, money, product, quotient
from strongroom_enclave.record.returns import HOUR_MS, Hour


def disclosed(
    series: Sequence[Hour], tier: Tier, open_since_ms: int | None, salt: Callable[[], str]
) -> list[PublishedHour]:
    """Returns what may leave of an account's hours, from its first to its latest.

    `open_since_ms` is the time of the oldest lot open at the end of the latest hour, None if there
    is none (`Ledger.open_since`); `salt` makes a row's salt.

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
        return [_period(hours, tier, salt()) for hours in _periods(series, tier)]


def _periods(series: Iterable[Hour], tier: Tier) -> Iterator[list[Hour]]:
    hours, trades = list[Hour](), 0
    for hour in series:
        hours.append(hour)
        trades += hour.trades
        ended = not (hour.start_ms + HOUR_MS) % (tier.hours * HOUR_MS)
        if ended and trades >= tier.least_trades:
            yield hours
            hours, trades = [], 0


def _period(hours: list[Hour], tier: Tier, salt: str) -> PublishedHour:
    first, last, grid, exact = hours[0], hours[-1], tier.grid, None
    values = [hour.value for hour in hours if hour.value is not None]
    whole = len(values) == len(hours)
    value = product(((1 + each, ONE) for each in values), 12) - 1 if whole else None
    closing, flags = last.closing, reduce(or_, (hour.flags for hour in hours))
    if grid is not None and value is not None:
        value = (quotient(value, grid, ONE) * grid).quantize(RETURN)
    if grid is not None and closing:
        width = abs(closing) * grid
        power = width.adjusted() + (width != ONE.scaleb(width.adjusted()))
        closing = money(quotient(closing, ONE, ONE.scaleb(power)))
    if grid is None and tier.hours == 1 and not tier.least_trades:
        moved = _text(first.opening), _text(first.flows), _text(first.pnl)
        earned = _text(first.realised), _text(first.unrealised), _text(first.fees)
        exact = *moved, *earned, _text(first.funding), first.trades, first.mark_age_ms
    shown = first.start_ms, len(hours), _text(value), _text(closing), int(flags)
    return PublishedHour(*shown, exact, salt)


def _text(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:f}"
