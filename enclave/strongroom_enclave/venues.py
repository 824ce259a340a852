"""The hosts this image may ever talk to. A manifest narrows the list; nothing can widen it.

Development manifests may name other hosts, with roots of their own, so that local test venues work;
the mode is in the manifest digest, hence in the evidence, and a production policy refuses it.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from strongroom_wire.errors import Code, require
from strongroom_wire.manifest import Egress, Manifest

# Where the signer's requests go.
VENUES = frozenset({("clob.polymarket.com", 443)})

# Where a track record is read from, and the only hosts that its process asks for.
HOSTS: Final[Mapping[str, tuple[str, ...]]] = {
    "alpaca": ("api.alpaca.markets", "paper-api.alpaca.markets", "data.alpaca.markets"),
    "binance": ("api.binance.com", "fapi.binance.com"),
    "bitget": ("api.bitget.com",),
    "bybit": ("api.bybit.com",),
    "coinbase": ("api.coinbase.com",),
    "ibkr": ("ndcdyn.interactivebrokers.com", "gdcdyn.interactivebrokers.com"),
    "kraken": ("api.kraken.com",),
    "mexc": ("api.mexc.com",),
}


def check_egress(manifest: Manifest) -> None:
    """Proves that the manifest only narrows what is compiled in, or says it is development.

    Raises:
        Refused: VENUE_NOT_ALLOWED, naming the host, or the venue of an account.
    """
    ours = {(host, 443) for each in manifest.accounts for host in reachable(each.venue)} | VENUES
    for venue in manifest.egress:
        local = manifest.mode == "development" and venue.development_roots
        where = venue.host, venue.port
        require(where in ours or bool(local), Code.VENUE_NOT_ALLOWED, "egress", ours, where)


def reachable(venue: str, narrowed: Iterable[Egress] = ()) -> dict[str, Egress]:
    """Returns by host what a venue's connector may reach: ours, each as the manifest narrows it.

    A host that the manifest does not name keeps all compiled-in roots. What else the manifest names
    is for others.

    Raises:
        Refused: VENUE_NOT_ALLOWED when the venue is none of ours.
    """
    require(venue in HOSTS, Code.VENUE_NOT_ALLOWED, "venue", tuple(HOSTS), venue)
    found = {host: Egress(host, 443, (), ()) for host in HOSTS[venue]}
    return found | {egress.host: egress for egress in narrowed if egress.host in found}
