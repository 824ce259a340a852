"""The one job of a connection: leased while it is heard of, given back when the connection ends."""

from __future__ import annotations

import time
from typing import Final

from strongroom_host.record_store.desk import Desk, Stage
from strongroom_host.record_store.errors import DatabaseRefused, DatabaseUnavailable, LeaseLost
from strongroom_host.record_store.failures import failure, hopeless
from strongroom_host.record_store.queue import JobQueue, Lease

__all__ = ["PortJobs"]

_STAGES: Final = {
    b"get": Stage.READING,
    b"put": Stage.FETCHING,
    b"put-state": Stage.COMMITTING,
    b"log": Stage.COMMITTING,
    b"publish": Stage.PUBLISHING,
}
"""What a request of the job's connection says about how far it is."""


class PortJobs:
    """For one connection, which one thread at a time uses."""

    def __init__(self, queue: JobQueue, desk: Desk) -> None:
        self._queue, self._desk = queue, desk
        self._lease: Lease | None = None
        self._renewed = 0.0

    def next(self, accounts: list[str]) -> Lease | None:
        """Returns a job of these accounts once one is due, None after a while."""
        self.release()  # whoever asks for the next one has given the last one up
        self._lease, self._renewed = self._desk.claim(self._queue, accounts), time.monotonic()
        if self._lease is not None:
            self._desk.holds(self._lease)
        return self._lease

    def heard(self, verb: bytes) -> None:
        """Renews the lease, if there is one, at each request.

        Raises:
            LeaseLost: it had run out: somebody else may have the account by now.
        """
        if (lease := self._lease) is None:
            return
        self._desk.holds(lease)
        now = time.monotonic()
        if now >= self._renewed + self._desk.limits.lease_seconds / 8:
            try:
                self._queue.heartbeat(lease)
            except LeaseLost:
                self._lease = None
                self._desk.let_go(lease)
                raise
            self._renewed = now
        if (stage := _STAGES.get(verb)) is not None:
            self._desk.reached(lease.account, stage)

    def ended(self, account: str, code: int, reason: int) -> None:
        """Ends the job: code 0 is done, else see `failures`.

        Raises:
            LeaseLost: the connection has no such job, or no longer.
        """
        lease = self._lease
        if lease is None or lease.account != account:
            raise LeaseLost("this connection has no such job", actual=account)
        self._lease = None
        self._desk.let_go(lease)
        number = failure(code, reason) if code else 0
        try:
            if code == 0:
                self._queue.done(lease)
                self._desk.reached(account, Stage.DONE)
                return
            again = self._queue.fail(lease, number, hopeless=hopeless(number))
        except DatabaseUnavailable:
            self._desk.strand(lease)  # where the end was stored after all, that gives nothing back
            raise
        self._desk.reached(account, Stage.RETRYING if again else Stage.DEAD, number)

    def release(self) -> None:
        """Gives a job back that was not ended."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        self._desk.let_go(lease)
        try:
            self._queue.release(lease)
        except DatabaseUnavailable:
            self._desk.strand(lease)
        except (LeaseLost, DatabaseRefused):
            return
        self._desk.reached(lease.account, Stage.QUEUED)
