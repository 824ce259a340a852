"""A request on its way to the venue, and what comes of it: the port between core and upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from strongroom_host.relay.answers import Answered
from strongroom_host.relay.messages import Outcome
from strongroom_host.relay.reasons import Reason

__all__ = ["Done", "Failed", "Forwarder", "Job"]


class Failed(NamedTuple):
    """No answer; `outcome` is what is certain."""

    outcome: Outcome
    reason: Reason
    detail: str = ""


Done = Callable[[Answered | Failed], None]
"""Called once for every job, perhaps before `submit` returns."""


class Job(NamedTuple):
    """A request, which must have begun to leave before `deadline_ns` or not leave at all.

    `received_ns` is when the relay had it whole.
    """

    request: bytes
    method: bytes
    received_ns: int
    deadline_ns: int
    done: Done


class Forwarder(Protocol):
    """What brings requests to the venue, each at most once."""

    def submit(self, job: Job, now_ns: int) -> None:
        """Sends it now, or as soon as a connection is free."""
