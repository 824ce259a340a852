"""TLS peers known by their keys: pin sets on top of a normal verification, never in its place.

A pin is the SHA-256 of a certificate's SubjectPublicKeyInfo, as its DER stands in the certificate
(RFC 5280 4.1). A host has a *set*: one pin of a key in use and at least one of a key that would
follow, so that a rotation needs no change here on the same day. A peer passes when any certificate
of the chain that verification built (leaf, intermediates, trust anchor) has a pinned key.

Two ways in:

* `pinned_context` for sockets, asyncio and uvloop. The check is part of the handshake, so nothing
  is written to a peer that fails it.
* `check_peer` for a TLS engine that makes no `ssl.SSLObject` (picows drives OpenSSL itself): called
  when the connection stands, before the first message is read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from strongroom_host.errors import BadInput, HostError

__all__ = [
    "BadCertificate",
    "BadPin",
    "Chain",
    "PinMismatch",
    "PinSet",
    "check",
    "check_peer",
    "parse_pin",
    "pin_of",
    "pin_text",
    "pinned_context",
    "subject_public_key_info",
    "verified_chain",
    "verifying_context",
]

_PREFIX: Final = "sha256/"
_DER_ENCODING: Final = 2
"""`_ssl.ENCODING_DER`, for Pythons before 3.13, whose verified chain is not public."""


class BadPin(BadInput):
    """A pin that is none, a set without pins, or a set for another host."""


class BadCertificate(HostError):
    """A certificate's DER does not lead to its SubjectPublicKeyInfo."""


class PinMismatch(HostError, ssl.SSLError):
    """The peer proved its name, but with none of the keys that are pinned for it.

    An `ssl.SSLError` too: event loops end a handshake cleanly for those, and for no other error.
    """

    exit_status: ClassVar[int] = 3

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class PinSet:
    """The keys that `host` may have: `pins` are SHA-256 digests of 32 bytes, at least one.

    Raises:
        BadPin: no host, no pin, or one that is not 32 bytes.
    """

    host: str
    pins: frozenset[bytes]

    def __post_init__(self) -> None:
        if not self.host:
            raise BadPin("a pin set names its host")
        if not self.pins:
            raise BadPin(
                f"no pin for {self.host}",
                expected="at least one, better two: the key in use and the one to follow",
                remedy="`strongroom feed pins HOST` prints those of today",
            )
        if any(len(pin) != 32 for pin in self.pins):
            raise BadPin(f"a pin for {self.host} is no SHA-256", expected="32 bytes")

    @classmethod
    def of(cls, host: str, texts: Iterable[str]) -> PinSet:
        """The set that configuration writes as texts; see `parse_pin`.

        Raises:
            BadPin: a text is no pin, or there is none.
        """
        return cls(host, frozenset(parse_pin(text) for text in texts))


@dataclass(frozen=True, slots=True)
class Chain:
    """The DER certificates a verification ended in, leaf first.

    `whole` is False where this Python tells of the leaf alone: then only a pin of the leaf's key
    can match, and a pinned intermediate or anchor fails closed.
    """

    certificates: tuple[bytes, ...]
    whole: bool


def pin_text(pin: bytes) -> str:
    """A pin as configuration writes it: ``sha256/`` and padded base64."""
    return _PREFIX + base64.b64encode(pin).decode()


def parse_pin(text: str) -> bytes:
    """The 32 bytes of ``sha256/BASE64``.

    Raises:
        BadPin: another form, or base64 that is not of 32 bytes.
    """
    try:
        pin = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        pin = b""
    if len(pin) != 32 or pin_text(pin) != text:  # which sees to prefix and padding bits
        raise BadPin(
            "a pin cannot be read",
            expected="sha256/ and 44 characters of base64",
            actual=text[:80],
            remedy="`strongroom feed pins HOST` prints a host's pins of today",
        )
    return pin


def subject_public_key_info(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a DER certificate, byte for byte as it stands there.

    RFC 5280 4.1: Certificate is SEQUENCE { tbsCertificate SEQUENCE { [0] version OPTIONAL, serial,
    signature, issuer, validity, subject, subjectPublicKeyInfo, .. } .. }. Only the way to that
    field is walked: what else the certificate says was verification's to judge.

    Raises:
        BadCertificate: the bytes do not lead there.
    """
    start, end = _element(certificate, 0, len(certificate), 0x30)[1:]
    start, end = _element(certificate, start, end, 0x30)[1:]
    if start < end and certificate[start] == 0xA0:
        start = _element(certificate, start, end, 0xA0)[2]
    for tag in (0x02, 0x30, 0x30, 0x30, 0x30):  # serial, signature, issuer, validity, subject
        start = _element(certificate, start, end, tag)[2]
    begin, _, finish = _element(certificate, start, end, 0x30)
    return certificate[begin:finish]


def _element(data: bytes, start: int, end: int, tag: int) -> tuple[int, int, int]:
    """(start, content start, end) of the element with `tag` at `start`, inside ``[start, end)``."""
    if end - start < 2 or data[start] != tag:
        raise BadCertificate("a certificate is not laid out as RFC 5280 says", actual=f"at {start}")
    length, content = data[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        # DER needs no more than four bytes for anything that a TLS peer can send.
        if not 1 <= size <= 4 or end - content < size:
            raise BadCertificate("a certificate has a malformed length", actual=f"at {start}")
        length = int.from_bytes(data[content : content + size], "big")
        content += size
    if length > end - content:
        raise BadCertificate("a certificate is cut off", actual=f"at {start}")
    return start, content, content + length


def pin_of(certificate: bytes) -> bytes:
    """The pin of a DER certificate's key.

    Raises:
        BadCertificate: the certificate cannot be walked.
    """
    return hashlib.sha256(subject_public_key_info(certificate)).digest()


def check(pins: PinSet, chain_der: Sequence[bytes]) -> bytes:
    """The pin that the verified chain satisfies.

    Raises:
        PinMismatch: no certificate of the chain has a pinned key, or there is no chain.
        BadCertificate: a certificate cannot be walked.
    """
    return _check(pins, Chain(tuple(chain_der), whole=True))


def _check(pins: PinSet, chain: Chain) -> bytes:
    found = [pin_of(certificate) for certificate in chain.certificates]
    for pin in found:
        if pin in pins.pins:
            return pin
    remedy = (
        "compare with the host's own announcement before you trust a new key: "
        "`strongroom feed pins` prints what it shows now"
    )
    if not chain.whole:
        remedy = (
            "this Python shows the leaf alone: pin the leaf's key, or use 3.13. Or else " + remedy
        )
    raise PinMismatch(
        f"{pins.host} has none of the keys that are pinned for it",
        expected=" or ".join(sorted(map(pin_text, pins.pins))),
        actual=", ".join(map(pin_text, found)) or "no verified certificate",
        remedy=remedy,
    )


def verified_chain(peer: object) -> Chain:
    """What verification built for `peer`: an SSLSocket, an SSLObject, or another engine's like.

    A resumed session has no chain of its own; then the result is empty, and a check fails closed.
    """
    chain = _public_chain(peer)
    if chain is None:
        # 3.11 and 3.12 have it on the C object underneath, and their own tests use it so.
        chain = _public_chain(getattr(peer, "_sslobj", None))
    if chain is not None:
        return Chain(chain, whole=True)
    leaf: object = (
        peer.getpeercert(True) if isinstance(peer, ssl.SSLSocket | ssl.SSLObject) else None
    )
    return Chain((leaf,) if isinstance(leaf, bytes) else (), whole=False)


def _public_chain(peer: object) -> tuple[bytes, ...] | None:
    ask = getattr(peer, "get_verified_chain", None)
    if ask is None:
        return None
    made: object = ask()
    return tuple(map(_der, made)) if isinstance(made, list | tuple) else ()


def _der(certificate: object) -> bytes:
    if isinstance(certificate, bytes):
        return certificate
    encode = getattr(certificate, "public_bytes", None)
    encoded: object = encode(_DER_ENCODING) if encode is not None else None
    if not isinstance(encoded, bytes):
        raise BadCertificate(
            "a certificate of the chain has no DER", actual=type(certificate).__name__
        )
    return encoded


def check_peer(pins: PinSet, peer: object) -> bytes:
    """The pin that a connected peer satisfies; `peer` as `verified_chain` takes it.

    For asyncio, `peer` is ``transport.get_extra_info("ssl_object")``.

    Raises:
        PinMismatch: as `check` does.
        BadPin: the connection was made to another host than the set's.
    """
    name = getattr(peer, "server_hostname", None)
    if isinstance(name, str) and name.lower() != pins.host.lower():
        raise BadPin("the pins are another host's", expected=pins.host, actual=name)
    return _check(pins, verified_chain(peer))


def verifying_context(cafile: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later, certificate and name verified: under the system's roots, or `cafile` alone.

    Raises:
        BadPin: the file holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=None if cafile is None else str(cafile))
    except (OSError, ssl.SSLError) as error:
        raise BadPin(
            f"{cafile} is no file of trusted roots",
            expected="certificates in PEM",
            actual=error,
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def pinned_context(pins: PinSet, *, cafile: Path | None = None) -> ssl.SSLContext:
    """A verifying context for one host, whose handshakes fail unless the peer has a pinned key.

    Good for `ssl` sockets, asyncio and uvloop. An engine that takes OpenSSL's own context out of
    this one (aiofastnet, and with it picows) verifies, but does not come by here: it needs
    `check_peer`.

    Raises:
        BadPin: `cafile` cannot be read.
    """

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _pass(pins, self)

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _pass(pins, self)

    context = verifying_context(cafile)
    context.sslsocket_class = PinnedSocket
    context.sslobject_class = PinnedObject
    return context


def _pass(pins: PinSet, peer: object) -> None:
    try:
        check_peer(pins, peer)
    except PinMismatch:
        raise
    except HostError as error:  # loops end a handshake for SSL errors alone
        raise PinMismatch(
            error.what, expected=error.expected, actual=error.actual, remedy=error.remedy
        ) from error
