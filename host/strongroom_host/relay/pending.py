"""A client's request on its way through the relay: what is to be sent next, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.errors import HostError
from strongroom_host.relay import messages
from strongroom_host.relay.answers import MAX_ANSWER, Answered
from strongroom_host.relay.errors import RelayRefused
from strongroom_host.relay.fragments import MAX_PIECE, Pieces, cut
from strongroom_host.relay.messages import Outcome, Poll, pack_request
from strongroom_host.relay.reasons import Rejected
from strongroom_host.venue import OutcomeUnknown, VenueResponse

__all__ = ["Pending", "Timing"]

_MS: Final = 1_000_000
_WIDTH: Final = 32
_MAX_PACKED: Final = MAX_ANSWER + 64 * 1024


@dataclass(frozen=True, slots=True)
class Timing:
    """Nanoseconds. `first_ns` is the least wait before something is repeated, `poll_ns` the pause
    between questions about a request that the relay has, `ping_ns` the longest silence, `lost_ns`
    how long a session may be silent in spite of pings."""

    first_ns: int = 30 * _MS
    longest_ns: int = 1_000 * _MS
    poll_ns: int = 250 * _MS
    ping_ns: int = 2_000 * _MS
    lost_ns: int = 7_000 * _MS


class Pending:
    """A request under way. `done` once there is something certain to say; then `result` says it.

    With an answer, `relay_ns` is how long the relay had the request before it was written to the
    venue, and `upstream_ns` how long it was from there to the whole answer; 0 for not known.

    Args:
        message_id: 16 bytes, of this message alone.
        request: The whole request.
        deadline_ns: Until when it may be forwarded, in this machine's clock.
        give_up_ns: Until when an answer is waited for.
    """

    __slots__ = (
        "_acked",
        "_answer",
        "_failure",
        "_give_up_ns",
        "_packets",
        "_polled",
        "_relay_deadline_ns",
        "_request",
        "_response",
        "_wait_ns",
        "deadline_ns",
        "done",
        "due_ns",
        "message_id",
        "relay_ns",
        "repeated",
        "upstream_ns",
    )

    def __init__(
        self, message_id: bytes, request: bytes, deadline_ns: int, give_up_ns: int
    ) -> None:
        self.message_id, self._request = message_id, request
        self.deadline_ns, self._give_up_ns = deadline_ns, give_up_ns
        self._relay_deadline_ns = 0
        self._packets: Sequence[bytes] = ()
        self.done = self._acked = False
        self.due_ns = self._wait_ns = self.repeated = self._polled = 0
        self.relay_ns = self.upstream_ns = 0
        self._answer: Pieces | None = None
        self._response: VenueResponse | None = None
        self._failure: HostError | None = None

    def result(self) -> VenueResponse:
        """The venue's answer.

        Raises:
            NotSent: nothing of the request went to the venue, and nothing will.
            OutcomeUnknown: something may have; also while the request is not done.
        """
        if self._failure is not None:
            raise self._failure
        if self._response is None:
            raise OutcomeUnknown("the request is still under way")
        return self._response

    def first(self, relay_deadline_ns: int, now_ns: int, wait_ns: int) -> Sequence[bytes]:
        """The messages to send now; they are repeated after `wait_ns` at the earliest.

        `relay_deadline_ns` is the deadline in the clock of the relay whose session it now belongs
        to: it never leaves that one.
        """
        self._relay_deadline_ns = relay_deadline_ns
        pieces = cut(self._request, MAX_PIECE)
        total = len(pieces)
        self._packets = [
            pack_request(self.message_id, relay_deadline_ns, number, total, piece)
            for number, piece in enumerate(pieces)
        ]
        self._wait_ns, self.due_ns = wait_ns, now_ns + wait_ns
        return self._packets

    def due(self, now_ns: int, timing: Timing) -> Sequence[bytes]:
        """The messages to send when `due_ns` has come: the request again, or a question."""
        if now_ns >= self._give_up_ns:
            self.fail(OutcomeUnknown("no answer came through the relay in time"))
            return ()
        self.repeated += 1
        self._wait_ns = min(2 * self._wait_ns, timing.longest_ns)
        if self._acked:
            self._wait_ns = max(self._wait_ns, timing.poll_ns)
        self.due_ns = min(now_ns + self._wait_ns, self._give_up_ns)
        if not self._acked and self._answer is None and now_ns < self.deadline_ns:
            return self._packets
        return (self._poll(),)

    def acked(self, now_ns: int, timing: Timing) -> None:
        """The relay has it whole."""
        self._acked = True
        self.due_ns = min(now_ns + max(self._wait_ns, timing.poll_ns), self._give_up_ns)

    def answered(self, answer: messages.Answer) -> Sequence[bytes]:
        """Takes a piece of the answer; returns the question for the next ones, if it is time."""
        try:
            if self._answer is None:
                self._answer = Pieces(answer.total, _MAX_PACKED)
            whole = self._answer.add(answer.number, answer.total, answer.piece)
            if whole is not None:
                made = Answered.unpack(whole)
                self._response = made.response()
                self.relay_ns, self.upstream_ns = made.relay_ns, made.upstream_ns
                self.done = True
                return ()
        except Rejected as refusal:
            self.fail(OutcomeUnknown("the relay's answer makes no sense", actual=refusal.actual))
            return ()
        base, _ = self._answer.missing(1)
        if base >= self._polled + _WIDTH:  # the relay sends so many without being asked again
            self._polled = base
            return (self._poll(),)
        return ()

    def failed(self, failure: messages.Failure) -> None:
        """The relay says that there is no answer."""
        if failure.outcome is Outcome.NOT_SENT:
            self.fail(RelayRefused(failure.reason, failure.detail))
        else:
            label = failure.reason.label
            detail = f"{label}: {failure.detail}" if failure.detail else label
            self.fail(OutcomeUnknown("the relay had no whole answer", actual=detail))

    def fail(self, error: HostError) -> None:
        """Ends it without an answer."""
        if not self.done:
            self.done, self._failure = True, error

    def _poll(self) -> bytes:
        base, wanted = 0, (1 << _WIDTH) - 1
        if self._answer is not None:
            base, wanted = self._answer.missing(_WIDTH)
        return Poll(self.message_id, self._relay_deadline_ns, base, wanted).pack()
