"""A client's way into a session: greeting, challenge, start, acceptance, each until answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from strongroom_host.errors import HostError
from strongroom_host.relay.conversation import Conversation
from strongroom_host.relay.errors import RelayUnreachable
from strongroom_host.relay.frames_v2 import Challenge, HandshakeKeys
from strongroom_host.relay.keys import SALT_SIZE
from strongroom_host.relay.line import Line
from strongroom_host.relay.pending import Timing
from strongroom_host.relay.reasons import Rejected

__all__ = ["Opening", "SequenceSource"]


class SequenceSource(Protocol):
    """Numbers for packets; `sequences.SequenceBlock` is one."""

    def next(self) -> int:
        """A number from 1 below 2^63 that nobody got before, larger than the last."""


class Opening:
    """Opens sessions.

    Args:
        line: To the relay.
        keys: Of the PSK.
        numbers: For packets.
        client_id: 16 bytes.
        timing: How soon something is repeated.
        clock: Monotonic nanoseconds.
        random: That many random bytes.
        unreachable: The error for what was found, with all that a person needs.
    """

    __slots__ = (
        "_client_id",
        "_clock",
        "_keys",
        "_line",
        "_numbers",
        "_random",
        "_timing",
        "_unreachable",
    )

    def __init__(
        self,
        line: Line,
        keys: HandshakeKeys,
        numbers: SequenceSource,
        client_id: bytes,
        timing: Timing,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        unreachable: Callable[[str], RelayUnreachable],
    ) -> None:
        self._line, self._keys, self._numbers = line, keys, numbers
        self._client_id, self._timing = client_id, timing
        self._clock, self._random, self._unreachable = clock, random, unreachable

    def open(self, until_ns: int) -> Conversation:
        """A new session, between a salt of this moment and one that the relay made for it.

        Raises:
            RelayUnreachable: no relay with this PSK answered in time, or there is no number for a
                packet.
        """
        challenge, arrived_ns = self._challenge(until_ns)
        talk = Conversation(
            challenge.session,
            self._keys.session_keys(challenge),
            self._numbers.next,
            self._line.send,
            challenge.relay_ns,
            arrived_ns,
            self._timing,
        )
        wait_ns = self._timing.first_ns
        while self._clock() < until_ns:
            self._line.send(self._keys.start(challenge, self._number(), self._client_id))
            retry_ns = min(until_ns, self._clock() + wait_ns)
            while self._line.wait(retry_ns) and (datagram := self._line.next()) is not None:
                talk.packet(datagram, self._clock())
                if talk.accepted is not None:
                    return talk
            wait_ns = min(2 * wait_ns, self._timing.longest_ns)
        raise self._unreachable("the relay answers greetings, but opens no session")

    def _number(self) -> int:
        try:
            return self._numbers.next()
        except HostError as error:
            raise RelayUnreachable(
                f"there is no number for a packet: {error.what}",
                actual=error.actual,
                remedy=error.remedy,
            ) from error

    def _challenge(self, until_ns: int) -> tuple[Challenge, int]:
        """The relay's challenge, and when it arrived."""
        client_salt = self._random(SALT_SIZE)
        hello = self._keys.hello(client_salt)
        wait_ns = self._timing.first_ns
        while self._clock() < until_ns:
            self._line.send(hello)
            retry_ns = min(until_ns, self._clock() + wait_ns)
            while self._line.wait(retry_ns):
                datagram = self._line.next()
                if datagram is None:
                    break  # most likely an ICMP message: nobody listens, perhaps not yet
                with suppress(Rejected):
                    return self._keys.read_challenge(datagram, client_salt), self._clock()
            while self._clock() < retry_ns:
                time.sleep(max(0.0, (retry_ns - self._clock()) / 1e9))
            wait_ns = min(2 * wait_ns, self._timing.longest_ns)
        raise self._unreachable("the relay does not answer")
