"""How often somebody may ask: a token bucket per key, and per address before any key is read."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Final

from strongroom_host.gateway.errors import TooManyRequests

__all__ = ["Buckets", "Left", "Rate", "place_of"]

_MAX_BUCKETS: Final = 65_536
_SCALE: Final = 1000
"""Tokens are counted in thousandths, and times in ms: a rate of n/s adds n thousandths a ms."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and so many a second after that."""

    burst: int
    per_second: int


@dataclass(frozen=True, slots=True)
class Left:
    """What remains after a request: of how many, how many, and seconds until all are back."""

    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """As headers of an answer."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class Buckets:
    """A bucket per name, full at first. In memory: a restart fills all of them.

    Beyond 65,536 names the one that asked longest ago is forgotten, as if it had been refilled.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._full = rate.burst * _SCALE
        self._levels = OrderedDict[str, tuple[int, int]]()

    def take(self, name: str, now_ms: int, cost: int = 1) -> Left:
        """Takes `cost` tokens out of a bucket; an empty one is not made emptier by asking.

        Raises:
            TooManyRequests: there are not as many in it.
        """
        # More than a bucket holds would never pass.
        price = min(cost * _SCALE, self._full)
        with self._lock:
            level, before = self._levels.pop(name, (self._full, now_ms))
            # A clock that was set back neither fills nor empties.
            grown = max(0, now_ms - before) * self.rate.per_second
            level = min(self._full, level + grown)
            passed = level >= price
            if passed:
                level -= price
            self._levels[name] = (level, max(now_ms, before))
            while len(self._levels) > _MAX_BUCKETS:
                self._levels.popitem(last=False)
        if not passed:
            raise TooManyRequests(self._seconds(price - level), self.rate.burst)
        return Left(self.rate.burst, level // _SCALE, self._seconds(self._full - level))

    def _seconds(self, missing: int) -> int:
        return ceil(missing / (self.rate.per_second * _SCALE))


def place_of(address: str) -> str:
    """Returns what an address is counted as: of IPv6 its /64, since each client has all of one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return parsed.exploded[:19]
    return str(parsed)
