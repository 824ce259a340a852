"""A series of disclosed periods, one after another, each with a return or with what stands instead.

Nothing is left out in silence: where the rows have a hole, the series has a period that says so.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import IntFlag
from itertools import groupby
from typing import Final

from strongroom_host.metrics.errors import SeriesInvalid

__all__ = ["HOUR_MS", "INSTEAD", "NONE", "ONE", "Flag", "Period", "Series"]

HOUR_MS: Final = 3_600_000

ONE: Final = 10**12
"""Returns have 12 places; as integers they count units of 1/ONE."""


class Flag(IntFlag):
    """What the enclave says of a period beside, or instead of, its return.

    The numbers are those of `strongroom_enclave.record.returns.Flag`, whose README defines each; a
    period of several hours has the flags of all of them.
    """

    NO_EQUITY = 1
    NEGATIVE_EQUITY = 2
    MISSING_MARK = 4
    GAP = 8
    UNEXPLAINED = 16
    IDLE = 32
    STALE_MARK = 64


INSTEAD: Final = (
    Flag.NO_EQUITY | Flag.NEGATIVE_EQUITY | Flag.MISSING_MARK | Flag.GAP | Flag.UNEXPLAINED
)
NONE: Final = Flag(0)
_ALL: Final = Flag(sum(Flag))
_LATEST_MS: Final = 253_402_300_799_000
_DAY_MS: Final = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Period:
    """Some hours as one.

    Attributes:
        start_ms: Its first hour's beginning, ms since the epoch, UTC, a full hour.
        hours: Its length, at least 1.
        value: Its return, a fraction of at most 12 places, not below -1; None if there is none.
        flags: Why there is none, or what has to be known about it.
        closing: Equity at its end, in the account's currency, where it is disclosed.

    Raises:
        SeriesInvalid: any of that does not hold, or a return stands beside a flag that says that
            there is none.
    """

    start_ms: int
    hours: int
    value: Decimal | None
    flags: Flag = NONE
    closing: Decimal | None = None

    def __post_init__(self) -> None:
        if self.start_ms < 0 or self.start_ms % HOUR_MS or self.hours < 1:
            raise SeriesInvalid(
                "a period does not begin at a full hour, or has no length",
                expected=f"a multiple of {HOUR_MS} ms, and one hour or more",
                actual=f"start {self.start_ms}, {self.hours} hours",
            )
        if self.end_ms > _LATEST_MS:
            raise self._wrong("ends later than any calendar here", "the year 9999 at most")
        # As integers: the complement of an IntFlag has no bits beyond its own.
        if int(self.flags) & ~int(_ALL):
            raise self._wrong("has flags that this version does not know", f"within {int(_ALL)}")
        if self.closing is not None and not self.closing.is_finite():
            raise self._wrong("closes at an equity that is no number", "a finite decimal")
        if self.value is None:
            return
        if not self.value.is_finite() or self.value < -1:
            raise self._wrong("has a return that none can be", "a fraction, -1 or above")
        exponent = self.value.as_tuple().exponent
        if not isinstance(exponent, int) or not -12 <= exponent <= 12 or self.value >= ONE:
            raise self._wrong(
                "has a return that was not rounded as disclosed ones are", "12 places"
            )
        if self.flags & INSTEAD:
            raise self._wrong("has a return, and a flag that stands instead of one", "one of them")

    def _wrong(self, finding: str, expected: str) -> SeriesInvalid:
        found = f"return {self.value}, flags {int(self.flags)}, closing {self.closing}"
        return SeriesInvalid(
            f"the period from {self.start_ms} {finding}",
            expected=expected,
            actual=found,
            remedy="take the rows again from where they came from",
        )

    @property
    def end_ms(self) -> int:
        """When it ends: the next one begins then."""
        return self.start_ms + self.hours * HOUR_MS

    @property
    def units(self) -> int | None:
        """The return in units of 1/ONE, exactly."""
        if self.value is None:
            return None
        above, below = self.value.as_integer_ratio()
        return above * ONE // below

    @property
    def why(self) -> str:
        """What has to be said about it, in words; empty if nothing has."""
        named = [(flag.name or "").lower().replace("_", " ") for flag in Flag if flag in self.flags]
        if self.value is None and not self.flags & INSTEAD:
            named.append("nothing disclosed")
        return ", ".join(named)


@dataclass(frozen=True, slots=True)
class Series:
    """Periods of which each begins where the one before ends. Made by `Series.of`."""

    periods: tuple[Period, ...]

    @classmethod
    def of(cls, periods: Iterable[Period]) -> "Series":
        """Returns the periods in order of time; each hole between them becomes periods without a
        return and without a flag, none longer than its day: nothing was disclosed of them.

        Raises:
            SeriesInvalid: there are none, two of them overlap, or one that has neither a return nor
                a flag is given as if it had been disclosed.
        """
        whole = list[Period]()
        for period in sorted(periods, key=lambda each: each.start_ms):
            if period.value is None and not period.flags & INSTEAD:
                raise SeriesInvalid(
                    f"the period from {period.start_ms} has no return, and no flag says why",
                    expected="a return, or a flag that stands instead of it",
                    actual=f"flags {int(period.flags)}",
                )
            if whole and period.start_ms < (end_ms := whole[-1].end_ms):
                raise SeriesInvalid(
                    "two periods overlap",
                    expected=f"one that begins at {end_ms} or later",
                    actual=period.start_ms,
                    remedy="one account at a time, and each row once",
                )
            if whole:
                whole += _hole(whole[-1].end_ms, period.start_ms)
            whole.append(period)
        if not whole:
            raise SeriesInvalid("there are no periods", expected="one or more", actual=0)
        return cls(tuple(whole))

    @property
    def hours(self) -> int:
        """The length of the whole, holes included."""
        return sum(period.hours for period in self.periods)

    @property
    def start_ms(self) -> int:
        """When it begins."""
        return self.periods[0].start_ms

    @property
    def end_ms(self) -> int:
        """When it ends."""
        return self.periods[-1].end_ms

    @property
    def whole(self) -> bool:
        """Whether every period has a return."""
        return all(period.value is not None for period in self.periods)

    def runs(self) -> Iterator[tuple[Period, ...]]:
        """Yields the longest stretches in which every period has a return."""
        for known, run in groupby(self.periods, lambda period: period.value is not None):
            if known:
                yield tuple(run)


def _hole(start_ms: int, end_ms: int) -> Iterator[Period]:
    while start_ms < end_ms:
        until_ms = min(end_ms, start_ms - start_ms % _DAY_MS + _DAY_MS)
        yield Period(start_ms, (until_ms - start_ms) // HOUR_MS, None)
        start_ms = until_ms
