"""The way out: a CONNECT proxy that carries enclaves' TLS to allowed venues, unread."""

from strongroom_host.egress.proxy import EgressLimits, EgressProxy, ListenFailed
from strongroom_host.egress.targets import InvalidTarget, Place, Target, parse_target

__all__ = [
    "EgressLimits",
    "EgressProxy",
    "InvalidTarget",
    "ListenFailed",
    "Place",
    "Target",
    "parse_target",
]
