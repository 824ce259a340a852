"""What a client of the relay can meet besides an answer. Each means: no byte went to the venue."""

from __future__ import annotations

from strongroom_host.errors import BadInput, EnvironmentFault
from strongroom_host.relay.reasons import WORDS, Reason
from strongroom_host.venue import NotSent

__all__ = ["AddressRefused", "ClientMisused", "RelayRefused", "RelayUnreachable"]


class RelayUnreachable(NotSent):
    """No session with the relay: it does not answer, or has another PSK."""

    exit_status = EnvironmentFault.exit_status


class RelayRefused(NotSent):
    """The relay says, authenticated, that it has not sent the request and will not."""

    def __init__(self, reason: Reason, detail: str) -> None:
        words = WORDS[reason]
        super().__init__(
            f"the relay did not forward it ({reason.label}): {words.meaning}",
            actual=detail or None,
            remedy=words.remedy,
        )
        self.reason = reason


class ClientMisused(BadInput):
    """A session used by a process that did not open it: its numbers would be used twice."""


class AddressRefused(BadInput):
    """Not an address to send to or to listen on."""
