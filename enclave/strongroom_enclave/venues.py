"""The venues a track record may be read from, and the only hosts that its process asks for."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress

__all__ = ["HOSTS", "reachable"]

HOSTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "binance": ("api.binance.com", "fapi.binance.com"),
        "bitget": ("api.bitget.com",),
        "bybit": ("api.bybit.com",),
        "coinbase": ("api.coinbase.com",),
        "kraken": ("api.kraken.com",),
        "mexc": ("api.mexc.com",),
    }
)


def reachable(venue: str, narrowed: Iterable[Egress] = ()) -> dict[str, Egress]:
    """Returns by host what a venue's connector may reach: ours, each as the manifest narrows it.

    A host that the manifest does not name keeps all compiled-in roots.

    Raises:
        Refused: VENUE_NOT_ALLOWED when the venue is none of ours, or the manifest names a host or
            port that is none of its.
    """
    found = {host: Egress(host, 443, (), ()) for host in HOSTS.get(venue, ())}
    for egress in narrowed:
        if egress.port != 443 or egress.host not in found:
            raise Refused(Code.VENUE_NOT_ALLOWED, "host of a venue", tuple(found), egress.host)
        found[egress.host] = egress
    if not found:
        raise Refused(Code.VENUE_NOT_ALLOWED, "venue", tuple(HOSTS), venue)
    return found
