"""TLS to a venue: it ends in this process, and the host's proxy carries bytes it cannot read."""

import hashlib
import ssl
from collections.abc import Callable
from socket import socket

import certifi
from strongroom_wire.errors import Code, require
from strongroom_wire.manifest import Egress

from strongroom_enclave.platform.links import open_tunnel

# Opens a connection to the host's proxy; OSError if there is none.
Proxy = Callable[[], socket]


def trust(venue: Egress) -> ssl.SSLContext:
    """Returns a client context that trusts exactly the roots the manifest leaves of ours.

    Raises:
        Refused: VENUE_TLS when a fingerprint names no compiled-in root.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    roots = list(venue.development_roots)
    if not roots:
        compiled_in = ssl.create_default_context(cafile=certifi.where())
        roots = compiled_in.get_ca_certs(binary_form=True)
    if venue.roots:
        roots = [root for root in roots if hashlib.sha256(root).hexdigest() in venue.roots]
        require(len(roots) == len(venue.roots), Code.VENUE_TLS, "egress roots that are ours")
    context.load_verify_locations(cadata=b"".join(roots))
    return context


def connected(proxy: socket, venue: Egress, timeout: float) -> ssl.SSLSocket:
    """Returns a connection to the venue through one to the host's proxy, which it takes over.

    `timeout` is in seconds, for each step; the caller bounds the whole.

    Raises:
        Refused: VENUE_TLS when a fingerprint names no compiled-in root.
        ssl.SSLError: whoever answered is not the venue, or speaks no TLS that we do.
        OSError: the proxy or the venue is gone, refuses or is too slow.
    """
    tunnel = open_tunnel(proxy, venue.host, venue.port, timeout)
    return trust(venue).wrap_socket(tunnel, server_hostname=venue.host)
