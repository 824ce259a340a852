"""How often a client may call: fixed windows, and counters that time empties."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Bucket", "Exhausted", "Meter"]


class Exhausted(Exception):
    """The window is used up. The venue says so in its own words."""

    def __init__(self, retry_after_ms: int, used: int) -> None:
        super().__init__("rate limit")
        self.retry_after_ms, self.used = retry_after_ms, used


@dataclass(slots=True)
class Meter:
    """At most `limit` per `window_ms` for each key; windows begin at multiples of their length.

    `enabled` off counts and lets everything through, for measurements of speed.
    """

    limit: int
    window_ms: int
    enabled: bool = True
    _used: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, key: str, cost: int, now_ms: int) -> int:
        """Returns what the key has used in this window, this call included.

        Raises:
            Exhausted: it would be more than the limit.
        """
        window = now_ms // self.window_ms
        before, used = self._used.get(key, (window, 0))
        used = used if before == window else 0
        if self.enabled and used + cost > self.limit:
            raise Exhausted((window + 1) * self.window_ms - now_ms, used)
        self._used[key] = window, used + cost
        return used + cost


@dataclass(slots=True)
class Bucket:
    """A counter per key that calls raise and time lowers: one unit per `decay_ms`."""

    limit: int
    decay_ms: int
    enabled: bool = True
    _level: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, key: str, cost: int, now_ms: int) -> int:
        """Returns where the counter stands after this call, in whole units.

        Raises:
            Exhausted: it would stand above the limit.
        """
        at_ms, level = self._level.get(key, (now_ms, 0))
        level = max(0, level - max(0, now_ms - at_ms)) + cost * self.decay_ms
        if self.enabled and level > self.limit * self.decay_ms:
            raise Exhausted(level - self.limit * self.decay_ms, level // self.decay_ms)
        self._level[key] = now_ms, level
        return level // self.decay_ms
