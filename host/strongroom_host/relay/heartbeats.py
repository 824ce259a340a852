"""The venue's own dead man's switch, kept from firing: one heartbeat after the other, by their ids.

Each beat names the id that the last answer gave; the enclave signs it. When beats stop reaching the
venue, whatever the reason, it cancels the key's open orders by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from strongroom_host.venue import NotSent, OutcomeUnknown, VenueResponse

__all__ = ["Beating", "Heartbeats", "Sender", "UnderWay"]

_LIFETIME_NS: Final = 2_000_000_000


class UnderWay(Protocol):
    """A request that was sent; `Pending` is one."""

    @property
    def done(self) -> bool:
        """Whether there is something certain to say."""

    def result(self) -> VenueResponse:
        """The venue's answer; raises `NotSent` or `OutcomeUnknown` where there is none."""


class Sender(Protocol):
    """What heartbeats are sent with; `RelayClient` is one."""

    def begin(self, request: bytes, deadline_ns: int) -> UnderWay:
        """Sends a request without waiting for its answer."""


class _Beat(msgspec.Struct):
    heartbeat_id: str


@dataclass(frozen=True, slots=True)
class Beating:
    """What is known of the beats: answered ones, failed ones in a row, and the last trouble."""

    answered: int = 0
    failures: int = 0
    trouble: str = ""


class Heartbeats:
    """Beats every `period_ns`; to be turned by the loop that also pumps the sender.

    Args:
        sign: Makes a complete heartbeat request that names an id ("" for the first).
        sender: Takes it to the venue.
        period_ns: Well below the venue's window, which is about ten seconds.
    """

    def __init__(
        self, sign: Callable[[str], bytes], sender: Sender, period_ns: int = 3_000_000_000
    ) -> None:
        self._sign, self._sender, self._period_ns = sign, sender, period_ns
        self._id = ""
        self._due_ns = 0
        self._pending: UnderWay | None = None
        self.state = Beating()

    def turn(self, now_ns: int) -> None:
        """Sends a beat if one is due, takes its answer if it is there. Never waits for one.

        Raises:
            HostError: what `sign` raises, and what is wrong with the request itself.
        """
        if self._pending is not None:
            if not self._pending.done:
                return
            pending, self._pending = self._pending, None
            self._settle(pending, now_ns)
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + self._period_ns
        try:
            self._pending = self._sender.begin(self._sign(self._id), now_ns + _LIFETIME_NS)
        except NotSent as error:
            self._failed(str(error), now_ns)

    def _settle(self, pending: UnderWay, now_ns: int) -> None:
        try:
            response = pending.result()
        except (NotSent, OutcomeUnknown) as error:
            # Whether it was taken is not known, and with it which id is the next: the venue's
            # answer to a wrong one says.
            self._failed(str(error), now_ns)
            return
        named = _named(response)
        if named is None:
            self._failed(f"{response.status}: no heartbeat id in the answer", now_ns)
            return
        self._id = named
        if response.status == 200:
            self.state = Beating(self.state.answered + 1, 0, self.state.trouble)
        else:
            # The venue names the id that it expects: another client beats with this key, or an
            # answer was lost. Either way the next beat goes on from there, at once.
            self._failed(f"{response.status}: another id was expected", now_ns)

    def _failed(self, trouble: str, now_ns: int) -> None:
        self.state = Beating(self.state.answered, self.state.failures + 1, trouble)
        self._due_ns = min(self._due_ns, now_ns + self._period_ns // 4)


def _named(response: VenueResponse) -> str | None:
    """The id that the venue's answer names for the next beat."""
    try:
        found = msgspec.json.decode(response.body, type=_Beat).heartbeat_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # nested too deeply
        return None
    # It goes into a signed request: nothing but what an id consists of.
    usable = len(found) <= 64 and found.isascii() and found.replace("-", "").isalnum()
    return found if usable or not found else None
