"""Time in steps: when features end, by the ticks' own clock; the same in training and live."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from strongroom_host.strategy.features import Features
from strongroom_host.strategy.port import TickView

__all__ = ["LONGEST", "Sample", "Steps", "samples"]

LONGEST: Final = 50
"""After so many steps without a tick nothing that was known is of use."""


class Steps:
    """Features step by step. A step ends at the first tick that comes after it, and without it."""

    __slots__ = ("_at", "_step_ns", "features")

    def __init__(self, features: Features, step_ms: int) -> None:
        self.features = features
        self._step_ns = step_ms * 1_000_000
        self._at = -1

    def reset(self) -> None:
        """Forgets everything; the next tick begins a step."""
        self.features.reset()
        self._at = -1

    def tick(self, view: TickView) -> tuple[int, ...] | None:
        """Takes a tick; returns the features of the step that it ended, or None.

        After a silence of many steps it begins anew: averages of before say nothing.
        """
        at = view.received_ns // self._step_ns
        ended = None
        if at != self._at:
            if self._at >= 0 and at - self._at <= LONGEST:
                ended = self.features.step()
            elif self._at >= 0:
                self.features.reset()
            self._at = at
        self.features.apply(view)
        return ended


@dataclass(frozen=True, slots=True)
class Sample:
    """A step of a tape.

    Attributes:
        features: As they were at its end.
        twice_mid: Sum of the token's best prices then, 1e-8.
        first: Whether something was missing before it, so that no state reaches over.
    """

    features: tuple[int, ...]
    twice_mid: int
    first: bool


def samples(ticks: Iterable[TickView], features: Features, step_ms: int) -> Iterator[Sample]:
    """Yields the steps of a tape, each as a live strategy would have seen it."""
    steps = Steps(features, step_ms)
    before, epochs, first = 0, dict[int, int](), True
    for view in ticks:
        sequence, feed, epoch = view.sequence, view.feed, view.epoch
        if (before and sequence != before + 1) or epochs.get(feed, epoch) != epoch:
            steps.reset()
            first = True
        before, epochs[feed] = sequence, epoch
        # As they stand before this tick: it may change the book that the features are of.
        mid = features.token.twice_mid
        ended = steps.tick(view)
        if ended is not None:
            yield Sample(ended, mid, first)
            first = False
