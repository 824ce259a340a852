"""The host's side of a venue: sends signed bytes as they are and says what is certain after."""

from strongroom_host.venue.connection import ConnectionLimits, VenueConnection, VenueResponse
from strongroom_host.venue.errors import (
    ConnectFailed,
    MalformedRequest,
    NotSent,
    OutcomeUnknown,
    TlsRefused,
)
from strongroom_host.venue.requests import InvalidSignedRequest, SignedRequest

__all__ = [
    "ConnectFailed",
    "ConnectionLimits",
    "InvalidSignedRequest",
    "MalformedRequest",
    "NotSent",
    "OutcomeUnknown",
    "SignedRequest",
    "TlsRefused",
    "VenueConnection",
    "VenueResponse",
]
