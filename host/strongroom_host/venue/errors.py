"""What can go wrong between host and venue, split by the only question that matters: was it sent?

`NotSent` means that not one byte of the request left this process, so the same bytes may be sent
again. `OutcomeUnknown` means that the venue may have acted: never retry, reconcile.
"""

from __future__ import annotations

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = [
    "ConnectFailed",
    "MalformedRequest",
    "NotSent",
    "OutcomeUnknown",
    "TlsRefused",
]


class MalformedRequest(BadInput):
    """The bytes to send are not exactly one complete HTTP/1.1 request for this venue."""


class NotSent(HostError):
    """Nothing of the request was sent."""


class ConnectFailed(NotSent):
    """No TCP connection to the venue, or it broke during the TLS handshake."""

    exit_status = EnvironmentFault.exit_status


class TlsRefused(NotSent):
    """The peer did not prove to be the venue: its certificate was not accepted."""


class OutcomeUnknown(HostError):
    """Some or all of the request was sent and no complete answer came back.

    `actual` says how it broke off; `status` is the answer's status if that much arrived.
    """

    def __init__(self, what: str, *, actual: object = None, status: int | None = None) -> None:
        super().__init__(
            what, actual=actual, remedy="query the order by its hash; never send it again"
        )
        self.status = status
