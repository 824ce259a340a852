"""Where ticks stand, and what is written beside them."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["day", "moment", "percent", "steps", "time_ticks", "told_apart"]

_DAY_MS: Final = 86_400_000
_STEPS_DAYS: Final = (1, 2, 7, 14)
_STEPS_MONTHS: Final = (1, 3, 6, 12, 24, 60)


def steps(low: float, high: float, count: int) -> list[float]:
    """Returns about `count` numbers from low to high, 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    # By multiplication, so that 0 is 0, and no error adds up.
    return [each * step for each in range(first, math.floor(high / step + 1e-9) + 1)]


def percent(value: float, *, places: int | None = None) -> str:
    """Returns a fraction as a percentage with its sign; 0 has none."""
    if places is None:
        places = 0 if abs(value) >= 1 else 1 if abs(value) >= 0.02 else 2
    shown = f"{value * 100:+.{places}f} %"
    return shown[1:] if not any(c in "123456789" for c in shown) else shown


def told_apart(values: Sequence[float], base: float, places: int) -> list[float]:
    """Returns those of them that read differently as percentages from `base`; nearest to it first
    counts, so that a line which never fell has one rule and not three called 0."""
    nearest = {percent(each - base, places=places): each
               for each in sorted(values, key=lambda each: -abs(each - base))}  # fmt: skip
    return sorted(nearest.values())


def day(time_ms: int) -> str:
    """Returns the day (UTC) of a time."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d")


def moment(time_ms: int) -> str:
    """Returns a time to the minute, UTC."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M")


def time_ticks(start_ms: int, end_ms: int, count: int) -> Iterator[tuple[int, str]]:
    """Yields about `count` times between two, at beginnings of days or months, and their names."""
    days = (end_ms - start_ms) / _DAY_MS
    if days <= count * _STEPS_DAYS[-1]:
        step = next(each for each in _STEPS_DAYS if days <= count * each)
        at = datetime.fromtimestamp(-(-start_ms // _DAY_MS) * 86_400, UTC)
        while at.timestamp() * 1000 <= end_ms:
            yield int(at.timestamp()) * 1000, at.strftime("%d %b").lstrip("0")
            at += timedelta(days=step)
        return
    months = days / 30.4
    step = next((each for each in _STEPS_MONTHS if months <= count * each), _STEPS_MONTHS[-1])
    begin = datetime.fromtimestamp(start_ms // 1000, UTC)
    number = -(-(begin.year * 12 + begin.month - 1) // step) * step
    while (time_ms := _month_ms(number)) <= end_ms:
        if time_ms >= start_ms:
            yield time_ms, _month_name(number, step)
        number += step


def _month_ms(number: int) -> int:
    return int(datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1000


def _month_name(number: int, step: int) -> str:
    first = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return first.strftime("%Y" if step % 12 == 0 or number % 12 == 0 else "%b")
