"""What the sealed packets of a session say: one message each, the first byte its kind.

Big-endian; `wire.md` has the layouts. A message of a fixed layout is read from its beginning, and
what follows must be zero: padding, for senders that hide lengths. A kind that is not here is
malformed. All times are nanoseconds of the relay's monotonic clock.
"""

from __future__ import annotations

import enum
import struct
from typing import Any, Final, NamedTuple

from strongroom_host.relay.reasons import Reason, Rejected

__all__ = [
    "FRAGMENT_OVERHEAD",
    "MESSAGE_ID_SIZE",
    "Accepted",
    "Ack",
    "Answer",
    "Beat",
    "Close",
    "Deposit",
    "Failure",
    "FromClient",
    "FromRelay",
    "Held",
    "HeldState",
    "Outcome",
    "Ping",
    "Poll",
    "Pong",
    "Request",
    "Status",
    "pack_request",
    "read_from_client",
    "read_from_relay",
]

MESSAGE_ID_SIZE: Final = 16
_MAX_DETAIL: Final = 255


class _Kind(enum.IntEnum):
    REQUEST, POLL, PING, DEPOSIT, BEAT, STATUS, CLOSE = 1, 2, 3, 4, 5, 6, 7
    ACCEPTED, PONG, ACK, ANSWER, FAILURE, HELD = 65, 66, 67, 68, 69, 70


_REQUEST: Final = struct.Struct(">B16sQHHH")
_POLL: Final = struct.Struct(">B16sQHQ")
_PING: Final = struct.Struct(">BQ")
_DEPOSIT: Final = struct.Struct(">BQBQQH")
_BEAT: Final = struct.Struct(">BQBQ")
_STATUS: Final = struct.Struct(">B16s")
_ACCEPTED: Final = struct.Struct(">B16sQQI")
_PONG: Final = struct.Struct(">BQQ")
_ACK: Final = struct.Struct(">B16s")
_ANSWER: Final = struct.Struct(">B16sHHH")
_FAILURE: Final = struct.Struct(">B16sBBB")
_HELD: Final = struct.Struct(">BQBB")

FRAGMENT_OVERHEAD: Final = max(_REQUEST.size, _ANSWER.size)
"""What the message of a fragment is longer than its piece."""


class Outcome(enum.IntEnum):
    """What is certain about a request that got no answer."""

    NOT_SENT = 1
    """No byte of it left the relay, and none will."""
    UNKNOWN = 2
    """Some of it may have left."""


class HeldState(enum.IntEnum):
    """What became of a deposit."""

    NONE = 0
    """There is none in this place."""
    HELD = 1
    SENT = 2
    """Its time came: it was sent."""
    LAPSED = 3
    """It was held until it was not valid any more."""
    REFUSED = 4
    """It was not taken; the relay's counters say why."""


class Request(NamedTuple):
    """Piece `number` of `total` of a request, which is not forwarded after `deadline_ns`."""

    message_id: bytes
    deadline_ns: int
    number: int
    total: int
    piece: bytes

    def pack(self) -> bytes:
        """The message."""
        return pack_request(*self)


def pack_request(
    message_id: bytes, deadline_ns: int, number: int, total: int, piece: bytes
) -> bytes:
    """What `Request.pack` returns, without making one."""
    head = _REQUEST.pack(_REQUEST_KIND, message_id, deadline_ns, number, total, len(piece))
    return head + piece


class Poll(NamedTuple):
    """Asks what became of a message. `wanted` has bit n for piece `base + n` of its answer."""

    message_id: bytes
    deadline_ns: int
    base: int
    wanted: int

    def pack(self) -> bytes:
        """The message."""
        return _POLL.pack(_Kind.POLL, *self)


class Ping(NamedTuple):
    """Keeps the session, and asks for the relay's clock. `token` comes back."""

    token: int

    def pack(self) -> bytes:
        """The message."""
        return _PING.pack(_Kind.PING, *self)


class Deposit(NamedTuple):
    """A request to send at `fire_at_ns`, unless a beat moves that, before `valid_until_ns`."""

    token: int
    slot: int
    fire_at_ns: int
    valid_until_ns: int
    request: bytes

    def pack(self) -> bytes:
        """The message."""
        size = len(self.request)
        head = _DEPOSIT.pack(_Kind.DEPOSIT, *self[:4], size)
        return head + self.request


class Beat(NamedTuple):
    """The sender lives: the deposit in `slot` waits until `fire_at_ns`; 0 gives it up."""

    token: int
    slot: int
    fire_at_ns: int

    def pack(self) -> bytes:
        """The message."""
        return _BEAT.pack(_Kind.BEAT, *self)


class Status(NamedTuple):
    """Asks for the relay's counters, which come as an answer with a JSON body."""

    message_id: bytes

    def pack(self) -> bytes:
        """The message."""
        return _STATUS.pack(_Kind.STATUS, *self)


class Close(NamedTuple):
    """The client leaves. Deposits stay."""

    def pack(self) -> bytes:
        """The message."""
        return bytes((_Kind.CLOSE,))


class Accepted(NamedTuple):
    """The session stands. `boot` is the relay's, `max_request` what it takes, in bytes.

    `wall_ns` is its wall clock, since the Unix epoch: for diagnosis, nothing of v2 depends on it.
    """

    boot: bytes
    relay_ns: int
    wall_ns: int
    max_request: int

    def pack(self) -> bytes:
        """The message."""
        return _ACCEPTED.pack(_Kind.ACCEPTED, *self)


class Pong(NamedTuple):
    """The answer to a ping, with the relay's clock."""

    token: int
    relay_ns: int

    def pack(self) -> bytes:
        """The message."""
        return _PONG.pack(_Kind.PONG, *self)


class Ack(NamedTuple):
    """The relay has the whole request and sees to it; only polls are of use from now on."""

    message_id: bytes

    def pack(self) -> bytes:
        """The message."""
        return _ACK.pack(_Kind.ACK, *self)


class Answer(NamedTuple):
    """Piece `number` of `total` of what the venue answered."""

    message_id: bytes
    number: int
    total: int
    piece: bytes

    def pack(self) -> bytes:
        """The message."""
        identity, number, total, piece = self
        return _ANSWER.pack(_ANSWER_KIND, identity, number, total, len(piece)) + piece


class Failure(NamedTuple):
    """There is no answer, and why; `detail` is for a person."""

    message_id: bytes
    outcome: Outcome
    reason: Reason
    detail: str

    def pack(self) -> bytes:
        """The message; a long detail is cut."""
        text = self.detail.encode("ascii", "replace")[:_MAX_DETAIL]
        head = _FAILURE.pack(_Kind.FAILURE, self.message_id, self.outcome, self.reason, len(text))
        return head + text


class Held(NamedTuple):
    """What the relay holds in a place for deposits."""

    token: int
    slot: int
    state: HeldState

    def pack(self) -> bytes:
        """The message."""
        return _HELD.pack(_Kind.HELD, *self)


# Looked up once: an attribute of an enumeration costs as much as the packing.
_REQUEST_KIND: Final = int(_Kind.REQUEST)
_ANSWER_KIND: Final = int(_Kind.ANSWER)

FromClient = Request | Poll | Ping | Deposit | Beat | Status | Close
FromRelay = Accepted | Pong | Ack | Answer | Failure | Held


def read_from_client(message: bytes) -> FromClient:
    """What a client says.

    Raises:
        Rejected: malformed.
    """
    kind = message[0] if message else 0
    try:
        if kind == _REQUEST_KIND:
            _, identity, deadline_ns, number, total, size = _REQUEST.unpack_from(message)
            piece = _piece(message, _REQUEST.size, number, total, size)
            return Request(identity, deadline_ns, number, total, piece)
        match kind:
            case _Kind.POLL:
                return Poll(*_fixed(_POLL, message))
            case _Kind.PING:
                return Ping(*_fixed(_PING, message))
            case _Kind.DEPOSIT:
                _, token, slot, fire_at, valid_until, size = _DEPOSIT.unpack_from(message)
                request = _tail(message, _DEPOSIT.size, size)
                return Deposit(token, slot, fire_at, valid_until, request)
            case _Kind.BEAT:
                return Beat(*_fixed(_BEAT, message))
            case _Kind.STATUS:
                return Status(*_fixed(_STATUS, message))
            case _Kind.CLOSE:
                _tail(message, 1, 0)
                return Close()
    except struct.error:
        raise Rejected(Reason.MALFORMED, "a message that is cut off") from None
    raise Rejected(Reason.MALFORMED, f"kind {kind}")


def read_from_relay(message: bytes) -> FromRelay:
    """What a relay says.

    Raises:
        Rejected: malformed.
    """
    kind = message[0] if message else 0
    try:
        if kind == _ANSWER_KIND:
            _, identity, number, total, size = _ANSWER.unpack_from(message)
            return Answer(
                identity, number, total, _piece(message, _ANSWER.size, number, total, size)
            )
        match kind:
            case _Kind.ACCEPTED:
                return Accepted(*_fixed(_ACCEPTED, message))
            case _Kind.PONG:
                return Pong(*_fixed(_PONG, message))
            case _Kind.ACK:
                return Ack(*_fixed(_ACK, message))
            case _Kind.FAILURE:
                _, identity, outcome, reason, size = _FAILURE.unpack_from(message)
                text = _tail(message, _FAILURE.size, size).decode("ascii")
                return Failure(identity, Outcome(outcome), Reason(reason), text)
            case _Kind.HELD:
                token, slot, state = _fixed(_HELD, message)
                return Held(token, slot, HeldState(state))
    except struct.error:
        raise Rejected(Reason.MALFORMED, "a message that is cut off") from None
    except ValueError as error:  # an outcome, reason or state that there is not; text not ASCII
        raise Rejected(Reason.MALFORMED, error) from None
    raise Rejected(Reason.MALFORMED, f"kind {kind}")


def _fixed(layout: struct.Struct, message: bytes) -> tuple[Any, ...]:
    fields = layout.unpack_from(message)
    _tail(message, layout.size, 0)
    return fields[1:]


def _tail(message: bytes, start: int, size: int) -> bytes:
    """`size` bytes from `start`; nothing but zeros may follow them."""
    end = start + size
    if len(message) != end:
        if len(message) < end:
            raise Rejected(Reason.MALFORMED, "a message that is cut off")
        if message.count(0, end) != len(message) - end:
            raise Rejected(Reason.MALFORMED, "bytes behind a message")
    return message[start:end]


def _piece(message: bytes, start: int, number: int, total: int, size: int) -> bytes:
    if not size or number >= total:
        raise Rejected(Reason.MALFORMED, "a piece that is empty or outside its message")
    return _tail(message, start, size)
