"""The pre-shared key, and the keys that are made of it.

HKDF-SHA256 (RFC 5869) throughout. v1 uses the PSK as it is, because its format says so; every key
of v2 is derived under a label of its own, so no MAC of one purpose is good for another.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from dataclasses import dataclass
from typing import Final

from strongroom_host.errors import BadInput

__all__ = [
    "MIN_PSK",
    "SALT_SIZE",
    "PskRefused",
    "SessionKeys",
    "fingerprint",
    "labelled",
    "parse_psk",
]

MIN_PSK: Final = 32
_MAX_PSK: Final = 1024
_MIN_DISTINCT: Final = 16
SALT_SIZE: Final = 16

_LABEL: Final = b"strongroom relay v2 "
_MAKE_ONE: Final = "make one with `strongroom relay psk`, and give it to both sides"


class PskRefused(BadInput):
    """The pre-shared key is none that anybody should use."""


def parse_psk(text: str, origin: str) -> bytes:
    """The key written in hex as `text`, which `origin` (a variable, a file) held.

    Besides its length, patterns are refused that no random generator makes: few different bytes, or
    equal steps from byte to byte.

    Raises:
        PskRefused: not hex, too short, too long, or a pattern. The key itself is never shown.
    """
    digits = text.strip()
    try:
        key = bytes.fromhex(digits) if digits.isascii() else b""
    except ValueError:
        key = b""
    if not key or len(key) * 2 != len(digits):
        raise PskRefused(
            f"{origin} is not hexadecimal",
            expected=f"at least {2 * MIN_PSK} hex digits and nothing else",
            actual=f"{len(digits)} characters",
            remedy=_MAKE_ONE,
        )
    if not MIN_PSK <= len(key) <= _MAX_PSK:
        raise PskRefused(
            f"{origin} is too {'short' if len(key) < MIN_PSK else 'long'}",
            expected=f"{MIN_PSK} to {_MAX_PSK} bytes",
            actual=f"{len(key)} bytes",
            remedy=_MAKE_ONE,
        )
    steps = {(after - before) % 256 for before, after in itertools.pairwise(key)}
    if len(set(key)) < _MIN_DISTINCT or len(steps) == 1:
        raise PskRefused(
            f"{origin} is a pattern, not a random key",
            expected=f"at least {_MIN_DISTINCT} different bytes without order",
            actual=f"{len(set(key))} different bytes"
            + (", equally spaced" if len(steps) == 1 else ""),
            remedy=_MAKE_ONE,
        )
    return key


def labelled(psk: bytes, label: bytes, salt: bytes = b"", size: int = 32) -> bytes:
    """`size` bytes (at most 32) of key for the purpose `label`, bound to `salt`."""
    extracted = hmac.digest(salt or bytes(32), psk, hashlib.sha256)
    return hmac.digest(extracted, _LABEL + label + b"\x01", hashlib.sha256)[:size]


def fingerprint(psk: bytes) -> str:
    """Sixteen hex digits by which two people compare their keys without showing them."""
    return labelled(psk, b"fingerprint", size=8).hex()


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The two AES-256 keys of one session, one for each direction.

    `client_salt` is the client's, made anew at every opening; `relay_salt` the relay's, made anew
    for every challenge. So either side's restart alone makes both keys new.
    """

    to_relay: bytes
    to_client: bytes

    @classmethod
    def derive(cls, psk: bytes, client_salt: bytes, relay_salt: bytes) -> SessionKeys:
        """The keys of the session between these salts, 16 bytes each."""
        salt = client_salt + relay_salt
        return cls(labelled(psk, b"to relay", salt), labelled(psk, b"to client", salt))
