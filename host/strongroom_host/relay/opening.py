"""A client's way into a session: greeting, challenge, start, acceptance, each until answered.

It never waits: whoever owns it turns it, and gives it what comes. So a relay that does not answer
keeps nobody from anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from strongroom_host.errors import HostError
from strongroom_host.relay.conversation import Conversation
from strongroom_host.relay.frames_v2 import Challenge, HandshakeKeys
from strongroom_host.relay.pending import Timing
from strongroom_host.relay.reasons import Rejected

__all__ = ["Opening", "SequenceSource"]


class SequenceSource(Protocol):
    """Numbers for packets; `sequences.SequenceBlock` is one."""

    def next(self) -> int:
        """A number from 1 below 2^63 that nobody got before, larger than the last."""


class Opening:
    """One attempt at a session, between a salt of this moment and one that the relay makes for it.

    It lasts a few seconds at most: a challenge is good for ten, and a salt should not be asked with
    for ever.

    Args:
        keys: Of the PSK.
        numbers: For packets.
        client_id: 16 bytes.
        timing: How soon something is repeated.
        send: Sends a datagram to the relay.
        client_salt: 16 random bytes of this attempt alone.
        now_ns: When it begins.
        until_ns: When it is given up.
    """

    __slots__ = (
        "_challenge",
        "_client_id",
        "_client_salt",
        "_due_ns",
        "_keys",
        "_numbers",
        "_send",
        "_talk",
        "_timing",
        "_wait_ns",
        "no_number",
        "until_ns",
    )

    def __init__(
        self,
        keys: HandshakeKeys,
        numbers: SequenceSource,
        client_id: bytes,
        timing: Timing,
        send: Callable[[bytes], object],
        client_salt: bytes,
        now_ns: int,
        until_ns: int,
    ) -> None:
        self._keys, self._numbers, self._client_id = keys, numbers, client_id
        self._timing, self._send, self._client_salt = timing, send, client_salt
        self._challenge: Challenge | None = None
        self._talk: Conversation | None = None
        self._due_ns, self._wait_ns = now_ns, timing.first_ns
        self.until_ns = until_ns
        self.no_number: HostError | None = None
        """Why there is no number for the start."""

    @property
    def trouble(self) -> str:
        """What keeps it from its end, as far as that can be known."""
        if self._challenge is None:
            return "the relay does not answer"
        return "the relay answers greetings, but opens no session"

    def next_ns(self) -> int:
        """When `tick` has to be called again, at the latest."""
        return min(self._due_ns, self.until_ns)

    def tick(self, now_ns: int) -> None:
        """Says again what was not answered, if it is time."""
        if now_ns < self._due_ns:
            return
        if self._challenge is None:
            self._send(self._keys.hello(self._client_salt))
        else:
            self._start(self._challenge)
        self._due_ns = now_ns + self._wait_ns
        self._wait_ns = min(2 * self._wait_ns, self._timing.longest_ns)

    def datagram(self, datagram: bytes, now_ns: int) -> Conversation | None:
        """Takes what came from the relay; returns the session, once it stands."""
        if self._talk is not None:
            self._talk.packet(datagram, now_ns)
            return self._talk if self._talk.accepted is not None else None
        try:
            challenge = self._keys.read_challenge(datagram, self._client_salt)
        except Rejected:
            return None
        self._challenge = challenge
        self._talk = Conversation(
            challenge.session,
            self._keys.session_keys(challenge),
            self._numbers.next,
            self._send,
            challenge.relay_ns,
            now_ns,
            self._timing,
        )
        self._due_ns, self._wait_ns = now_ns, self._timing.first_ns
        self.tick(now_ns)
        return None

    def _start(self, challenge: Challenge) -> None:
        try:
            number = self._numbers.next()
        except HostError as error:
            self.no_number = error
            return
        self.no_number = None
        self._send(self._keys.start(challenge, number, self._client_id))
