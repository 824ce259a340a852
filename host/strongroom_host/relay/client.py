"""A bot's way to the venue over the relay: one UDP socket, one session, one thread.

`exchange` is `VenueConnection.exchange` over the relay, with the same three ends; `begin`, `pump`
and `Pending` are the same without waiting, also for a session: one that is lost is opened anew by
`pump`, a step at a time. Nothing is ever forwarded twice: see `conversation`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from strongroom_host.errors import HostError
from strongroom_host.relay.admission import Gate
from strongroom_host.relay.conversation import Conversation
from strongroom_host.relay.errors import ClientMisused, RelayRefused, RelayUnreachable
from strongroom_host.relay.fragments import MAX_PIECE
from strongroom_host.relay.frames_v2 import CLIENT_ID_SIZE, HandshakeKeys
from strongroom_host.relay.keeper import Keeper, no_number
from strongroom_host.relay.keys import fingerprint
from strongroom_host.relay.line import Line
from strongroom_host.relay.messages import MESSAGE_ID_SIZE, Accepted, Close, HeldState
from strongroom_host.relay.opening import Opening, SequenceSource
from strongroom_host.relay.pending import Pending, Timing
from strongroom_host.relay.reasons import Reason, Rejected
from strongroom_host.relay.sessions import MAX_AHEAD_NS
from strongroom_host.venue import MalformedRequest, OutcomeUnknown, VenueResponse

__all__ = ["ClientLimits", "RelayClient"]

_LAST_SLOT: Final = 255
_SECOND: Final = 1_000_000_000


class _Forks:
    """How often processes were forked on the way to this one: quicker to look at than its id."""

    count = 0

    @classmethod
    def another(cls) -> None:
        cls.count += 1


os.register_at_fork(after_in_child=_Forks.another)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Times in seconds.

    `handshake_s` is how long one attempt at a session may take; `open` makes one, `pump` one after
    the other. `lifetime_s` is how long the relay may take to forward what `exchange` sends,
    `answer_s` how long its answer is waited for after that. With `spin`, waiting never sleeps: it
    costs one core, and saves what waking up takes.
    """

    handshake_s: float = 3.0
    lifetime_s: float = 2.0
    answer_s: float = 16.0
    spin: bool = False
    timing: Timing = field(default_factory=Timing)


class RelayClient:
    """A client of one relay. Owned by one thread of the process that made it.

    Args:
        address: The relay's IP address or name, and port.
        psk: The pre-shared key.
        sequences: Numbers for packets, never the same twice, whatever happens to this process.
        host: The venue's name, which requests must carry.
        port: The venue's port.
        client_id: 16 bytes that stay the same when the bot is started again: whose deposits are
            whose.
        limits: See there.
        clock: Monotonic nanoseconds.
        random: That many random bytes.

    Raises:
        RelayUnreachable: the address cannot be resolved.
    """

    def __init__(
        self,
        address: tuple[str, int],
        psk: bytes,
        sequences: SequenceSource,
        *,
        host: str,
        port: int = 443,
        client_id: bytes = bytes(CLIENT_ID_SIZE),
        limits: ClientLimits | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if len(client_id) != CLIENT_ID_SIZE:
            raise ClientMisused(f"a client id has {CLIENT_ID_SIZE} bytes", actual=len(client_id))
        self._address, self._fingerprint = address, fingerprint(psk)
        self._gate = Gate(host, port)
        self._limits = limits or ClientLimits()
        self._clock = clock
        self._forks = _Forks.count
        # A session has one client's messages only: a number tells them apart.
        self._messages = itertools.count(1)
        self._line = Line(address, clock)
        self._keeper = Keeper(
            HandshakeKeys(psk),
            sequences,
            client_id,
            self._limits.timing,
            int(self._limits.handshake_s * _SECOND),
            self._line.send,
            random,
            self._unreachable,
        )
        self._opened_wall_ns = 0

    def __enter__(self) -> RelayClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the session and closes the socket. What was deposited stays with the relay."""
        talks = self._keeper.talks()
        self._keeper.close("the client was closed")
        if self._forks == _Forks.count:
            # Without a number it leaves without a word: what ended its user is to be heard of.
            with contextlib.suppress(HostError):
                for talk in talks:
                    talk.say(Close().pack())
        self._line.close()

    def fileno(self) -> int:
        """The socket, for who waits for several things; then call `pump`."""
        return self._line.fileno()

    @property
    def sessions(self) -> int:
        """How many sessions it has had."""
        return self._keeper.sessions

    @property
    def round_trip_s(self) -> float | None:
        """To the relay and back, smoothed; None without a session."""
        talk = self._keeper.current
        return None if talk is None else talk.round_trip_ns / 1e9

    @property
    def boot(self) -> bytes | None:
        """Which life of the relay the session is with; None without one."""
        accepted = self._accepted
        return None if accepted is None else accepted.boot

    @property
    def wall_difference_s(self) -> float | None:
        """How far the relay's wall clock was ahead of this machine's when the session opened."""
        accepted = self._accepted
        return None if accepted is None else (accepted.wall_ns - self._opened_wall_ns) / 1e9

    @property
    def _accepted(self) -> Accepted | None:
        talk = self._keeper.current
        return None if talk is None else talk.accepted

    # --- requests -----------------------------------------------------------------------------

    def open(self) -> None:
        """Waits until there is a session.

        Raises:
            RelayUnreachable: nobody with this PSK answers.
            ClientMisused: this process is a fork of the one that made the client.
        """
        if self._session() is not None:
            return
        keeper = self._keeper
        opening = keeper.greet(self._clock())
        while keeper.opening is opening and opening.no_number is None:
            self.pump(1.0)
        if keeper.current is None:
            raise self._not_open(opening)

    def exchange(self, request: bytes) -> VenueResponse:
        """Sends `request` unchanged through the relay and returns the venue's whole answer.

        Raises:
            MalformedRequest: nothing that the relay forwards; nothing was sent.
            NotSent: nothing was sent to the venue.
            OutcomeUnknown: something may have been, and no whole answer came.
        """
        return self.send(request, self._clock() + int(self._limits.lifetime_s * 1e9))

    def send(
        self, request: bytes, deadline_ns: int, message_id: bytes | None = None
    ) -> VenueResponse:
        """As `exchange`; not forwarded after `deadline_ns` of this machine's monotonic clock."""
        pending = self._begin(request, deadline_ns, message_id, wait=True)
        while not pending.done:
            self.pump(1.0)
        return pending.result()

    def begin(self, request: bytes, deadline_ns: int, message_id: bytes | None = None) -> Pending:
        """Sends `request` and returns at once.

        Without a session it leaves as soon as one stands: `pump` sees to that. If none does before
        the deadline, nothing was sent, and the result says so.

        Raises:
            MalformedRequest, RelayUnreachable: as `exchange`; nothing was sent.
            RelayRefused: the deadline is more than a minute ahead; nothing was sent.
            ClientMisused: not a message id, or one that is under way.
        """
        return self._begin(request, deadline_ns, message_id, wait=False)

    def _begin(
        self, request: bytes, deadline_ns: int, message_id: bytes | None, *, wait: bool
    ) -> Pending:
        try:
            self._gate.admit(request)
        except Rejected as refusal:
            raise MalformedRequest(
                refusal.what, actual=refusal.actual, remedy=refusal.remedy
            ) from None
        identity = self._message_id() if message_id is None else message_id
        if len(identity) != MESSAGE_ID_SIZE:
            raise ClientMisused(f"a message id has {MESSAGE_ID_SIZE} bytes", actual=len(identity))
        if self._session() is None and wait:
            self.open()
        if self._keeper.under_way(identity):
            raise ClientMisused("a message of this id is under way", actual=identity.hex())
        now_ns = self._clock()
        if deadline_ns - now_ns > MAX_AHEAD_NS:  # which the relay would not even answer
            raise RelayRefused(Reason.DEADLINE_TOO_FAR, f"{(deadline_ns - now_ns) / 1e9:.0f} s")
        give_up_ns = max(deadline_ns, now_ns) + int(self._limits.answer_s * 1e9)
        pending = Pending(identity, request, deadline_ns, give_up_ns)
        self._keeper.take(pending, now_ns)
        return pending

    def ping(self) -> float:
        """Seconds to the relay and back, measured now.

        Raises:
            RelayUnreachable: no session, or no answer.
        """
        self.open()
        talk = self._talk()
        before_ns = self._clock()
        until_ns = before_ns + int(self._limits.handshake_s * 1e9)
        talk.ping(before_ns)
        while talk.pong_ns < before_ns:
            if self._clock() > until_ns or self._keeper.current is not talk:
                raise self._unreachable("the relay has stopped answering")
            self.pump(0.01)
        return (talk.pong_ns - before_ns) / 1e9

    def status(self) -> bytes:
        """The relay's counters, as JSON.

        Raises:
            RelayUnreachable: no session, or no answer.
        """
        self.open()
        now_ns = self._clock()
        until_ns = now_ns + int(self._limits.handshake_s * 1e9)
        identity = self._message_id()
        pending = self._talk().ask_status(identity, until_ns, now_ns)
        while not pending.done:
            self.pump(1.0)
        try:
            return pending.result().body
        except OutcomeUnknown:
            raise self._unreachable("the relay has stopped answering") from None

    def pump(self, timeout_s: float = 0.0) -> bool:
        """Receives what has come, sends what is due; returns whether anything came.

        Waits for at most `timeout_s`, and not at all when nothing is to be waited for. Call it
        every other second at least, or the session may be taken for lost. One that is lost, or that
        the relay does not know any more, is opened anew, a step at each call.

        Raises:
            ClientMisused: this process is a fork of the one that made the client.
        """
        self._check_process()  # receiving sends, too: it asks for what is missing
        if self._keeper.idle:
            return False
        came = self._receive()
        if timeout_s > 0 and not came:
            until_ns = min(self._clock() + int(timeout_s * _SECOND), self._keeper.next_ns())
            while not came and self._clock() < until_ns:
                if not self._limits.spin:
                    self._line.wait(until_ns)
                came = self._receive()
        self._keeper.turn(self._clock())
        return came

    # --- the dead man's switch ----------------------------------------------------------------

    def deposit(self, slot: int, request: bytes, fire_after_s: float, valid_s: float) -> None:
        """Leaves a signed cancel with the relay, which sends it unless `beat` comes in time.

        It is worthless after `valid_s`, and replaced by the next deposit in `slot` (0 to 255).

        Raises:
            MalformedRequest: the request is no cancel for this venue, or longer than a datagram.
            ClientMisused: there is no such slot.
            RelayUnreachable: there is no session just now; nothing waits for one.
        """
        try:
            admitted = self._gate.admit(request)
        except Rejected as refusal:
            raise MalformedRequest(refusal.what, actual=refusal.actual) from None
        if not admitted.cancels:
            raise MalformedRequest(
                "only a cancel may be left with the relay", actual=admitted.line.decode("ascii")
            )
        if len(request) > MAX_PIECE:
            raise MalformedRequest(
                "what is left with the relay has to fit a datagram",
                expected=f"at most {MAX_PIECE} bytes",
                actual=len(request),
                remedy="leave DELETE /cancel-all instead of naming the orders",
            )
        self._check_slot(slot)
        talk, now_ns = self._talk(), self._clock()
        fire_at_ns = now_ns + int(fire_after_s * 1e9)
        talk.deposit(slot, request, fire_at_ns, now_ns + int(valid_s * 1e9), now_ns)

    def beat(self, slot: int, fire_after_s: float) -> None:
        """Says that the bot lives: what was left in `slot` waits that long from now on.

        Raises:
            ClientMisused, RelayUnreachable: as `deposit`.
        """
        self._check_slot(slot)
        talk, now_ns = self._talk(), self._clock()
        talk.beat(slot, now_ns + int(fire_after_s * 1e9), now_ns)

    def withdraw(self, slot: int) -> None:
        """Takes back what was left in `slot`.

        Raises:
            ClientMisused, RelayUnreachable: as `deposit`.
        """
        self._check_slot(slot)
        self._talk().beat(slot, 0, self._clock())

    def held(self, slot: int) -> HeldState | None:
        """What the relay last said of `slot` in this session."""
        talk = self._keeper.current
        return None if talk is None else talk.held.get(slot)

    @staticmethod
    def _check_slot(slot: int) -> None:
        if not 0 <= slot <= _LAST_SLOT:
            raise ClientMisused("there is no such slot", expected=f"0 to {_LAST_SLOT}", actual=slot)

    # --- the session --------------------------------------------------------------------------

    def _session(self) -> Conversation | None:
        self._check_process()
        return self._keeper.session(self._clock())

    def _talk(self) -> Conversation:
        """The session, for what would be of no use later. Without one it greets, and says so."""
        talk = self._session()
        if talk is None:
            raise self._not_open(self._keeper.opening or self._keeper.greet(self._clock()))
        return talk

    def _receive(self) -> bool:
        came, sessions = False, self._keeper.sessions
        while (datagram := self._line.next()) is not None:
            came |= self._keeper.datagram(datagram, self._clock())
        if self._keeper.sessions != sessions:
            self._opened_wall_ns = time.time_ns()
        return came

    def _message_id(self) -> bytes:
        return next(self._messages).to_bytes(MESSAGE_ID_SIZE, "big")

    def _check_process(self) -> None:
        if self._forks != _Forks.count:
            raise ClientMisused(
                "a session cannot be shared with a forked process",
                remedy="make a client of its own in each process",
            )

    def _not_open(self, opening: Opening) -> RelayUnreachable:
        """What keeps a session from standing."""
        if opening.no_number is not None:
            return no_number(opening.no_number)
        return self._unreachable(opening.trouble)

    def _unreachable(self, what: str) -> RelayUnreachable:
        host, port = self._address
        return RelayUnreachable(
            what,
            actual=f"{host}:{port}, silent",
            remedy=(
                "see that it runs there and UDP gets through, and that both sides have one PSK"
                f" (this side's fingerprint: {self._fingerprint}; `strongroom relay psk --check`)"
            ),
        )
