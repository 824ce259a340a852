"""Sinks that remember, for tests: ticks as tuples with names."""

from __future__ import annotations

from strongroom_host.ring.tick import Kind, Status, Tick

__all__ = ["ListSink"]


class ListSink:
    """Keeps all ticks and checks what holds of every feed: numbers without a hole in an epoch."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.names: list[str] = []
        self._next: dict[int, tuple[int, int]] = {}

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
    ) -> int:
        before = self._next.get(feed)
        if before is not None and before[0] == epoch:
            assert number == before[1] + 1, "a hole in the numbers of an epoch"
        else:
            assert number == 0, "an epoch begins with number 0"
        self._next[feed] = epoch, number
        sequence = len(self.ticks) + 1
        tick = Tick(
            sequence,
            received_ns,
            venue_ns,
            price,
            size,
            instrument,
            epoch,
            number,
            kind,
            side,
            feed,
            flags,
            detail,
        )
        tick.pack_into(bytearray(64))  # every field is within its range
        self.ticks.append(tick)
        return sequence

    def instrument(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1

    def of(self, *kinds: Kind) -> list[Tick]:
        return [tick for tick in self.ticks if tick.kind in kinds]

    def statuses(self) -> list[Status]:
        return [Status(tick.detail) for tick in self.of(Kind.STATUS)]

    def take(self) -> list[Tick]:
        """What came since this was asked last."""
        taken, self.ticks = self.ticks, []
        return taken
