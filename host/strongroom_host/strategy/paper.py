"""Paper mode: a live ring's ticks, a strategy, and a fill model in the place of a venue."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import SIZE
from strongroom_host.strategy.backtest import Account
from strongroom_host.strategy.decisions import Record
from strongroom_host.strategy.fills import Costs, FillModel
from strongroom_host.strategy.port import Strategy, TickView
from strongroom_host.strategy.session import Session

__all__ = ["Paper"]

_PATIENCE_S: Final = 0.2
_LAST_S: Final = 5.0


class Paper:
    """One session on a ring; the same code as a backtest, which differs only in where ticks are."""

    def __init__(
        self,
        reader: RingReader,
        strategy: Strategy,
        markets: Sequence[int],
        costs: Costs,
        write: Callable[[Record], None],
    ) -> None:
        wall_ns = time.time_ns() - time.monotonic_ns()
        self.model = FillModel(markets, costs, wall_ns=wall_ns)
        self.session = Session(strategy, self.model, write)
        self.account = Account(self.model)
        self.ticks = self.missed = 0
        self._reader = reader
        # One view over a record of this object's own: reader's memory differs from poll to poll.
        self._record = bytearray(SIZE)
        self._view = TickView(self._record)

    def run(self, stopped: Callable[[], bool], idle: Callable[[], None] = lambda: None) -> None:
        """Goes on until `stopped`, and takes what is in the ring by then; calls `idle` a few times
        a second."""
        due = 0.0
        while not stopped():
            tick = self._reader.next(_PATIENCE_S)
            while tick is not None:
                self._take(tick)
                tick = self._reader.poll()
                if time.monotonic() >= due:
                    break
            if time.monotonic() >= due:
                self.account.look()
                idle()
                due = time.monotonic() + _PATIENCE_S
            if tick is not None:
                self._take(tick)
        ends = time.monotonic() + _LAST_S  # a feed that is faster than the strategy has no end
        while time.monotonic() < ends and (tick := self._reader.poll()) is not None:
            self._take(tick)

    def _take(self, tick: memoryview) -> None:
        if gap := self._reader.gap:
            self.missed += gap
            self.session.gap(gap)
        self._record[:] = tick
        self.ticks += 1
        self.session.tick(self._view)
