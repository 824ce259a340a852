"""Series made for tests."""

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import strategies as st
from strongroom_host.metrics.series import HOUR_MS, Flag, Period, Series

__all__ = ["MIDNIGHT", "day_series", "returns", "series_of"]

MIDNIGHT = 1_767_225_600_000
"""2026-01-01T00:00Z, a Thursday, in ms."""

returns = st.decimals("-0.9", "3", places=12)


def series_of(
    values: Sequence[str | Decimal | None], hours: int = 1, start_ms: int = MIDNIGHT
) -> Series:
    """Consecutive periods; None is one without a return, for lack of a mark."""
    return Series.of(
        Period(
            start_ms + place * hours * HOUR_MS,
            hours,
            None if value is None else Decimal(value),
            Flag.MISSING_MARK if value is None else Flag(0),
        )
        for place, value in enumerate(values)
    )


def day_series(values: Sequence[str | Decimal | None]) -> Series:
    """Consecutive days."""
    return series_of(values, 24)
