"""Fetches an API credential: TLS ends here, and the host's proxy carries bytes it cannot read.

The signer hands over a complete, L1-signed request; the venue's answer, the only JSON from outside
that the enclave parses for the signer, is reduced to a fixed-layout record before it goes back.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import astuple
from strongroom_wire import encoding
from strongroom_wire.errors import Code, Refused, WireError, require
from strongroom_wire.manifest import Egress

from strongroom_enclave.http import exchange
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform import hardening, links
from strongroom_enclave.tls import connected

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
    answer, _ = exchange(lambda: connected(links.inherited(proxy), venue, _TIMEOUT), request)
    require(answer.status == 200 and len(answer.body) <= _MAX_BODY, Code.VENUE_REFUSED, "answer")
    try:
        return msgspec.json.decode(answer.body, type=Credential)
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
        found = astuple(fetch(proxy, msgspec.msgpack.decode(venue, type=Egress), request))
        outcome = encoding.u32(Code.OK) + encoding.pack(b"credential", *map(str.encode, found))
    except WireError as error:
        outcome = encoding.u32(error.code)
    link.send(Kind.ENROLLED, number, outcome)
