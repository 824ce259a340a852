"""The relay's side of a session: keys, window, and what became of each message.

A message id stands for one request within its session. The entry outlives the message's deadline by
`RETENTION_NS`; after the deadline nothing is forwarded. So an id is never forwarded twice, and for
an id without an entry it is certain, from its deadline until the retention is over, that nothing of
it was sent or will be. Before its deadline that is certain of no id without an entry, whatever it
was refused for: another copy may come when there is room.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.relay.fragments import MAX_PIECE, Pieces, cut
from strongroom_host.relay.frames_v2 import TO_CLIENT, Opener, Sealer, Start
from strongroom_host.relay.messages import Failure, Outcome
from strongroom_host.relay.reasons import Reason, Rejected
from strongroom_host.relay.windows import ReplayWindow

__all__ = ["MAX_AHEAD_NS", "RETENTION_NS", "Address", "Message", "Session", "SessionLimits"]

Address = tuple[str, int] | tuple[str, int, int, int]
"""Where datagrams come from, as the socket says it: IPv4, or IPv6 with flow and scope."""

MAX_AHEAD_NS: Final = 60_000_000_000
RETENTION_NS: Final = 30_000_000_000
_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one session may have: messages remembered, messages in pieces, bytes of answers."""

    messages: int = 131_072
    in_pieces: int = 32
    answer_bytes: int = 8 * 1024 * 1024
    max_request: int = 64 * 1024


class Message:
    """One request and what became of it."""

    __slots__ = ("answer", "deadline_ns", "failure", "forwarded", "identity", "pieces", "told")

    def __init__(self, identity: bytes, deadline_ns: int) -> None:
        self.identity, self.deadline_ns = identity, deadline_ns
        self.pieces: Pieces | None = None
        self.forwarded = False
        self.answer: Sequence[bytes] | None = None
        self.failure: Failure | None = None
        self.told = False
        """Whether the client was told that the relay has all of it."""

    @property
    def settled(self) -> bool:
        """Whether there is something to tell."""
        return self.answer is not None or self.failure is not None


class Session:
    """One client's session. The relay numbers its packets from 1, under this session's own key."""

    __slots__ = (
        "_answer_bytes",
        "_answered",
        "_expiring",
        "_limits",
        "_waiting",
        "address",
        "client_id",
        "last_ns",
        "messages",
        "name",
        "opener",
        "sealer",
        "serial",
        "window",
    )

    def __init__(
        self, start: Start, serial: int, address: Address, now_ns: int, limits: SessionLimits
    ) -> None:
        self.name = start.challenge.session
        self.client_id, self.serial = start.client_id, serial
        self.address, self.last_ns = address, now_ns
        self.opener = Opener(start.keys.to_relay)
        numbers = itertools.count(1).__next__
        self.sealer = Sealer(start.keys.to_client, TO_CLIENT, self.name, numbers)
        self.window = ReplayWindow()
        self.messages: dict[bytes, Message] = {}
        self._limits = limits
        self._answered: OrderedDict[bytes, int] = OrderedDict()
        self._answer_bytes = 0
        self._expiring: dict[int, list[Message]] = {}
        self._waiting: dict[bytes, Message] = {}

    def message(self, identity: bytes, deadline_ns: int, total: int, now_ns: int) -> Message:
        """The entry of a message, made if there is none.

        Raises:
            Rejected: a new one that is late, too early, or one too many; or an id that stands for
                another message.
        """
        known = self.messages.get(identity)
        if known is not None:
            if known.deadline_ns != deadline_ns:
                raise Rejected(Reason.MESSAGE_REUSED)
            return known
        if now_ns > deadline_ns:
            raise Rejected(Reason.EXPIRED)
        if deadline_ns - now_ns > MAX_AHEAD_NS:
            raise Rejected(Reason.DEADLINE_TOO_FAR)
        if len(self.messages) >= self._limits.messages:
            raise Rejected(Reason.MESSAGES_FULL)
        made = Message(identity, deadline_ns)
        if total > 1:
            if len(self._waiting) >= self._limits.in_pieces:
                raise Rejected(Reason.FRAGMENTS_FULL)
            made.pieces = Pieces(total, self._limits.max_request)
            self._waiting[identity] = made
        self.messages[identity] = made
        second = (deadline_ns + RETENTION_NS) // _SECOND + 1
        self._expiring.setdefault(second, []).append(made)
        return made

    def whole(self, message: Message) -> None:
        """The message waits for no more pieces."""
        message.pieces = None
        self._waiting.pop(message.identity, None)

    def keep_answer(self, message: Message, packed: bytes) -> None:
        """Keeps an answer for who asks again; the oldest go when there is no room."""
        message.answer = cut(packed, MAX_PIECE)
        self._answered[message.identity] = len(packed)
        self._answer_bytes += len(packed)
        while self._answer_bytes > self._limits.answer_bytes and len(self._answered) > 1:
            oldest, size = self._answered.popitem(last=False)
            self._answer_bytes -= size
            gone = self.messages.get(oldest)
            if gone is not None:
                gone.answer = None
                gone.failure = Failure(oldest, Outcome.UNKNOWN, Reason.ANSWER_GONE, "")

    def forget(self, now_ns: int) -> None:
        """Drops entries whose retention is over, and what never became whole in time."""
        for message in [late for late in self._waiting.values() if now_ns > late.deadline_ns]:
            self.whole(message)
            del self.messages[message.identity]
        for second in [past for past in self._expiring if past * _SECOND <= now_ns]:
            for message in self._expiring.pop(second):
                if self.messages.get(message.identity) is message:
                    del self.messages[message.identity]
                    self._answer_bytes -= self._answered.pop(message.identity, 0)
