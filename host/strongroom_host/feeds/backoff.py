"""How long to wait before the next attempt: longer each time, and never in step with others."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Doubling delays in seconds, each drawn from the upper half of its range.

    Args:
        least: The first range's end.
        most: No range ends later.
        chance: Where the jitter comes from.
    """

    def __init__(self, least: float, most: float, chance: random.Random) -> None:
        self._least, self._most, self._chance = least, most, chance
        self._failures = 0

    def next(self) -> float:
        """The delay before the next attempt."""
        end: float = min(self._most, self._least * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return end * self._chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """An attempt has lasted: begin anew."""
        self._failures = 0
