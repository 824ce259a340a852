"""The relay: signed requests over UDP to a process beside the venue, answers back."""

from strongroom_host.relay.client import ClientLimits, RelayClient
from strongroom_host.relay.errors import ClientMisused, RelayRefused, RelayUnreachable
from strongroom_host.relay.heartbeats import Beating, Heartbeats
from strongroom_host.relay.keys import PskRefused, parse_psk
from strongroom_host.relay.messages import HeldState
from strongroom_host.relay.opening import SequenceSource
from strongroom_host.relay.pending import Pending, Timing

__all__ = [
    "Beating",
    "ClientLimits",
    "ClientMisused",
    "Heartbeats",
    "HeldState",
    "Pending",
    "PskRefused",
    "RelayClient",
    "RelayRefused",
    "RelayUnreachable",
    "SequenceSource",
    "Timing",
    "parse_psk",
]
