"""A client's side of one session, without its socket: requests out, answers in, what is repeated.

A request is repeated under its message id until the relay says that it has it; from then on, and
after its deadline, the relay is only asked what became of it. A message never leaves its session:
another one would not know it, and might forward it again.

Deadlines are told in the relay's clock. What is known of that clock are stamps that were made some
time before they arrived, so the relay's time is never thought later than it is, and nothing is
forwarded later than was asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from strongroom_host.relay import messages
from strongroom_host.relay.frames_v2 import OVERHEAD, TO_RELAY, Opener, Sealer
from strongroom_host.relay.keys import SessionKeys
from strongroom_host.relay.messages import Beat, Deposit, HeldState, Ping
from strongroom_host.relay.pending import Pending, Timing
from strongroom_host.relay.reasons import Rejected
from strongroom_host.relay.windows import ReplayWindow
from strongroom_host.venue import OutcomeUnknown

__all__ = ["Conversation"]

_CLOCK_SAMPLES: Final = 16


class _Leaving:
    """A deposit or beat until the relay has confirmed it."""

    __slots__ = ("due_ns", "message", "token", "wait_ns")

    def __init__(self, message: Deposit | Beat, due_ns: int, wait_ns: int) -> None:
        self.message, self.token = message, message.token
        self.due_ns, self.wait_ns = due_ns, wait_ns


class Conversation:
    """One session.

    Args:
        session: Its name.
        keys: Its keys.
        numbers: Numbers that were never used before, rising.
        send: Sends a datagram to the relay.
        relay_ns: A stamp of the relay's clock.
        now_ns: When it arrived here.
        timing: See there.
    """

    def __init__(
        self,
        session: bytes,
        keys: SessionKeys,
        numbers: Callable[[], int],
        send: Callable[[bytes], object],
        relay_ns: int,
        now_ns: int,
        timing: Timing,
    ) -> None:
        self.session = session
        self._seal = Sealer(keys.to_relay, TO_RELAY, session, numbers).seal
        self._opener = Opener(keys.to_client)
        self._window = ReplayWindow()
        self._send, self._timing = send, timing
        self._clock: deque[int] = deque(maxlen=_CLOCK_SAMPLES)
        self._ahead_ns = 0
        self._stamp(relay_ns - now_ns)
        self.under_way: dict[bytes, Pending] = {}
        self._heard_ns = self._spoke_ns = now_ns
        self._round_trip_ns = timing.first_ns // 3
        self.accepted: messages.Accepted | None = None
        self.held: dict[int, HeldState] = {}
        self._leaving: dict[int, _Leaving] = {}
        self._token = 0
        self.pong_ns = 0

    @property
    def round_trip_ns(self) -> int:
        """To the relay and back, smoothed."""
        return self._round_trip_ns

    def relay_time(self, now_ns: int) -> int:
        """A moment of this machine's clock in the relay's, never too late."""
        return max(0, now_ns + self._ahead_ns)

    def lost(self, now_ns: int) -> bool:
        """Whether the relay has not been heard for too long, in spite of pings."""
        return now_ns - self._heard_ns > self._timing.lost_ns

    def begin(
        self, message_id: bytes, request: bytes, deadline_ns: int, give_up_ns: int, now_ns: int
    ) -> Pending:
        """Sends a request that may be forwarded until `deadline_ns`."""
        pending = Pending(message_id, request, deadline_ns, give_up_ns)
        self.take(pending, now_ns)
        return pending

    def take(self, pending: Pending, now_ns: int) -> None:
        """Sends a request that no session has had yet: it is this one's from now on."""
        wait_ns = max(self._timing.first_ns, 2 * self._round_trip_ns)
        relay_deadline_ns = self.relay_time(pending.deadline_ns)
        for message in pending.first(relay_deadline_ns, now_ns, wait_ns):
            self._send(self._seal(message))
        self.under_way[pending.message_id] = pending
        self._spoke_ns = now_ns

    def ask_status(self, message_id: bytes, give_up_ns: int, now_ns: int) -> Pending:
        """Asks for the relay's counters. Not repeated: it is cheap to ask anew."""
        pending = Pending(message_id, b"-", now_ns, give_up_ns)
        self.under_way[message_id] = pending
        pending.first(self.relay_time(now_ns), now_ns, give_up_ns - now_ns)
        self._send(self._seal(messages.Status(message_id).pack()))
        return pending

    def ping(self, now_ns: int) -> None:
        """Asks for a sign of life; `pong_ns` is when the last one came."""
        self._spoke_ns = now_ns
        self._send(self._seal(Ping(now_ns).pack()))

    def say(self, message: bytes) -> None:
        """Sends a message that needs no answer."""
        self._send(self._seal(message))

    # --- the dead man's switch ----------------------------------------------------------------

    def deposit(
        self, slot: int, request: bytes, fire_at_ns: int, valid_until_ns: int, now_ns: int
    ) -> None:
        """Leaves a cancel, to be sent at `fire_at_ns` unless a beat comes."""
        self._token += 1
        times = self.relay_time(fire_at_ns), self.relay_time(valid_until_ns)
        self._leave(Deposit(self._token, slot, *times, request), now_ns)

    def beat(self, slot: int, fire_at_ns: int, now_ns: int) -> None:
        """Moves the time of what was left; 0 takes it back."""
        self._token += 1
        at_ns = self.relay_time(fire_at_ns) if fire_at_ns else 0
        waiting = self._leaving.get(slot)
        if at_ns and waiting is not None and isinstance(waiting.message, Deposit):
            # It may not have arrived: what the beat says, the deposit says again.
            message = waiting.message._replace(token=self._token, fire_at_ns=at_ns)
            self._leave(message, now_ns)
        else:
            self._leave(Beat(self._token, slot, at_ns), now_ns)

    def _leave(self, message: Deposit | Beat, now_ns: int) -> None:
        wait_ns = max(self._timing.first_ns, 2 * self._round_trip_ns)
        self._leaving[message.slot] = _Leaving(message, now_ns + wait_ns, wait_ns)
        self._send(self._seal(message.pack()))
        self._spoke_ns = now_ns

    # --- time ---------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Repeats, asks, pings: whatever is due."""
        for pending in list(self.under_way.values()):
            if now_ns >= pending.due_ns:
                for message in pending.due(now_ns, self._timing):
                    self._send(self._seal(message))
                if pending.done:
                    del self.under_way[pending.message_id]
        for leaving in self._leaving.values():
            if now_ns >= leaving.due_ns:
                leaving.wait_ns = min(2 * leaving.wait_ns, self._timing.longest_ns)
                leaving.due_ns = now_ns + leaving.wait_ns
                self._send(self._seal(leaving.message.pack()))
        if now_ns - max(self._heard_ns, self._spoke_ns) >= self._timing.ping_ns:
            self.ping(now_ns)

    def next_ns(self) -> int:
        """When `tick` has to be called again, at the latest."""
        due = max(self._heard_ns, self._spoke_ns) + self._timing.ping_ns
        for pending in self.under_way.values():
            due = min(due, pending.due_ns)
        for leaving in self._leaving.values():
            due = min(due, leaving.due_ns)
        return due

    def give_up(self, why: str) -> None:
        """The session is gone: nobody can say any more what became of what is under way."""
        for pending in self.under_way.values():
            pending.fail(OutcomeUnknown(why))
        self.under_way.clear()

    # --- packets ------------------------------------------------------------------------------

    def packet(self, datagram: bytes, now_ns: int) -> None:
        """Sees to a packet of the relay; what is not authentic, or was here before, is dropped."""
        if len(datagram) <= OVERHEAD or datagram[4:12] != self.session:
            return
        try:
            number, plain = self._opener.open(datagram)
            if self._window.admit(number) is not None:
                return
            message = messages.read_from_relay(plain)
        except Rejected:
            return
        self._heard_ns = now_ns
        if isinstance(message, messages.Answer):
            self._answer(message)
        elif isinstance(message, messages.Ack | messages.Failure):
            self._told(message, now_ns)
        elif isinstance(message, messages.Held):
            self._held(message)
        else:
            self._stamp(message.relay_ns - now_ns)
            if isinstance(message, messages.Accepted):
                self.accepted = message
            elif 0 <= now_ns - message.token < self._timing.lost_ns:
                self.pong_ns = now_ns
                self._round_trip_ns += (now_ns - message.token - self._round_trip_ns) // 4

    def _told(self, message: messages.Ack | messages.Failure, now_ns: int) -> None:
        pending = self.under_way.get(message.message_id)
        if pending is None:
            return
        if isinstance(message, messages.Ack):
            pending.acked(now_ns, self._timing)
        else:
            del self.under_way[message.message_id]
            pending.failed(message)

    def _held(self, message: messages.Held) -> None:
        leaving = self._leaving.get(message.slot)
        if leaving is not None and leaving.token == message.token:
            del self._leaving[message.slot]
        self.held[message.slot] = message.state

    def _answer(self, piece: messages.Answer) -> None:
        pending = self.under_way.get(piece.message_id)
        if pending is None:
            return
        for message in pending.answered(piece):
            self._send(self._seal(message))
        if pending.done:
            del self.under_way[piece.message_id]

    def _stamp(self, ahead_ns: int) -> None:
        """Every stamp errs to the safe side, so the largest of the latest errs least."""
        self._clock.append(ahead_ns)
        self._ahead_ns = max(self._clock)
