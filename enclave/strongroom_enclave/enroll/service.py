"""Fetches an API credential: TLS ends here, and the host's proxy carries bytes it cannot read.

The signer hands over a complete, L1-signed request; the venue's answer, the only JSON from outside
that the enclave parses for the signer, is reduced to a fixed-layout record before it goes back.
"""

import http.client
import ssl
from collections.abc import Iterable

import msgspec
from strongroom_wire import encoding
from strongroom_wire.errors import Code, Refused, WireError
from strongroom_wire.manifest import Egress

from strongroom_enclave.messages import Kind
from strongroom_enclave.platform import hardening, links
from strongroom_enclave.tls import connected

__all__ = ["Credential", "main"]

_TIMEOUT = 20.0
_LIFETIME = 45  # or a venue that sends a byte now and then blocks every later enrolment
_MAX_BODY = 16 * 1024


class Credential(msgspec.Struct, frozen=True):
    """The venue's answer; other fields are ignored, these must be short strings."""

    apiKey: str
    secret: str
    passphrase: str


def fetch(proxy: str, venue: Egress, request: bytes) -> Credential:
    """Returns the credential in the venue's answer to `request`.

    Raises:
        Refused: VENUE_UNREACHABLE, VENUE_TLS or VENUE_REFUSED.
    """
    try:
        with connected(links.inherited(proxy), venue, _TIMEOUT) as stream:
            stream.sendall(request)
            response = http.client.HTTPResponse(stream)
            response.begin()
            body = response.read(_MAX_BODY + 1)
    except ssl.SSLError as error:
        raise Refused(Code.VENUE_TLS, "venue certificate", "trusted", error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise Refused(Code.VENUE_UNREACHABLE, "venue", "an answer", type(error)) from error
    if response.status != 200 or len(body) > _MAX_BODY:
        raise Refused(Code.VENUE_REFUSED, "venue status", 200, response.status)
    try:
        return msgspec.json.decode(body, type=Credential)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Code.VENUE_REFUSED, "venue answer", "a credential", "other JSON") from error


def main(arguments: Iterable[str]) -> None:
    """Runs one enrolment: link descriptor, descriptor of the connection to the host's proxy."""
    descriptor, proxy = arguments
    hardening.harden(_LIFETIME)
    hardening.confine()
    link = links.Link(int(descriptor))
    _, number, job = link.receive(_TIMEOUT)
    venue, request = encoding.unpack(b"enroll", job)
    try:
        found = fetch(proxy, msgspec.msgpack.decode(venue, type=Egress), request)
        fields = (found.apiKey, found.secret, found.passphrase)
        record = encoding.pack(b"credential", *(field.encode() for field in fields))
        outcome = encoding.u32(Code.OK) + record
    except WireError as error:
        outcome = encoding.u32(error.code)
    link.send(Kind.ENROLLED, number, outcome)
