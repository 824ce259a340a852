"""The v2 frames: how a session is opened, and the sealed packets in it. `wire.md` has the format.

Big-endian. AES-256-GCM under one key for each direction (`keys.SessionKeys`); the nonce is four
zero bytes and the packet's sequence number, and everything before the ciphertext is authenticated
with it. The way in is stateless for the relay until the client has proven, over a salt that the
relay has just made, that it has the PSK: so a recorded packet opens nothing, and an answer to a
stranger is never longer than what he sent.

    HELLO      client -> relay    client salt                              HMAC
    CHALLENGE  relay -> client    both salts, relay's clock, cookie        HMAC
    START      client -> relay    all of it back, sealed: who it is
    TO_CLIENT  relay -> client    sealed: ACCEPTED
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom_host.relay.keys import SALT_SIZE, SessionKeys, labelled
from strongroom_host.relay.reasons import Reason, Rejected

__all__ = [
    "CHALLENGE",
    "CHALLENGE_SIZE",
    "CLIENT_ID_SIZE",
    "HELLO",
    "HELLO_SIZE",
    "LAST_SEQUENCE",
    "MAGIC",
    "OVERHEAD",
    "RESET",
    "RESET_SIZE",
    "SESSION_SIZE",
    "START",
    "START_SIZE",
    "TAG_SIZE",
    "TO_CLIENT",
    "TO_RELAY",
    "Challenge",
    "HandshakeKeys",
    "Opener",
    "Sealer",
    "Start",
    "packet_of",
]

MAGIC: Final = b"SR\x02"
HELLO, CHALLENGE, START, TO_RELAY, TO_CLIENT, RESET = 1, 2, 3, 4, 5, 6
"""Types, the fourth byte. Others are for later: a packet of another type is refused."""

TAG_SIZE: Final = 16
SESSION_SIZE: Final = 8
CLIENT_ID_SIZE: Final = 16
LAST_SEQUENCE: Final = (1 << 63) - 1
_MAC: Final = 32
_COOKIE: Final = 16
_RESET_MAC: Final = 16

_HELLO: Final = struct.Struct(">3sB16s40x")
_CHALLENGE: Final = struct.Struct(">3sB16s16sQ16s")
_START: Final = struct.Struct(">3sB16s16sQ16sQ")
_PACKET: Final = struct.Struct(">3sB8sQ")
HELLO_SIZE: Final = _HELLO.size + _MAC
CHALLENGE_SIZE: Final = _CHALLENGE.size + _MAC
START_SIZE: Final = _START.size + CLIENT_ID_SIZE + TAG_SIZE
RESET_SIZE: Final = _PACKET.size + _RESET_MAC
OVERHEAD: Final = _PACKET.size + TAG_SIZE
"""What a sealed packet is longer than its message."""

_COOKIE_LIFE_NS: Final = 10_000_000_000
_NONCE: Final = struct.Struct(">4xQ")


class Challenge(NamedTuple):
    """The relay's answer to a greeting. `relay_ns` is its monotonic clock, that of deadlines."""

    client_salt: bytes
    relay_salt: bytes
    relay_ns: int
    cookie: bytes

    @property
    def session(self) -> bytes:
        """What the session will be called: the first eight bytes of the relay's salt."""
        return self.relay_salt[:SESSION_SIZE]


@dataclass(frozen=True, slots=True)
class Start:
    """A client's way in, proven: it has the PSK and answers a challenge of this boot."""

    challenge: Challenge
    sequence: int
    client_id: bytes
    keys: SessionKeys


class Sealer:
    """Seals the packets of one direction of one session; each number is used once.

    Args:
        key: 32 bytes.
        kind: `TO_RELAY` or `TO_CLIENT`.
        session: The session's name.
        numbers: Gives a number that this key never had, from 1, rising.
    """

    __slots__ = ("_aead", "_head", "_numbers")

    def __init__(self, key: bytes, kind: int, session: bytes, numbers: Callable[[], int]) -> None:
        self._aead = AESGCM(key).encrypt
        self._head = MAGIC + bytes((kind,)) + session
        self._numbers = numbers

    def seal(self, message: bytes) -> bytes:
        """The packet that carries `message`."""
        number = self._numbers().to_bytes(8, "big")
        head = self._head + number
        return head + self._aead(b"\0\0\0\0" + number, message, head)


class Opener:
    """Opens the packets of one direction of one session. Freshness is the window's to judge."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key).decrypt

    def open(self, packet: bytes) -> tuple[int, bytes]:
        """Sequence number and message of an authentic packet, at least `OVERHEAD` bytes long.

        Raises:
            Rejected: not sealed with this key as it is.
        """
        number = packet[12:20]
        try:
            message = self._aead(b"\0\0\0\0" + number, packet[20:], packet[:20])
        except InvalidTag:
            raise Rejected(Reason.FORGED) from None
        return int.from_bytes(number, "big"), message


def packet_of(packet: bytes) -> tuple[bytes, int]:
    """Session and sequence number that a packet claims; `packet` has at least `OVERHEAD` bytes."""
    return packet[4:12], int.from_bytes(packet[12:20], "big")


class HandshakeKeys:
    """What opens sessions under one PSK. Pure: salts, cookie keys and times are arguments."""

    __slots__ = ("_challenge", "_hello", "_psk", "_reset")

    def __init__(self, psk: bytes) -> None:
        self._psk = psk
        self._hello = labelled(psk, b"hello")
        self._challenge = labelled(psk, b"challenge")
        self._reset = labelled(psk, b"reset")

    def hello(self, client_salt: bytes) -> bytes:
        """A client's greeting; as long as its answer, lest somebody be flooded with answers."""
        head = _HELLO.pack(MAGIC, HELLO, client_salt)
        return head + _mac(self._hello, head)

    def read_hello(self, datagram: bytes) -> bytes:
        """The salt of a client that has the PSK. It may be a recording: nothing is kept of it.

        Raises:
            Rejected: cut off, or the HMAC is not by this PSK.
        """
        head = _authentic(datagram, HELLO_SIZE, self._hello, Reason.HELLO_FORGED)
        return head[4 : 4 + SALT_SIZE]

    def challenge(
        self, cookie_key: bytes, address: bytes, client_salt: bytes, relay_salt: bytes, now_ns: int
    ) -> bytes:
        """The answer to a greeting from `address`, which it binds under the relay's own key."""
        cookie = _cookie(cookie_key, address, client_salt, relay_salt, now_ns)
        head = _CHALLENGE.pack(MAGIC, CHALLENGE, client_salt, relay_salt, now_ns, cookie)
        return head + _mac(self._challenge, head)

    def read_challenge(self, datagram: bytes, client_salt: bytes) -> Challenge:
        """The challenge of a relay that has the PSK, for this very greeting.

        Raises:
            Rejected: cut off, not by this PSK, or the answer to another greeting.
        """
        head = _authentic(datagram, CHALLENGE_SIZE, self._challenge, Reason.FORGED)
        challenge = Challenge(*_CHALLENGE.unpack(head)[2:])
        if challenge.client_salt != client_salt:
            raise Rejected(Reason.REPLAYED)
        return challenge

    def start(self, challenge: Challenge, sequence: int, client_id: bytes) -> bytes:
        """The client's way in; sealed with the session's key, so it proves the PSK."""
        keys = SessionKeys.derive(self._psk, challenge.client_salt, challenge.relay_salt)
        head = _START.pack(MAGIC, START, *challenge, sequence)
        return head + AESGCM(keys.to_relay).encrypt(_NONCE.pack(sequence), client_id, head)

    def read_start(self, cookie_key: bytes, address: bytes, datagram: bytes, now_ns: int) -> Start:
        """A client's way in, proven fresh: it seals with a salt that this boot made just now.

        Whether it was here before is the caller's to know: nothing is kept here.

        Raises:
            Rejected: cut off, of another boot or address, too old, or not by this PSK.
        """
        if len(datagram) != START_SIZE:
            raise Rejected(Reason.TRUNCATED)
        head = datagram[: _START.size]
        _, _, client_salt, relay_salt, relay_ns, cookie, sequence = _START.unpack(head)
        expected = _cookie(cookie_key, address, client_salt, relay_salt, relay_ns)
        ours = hmac.compare_digest(cookie, expected)
        if not ours or not 0 <= now_ns - relay_ns <= _COOKIE_LIFE_NS:
            raise Rejected(Reason.START_OUTDATED)
        keys = SessionKeys.derive(self._psk, client_salt, relay_salt)
        try:
            client_id = AESGCM(keys.to_relay).decrypt(
                _NONCE.pack(sequence), datagram[_START.size :], head
            )
        except InvalidTag:
            raise Rejected(Reason.START_FORGED) from None
        challenge = Challenge(client_salt, relay_salt, relay_ns, cookie)
        return Start(challenge, sequence, client_id, keys)

    def session_keys(self, challenge: Challenge) -> SessionKeys:
        """The keys of the session that this challenge leads to."""
        return SessionKeys.derive(self._psk, challenge.client_salt, challenge.relay_salt)

    def reset(self, session: bytes, sequence: int) -> bytes:
        """Tells whoever has the PSK that there is no such session; shorter than any packet."""
        head = _PACKET.pack(MAGIC, RESET, session, sequence)
        return head + _mac(self._reset, head)[:_RESET_MAC]

    def read_reset(self, datagram: bytes) -> tuple[bytes, int]:
        """The session that a relay with this PSK does not have, and the packet that asked.

        Raises:
            Rejected: cut off, or not by this PSK.
        """
        if len(datagram) != RESET_SIZE:
            raise Rejected(Reason.TRUNCATED)
        head, mac = datagram[: _PACKET.size], datagram[_PACKET.size :]
        if not hmac.compare_digest(_mac(self._reset, head)[:_RESET_MAC], mac):
            raise Rejected(Reason.FORGED)
        return head[4:12], int.from_bytes(head[12:20], "big")


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)


def _authentic(datagram: bytes, size: int, key: bytes, forged: Reason) -> bytes:
    """What the HMAC at the end of a datagram of exactly `size` bytes vouches for."""
    if len(datagram) != size:
        raise Rejected(Reason.TRUNCATED)
    head, mac = datagram[:-_MAC], datagram[-_MAC:]
    if not hmac.compare_digest(_mac(key, head), mac):
        raise Rejected(forged)
    return head


def _cookie(
    key: bytes, address: bytes, client_salt: bytes, relay_salt: bytes, relay_ns: int
) -> bytes:
    stamp = relay_ns.to_bytes(8, "big")
    return _mac(key, client_salt + relay_salt + stamp + address)[:_COOKIE]
