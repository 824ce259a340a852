"""The lane of one feed: its numbering and its continuity epochs."""

from __future__ import annotations

from typing import Final

from strongroom_host.feeds.codes import (
    NO_SIDE,
    STATUS,
)
from strongroom_host.ring.sink import TickSink
from strongroom_host.ring.tick import Status

__all__ = ["Lane"]

_MASK: Final = (1 << 32) - 1


class Lane:
    """One feed's ticks, numbered without a hole within an epoch.

    `epoch` changes whenever ticks may be missing before the next one. It starts at `first_epoch`,
    which differs from start to start, so that a restart is a change as well.
    """

    __slots__ = ("epoch", "feed", "number", "published", "sink")

    def __init__(self, feed: int, sink: TickSink, first_epoch: int) -> None:
        self.feed = feed
        self.sink = sink
        self.epoch = first_epoch & _MASK
        self.number = 0
        self.published = 0

    def emit(
        self,
        kind: int,
        side: int,
        flags: int,
        instrument: int,
        price: int,
        size: int,
        received_ns: int,
        venue_ns: int,
        detail: int,
    ) -> None:
        """Publish one tick under the current epoch and the next number."""
        self.sink.publish(
            kind,
            side,
            self.feed,
            flags,
            instrument,
            self.epoch,
            self.number,
            price,
            size,
            received_ns,
            venue_ns,
            detail,
        )
        self.number = (self.number + 1) & _MASK
        self.published += 1

    def status(self, status: Status, received_ns: int, instrument: int = 0) -> None:
        """Say what became of the feed, or of one instrument."""
        self.emit(STATUS, NO_SIDE, 0, instrument, 0, 0, received_ns, 0, status)

    def break_off(self) -> None:
        """Begin a new epoch; the next tick is its first."""
        self.epoch = (self.epoch + 1) & _MASK
        self.number = 0
