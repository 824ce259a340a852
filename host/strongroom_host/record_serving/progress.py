"""Following a synchronisation from being asked for to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from strongroom_host.record_store.asking import event_of, standings
from strongroom_host.record_store.connecting import Connection, connect
from strongroom_host.record_store.desk import Desk, Event, Stage
from strongroom_host.record_store.errors import AccountUnknown
from strongroom_host.record_store.queue import JobQueue
from strongroom_host.record_store.rows import JobKind

__all__ = ["Follower"]

_LOOK_S: Final = 0.5
_FINER: Final = {Stage.READING, Stage.FETCHING, Stage.COMMITTING, Stage.PUBLISHING}


@dataclass(frozen=True, slots=True)
class Follower:
    """Asks for synchronisations and follows them: by this host's own port where it can, by the
    database where another host, or nobody yet, has the job.

    Attributes:
        dsn: How the role `enclave` logs in.
        desk: The port's, or None in a process that serves none.
    """

    dsn: str
    desk: Desk | None = None

    def ask(self, account: str, kind: JobKind) -> int:
        """Has an account synchronised, as the next thing; returns the number of its job.

        Raises:
            AccountUnknown: it was never connected.
            DatabaseUnavailable, DatabaseRefused: it could not be asked for.
        """
        with connect(self.dsn, "strongroom record") as connection:
            _require_known(connection, account)
            job = JobQueue(connection, "asked").enqueue(account, kind, priority=1)
        if self.desk is not None:
            self.desk.reached(account, Stage.QUEUED)
        return job

    def follow(
        self, account: str, timeout_s: float, start: JobKind | None = None
    ) -> Iterator[Event]:
        """Yields each stage of an account's job as it is reached, until it ended or time is up.

        With `start`, it is asked for first, so that no stage of it is missed.

        Raises:
            AccountUnknown: it was never connected.
            DatabaseUnavailable, DatabaseRefused: it cannot be followed any more.
        """
        for event in self.watch(account, timeout_s, start):
            if event is not None:
                yield event

    def watch(
        self, account: str, timeout_s: float, start: JobKind | None = None
    ) -> Iterator[Event | None]:
        """As `follow`, with None whenever nothing came for a moment.

        Raises:
            AccountUnknown, DatabaseUnavailable, DatabaseRefused: see `follow`.
        """
        until = time.monotonic() + timeout_s
        with ExitStack() as stack:
            events = SimpleQueue[Event]()
            if self.desk is not None:
                events = stack.enter_context(self.desk.listening(account))
            if start is not None:
                self.ask(account, start)
            connection = stack.enter_context(connect(self.dsn, "strongroom record"))
            _require_known(connection, account)
            told: Event | None = None
            while told is None or not told.stage.ended:
                found = self._next(events, max(0.0, min(_LOOK_S, until - time.monotonic())))
                if found is None:
                    found = self._stored(connection, account, told)
                if found is not None and found.stage.ended:
                    # What was asked for while one ran follows it, queued before its end is told.
                    found = self._stored(connection, account, told)
                if found is not None and found != told:
                    told = found
                    yield found
                elif time.monotonic() >= until:
                    return
                else:
                    yield None

    def _next(self, events: SimpleQueue[Event], wait_s: float) -> Event | None:
        try:
            return events.get(timeout=wait_s)
        except Empty:
            return None

    def _stored(self, connection: Connection, account: str, told: Event | None) -> Event | None:
        """What the database says, unless the port said it in more detail."""
        [standing] = standings(connection, account)
        found = event_of(standing)
        if found is not None and found.stage is Stage.STARTED:
            near = told if self.desk is None else self.desk.stage(account)
            if near is not None and near.stage in _FINER:
                return near
        return found


def _require_known(connection: Connection, account: str) -> None:
    if not standings(connection, account):
        raise AccountUnknown(
            f"no account {account} was ever connected",
            remedy="connect it first: `strongroom record connect`",
        )
