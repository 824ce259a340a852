"""Freshness for live verification: a challenge used once, and a window around the caller's clock.

The library has no clock and draws no randomness; both come in as arguments.
"""

import hmac
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom_attest.errors import (
    ChallengeReused,
    DocumentFromFuture,
    DocumentTooOld,
    InvalidArgument,
    NonceMismatch,
)

__all__ = ["MIN_NONCE_BYTES", "Challenge", "FreshnessWindow"]

MIN_NONCE_BYTES: Final = 16
"""A random nonce shorter than this may repeat by chance."""

MAX_NONCE_BYTES: Final = 1024
"""Largest nonce seen in a genuine Nitro document; AWS's text says 512."""


class Challenge:
    """A nonce that this verifier drew and that one verification, successful or not, uses up.

    Refused attempts use it up too: a peer that may try again under the same nonce can collect
    answers and pick one. Ask again with a new nonce instead.
    """

    __slots__ = ("_lock", "_nonce", "_unused")

    def __init__(self, nonce: bytes) -> None:
        """Wraps `nonce`: 16..1024 bytes from the caller's CSPRNG, sent to nobody before.

        Raises:
            InvalidArgument: Too short or too long.
        """
        check_nonce_length(nonce)
        self._nonce = nonce
        self._unused = True
        self._lock = threading.Lock()

    @property
    def nonce(self) -> bytes:
        """The bytes to send to the platform."""
        return self._nonce

    def consume(self) -> bytes:
        """Returns the nonce the first time only; two racing threads cannot both have it.

        Raises:
            ChallengeReused: It was consumed before.
        """
        with self._lock:
            unused, self._unused = self._unused, False
        check_unused(unused)
        return self._nonce


@dataclass(frozen=True, slots=True)
class FreshnessWindow:
    """How far a document's signed timestamp may lie from the caller's clock, each way.

    The nonce already proves that the document is newer than the challenge; the window also bounds
    how long an answer may be held back, and shows a clock that is wrong. Thirty seconds of
    future skew is many times what a synchronised clock needs.
    """

    max_age: timedelta = timedelta(minutes=5)
    max_future_skew: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        check_window(self.max_age, self.max_future_skew)


def check_nonce_length(nonce: bytes) -> None:
    """Refuses nonces that could repeat by chance, or that no document can carry."""
    if not MIN_NONCE_BYTES <= len(nonce) <= MAX_NONCE_BYTES:
        raise InvalidArgument(
            f"a nonce has {MIN_NONCE_BYTES}..{MAX_NONCE_BYTES} bytes, this one {len(nonce)}"
        )


def check_window(max_age: timedelta, max_future_skew: timedelta) -> None:
    """Refuses negative sides: such a window accepts nothing, and its author meant something."""
    if max_age < timedelta(0) or max_future_skew < timedelta(0):
        raise InvalidArgument("a freshness window cannot have a negative side")


def check_unused(unused: bool) -> None:
    """Refuses a challenge that was presented before."""
    if not unused:
        raise ChallengeReused("this challenge was already used: draw a new nonce and ask again")


def check_aware(moment: datetime, name: str) -> None:
    """Refuses a datetime without a zone: nobody knows which instant it is."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidArgument(f"{name} must carry a time zone (for instance datetime.now(UTC))")


def check_nonce(expected: bytes, actual: bytes | None) -> None:
    """Proves, in constant time, that the document answers the challenge."""
    if actual is None or not hmac.compare_digest(expected, actual):
        raise NonceMismatch(
            "the document's nonce is not the one this verifier sent: it answers another request",
            expected=expected,
            actual=actual,
        )


def check_not_too_old(made: datetime, now: datetime, window: FreshnessWindow) -> None:
    """Proves that the document was made at most `max_age` before `now`."""
    if now - made > window.max_age:
        raise DocumentTooOld(
            f"the document says {made.isoformat()}, {now - made} before {now.isoformat()}; at most "
            f"{window.max_age} is allowed. It carries the right nonce, so either its delivery was "
            "held up or the clock that gave the later time runs fast",
            expected=window.max_age,
            actual=now - made,
        )


def check_not_from_future(made: datetime, now: datetime, window: FreshnessWindow) -> None:
    """Proves that the document was made at most `max_future_skew` after `now`."""
    if made - now > window.max_future_skew:
        raise DocumentFromFuture(
            f"the document says {made.isoformat()}, {made - now} after {now.isoformat()}; at most "
            f"{window.max_future_skew} is allowed. The clock that gave the earlier time runs slow, "
            "or the platform's runs fast",
            expected=window.max_future_skew,
            actual=made - now,
        )
