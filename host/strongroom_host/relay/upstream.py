"""The relay's connections to the venue: pre-warmed, kept alive, each request sent once.

A request goes out over a connection that has proven itself alive a moment ago, or waits for one
until its deadline. Once its first byte may have left, nothing here sends it again: if no whole
answer comes, its outcome is unknown, and its sender is told so.
"""

from __future__ import annotations

import contextlib
import select
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom_host.relay.answers import MAX_ANSWER, Answered, AnswerReader
from strongroom_host.relay.counters import Counters, Event, RateLimited
from strongroom_host.relay.dialing import Dialer
from strongroom_host.relay.jobs import Failed, Job
from strongroom_host.relay.messages import Outcome
from strongroom_host.relay.poller import READ, WRITE, Poller
from strongroom_host.relay.reasons import Reason, Rejected

__all__ = ["Pool", "PoolLimits"]

_CHUNK: Final = 64 * 1024
_MS: Final = 1_000_000
_JUST_NOW_NS: Final = 50_000
_FORWARDED: Final = int(Event.FORWARDED)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Counts, and times in nanoseconds.

    `probe_ns` is how long a connection may be silent before it is asked whether it is alive;
    `reuse_ns` how long its last sign of life is believed when a request needs it.
    """

    connections: int = 4
    waiting: int = 256
    probe_ns: int = 2_500 * _MS
    reuse_ns: int = 4_500 * _MS
    answer_ns: int = 15_000 * _MS
    probe_answer_ns: int = 3_000 * _MS
    max_age_ns: int = 600_000 * _MS
    max_answer: int = MAX_ANSWER


class _Connection:
    """One connection: idle, or busy with a request (`job` is None for a probe)."""

    __slots__ = (
        "_quiet",
        "address",
        "due_ns",
        "job",
        "made_ns",
        "proven_ns",
        "reader",
        "send",
        "sent_ns",
        "tls",
        "unsent",
    )

    def __init__(self, tls: ssl.SSLSocket, address: str, now_ns: int) -> None:
        self.tls, self.send, self.address = tls, tls.send, address
        self.made_ns = self.proven_ns = now_ns
        self.job: Job | None = None
        self.reader: AnswerReader | None = None
        self.due_ns = self.sent_ns = 0
        self.unsent: bytes | memoryview = b""
        self._quiet = select.poll()
        self._quiet.register(tls, select.POLLIN)

    def quiet(self) -> bool:
        """Whether nothing came since the last reading: neither an end nor anything unasked-for."""
        return not self._quiet.poll(0)


class Pool:
    """All connections to one venue. Owned by one thread, which calls it back through the poller.

    Args:
        dialer: Makes connections.
        poller: Watches them.
        probe: A complete harmless request.
        counters: Where its events are counted.
        log: For the operator.
        clock: Monotonic nanoseconds.
        limits: See there.
    """

    def __init__(
        self,
        dialer: Dialer,
        poller: Poller,
        probe: bytes,
        counters: Counters,
        log: RateLimited,
        clock: Callable[[], int],
        limits: PoolLimits,
    ) -> None:
        self._dialer, self._poller, self._probe = dialer, poller, probe
        self._counters, self._log, self._clock, self._limits = counters, log, clock, limits
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._waiting: deque[Job] = deque()
        self._ordered = 0
        self._closed = False
        poller.watch(dialer.wakes, self._dialled)
        self._order_missing()

    @property
    def ready(self) -> int:
        """How many connections stand idle."""
        return len(self._idle)

    @property
    def standing(self) -> int:
        """How many connections stand."""
        return len(self._idle) + len(self._busy)

    def submit(self, job: Job, now_ns: int) -> None:
        """Sends a request now, or as soon as a connection is free (`jobs.Forwarder`)."""
        while self._idle:
            # The one that proved itself last: the least likely to be closing just now.
            connection = self._idle.pop()
            fresh = now_ns - connection.proven_ns <= self._limits.reuse_ns
            # What the poller found a moment ago has been seen to: it need not be asked again. But
            # not of one that was busy then: its last answer may have come with an end behind it.
            looked_ns = self._poller.looked_ns
            looked = connection.proven_ns < looked_ns <= now_ns < looked_ns + _JUST_NOW_NS
            if fresh and (looked or connection.quiet() or self._silent(connection)):
                self._start(connection, job, now_ns)
                return
            self._drop(connection, "was stale")
        if len(self._waiting) >= self._limits.waiting:
            job.done(Failed(Outcome.NOT_SENT, Reason.QUEUE_FULL))
        else:
            self._waiting.append(job)

    def tick(self, now_ns: int) -> None:
        """Does what is due: answers that did not come, probes, requests whose deadline passed."""
        for connection in [busy for busy in self._busy if now_ns >= busy.due_ns]:
            self._fail(connection, Reason.UPSTREAM_SILENT, "no whole answer in time")
        while self._waiting and now_ns > min(job.deadline_ns for job in self._waiting):
            late = [job for job in self._waiting if now_ns > job.deadline_ns]
            self._waiting = deque(job for job in self._waiting if now_ns <= job.deadline_ns)
            for job in late:
                job.done(Failed(Outcome.NOT_SENT, Reason.NO_CONNECTION))
        probing = any(connection.job is None for connection in self._busy)
        if not probing and self._idle:
            quietest = min(self._idle, key=lambda idle: idle.proven_ns)
            if now_ns - quietest.made_ns > self._limits.max_age_ns and len(self._idle) > 1:
                self._idle.remove(quietest)
                self._drop(quietest, "")
            elif now_ns - quietest.proven_ns >= self._limits.probe_ns:
                self._idle.remove(quietest)
                self._start(quietest, None, now_ns)

    def next_ns(self, now_ns: int) -> int:
        """When `tick` has to be called again, at the latest."""
        times = [now_ns + self._limits.probe_ns]
        times += [connection.due_ns for connection in self._busy]
        times += [connection.proven_ns + self._limits.probe_ns for connection in self._idle[:1]]
        times += [job.deadline_ns for job in self._waiting]
        return min(times)

    def close(self) -> None:
        """Closes every connection; requests under way end with an unknown outcome."""
        self._closed = True
        self._poller.forget(self._dialer.wakes)
        self._dialer.close()
        for connection in list(self._busy):
            if connection.job is not None:
                self._fail(connection, Reason.UPSTREAM_BROKE, "the relay ends")
        for connection in (*self._busy, *self._idle):
            self._drop(connection, "")
        self._busy.clear()
        self._idle.clear()
        while self._waiting:
            self._waiting.popleft().done(Failed(Outcome.NOT_SENT, Reason.DRAINING))

    # --- one request --------------------------------------------------------------------------

    def _start(self, connection: _Connection, job: Job | None, now_ns: int) -> None:
        limits = self._limits
        connection.job = job
        self._busy.add(connection)
        if job is None:
            self._counters.events[Event.PROBES] += 1
            connection.due_ns = now_ns + limits.probe_answer_ns
            connection.reader = AnswerReader(b"GET", limits.max_answer)
            self._write(connection, self._probe)
        else:
            self._counters.events[_FORWARDED] += 1
            connection.due_ns = now_ns + limits.answer_ns
            connection.reader = AnswerReader(job.method, limits.max_answer)
            self._write(connection, job.request)

    def _write(self, connection: _Connection, data: bytes | memoryview) -> None:
        """Writes what the socket takes; the rest when it takes more. TLS makes whole records."""
        waits = len(connection.unsent) > 0
        try:
            while data:
                sent = connection.send(data)
                data = memoryview(data)[sent:] if sent < len(data) else b""
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            if not waits:
                self._poller.change(connection.tls.fileno(), READ | WRITE)
            connection.unsent = data
            return
        except OSError as error:
            # Even a failed write may have delivered everything that mattered.
            self._fail(connection, Reason.UPSTREAM_BROKE, f"while sending: {error}")
            return
        connection.unsent = data
        connection.sent_ns = self._clock()
        if waits:
            self._poller.change(connection.tls.fileno(), READ)

    def _event(self, connection: _Connection, events: int) -> None:
        if events & WRITE and connection.unsent:
            self._write(connection, connection.unsent)
        if connection not in self._busy:
            if not self._silent(connection):
                with contextlib.suppress(ValueError):
                    self._idle.remove(connection)
                self._drop(connection, "was closed by the venue")
            return
        self._read(connection)

    def _read(self, connection: _Connection) -> None:
        reader = connection.reader
        if reader is None:
            return
        try:
            while True:
                data = connection.tls.recv(_CHUNK)
                if not data:
                    reader.end()
                answer = reader.feed(data)
                if answer is not None:
                    self._finish(connection, answer, reusable=reader.reusable)
                    return
                if not connection.tls.pending() and len(data) < _CHUNK:
                    return
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except Rejected as refusal:
            self._fail(connection, refusal.reason, str(refusal.actual or ""))
        except OSError as error:
            self._fail(connection, Reason.UPSTREAM_BROKE, f"while waiting: {error}")

    def _finish(self, connection: _Connection, answer: Answered, *, reusable: bool) -> None:
        job = connection.job
        now_ns = self._clock()
        self._busy.discard(connection)
        connection.job = connection.reader = None
        whole = not connection.unsent  # an answer to half a request ends the connection
        if job is not None and whole:
            sent_ns = connection.sent_ns
            relay_ns, upstream_ns = sent_ns - job.received_ns, now_ns - sent_ns
            answer = answer._replace(relay_ns=relay_ns, upstream_ns=upstream_ns)
        if reusable and whole:
            connection.proven_ns = now_ns
            if job is not None:
                job.done(answer)
            self._free(connection, now_ns)
            return
        self._drop(connection, "")
        if job is not None:
            job.done(answer)

    def _free(self, connection: _Connection, now_ns: int) -> None:
        """A connection that has just proven itself takes the next request that waits."""
        while self._waiting:
            job = self._waiting.popleft()
            if now_ns > job.deadline_ns:
                job.done(Failed(Outcome.NOT_SENT, Reason.NO_CONNECTION))
                continue
            self._start(connection, job, now_ns)
            return
        self._idle.append(connection)

    def _fail(self, connection: _Connection, reason: Reason, detail: str) -> None:
        job = connection.job
        self._busy.discard(connection)
        connection.job = None
        self._drop(connection, detail or reason.label)
        if job is not None:
            job.done(Failed(Outcome.UNKNOWN, reason, detail))

    # --- connections --------------------------------------------------------------------------

    def _silent(self, connection: _Connection) -> bool:
        """Whether an idle connection stands, and nothing came that nobody asked for."""
        try:
            connection.tls.recv(1)
        except ssl.SSLWantReadError:
            return True  # silence, or nothing but session tickets
        except OSError:
            return False
        return False

    def _drop(self, connection: _Connection, why: str) -> None:
        self._poller.forget(connection.tls.fileno())
        with contextlib.suppress(OSError):
            connection.tls.close()
        self._counters.events[Event.CONNECTIONS_LOST] += 1
        if why:
            self._log("lost", lambda: f"connection to {connection.address}: {why}", self._clock())
        self._order_missing()

    def _order_missing(self) -> None:
        while not self._closed and self.standing + self._ordered < self._limits.connections:
            self._ordered += 1
            self._dialer.order()

    def _dialled(self, _events: int) -> None:
        now_ns = self._clock()
        while (made := self._dialer.take()) is not None:
            self._ordered -= 1
            if made.connection is None:
                self._counters.events[Event.CONNECTS_FAILED] += 1
                self._log("dial", partial("cannot connect: {}".format, made.failure), now_ns)
                self._order_missing()
                continue
            self._counters.events[Event.CONNECTIONS_MADE] += 1
            connection = _Connection(made.connection, made.address, now_ns)
            self._poller.watch(connection.tls.fileno(), partial(self._event, connection))
            self._free(connection, now_ns)
