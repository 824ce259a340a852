"""One vsock connection: its state, its credit in both directions, and what it still has to say.

Nothing here does I/O. `Device` moves the bytes and asks this module what may be moved.

**Credit.** Each side tells how large its buffer is and how much it has taken out of it since the
connection began. The difference to what was sent is in flight, and may not exceed the buffer. What
we promise the guest is what we can hold, so a guest that sends more is reset; a guest that says it
consumed bytes that were never sent is lying, and is reset as well.

**States**, and what a packet of the guest does in them (any other packet resets the connection):

| state | means | packets |
| --- | --- | --- |
| REQUESTED | we asked the guest | RESPONSE opens, RST ends |
| DIALLING | the guest asked; the host's socket is busy | RST ends |
| OPEN | both sides agreed | RW, SHUTDOWN, CREDIT_*, RST ends |
| FINISHED | both directions are over, we said so | RST or SHUTDOWN ends, REQUEST replaces |
| DRAINING | the guest is gone, bytes for the host are left | none: it no longer has an address |
| GONE | over | none |
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from strongroom_host.vsock.packets import NO_RECEIVE, NO_SEND, Header, Op
from strongroom_host.vsock.streams import Stream

__all__ = ["BOTH", "Action", "Connection", "Key", "State", "reaction"]

BOTH: Final = NO_RECEIVE | NO_SEND
_MODULUS: Final = 0xFFFFFFFF
_LARGEST_BUFFER: Final = 1 << 30
"""What a guest's buffer counts as at most: far below 2^31, where the order of counts is lost."""


class Key(NamedTuple):
    """A connection's address: the host's CID (the guest may know us by two), both ports."""

    host_cid: int
    host_port: int
    guest_port: int


class State(enum.Enum):
    """Where a connection stands; see the module's table."""

    REQUESTED = enum.auto()
    DIALLING = enum.auto()
    OPEN = enum.auto()
    FINISHED = enum.auto()
    DRAINING = enum.auto()
    GONE = enum.auto()


class Action(enum.Enum):
    """What a packet from the guest asks of the device."""

    RESET = enum.auto()
    OPEN = enum.auto()
    DELIVER = enum.auto()
    HALF_CLOSE = enum.auto()
    CREDIT = enum.auto()
    REPORT = enum.auto()
    FORGET = enum.auto()
    CONFIRM = enum.auto()
    REPLACE = enum.auto()
    IGNORE = enum.auto()


_REACTIONS: Final[dict[State, dict[int, Action]]] = {
    State.REQUESTED: {Op.RESPONSE: Action.OPEN, Op.RST: Action.FORGET},
    State.DIALLING: {Op.RST: Action.FORGET},
    State.OPEN: {
        Op.RW: Action.DELIVER,
        Op.SHUTDOWN: Action.HALF_CLOSE,
        Op.CREDIT_UPDATE: Action.CREDIT,
        Op.CREDIT_REQUEST: Action.REPORT,
        Op.RST: Action.FORGET,
    },
    State.FINISHED: {
        Op.RST: Action.FORGET,
        Op.SHUTDOWN: Action.CONFIRM,
        Op.REQUEST: Action.REPLACE,
        # Sent before the guest learned that it is over.
        Op.RW: Action.IGNORE,
        Op.CREDIT_UPDATE: Action.IGNORE,
        Op.CREDIT_REQUEST: Action.IGNORE,
    },
}


def reaction(state: State, op: int) -> Action:
    """Returns what a packet does to a connection in that state."""
    return _REACTIONS.get(state, {}).get(op, Action.RESET)


class Connection:
    """Bookkeeping of one connection.

    Attributes:
        stream: The host's side of it, once there is one.
        pending: Bytes from the guest that the host's socket did not take yet; never more than the
            credit given. A byte array, since many tiny packets must not cost an object each.
        guest_ended: The directions that the guest has shut down.
        host_ended: The host will send no more.
        host_gone: The host will not read any more.
        readable: The stream may have bytes for the guest.
        by_host: A client of the host asked for it, not the guest.
        shutdown: The directions that we have to tell the guest are over.
        credit_due: The guest should learn how much we consumed.
    """

    __slots__ = (
        "_allowance",
        "_confirm",
        "_consumed",
        "_in_flight",
        "_reported",
        "_sent",
        "_shutdown_sent",
        "_window",
        "by_host",
        "credit_due",
        "guest_ended",
        "host_ended",
        "host_gone",
        "key",
        "pending",
        "readable",
        "shutdown",
        "state",
        "stream",
    )

    def __init__(self, key: Key, state: State, window: int) -> None:
        """Of a connection that REQUEST asks for; `window` is the credit given, in bytes."""
        self.key, self.state = key, state
        self.stream: Stream | None = None
        self.pending = bytearray()
        self.guest_ended = 0
        self.host_ended = self.host_gone = False
        self.readable = False
        self.by_host = state is State.REQUESTED
        self.shutdown = 0
        self.credit_due = False
        self._window = window
        self._confirm: Op | None = Op.REQUEST if self.by_host else None
        self._shutdown_sent = 0
        self._consumed = self._reported = self._sent = self._in_flight = self._allowance = 0

    @property
    def sendable(self) -> int:
        """How many bytes the guest can take now."""
        return max(0, self._allowance - self._in_flight)

    @property
    def promised(self) -> int:
        """How many bytes the guest may send, by what we last told it."""
        return self._window - len(self.pending) - (self._consumed - self._reported)

    def confirm(self) -> None:
        """Makes a RESPONSE due, before anything else."""
        self._confirm = Op.RESPONSE

    def acknowledge(self, header: Header) -> bool:
        """Takes the guest's credit from any of its packets; returns whether it can be true.

        Packets of two threads of the guest may overtake each other, so a count lower than one seen
        before is old and not a lie; one above what was sent is.
        """
        in_flight = (self._sent - header.consumed) & _MODULUS
        if in_flight > _MODULUS >> 1:
            return False
        self._in_flight = min(self._in_flight, in_flight)
        self._allowance = min(header.buffer, _LARGEST_BUFFER)
        return True

    def sent(self, count: int) -> None:
        """Counts payload put into the guest's buffers."""
        self._sent += count
        self._in_flight += count

    def consumed(self, count: int) -> None:
        """Counts the guest's bytes that left our buffer, and decides whether it should know.

        A quarter of the window at a time: often enough that a guest which is read promptly never
        waits, and seldom enough to cost little.
        """
        self._consumed += count
        if self._consumed - self._reported >= self._window >> 2:
            self.credit_due = True

    def next_control(self) -> tuple[Op, int] | None:
        """Returns the next control packet due, with its flags, and takes it as sent."""
        if self._confirm is not None:
            op, self._confirm = self._confirm, None
            return op, 0
        if self.state is State.REQUESTED:
            return None
        if self.shutdown != self._shutdown_sent:
            self._shutdown_sent = self.shutdown
            return Op.SHUTDOWN, self.shutdown
        if self.credit_due and self.state is State.OPEN:
            return Op.CREDIT_UPDATE, 0
        return None

    def credit(self) -> tuple[int, int]:
        """Returns our window and the count consumed, for a packet that is about to be sent."""
        self._reported, self.credit_due = self._consumed, False
        return self._window, self._consumed & _MODULUS
