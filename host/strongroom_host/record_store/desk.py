"""What the port's connections have in common: the queue's pace, who waits, how far each job is.

A connection that asks for a job waits here until one is due. Stages are what the host sees at the
port anyway, in words that count nothing: how many rows an account has is its owner's to tell.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from strongroom_host.record_store.queue import JobQueue, Lease, Limits, Moved

__all__ = ["Desk", "Event", "Stage"]

_TICK_S: Final = 1.0
_LOOK_S: Final = 0.5
"""How often a waiting connection looks by itself: other hosts queue into the same database."""


class Stage(Enum):
    """How far a synchronisation is."""

    QUEUED = "queued"
    STARTED = "started"
    READING = "reading back"
    FETCHING = "fetching"
    COMMITTING = "committing"
    PUBLISHING = "publishing"
    DONE = "done"
    RETRYING = "failed, to be tried again"
    DEAD = "given up"

    @property
    def ended(self) -> bool:
        """Whether nothing follows it by itself."""
        return self in (Stage.DONE, Stage.DEAD)


@dataclass(frozen=True, slots=True)
class Event:
    """What became of an account's job, for the operator: a name, never an amount. `failure` is 0,
    or see `failures`."""

    account: str
    stage: Stage
    failure: int = 0


class Desk:
    """Shared by all connections of a port, from any thread.

    Args:
        limits: How leases last and failures are tried again.
        wait_s: How long a connection waits for a job before it is told that there is none.
        every_s: How often a connected account is synchronised.
        heard: Is told of each event, as it happens.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        wait_s: float = 20.0,
        every_s: int = 3600,
        heard: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self.limits, self.every_s = limits or Limits(lease_seconds=300.0), every_s
        self._wait_s, self._heard = wait_s, heard
        self._changed = threading.Condition()
        self._stages: dict[str, Event] = {}
        self._closed = False
        self._ticked = 0.0
        self.counts: Counter[str] = Counter()
        """How often each stage was reached, by its name in lower case, and what ticks moved."""

    def claim(self, queue: JobQueue, accounts: Sequence[str]) -> Lease | None:
        """Returns a job of one of these accounts as soon as one is due, None after a while.

        Raises:
            StoreError, DatabaseUnavailable: see `JobQueue`.
        """
        until = time.monotonic() + self._wait_s
        while not self._closed:
            self.tick(queue)
            if (lease := queue.claim(accounts)) is not None:
                self.reached(lease.account, Stage.STARTED)
                return lease
            left = until - time.monotonic()
            if left <= 0:
                break
            with self._changed:
                self._changed.wait(min(left, _LOOK_S))
        return None

    def tick(self, queue: JobQueue) -> None:
        """Queues what is due and takes back what was lost, at most once a second."""
        with self._changed:
            now = time.monotonic()
            if now < self._ticked + _TICK_S:
                return
            self._ticked = now
        moved: Moved = queue.tick()
        self.counts["lost"] += moved.retried + moved.dead
        self.counts["scheduled"] += moved.scheduled

    def reached(self, account: str, stage: Stage, failure: int = 0) -> None:
        """Notes how far an account's job is."""
        event = Event(account, stage, failure)
        with self._changed:
            if self._stages.get(account) == event:
                return
            self._stages[account] = event
            self.counts[stage.name.lower()] += 1
            self._changed.notify_all()
        self._heard(event)

    def stage(self, account: str) -> Event | None:
        """Returns how far an account's job is, if this port has heard of it."""
        with self._changed:
            return self._stages.get(account)

    def next_stage(self, account: str, known: Event | None, timeout_s: float) -> Event | None:
        """Returns the stage once it is another than `known`, or what it is after a while."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._stages.get(account) != known, timeout_s
            )
            return self._stages.get(account)

    def close(self) -> None:
        """Has everybody who waits return."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
