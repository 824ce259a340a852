"""The hosts this image may ever talk to. A manifest narrows the list; nothing can widen it.

Development manifests may name other hosts, with roots of their own, so that local test venues work;
the mode is in the manifest digest, hence in the evidence, and a production policy refuses it.
"""

from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Manifest

__all__ = ["VENUES", "check_egress"]

VENUES = frozenset({("clob.polymarket.com", 443)})


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
