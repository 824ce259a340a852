"""Where ticks go: what a ring's writer has in common with a tape's, and with a test's list."""

from typing import Protocol

__all__ = ["TickSink"]


class TickSink(Protocol):
    """What takes ticks: a ring's writer, a tape, a test's list. See `ring.tick` for the fields."""

    def publish(
        self,
        kind: int,
        side: int,
        feed: int,
        flags: int,
        instrument: int,
        epoch: int,
        number: int,
        price: int,
        size: int,
        received_ns: int,
        venue_ns: int,
        detail: int,
        /,
    ) -> int:
        """Take one tick; the ring's sequence number of it."""
        ...

    def instrument(self, name: str, /) -> int:
        """The index that stands for `name`, entered if it is new."""
        ...
