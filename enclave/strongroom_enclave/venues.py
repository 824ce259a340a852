"""The hosts this image may ever talk to. A manifest narrows the list; nothing can widen it.

Development manifests may name other hosts, with roots of their own, so that local test venues work;
the mode is in the manifest digest, hence in the evidence, and a production policy refuses it.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress, Manifest

__all__ = ["HOSTS", "VENUES", "check_egress", "reachable"]

VENUES = frozenset({("clob.polymarket.com", 443)})
"""Where the signer's requests go."""

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
"""Where a track record is read from, and the only hosts that its process asks for."""


def check_egress(manifest: Manifest) -> None:
    """Proves that the manifest only narrows what is compiled in, or says it is development.

    Raises:
        Refused: VENUE_NOT_ALLOWED, naming the host.
    """
    for venue in manifest.egress:
        local = manifest.mode == "development" and venue.development_roots
        where = venue.host, venue.port
        if where not in VENUES and not local:
            raise Refused(Code.VENUE_NOT_ALLOWED, "egress", sorted(VENUES), where)


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
