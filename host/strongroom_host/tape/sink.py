"""Where simulated and replayed ticks go: the part of a ring's writer that a tape has as well."""

from typing import Protocol

__all__ = ["Sink"]


class Sink(Protocol):
    """A ring's writer, a tape's, or a test's list; see `ring.tick` for the fields."""

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
        """Takes one tick and returns its sequence."""

    def publish_record(self, buffer: bytes | bytearray | memoryview, offset: int = 0, /) -> int:
        """Takes a whole record and returns the sequence that it has now."""

    def instrument(self, name: str, /) -> int:
        """Returns the index of an instrument, new or known."""
