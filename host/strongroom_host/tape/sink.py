"""Where simulated and replayed ticks go: they come one by one, or as whole records."""

from typing import Protocol

from strongroom_host.ring.sink import TickSink

__all__ = ["Sink"]


class Sink(TickSink, Protocol):
    """A ring's writer, a tape's, or a test's list; see `ring.tick` for the fields."""

    def publish_record(self, buffer: bytes | bytearray | memoryview, offset: int = 0, /) -> int:
        """Takes a whole record and returns the sequence that it has now."""
