"""The relay between its sockets: datagrams in, datagrams out, requests to whoever forwards them.

No socket, clock or randomness of its own. Every datagram is counted once: taken, or refused with
its reason. Nobody who has not proven the PSK in this boot costs more than a few HMACs, or gets an
answer longer than what he sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from strongroom_host.relay import frames_v1, frames_v2, messages
from strongroom_host.relay.admission import Admitted, Gate
from strongroom_host.relay.answers import Answered
from strongroom_host.relay.counters import Counters, Event, RateLimited
from strongroom_host.relay.deposits import Deposits, Due, Place
from strongroom_host.relay.door import Boot, Door
from strongroom_host.relay.jobs import Failed, Forwarder, Job
from strongroom_host.relay.messages import Ack, Answer, Failure, Held, HeldState, Outcome, Pong
from strongroom_host.relay.reasons import Reason, Rejected
from strongroom_host.relay.sessions import RETENTION_NS, Address, Message, Session, SessionLimits
from strongroom_host.relay.windows import SeenFrames

__all__ = ["Core", "CoreLimits", "Send"]

Send = Callable[[bytes, Address], object]
"""Sends a datagram, or drops it."""

_BURST: Final = 32
_TIDY_NS: Final = 1_000_000_000
_RETRY_NS: Final = 250_000_000
_MAGIC: Final = frames_v2.MAGIC
_V1_DEADLINE_NS: Final = frames_v1.WINDOW_NS
_TAKEN_PACKET: Final = int(Event.TAKEN_PACKET)
_ANSWERED: Final = int(Event.ANSWERED)


@dataclass(frozen=True, slots=True)
class CoreLimits:
    """Sizes and counts; `ack_after_ns` is how long an answer may take before receipt is told."""

    sessions: int = 64
    session: SessionLimits = field(default_factory=SessionLimits)
    v1: bool = True
    v1_memory: int = 131_072
    ack_after_ns: int = 5_000_000


class Core:
    """One relay.

    Args:
        psk: The pre-shared key.
        boot: Random values of this boot.
        gate: What may be forwarded.
        forwarder: Brings it to the venue.
        send: Sends datagrams.
        random: That many random bytes.
        log: Takes a line for the operator.
        wall: Nanoseconds since the epoch, which only v1's stamps are compared with.
        started_ns: Monotonic, as all other times.
        limits: See there.
    """

    def __init__(
        self,
        psk: bytes,
        boot: Boot,
        gate: Gate,
        forwarder: Forwarder,
        send: Send,
        *,
        random: Callable[[int], bytes],
        log: Callable[[str], None],
        wall: Callable[[], int],
        started_ns: int,
        counters: Counters,
        limits: CoreLimits,
    ) -> None:
        self._psk, self._boot, self._gate = psk, boot, gate
        self._forwarder, self._send, self._limits = forwarder, send, limits
        self.counters, self._log = counters, RateLimited(log)
        self._door = Door(psk, boot, random, counters, limits.sessions, limits.session)
        self._wall = wall
        self._seen = SeenFrames(frames_v1.WINDOW_NS, wall(), started_ns, limits.v1_memory)
        self._deposits = Deposits()
        self._acks: deque[tuple[int, Session, Message]] = deque()
        self._again: list[tuple[int, Due]] = []
        self._tidy_ns = 0
        self._now_ns = started_ns
        self.draining = False

    @property
    def idle(self) -> bool:
        """Whether no client waits for anything."""
        return not any(
            message.forwarded and not message.settled
            for session in self._door
            for message in session.messages.values()
        )

    @property
    def deposits(self) -> int:
        """How many cancels are held for clients."""
        return len(self._deposits)

    def datagram(self, data: bytes, address: Address, now_ns: int) -> None:
        """Sees to one datagram."""
        self._now_ns = now_ns
        try:
            if data[:3] != _MAGIC:
                self._v1(data)
                return
            kind = data[3] if len(data) > 3 else 0
            if kind == frames_v2.TO_RELAY:
                self._packet(data, address)
            elif kind == frames_v2.HELLO:
                self._send(self._door.greet(data, address, self._now_ns), address)
                self.counters.events[Event.TAKEN_HELLO] += 1
            elif kind == frames_v2.START:
                self._enter(data, address)
            else:
                raise Rejected(Reason.UNKNOWN_TYPE if len(data) > 3 else Reason.TRUNCATED)
        except Rejected as refusal:
            self._refused(refusal, address)

    def tick(self, now_ns: int) -> None:
        """Does what is due: receipts, deposits, forgetting."""
        self._now_ns = now_ns
        while self._acks and self._acks[0][0] <= now_ns:
            _, session, message = self._acks.popleft()
            if not message.settled and not message.told:
                self._tell(session, message)
        for due in self._deposits.due(now_ns):
            self._fire(due)
        if self._again:
            ready = [due for at, due in self._again if at <= now_ns]
            self._again = [(at, due) for at, due in self._again if at > now_ns]
            for due in ready:
                self._fire(due)
        if now_ns >= self._tidy_ns:
            self._door.tidy(now_ns)
            self._tidy_ns = now_ns + _TIDY_NS

    def next_ns(self) -> int:
        """When `tick` has to be called again, at the latest."""
        times = [self._tidy_ns]
        while self._acks and self._acks[0][2].settled:  # answered sooner: nobody wakes up for it
            self._acks.popleft()
        if self._acks:
            times.append(self._acks[0][0])
        deposit = self._deposits.next_ns()
        if deposit is not None:
            times.append(deposit)
        return min(times + [at for at, _ in self._again])

    # --- v1 -----------------------------------------------------------------------------------

    def _v1(self, data: bytes) -> None:
        if not self._limits.v1:
            raise Rejected(Reason.TRUNCATED if len(data) <= 44 else Reason.V1_OFF)
        frame = frames_v1.open_frame(self._psk, data)
        wall_ns = self._wall()
        refusal = self._seen.admit(frame.mac, frame.timestamp_ns, wall_ns, self._now_ns)
        if refusal is not None:
            off = (wall_ns - frame.timestamp_ns) / 1e9
            where = "behind" if off > 0 else "ahead of"
            raise Rejected(refusal, f"its stamp is {abs(off):.3f} s {where} this clock")
        self.counters.events[Event.TAKEN_V1] += 1
        try:
            admitted = self._gate.admit(frame.payload)
        except Rejected as refusal_of_request:
            self._count(refusal_of_request)
            return
        deadline_ns = self._now_ns + frame.timestamp_ns - wall_ns + _V1_DEADLINE_NS
        self._forward(frame.payload, admitted, deadline_ns, self._settled_silently)

    def _settled_silently(self, result: Answered | Failed) -> None:
        self._count_result(result)

    # --- v2 -----------------------------------------------------------------------------------

    def _enter(self, data: bytes, address: Address) -> None:
        session = self._door.enter(data, address, self._now_ns)
        self.counters.events[Event.TAKEN_START] += 1
        boot, most = self._boot.name, self._limits.session.max_request
        self._reply(session, messages.Accepted(boot, self._now_ns, self._wall(), most).pack())

    def _packet(self, data: bytes, address: Address) -> None:
        try:
            session, number, plain = self._door.open(data, address, self._now_ns)
        except Rejected as refusal:
            if refusal.reason is Reason.UNKNOWN_SESSION:
                answer = self._door.reset(data, self._now_ns)
                if answer is not None:
                    self._send(answer, address)
            raise
        message = messages.read_from_client(plain)
        self.counters.events[_TAKEN_PACKET] += 1
        if isinstance(message, messages.Request):
            self._request(session, message)
        elif isinstance(message, messages.Poll):
            self._poll(session, message)
        elif isinstance(message, messages.Ping):
            self._reply(session, Pong(message.token, self._now_ns).pack())
        elif isinstance(message, messages.Deposit):
            self._deposit(session, number, message)
        elif isinstance(message, messages.Beat):
            place = Place(session.client_id, message.slot)
            state = self._deposits.beat(place, (session.serial, number), message.fire_at_ns)
            self._reply(session, Held(message.token, message.slot, state).pack())
        elif isinstance(message, messages.Status):
            self._status(session, message)
        else:
            self._door.close(session)

    def _request(self, session: Session, piece: messages.Request) -> None:
        identity, deadline_ns, number, total, data = piece
        try:
            message = session.message(identity, deadline_ns, total, self._now_ns)
        except Rejected as refusal:
            self._refuse(session, identity, deadline_ns, refusal)
            return
        if message.settled or message.forwarded:
            self.counters.events[Event.REPEATED] += 1
            self._tell(session, message)
            return
        try:
            if message.pieces is not None:
                whole = message.pieces.add(number, total, data)
                if whole is None:
                    return
                session.whole(message)
                data = whole
            elif total != 1:
                raise Rejected(Reason.FRAGMENTS_CONTRADICT)
            if self._now_ns > deadline_ns:  # its last piece was late; polls were told that already
                raise Rejected(Reason.EXPIRED)
            if self.draining:
                raise Rejected(Reason.DRAINING)
            admitted = self._gate.admit(data)
        except Rejected as refusal:
            session.whole(message)
            self._count(refusal)
            self._settle(session, message, _failed(refusal))
            return
        message.forwarded = True
        self._forward(data, admitted, deadline_ns, partial(self._done, session, message))
        if not message.settled:
            self._acks.append((self._now_ns + self._limits.ack_after_ns, session, message))

    def _refuse(
        self, session: Session, identity: bytes, deadline_ns: int, refusal: Rejected
    ) -> None:
        """Answers a message that gets no entry, where something is certain: see `sessions`.

        Whom there was no room for, and whose deadline is too far ahead, is told nothing: there is
        no entry that would keep another copy out when there is room again. He asks after his
        deadline, when nothing can be forwarded any more.
        """
        self._count(refusal)
        if refusal.reason is Reason.EXPIRED:
            forgotten = self._now_ns > deadline_ns + RETENTION_NS
            outcome = Outcome.UNKNOWN if forgotten else Outcome.NOT_SENT
        elif refusal.reason is Reason.MESSAGE_REUSED:
            outcome = Outcome.UNKNOWN
        else:
            self._say(refusal, "a message")
            return
        failure = Failure(identity, outcome, refusal.reason, str(refusal.actual or ""))
        self._reply(session, failure.pack())

    def _poll(self, session: Session, poll: messages.Poll) -> None:
        message = session.messages.get(poll.message_id)
        if message is None or (message.pieces is not None and self._now_ns > poll.deadline_ns):
            # Before its deadline it may still be on its way; after it, nothing forwards it.
            if self._now_ns > poll.deadline_ns:
                expired = Rejected(Reason.EXPIRED)
                self._refuse(session, poll.message_id, poll.deadline_ns, expired)
            return
        self.counters.events[Event.REPEATED] += 1
        if message.pieces is None:
            self._tell(session, message, poll.base, poll.wanted)

    def _done(self, session: Session, message: Message, result: Answered | Failed) -> None:
        self._count_result(result)
        self._settle(session, message, result)

    def _settle(self, session: Session, message: Message, result: Answered | Failed) -> None:
        if isinstance(result, Answered):
            session.keep_answer(message, result.pack())
        else:
            message.failure = Failure(message.identity, *result)
        self._tell(session, message)

    def _tell(
        self, session: Session, message: Message, base: int = 0, wanted: int = (1 << _BURST) - 1
    ) -> None:
        """Sends what there is to say: the failure, pieces of the answer, or the receipt."""
        if message.failure is not None:
            self._reply(session, message.failure.pack())
        elif message.answer is not None:
            pieces, total = message.answer, len(message.answer)
            left = _BURST
            for at in range(base, total):
                if not left or not wanted >> at - base:
                    break
                if wanted >> at - base & 1:
                    self._reply(session, Answer(message.identity, at, total, pieces[at]).pack())
                    left -= 1
        elif message.forwarded:
            message.told = True
            self._reply(session, Ack(message.identity).pack())

    def _status(self, session: Session, asked: messages.Status) -> None:
        try:
            message = session.message(asked.message_id, self._now_ns, 1, self._now_ns)
        except Rejected:  # the id of another message, or of an earlier status: never two answers
            return
        body = msgspec.json.encode(
            {
                **self.counters.named(),
                "sessions": len(self._door),
                "deposits": len(self._deposits),
                "boot": self._boot.name.hex(),
            }
        )
        fields = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        self._settle(session, message, Answered(200, fields, body))

    # --- the dead man's switch ----------------------------------------------------------------

    def _deposit(self, session: Session, number: int, deposit: messages.Deposit) -> None:
        place = Place(session.client_id, deposit.slot)
        try:
            if not self._gate.admit(deposit.request).cancels:
                raise Rejected(Reason.NOT_A_CANCEL)
            state = self._deposits.put(
                place,
                (session.serial, number),
                deposit.request,
                deposit.fire_at_ns,
                deposit.valid_until_ns,
                self._now_ns,
            )
            self.counters.events[Event.DEPOSITS_TAKEN] += 1
        except Rejected as refusal:
            self._count(refusal)
            self._say(refusal, "a deposit")
            state = HeldState.REFUSED
        self._reply(session, Held(deposit.token, deposit.slot, state).pack())

    def _fire(self, due: Due) -> None:
        self.counters.events[Event.DEPOSITS_SENT] += 1
        client = due.place.client_id.hex()
        self._log(
            f"deposit {client}",
            lambda: f"client {client} is silent: sending what it left for this case",
            self._now_ns,
        )
        admitted = self._gate.admit(due.request)
        self._forward(due.request, admitted, due.valid_until_ns, partial(self._fired, due))

    def _fired(self, due: Due, result: Answered | Failed) -> None:
        self._count_result(result)
        if isinstance(result, Failed):
            # A cancel may be sent as often as it takes: twice does what once does.
            at = self._now_ns + _RETRY_NS
            if at < due.valid_until_ns:
                self._again.append((at, due))

    # --- shared -------------------------------------------------------------------------------

    def _forward(
        self,
        request: bytes,
        admitted: Admitted,
        deadline_ns: int,
        done: Callable[[Answered | Failed], None],
    ) -> None:
        job = Job(request, admitted.method, self._now_ns, deadline_ns, done)
        self._forwarder.submit(job, self._now_ns)

    def _reply(self, session: Session, plain: bytes) -> None:
        self._send(session.sealer.seal(plain), session.address)

    def _count(self, refusal: Rejected) -> None:
        self.counters.reasons[int(refusal.reason)] += 1

    def _count_result(self, result: Answered | Failed) -> None:
        if isinstance(result, Answered):
            self.counters.events[_ANSWERED] += 1
            return
        self.counters.reasons[result.reason] += 1
        if result.outcome is Outcome.UNKNOWN:
            self.counters.events[Event.UNKNOWN_OUTCOMES] += 1

    def _refused(self, refusal: Rejected, address: Address) -> None:
        self._count(refusal)
        self._say(refusal, f"a datagram from {address[0]}")

    def _say(self, refusal: Rejected, what: str) -> None:
        self._log(
            refusal.reason.label,
            lambda: (
                f"refused {what}: {refusal.reason.label}: {refusal.what}"
                + (f" ({refusal.actual})" if refusal.actual is not None else "")
                + f"; do: {refusal.remedy}"
            ),
            self._now_ns,
        )


def _failed(refusal: Rejected) -> Failed:
    return Failed(Outcome.NOT_SENT, refusal.reason, str(refusal.actual or ""))
