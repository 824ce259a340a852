"""Which numbers of a sequence are missing, come late or twice, in memory that only gaps take up."""

from __future__ import annotations

import enum
from bisect import bisect_right

__all__ = ["Gaps"]


class _Place(enum.Enum):
    NEXT = "next"
    EARLIER = "earlier"
    AGAIN = "again"


class Gaps:
    """Follows indices as they come, which should be each the one after that before."""

    NEXT = _Place.NEXT
    """As it should be, or further on: those between are missing."""
    EARLIER = _Place.EARLIER
    """One of those that were missing: it comes after ones that it should come before."""
    AGAIN = _Place.AGAIN
    """One that has been there, or is before the first."""

    def __init__(self, first: int) -> None:
        self.following = first
        """The one after the largest so far."""
        self.missing: list[tuple[int, int]] = []
        """Ranges that were left out so far: start, and end not included."""

    def skip(self) -> None:
        """One came that cannot be read; it may well be the next."""
        self.following += 1

    def place(self, index: int) -> _Place:
        """Where `index` comes."""
        if index >= self.following:
            if index > self.following:
                self.missing.append((self.following, index))
            self.following = index + 1
            return Gaps.NEXT
        at = bisect_right(self.missing, index, key=lambda gap: gap[0]) - 1
        start, end = self.missing[at] if at >= 0 else (0, 0)
        if not start <= index < end:
            return Gaps.AGAIN
        rest = ((start, index), (index + 1, end))
        self.missing[at : at + 1] = [each for each in rest if each[0] < each[1]]
        return Gaps.EARLIER
