"""What the relay counted: every datagram once, by what became of it; what became of requests."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final

from strongroom_host.relay.reasons import Reason

__all__ = ["Counters", "Event", "RateLimited", "prometheus"]


class Event(enum.IntEnum):
    """What is counted besides reasons. The first four are datagrams that were taken.

    Who counts in the hot path binds the number: looking an enumeration up costs more than adding.
    """

    TAKEN_V1 = 0
    TAKEN_HELLO = 1
    TAKEN_START = 2
    TAKEN_PACKET = 3
    FORWARDED = 4
    """Requests whose first byte was about to go upstream."""
    ANSWERED = 5
    REPEATED = 6
    """Retransmissions and polls that were answered from memory."""
    UNKNOWN_OUTCOMES = 7
    SESSIONS_OPENED = 8
    SESSIONS_CLOSED = 9
    RESETS = 10
    DEPOSITS_TAKEN = 11
    DEPOSITS_SENT = 12
    CONNECTIONS_MADE = 13
    CONNECTIONS_LOST = 14
    CONNECTS_FAILED = 15
    PROBES = 16

    @property
    def label(self) -> str:
        """The counter's name, such as `taken_v1`."""
        return self.name.lower()


_TAKEN: Final = (Event.TAKEN_V1, Event.TAKEN_HELLO, Event.TAKEN_START, Event.TAKEN_PACKET)
_FIRST_OF_REQUESTS: Final = 40


class Counters:
    """Counts. A datagram adds one to an event of the first four, or to a reason below 40."""

    __slots__ = ("events", "reasons")

    def __init__(self) -> None:
        self.events = [0] * len(Event)
        self.reasons = [0] * (max(Reason) + 1)

    @property
    def taken(self) -> int:
        """Datagrams that were authentic, fresh and understood."""
        return sum(self.events[event] for event in _TAKEN)

    @property
    def refused(self) -> int:
        """Datagrams that were not."""
        return sum(self.reasons[reason] for reason in Reason if reason < _FIRST_OF_REQUESTS)

    def named(self) -> dict[str, dict[str, int]]:
        """All counters by name; of the reasons, those that occurred."""
        return {
            "events": {event.label: self.events[event] for event in Event},
            "refused": {
                reason.label: self.reasons[reason] for reason in Reason if self.reasons[reason]
            },
        }


def prometheus(named: Mapping[str, Mapping[str, int]]) -> str:
    """`Counters.named` in Prometheus's text format."""
    lines = ["# TYPE strongroom_relay_events_total counter"]
    lines += [
        f'strongroom_relay_events_total{{event="{name}"}} {value}'
        for name, value in named.get("events", {}).items()
    ]
    lines.append("# TYPE strongroom_relay_refused_total counter")
    lines += [
        f'strongroom_relay_refused_total{{reason="{name}"}} {value}'
        for name, value in named.get("refused", {}).items()
    ]
    return "\n".join(lines) + "\n"


class RateLimited:
    """Writes at most one line of each kind in `every_ns`, and says how many it kept to itself.

    A flood of bad packets must not become a flood of lines.
    """

    __slots__ = ("_due", "_every_ns", "_kept", "_write")

    def __init__(self, write: Callable[[str], None], every_ns: int = 10_000_000_000) -> None:
        self._write, self._every_ns = write, every_ns
        self._due: dict[str, int] = {}
        self._kept: dict[str, int] = {}

    def __call__(self, kind: str, text: Callable[[], str], now_ns: int) -> None:
        """Writes `text()`, which is made only when it is written; kinds are few and ours."""
        if now_ns < self._due.get(kind, 0):
            self._kept[kind] = self._kept.get(kind, 0) + 1
            return
        self._due[kind] = now_ns + self._every_ns
        kept = self._kept.pop(kind, 0)
        self._write(f"{text()}{f' ({kept} more like it since)' if kept else ''}")
