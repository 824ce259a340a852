"""What can be wrong with a feed: with what a venue sent, with how it was asked for, with this
host."""

from __future__ import annotations

import enum

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = ["BadFeed", "FeedUnavailable", "Reason", "Refused"]


class Reason(enum.Enum):
    """Why a message, or a part of one, was not taken. The value names the counter."""

    MALFORMED = "malformed"
    """Not the JSON, the transaction or the frame that its type promises."""
    INEXACT = "inexact"
    """A number finer than 1e-8: rounding it would make it another number."""
    OUT_OF_RANGE = "out_of_range"
    """A number that no tick can hold."""
    OVERSIZED = "oversized"
    NOT_UTF8 = "not_utf8"
    UNKNOWN_TYPE = "unknown_type"
    """A type of message that is not read here; venues add them without notice."""
    NOT_ASKED_FOR = "not_asked_for"
    """Of an instrument that nobody subscribed to."""
    VENUE_ERROR = "venue_error"
    """The venue answered with an error of its own."""

    @property
    def loses(self) -> bool:
        """Whether a tick may be missing because of it."""
        return self not in (Reason.UNKNOWN_TYPE, Reason.NOT_ASKED_FOR)


class Refused(HostError):
    """A venue's message cannot be taken as it is; the feed goes on without it."""

    def __init__(self, reason: Reason, what: str, *, actual: object = None) -> None:
        super().__init__(what, actual=actual)
        self.reason = reason


class BadFeed(BadInput):
    """A feed's configuration: an unknown name, an option out of range, a file that is none."""


class FeedUnavailable(EnvironmentFault):
    """A package or a name on the network is missing for a feed."""
