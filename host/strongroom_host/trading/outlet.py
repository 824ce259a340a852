"""The way to the venue as the loop sees it: begin, and ask later. Nothing here is sent twice."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import perf_counter_ns
from typing import Final, Protocol

from strongroom_host.errors import HostError
from strongroom_host.trading.errors import OutletBusy
from strongroom_host.venue import NotSent, OutcomeUnknown, VenueConnection, VenueResponse

__all__ = ["DirectOutlet", "Outlet", "Pending"]

_WAITING: Final = 64


class Pending(Protocol):
    """One request under way.

    Attributes:
        relay_ns: How long a relay had it before it was written to the venue; 0 if not known.
        upstream_ns: From then to the whole answer; 0 if not known.
    """

    relay_ns: int
    upstream_ns: int

    @property
    def done(self) -> bool:
        """Whether `result` has something to say."""

    def result(self) -> VenueResponse:
        """Returns the venue's answer.

        Raises:
            NotSent: nothing of it reached the venue.
            OutcomeUnknown: it may have.
        """


class Outlet(Protocol):
    """Where signed requests go. A relay's client is one."""

    def begin(self, request: bytes, deadline_ns: int) -> Pending:
        """Sends, and returns at once; after `deadline_ns` (CLOCK_MONOTONIC) nobody forwards it.

        Raises:
            NotSent, MalformedRequest: nothing was sent.
        """

    def pump(self, timeout_s: float = 0.0) -> object:
        """Does what there is to do: receives, sends again what the way lost, keeps it open."""

    def close(self) -> None:
        """Ends it."""


class _Queued:
    """A request in the hands of the sending thread."""

    __slots__ = ("_answer", "_request", "deadline_ns", "relay_ns", "upstream_ns")

    def __init__(self, request: bytes, deadline_ns: int) -> None:
        self._request, self.deadline_ns = request, deadline_ns
        self._answer: VenueResponse | HostError | None = None
        self.relay_ns = self.upstream_ns = 0

    @property
    def done(self) -> bool:
        return self._answer is not None

    def result(self) -> VenueResponse:
        if self._answer is None:
            raise OutcomeUnknown("no answer yet")
        if isinstance(self._answer, HostError):
            raise self._answer
        return self._answer

    def send(self, venue: VenueConnection, now_ns: int) -> None:
        """Runs in the sending thread."""
        try:
            if now_ns > self.deadline_ns:
                raise NotSent("its deadline passed before it was its turn")
            began_ns = perf_counter_ns()
            answer = venue.exchange(self._request)
            self.upstream_ns = perf_counter_ns() - began_ns
            self._answer = answer
        except HostError as error:
            self._answer = error
        except Exception as error:  # noqa: BLE001  a thread that died would leave orders unsettled
            self._answer = OutcomeUnknown("sending failed", actual=error)


class DirectOutlet:
    """One TLS connection to the venue, with a thread that waits for the answers.

    For a host that stands near the venue, and for tests; each request waits for the one before it.
    """

    def __init__(self, venue: VenueConnection, monotonic_ns: Callable[[], int]) -> None:
        self._venue, self._monotonic_ns = venue, monotonic_ns
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send_all, name="to the venue", daemon=True)
        self._thread.start()

    def begin(self, request: bytes, deadline_ns: int) -> Pending:
        """See `Outlet`."""
        if self._queue.qsize() >= _WAITING:
            raise OutletBusy("requests wait for the venue", expected=f"at most {_WAITING}")
        queued = _Queued(request, deadline_ns)
        self._queue.put(queued)
        return queued

    def pump(self, timeout_s: float = 0.0) -> None:
        """Nothing: the thread does it."""

    def close(self) -> None:
        """Lets what is under way end, then closes the connection."""
        self._queue.put(None)
        self._thread.join()
        self._venue.close()

    def _send_all(self) -> None:
        while (queued := self._queue.get()) is not None:
            queued.send(self._venue, self._monotonic_ns())
