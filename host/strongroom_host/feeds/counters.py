"""What happened on a feed, counted: for its status line, for Prometheus, for tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from strongroom_host.feeds.errors import Reason

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """All counts since the start; times in ns."""

    messages: int = 0
    ticks: int = 0
    duplicates: int = 0
    breaks: int = 0
    resubscribed: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    """Why connections ended, by a word of ours."""
    connected: int = 0
    suspicions: Counter[str] = field(default_factory=Counter)
    """Checks of a venue's book that failed, by check."""
    false_alarms: Counter[str] = field(default_factory=Counter)
    """Of those, the ones where a fresh snapshot agreed with the book in doubt."""
    recoveries: int = 0
    recovery_ns: int = 0
    """The longest time without any connection that covered, of those that ended."""
    skew_ns: int = 0
    """This host's clock less the venue's, at its smallest of late: latency and clock error."""
    checked_books: int = 0
