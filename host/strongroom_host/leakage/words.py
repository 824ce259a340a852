"""A measurement of leakage told to an owner who has never heard of any of this."""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Final

from strongroom_host.leakage.reader import Found, Leakage, Portfolios, Reading
from strongroom_host.metrics.series import Flag

__all__ = ["LIMITS", "duration", "findings", "told", "verdict"]

_NOTHING: Final = 0.05

LIMITS: Final = (
    "It looks for positions that stay the same for a while, and supposes candles of the assets that"
    " are held. A reader who knows more (your venue, your style, news, your other accounts) finds"
    " more than this; a small share here is no proof that nothing can be found.",
    "Returns of a position do not say why it was taken. But whoever knows it can follow it, trade"
    " against it, or work out the strategy from many of them.",
    "An embargo hides nothing for good: it holds hours back until what was opened in them is"
    " closed, and then a reader has them as they are. It takes the harm out of being found, not the"
    " finding.",
    "Suppression of quiet periods joins them to the next; it makes periods longer, and by how much"
    " depends on how often you trade, which returns alone do not show. So neither of the two is in"
    " the table.",
    "What was disclosed once stays known. A coarser tier protects what comes after it.",
)
"""What the measurement does not cover, for every report of it."""


def duration(hours: int) -> str:
    """Returns a number of hours in words."""
    if hours % 24:
        return f"{hours} hours"
    days = hours // 24
    return "1 day" if days == 1 else f"{days} days"


def verdict(reading: Reading, hours: int) -> str:
    """Returns one reading in a sentence; `hours` is the length of its periods."""
    seen, chance = reading.seen, reading.chance
    of = f"in {_share(seen.told)} of windows of {duration(reading.periods * hours)}"
    told = f"{of} one asset was named as the position"
    if seen.size_error is not None:
        told += f", its size to ± {_percent(seen.size_error)}"
    return f"{told}; by chance it would be {_share(chance.told)}"


def findings(found: Sequence[Leakage]) -> Iterator[str]:
    """Yields sentences: what the series as it is tells, and from which tier on it would not."""
    given = found[0]
    yield f"This series ({given.view.name}): {_worst(given)}."
    for several in given.portfolios:
        if several.explained > several.by_chance:
            yield _portfolio(several, given.view.hours)
    quiet = [each.view.name for each in found[1:] if _quiet(each)]
    for each in found[1:]:
        if not _quiet(each):
            yield f"With {each.view.name}: {_worst(each)}."
    if quiet:
        yield f"Hardly more than by chance would be found with: {'; '.join(quiet)}."
    elif not _quiet(given):
        yield "No tier that is measured here would take that away: positions stay for too long."
    if given.readings:
        most = max(reading.seen.windows for reading in given.readings)
        yield f"Shares of {most} windows are sure to within {1 / sqrt(most):.0%} either way."
    if any(reading.seen.share(Found.FLAT) > _NOTHING for reading in given.readings):
        idle = (Flag.IDLE.name or "").lower()
        yield (
            f"Some windows show no move at all. Beside a return of 0 without the flag {idle!r} that"
            " tells a reader that nothing was held, or nothing that moves."
        )


def told(found: Leakage) -> float:
    """Returns the share of windows in which a reader finds one asset, less what chance shows."""
    worst = found.worst
    return 0.0 if worst is None else max(0.0, worst.seen.told - worst.chance.told)


def _quiet(found: Leakage) -> bool:
    return told(found) < _NOTHING and all(
        each.explained <= each.by_chance for each in found.portfolios
    )


def _worst(found: Leakage) -> str:
    worst = found.worst
    if worst is None:
        return "too short to measure"
    if told(found) < _NOTHING:
        return f"no single position was found beyond chance: {verdict(worst, found.view.hours)}"
    return verdict(worst, found.view.hours)


def _portfolio(several: Portfolios, hours: int) -> str:
    count = round(several.positions or 0)
    return (
        f"Several positions at once: in {several.explained} of {several.windows} windows of"
        f" {duration(several.periods * hours)} what was found in the first two thirds, about"
        f" {count} {'asset' if count == 1 else 'assets'}, foretold the last one (by chance"
        f" {several.by_chance})."
    )


def _share(value: float) -> str:
    return f"{value:.0%}"


def _percent(value: float) -> str:
    if value < 0.0001:
        return "less than 0.01 %"
    return f"{value * 100:.2g} %"
