"""How often a client may call: fixed windows of a minute or second, counted in weights."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Exhausted", "Meter"]


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
