"""What the port's connections have in common: the queue's pace, who waits, how far each job is.

A connection that asks for a job waits here until one is due. Stages are what the host sees at the
port anyway, in words that count nothing: how many rows an account has is its owner's to tell.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from queue import SimpleQueue
from typing import Final

from strongroom_host.record_store.errors import DatabaseRefused, LeaseLost
from strongroom_host.record_store.queue import JobQueue, Lease, Limits, Moved

__all__ = ["Desk", "Event", "Stage"]

_TICK_S: Final = 1.0
_SILENT_S: Final = 3600.0
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
        self._listeners: dict[str, list[SimpleQueue[Event]]] = defaultdict(list)
        self._held: dict[Lease, float] = {}
        """Leases of connections that stand, and when each was heard of."""
        self._stranded: list[Lease] = []
        self._closed = False
        self._ticked = 0.0
        self._joined = 0
        self._asked: float | None = None
        self.counts: Counter[str] = Counter()
        """How often each stage was reached, by its name in lower case, and what ticks moved."""

    def claim(self, queue: JobQueue, accounts: Sequence[str]) -> Lease | None:
        """Returns a job of one of these accounts as soon as one is due, None after a while, or when
        an account joins: whoever asks does not name it yet.

        Raises:
            StoreError, DatabaseUnavailable: see `JobQueue`.
        """
        self._asked = time.monotonic()
        until, joined = self._asked + self._wait_s, self._joined
        while not self._closed and self._joined == joined:
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

    def joined(self) -> None:
        """Has everybody who waits for a job ask again: an account was connected."""
        with self._changed:
            self._joined += 1
            self._changed.notify_all()

    def asked_within(self, seconds: float) -> bool:
        """Returns whether a job was asked for lately, or is worked on: the record is there."""
        with self._changed:
            recent = self._asked is not None and time.monotonic() < self._asked + seconds
            return recent or bool(self._held)

    def tick(self, queue: JobQueue) -> None:
        """Queues what is due and takes back what was lost, at most once a second.

        Raises:
            StoreError, DatabaseUnavailable: see `JobQueue`.
        """
        with self._changed:
            now = time.monotonic()
            if now < self._ticked + _TICK_S:
                return
            self._ticked = now
            stranded, self._stranded = self._stranded, []
        while stranded:
            try:
                with suppress(LeaseLost, DatabaseRefused):  # it ends with its time then
                    queue.release(stranded[-1])
            except BaseException:
                with self._changed:
                    self._stranded += stranded
                raise
            stranded.pop()
        moved: Moved = queue.tick()
        self.counts["lost"] += moved.retried + moved.dead
        self.counts["scheduled"] += moved.scheduled

    def holds(self, lease: Lease) -> None:
        """Notes that the connection which has this lease was heard of."""
        with self._changed:
            self._held[lease] = time.monotonic()

    def let_go(self, lease: Lease) -> None:
        """Notes that nobody has this lease any more."""
        with self._changed:
            self._held.pop(lease, None)

    def strand(self, lease: Lease) -> None:
        """Notes a lease whose connection lost the database before it could give the job back:
        the next tick does, through another connection. Else the account would wait for the lease
        to run out."""
        with self._changed:
            self._held.pop(lease, None)
            self._stranded.append(lease)

    def renew(self, queue: JobQueue) -> None:
        """Renews the leases of connections that stand and are silent: their account's venue is
        slow. One that hangs is not renewed for ever.

        Raises:
            StoreError, DatabaseUnavailable: see `JobQueue`.
        """
        with self._changed:
            since = time.monotonic() - _SILENT_S
            held = [lease for lease, heard in self._held.items() if heard > since]
        for lease in held:
            with suppress(LeaseLost):
                queue.heartbeat(lease)

    def wait(self, seconds: float) -> bool:
        """Returns after so long, or at once when the desk is closed: whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def reached(self, account: str, stage: Stage, failure: int = 0) -> None:
        """Notes how far an account's job is."""
        event = Event(account, stage, failure)
        with self._changed:
            if self._stages.get(account) == event:
                return
            self._stages[account] = event
            self.counts[stage.name.lower()] += 1
            for events in self._listeners[account]:
                events.put(event)
            self._changed.notify_all()
        self._heard(event)

    def stage(self, account: str) -> Event | None:
        """Returns how far an account's job is, if this port has heard of it."""
        with self._changed:
            return self._stages.get(account)

    @contextmanager
    def listening(self, account: str) -> Iterator[SimpleQueue[Event]]:
        """Yields what each stage of an account's jobs is put into, from now on, in order."""
        events = SimpleQueue[Event]()
        with self._changed:
            self._listeners[account].append(events)
        try:
            yield events
        finally:
            with self._changed:
                self._listeners[account].remove(events)

    def close(self) -> None:
        """Has everybody who waits return."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
