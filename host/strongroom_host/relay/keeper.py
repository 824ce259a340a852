"""A client's session, kept: noticed to be lost, opened anew a step at a time, waited for.

Nothing here waits: what there is to do is done when it is turned, and when something comes. So a
relay that is silent costs its client a greeting now and then, and no time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from strongroom_host.errors import HostError
from strongroom_host.relay import frames_v2
from strongroom_host.relay.conversation import Conversation
from strongroom_host.relay.errors import RelayUnreachable
from strongroom_host.relay.frames_v2 import HandshakeKeys
from strongroom_host.relay.keys import SALT_SIZE
from strongroom_host.relay.opening import Opening, SequenceSource
from strongroom_host.relay.pending import Pending, Timing
from strongroom_host.relay.reasons import Rejected

__all__ = ["Keeper", "no_number"]


class Keeper:
    """One session at a time, and what is left of those before it.

    Args:
        keys: Of the PSK.
        numbers: For packets.
        client_id: 16 bytes.
        timing: How soon something is repeated.
        patience_ns: How long one attempt at a session may take; the next one follows it, as long as
            somebody wants a session: what waits for one, or who had one before.
        send: Sends a datagram to the relay.
        random: That many random bytes.
        unreachable: The error for what was found, with all that a person needs.
    """

    __slots__ = (
        "_client_id",
        "_keys",
        "_numbers",
        "_random",
        "_send",
        "_timing",
        "_unreachable",
        "_waiting",
        "current",
        "fading",
        "opening",
        "patience_ns",
        "sessions",
    )

    def __init__(
        self,
        keys: HandshakeKeys,
        numbers: SequenceSource,
        client_id: bytes,
        timing: Timing,
        patience_ns: int,
        send: Callable[[bytes], object],
        random: Callable[[int], bytes],
        unreachable: Callable[[str], RelayUnreachable],
    ) -> None:
        self._keys, self._numbers, self._client_id = keys, numbers, client_id
        self._timing, self.patience_ns = timing, patience_ns
        self._send, self._random, self._unreachable = send, random, unreachable
        self._waiting: dict[bytes, Pending] = {}
        self.current: Conversation | None = None
        self.fading: list[Conversation] = []
        """Sessions that are lost, of which something may still be heard."""
        self.opening: Opening | None = None
        self.sessions = 0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to turn, and nothing can come."""
        return self.current is None and self.opening is None and not self.fading

    def talks(self) -> Sequence[Conversation]:
        """The session and those before it."""
        return self.fading if self.current is None else [self.current, *self.fading]

    def session(self, now_ns: int) -> Conversation | None:
        """The session, if it stands; one that is lost is left."""
        held = self.current
        if held is not None and held.lost(now_ns):
            self.current = None
            if held.under_way:  # it may still be heard of; what is new goes another way
                self.fading.append(held)
        return self.current

    def greet(self, now_ns: int) -> Opening:
        """Begins an attempt at a session."""
        until_ns = now_ns + self.patience_ns
        self.opening = Opening(
            self._keys,
            self._numbers,
            self._client_id,
            self._timing,
            self._send,
            self._random(SALT_SIZE),
            now_ns,
            until_ns,
        )
        self.opening.tick(now_ns)
        return self.opening

    def under_way(self, message_id: bytes) -> bool:
        """Whether the session has that message, or would have it if it stood."""
        held = self.current
        return message_id in (self._waiting if held is None else held.under_way)

    def take(self, pending: Pending, now_ns: int) -> None:
        """Sends a request, now or as soon as a session stands. After its deadline it is not sent.

        Raises:
            RelayUnreachable: there is no number for a packet.
        """
        if self.current is None:
            self._waiting[pending.message_id] = pending
            if self.opening is None:
                self.greet(now_ns)
            return
        try:
            self.current.take(pending, now_ns)
        except HostError as error:
            # No number, no packet: at least a piece is missing, so the relay forwards nothing.
            raise no_number(error) from error

    def turn(self, now_ns: int) -> None:
        """Does what is due."""
        for talk in self.talks():
            if now_ns >= talk.next_ns():
                talk.tick(now_ns)
        if self.fading:
            self.fading = [talk for talk in self.fading if talk.under_way]
        if self.session(now_ns) is not None:
            return
        for pending in [late for late in self._waiting.values() if now_ns > late.deadline_ns]:
            del self._waiting[pending.message_id]
            pending.fail(self._late())
        if self.opening is not None and now_ns >= self.opening.until_ns:
            self.opening = None
        if self.opening is not None:
            self.opening.tick(now_ns)
        elif self.sessions or self._waiting:
            self.greet(now_ns)

    def next_ns(self) -> int:
        """When `turn` has to be called again, at the latest; only while it is not idle."""
        times = [talk.next_ns() for talk in self.talks()]
        times += [pending.deadline_ns + 1 for pending in self._waiting.values()]
        if self.opening is not None:
            times.append(self.opening.next_ns())
        return min(times)

    def datagram(self, datagram: bytes, now_ns: int) -> bool:
        """Sees to a datagram; whether it is one that a relay sends."""
        kind = datagram[3] if datagram[:3] == frames_v2.MAGIC and len(datagram) > 3 else 0
        if kind == frames_v2.TO_CLIENT:
            for talk in self.talks():
                talk.packet(datagram, now_ns)
        elif kind == frames_v2.RESET:
            self._reset(datagram)
        elif kind != frames_v2.CHALLENGE:
            return False
        if self.opening is not None:
            opened = self.opening.datagram(datagram, now_ns)
            if opened is not None:
                self._opened(opened, now_ns)
        return True

    def close(self, why: str) -> None:
        """Leaves everything: what waited for a session was not sent."""
        for talk in self.talks():
            talk.give_up(why)
        self.current, self.fading, self.opening = None, [], None
        for pending in self._waiting.values():
            pending.fail(RelayUnreachable(why))
        self._waiting.clear()

    def _opened(self, talk: Conversation, now_ns: int) -> None:
        self.current, self.opening = talk, None
        self.sessions += 1
        waiting, self._waiting = self._waiting, {}
        for pending in waiting.values():
            if now_ns > pending.deadline_ns:  # nobody turned it meanwhile
                pending.fail(self._late())
                continue
            try:
                self.take(pending, now_ns)
            except RelayUnreachable as error:
                pending.fail(error)

    def _late(self) -> RelayUnreachable:
        return self._unreachable("no session stood before its deadline")

    def _reset(self, datagram: bytes) -> None:
        try:
            session, _ = self._keys.read_reset(datagram)
        except Rejected:
            return
        for talk in self.talks():
            if talk.session == session:
                talk.give_up("the relay was started anew, and knows nothing of it")
                if talk is self.current:
                    self.current = None


def no_number(error: HostError) -> RelayUnreachable:
    """Nothing can be said to the relay, for want of a number."""
    return RelayUnreachable(
        f"there is no number for a packet: {error.what}",
        actual=error.actual,
        remedy=error.remedy,
    )
