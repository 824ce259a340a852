"""Why there is no trading, or no more of it."""

from strongroom_host.errors import BadInput, EnvironmentFault, HostError
from strongroom_host.venue.errors import NotSent

__all__ = [
    "ClockSkewed",
    "LogNotKept",
    "MarketUnknown",
    "OutletBusy",
    "RingEnded",
    "SessionUnclear",
    "TemplateUnfit",
]


class MarketUnknown(BadInput):
    """A market is named that the ring or the manifest does not have."""


class ClockSkewed(EnvironmentFault):
    """This machine's clock and the venue's timestamps disagree: orders would be refused as too old,
    or the ring replays the past."""


class LogNotKept(EnvironmentFault):
    """The keeper does not answer, or keeps another enclave's log: no order would ever leave."""


class RingEnded(EnvironmentFault):
    """The ring's producer has ended it, and no other took over."""


class OutletBusy(NotSent):
    """More requests are under way than the way to the venue takes."""


class TemplateUnfit(HostError):
    """A signed request has another shape than a template can be made of."""


class SessionUnclear(HostError):
    """Trading has ended, and some order may still be open at the venue."""

    exit_status = 4
