"""Who gets in: greetings are answered without keeping anything, sessions made for proven clients.

A start is good once. It carries a salt that this boot made less than ten seconds ago, so whatever
was recorded earlier is refused by its cookie; and the salts of the last ten seconds are remembered,
also when their sessions are gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from strongroom_host.relay.counters import Counters, Event
from strongroom_host.relay.frames_v2 import (
    OVERHEAD,
    RESET_SIZE,
    SESSION_SIZE,
    HandshakeKeys,
    packet_of,
)
from strongroom_host.relay.keys import SALT_SIZE
from strongroom_host.relay.reasons import Reason, Rejected
from strongroom_host.relay.sessions import Address, Session, SessionLimits

__all__ = ["Boot", "Door"]

_SPENT_NS: Final = 20_000_000_000
_IDLE_NS: Final = 120_000_000_000
_SILENT_NS: Final = 15_000_000_000
"""Clients ping every other second: such a silence ends a session when another needs its place."""
_RESETS_PER_TURN: Final = 100
_TURN_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Boot:
    """One life of the relay: its name for clients, its key for cookies; 16 random bytes each."""

    name: bytes
    cookie_key: bytes


class Door:
    """The sessions of one boot, and the way into them.

    Args:
        psk: The pre-shared key.
        boot: Random values of this boot.
        random: That many random bytes.
        counters: Where sessions are counted.
        sessions: How many at a time.
        limits: Of each.
    """

    __slots__ = (
        "_boot",
        "_counters",
        "_keys",
        "_limit",
        "_limits",
        "_random",
        "_resets",
        "_resets_turn_ns",
        "_serial",
        "_sessions",
        "_spent",
        "_spent_order",
    )

    def __init__(
        self,
        psk: bytes,
        boot: Boot,
        random: Callable[[int], bytes],
        counters: Counters,
        sessions: int,
        limits: SessionLimits,
    ) -> None:
        self._keys, self._boot, self._random = HandshakeKeys(psk), boot, random
        self._counters, self._limit, self._limits = counters, sessions, limits
        self._sessions: dict[bytes, Session] = {}
        self._spent: set[bytes] = set()
        self._spent_order: deque[tuple[int, bytes]] = deque()
        self._serial = 0
        self._resets, self._resets_turn_ns = 0, 0

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def greet(self, datagram: bytes, address: Address, now_ns: int) -> bytes:
        """The challenge for a greeting, no longer than it. Nothing is kept.

        Raises:
            Rejected: `TRUNCATED` or `HELLO_FORGED`.
        """
        client_salt = self._keys.read_hello(datagram)
        relay_salt = self._random(SALT_SIZE)
        return self._keys.challenge(
            self._boot.cookie_key, _bytes_of(address), client_salt, relay_salt, now_ns
        )

    def enter(self, datagram: bytes, address: Address, now_ns: int) -> Session:
        """The session of a client that has answered a fresh challenge; made, or the one he has.

        Raises:
            Rejected: `TRUNCATED`, `START_OUTDATED`, `START_FORGED`, `START_REPLAYED` or
                `SESSIONS_FULL`.
        """
        start = self._keys.read_start(self._boot.cookie_key, _bytes_of(address), datagram, now_ns)
        session = self._sessions.get(start.challenge.session)
        if session is None:
            if start.challenge.relay_salt in self._spent:
                raise Rejected(Reason.START_REPLAYED)
            if len(self._sessions) >= self._limit and not self._close_idle(now_ns, _SILENT_NS):
                raise Rejected(Reason.SESSIONS_FULL)
            self._serial += 1
            session = Session(start, self._serial, address, now_ns, self._limits)
            self._sessions[session.name] = session
            self._spent.add(start.challenge.relay_salt)
            self._spent_order.append((now_ns, start.challenge.relay_salt))
            self._counters.events[Event.SESSIONS_OPENED] += 1
        if session.window.admit(start.sequence) is not None:
            raise Rejected(Reason.START_REPLAYED)
        session.last_ns = now_ns
        return session

    def open(self, packet: bytes, address: Address, now_ns: int) -> tuple[Session, int, bytes]:
        """Session, number and message of an authentic packet that was not here before.

        Raises:
            Rejected: `TRUNCATED`, `UNKNOWN_SESSION`, `FORGED`, `REPLAYED` or `TOO_OLD`.
        """
        if len(packet) <= OVERHEAD:
            raise Rejected(Reason.TRUNCATED)
        session = self._sessions.get(packet[4 : 4 + SESSION_SIZE])
        if session is None:
            raise Rejected(Reason.UNKNOWN_SESSION)
        sequence, message = session.opener.open(packet)
        newest = sequence > session.window.highest
        refusal = session.window.admit(sequence)
        if refusal is not None:
            raise Rejected(refusal)
        if newest:  # a client may have moved; who only delays old packets shall not pull it over
            session.address = address
        session.last_ns = now_ns
        return session, sequence, message

    def reset(self, packet: bytes, now_ns: int) -> bytes | None:
        """What tells the sender of `packet` that its session is gone; not to everybody at once."""
        if now_ns - self._resets_turn_ns > _TURN_NS:
            self._resets, self._resets_turn_ns = 0, now_ns
        if self._resets >= _RESETS_PER_TURN or len(packet) < RESET_SIZE:
            return None
        self._resets += 1
        self._counters.events[Event.RESETS] += 1
        return self._keys.reset(*packet_of(packet))

    def close(self, session: Session) -> None:
        """Ends a session."""
        if self._sessions.pop(session.name, None) is not None:
            self._counters.events[Event.SESSIONS_CLOSED] += 1

    def tidy(self, now_ns: int) -> None:
        """Ends idle sessions, forgets old messages and salts that no start can use any more."""
        self._close_idle(now_ns, _IDLE_NS)
        for session in self._sessions.values():
            session.forget(now_ns)
        while self._spent_order and now_ns - self._spent_order[0][0] > _SPENT_NS:
            self._spent.discard(self._spent_order.popleft()[1])

    def _close_idle(self, now_ns: int, silence_ns: int) -> bool:
        idle = [held for held in self._sessions.values() if now_ns - held.last_ns > silence_ns]
        for session in idle:
            self.close(session)
        return bool(idle)


def _bytes_of(address: Address) -> bytes:
    return f"{address[0]}|{address[1]}".encode()
