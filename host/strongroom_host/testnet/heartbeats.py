"""The dead-man switch: once an API key beats, silence cancels its open orders.

Each beat must name the id that the last one returned (the first names the empty string), so a
second client with the same key notices, and a replayed beat keeps nothing alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from strongroom_host.testnet.errors import HeartbeatMismatch

__all__ = ["Heartbeats"]


@dataclass(frozen=True, slots=True)
class _Beat:
    heartbeat_id: str
    due_ms: int


class Heartbeats:
    """The beats of all API keys; `window_ms` is how long one beat lasts."""

    def __init__(self, window_ms: int, new_id: Callable[[], str]) -> None:
        self._window_ms = window_ms
        self._new_id = new_id
        self._beats: dict[str, _Beat] = {}

    def beat(self, owner: str, heartbeat_id: str, now_ms: int) -> str:
        """Take a beat of `owner` and return the id the next one must name.

        Raises:
            HeartbeatMismatch: not the id expected; the deadline does not move.
        """
        known = self._beats.get(owner)
        expected = "" if known is None else known.heartbeat_id
        if heartbeat_id != expected:
            raise HeartbeatMismatch(expected, heartbeat_id)
        fresh = self._new_id()
        self._beats[owner] = _Beat(fresh, now_ms + self._window_ms)
        return fresh

    def expire(self, now_ms: int) -> tuple[str, ...]:
        """The owners whose beat is overdue; each is named once and must start anew."""
        overdue = tuple(owner for owner, beat in self._beats.items() if now_ms > beat.due_ms)
        for owner in overdue:
            del self._beats[owner]
        return overdue
