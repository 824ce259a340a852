"""Token buckets per signer, one for orders and one for cancels, and the headers they show."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom_host.testnet.contracts import Address
from strongroom_host.testnet.errors import RateLimited

__all__ = ["Allowed", "RateLimits"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the ``Poly-RateLimit-*`` headers say after a request was counted."""

    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """The response headers."""
        return {
            "Poly-RateLimit-Remaining": str(self.remaining),
            "Poly-RateLimit-Reset": str(self.reset_s),
            "Poly-RateLimit-Tier": "testnet",
        }


@dataclass(slots=True)
class _Bucket:
    milli_tokens: int
    at_ms: int


class RateLimits:
    """Buckets of `burst` tokens that refill at `per_second`; counted in thousandths."""

    def __init__(self, burst: int, per_second: int) -> None:
        self._burst = burst
        self._per_second = per_second
        self._buckets: dict[tuple[Address, str], _Bucket] = {}

    def take(self, signer: Address, kind: str, cost: int, now_ms: int) -> Allowed:
        """Count `cost` against `signer`'s bucket of `kind` ("order" or "cancel").

        Raises:
            RateLimited: the bucket holds less than `cost`; nothing is taken from it.
        """
        bucket = self._buckets.setdefault((signer, kind), _Bucket(self._burst * 1000, now_ms))
        gained = max(0, now_ms - bucket.at_ms) * self._per_second
        bucket.milli_tokens = min(self._burst * 1000, bucket.milli_tokens + gained)
        bucket.at_ms = now_ms
        if bucket.milli_tokens < cost * 1000:
            raise RateLimited
        bucket.milli_tokens -= cost * 1000
        return self.peek(signer, kind, now_ms)

    def peek(self, signer: Address, kind: str, now_ms: int) -> Allowed:
        """The bucket's state without counting anything."""
        bucket = self._buckets.get((signer, kind))
        tokens = self._burst * 1000 if bucket is None else bucket.milli_tokens
        missing = self._burst * 1000 - tokens
        return Allowed(tokens // 1000, (now_ms + -(-missing // self._per_second)) // 1000)
