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
    skipped: int = 0
    """What connections left out by the venue's own numbers; another one may have brought it."""
    lost: int = 0
    """Trades that never came, by their numbers, over all connections and ends of connections."""
    stale: int = 0
    """What came after something newer of its kind, and was left out for that."""
    breaks: int = 0
    resubscribed: int = 0
    """Connections ended because the state kept here had to be had anew."""
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
    checked_books: int = 0
