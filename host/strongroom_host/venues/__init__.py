"""Local venues: servers that answer as exchanges do, over a market whose truth is known."""

from strongroom_host.venues.defaults import (
    VENUES,
    Login,
    default_market,
    default_venues,
    make_account,
    plan_for,
)
from strongroom_host.venues.faults import Fault, FaultKind
from strongroom_host.venues.history import Fill, Flow, History, Move, plain
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import Account, VenueClock, World

__all__ = [
    "VENUES",
    "Account",
    "Fault",
    "FaultKind",
    "Fill",
    "Flow",
    "History",
    "Login",
    "Move",
    "VenueClock",
    "VenuesServer",
    "World",
    "default_market",
    "default_venues",
    "make_account",
    "plain",
    "plan_for",
]
