"""DSSE envelopes: exact bytes, the type they are meant as, and Ed25519 signatures over both.

The form is that of the secure-systems-lab's specification (v1), which in-toto uses: JSON with
`payload` and `sig` in base64 and a `payloadType`. What is signed is never the JSON but

    PAE = "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload

with lengths in decimal bytes, so that no payload can be passed off as one of another type. The
specification lets readers skip members they do not know; here they are refused, since nothing we
sign has any.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom_host.trust.release_errors import ReleaseMalformed

__all__ = ["MAX_ENVELOPE", "Envelope", "EnvelopeSignature", "key_id", "pae"]

MAX_ENVELOPE: Final = 32 << 20
"""Bytes of an envelope; a record that lists every input of a build has a few hundred kilobytes."""
_SIGNATURE_BYTES: Final = 64


def pae(payload_type: str, payload: bytes) -> bytes:
    """Returns the bytes that are signed: the pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public_key: bytes) -> str:
    """Returns a key's id: SHA-256 of its 32 bytes, in hex."""
    return sha256(public_key).hexdigest()


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """One signature, 64 bytes, and the id of the key that allegedly made it."""

    keyid: str
    value: bytes

    def holds(self, public_key: bytes, payload_type: str, payload: bytes) -> bool:
        """Returns whether the key with these 32 bytes signed exactly this."""
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(
                self.value, pae(payload_type, payload)
            )
        except InvalidSignature:
            return False
        return True


class _SignatureJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    sig: Annotated[str, msgspec.Meta(max_length=100)]


class _EnvelopeJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    payloadType: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    signatures: Annotated[tuple[_SignatureJson, ...], msgspec.Meta(max_length=32)]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload of a type and its signatures, none of them verified."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...] = ()

    @classmethod
    def parse(cls, data: bytes, source: str = "the envelope") -> "Envelope":
        """Returns the envelope in `data`.

        Raises:
            ReleaseMalformed: It is not one.
        """
        try:
            read = msgspec.json.decode(data, type=_EnvelopeJson)
            payload = b64decode(read.payload, validate=True)
            signatures = tuple(
                EnvelopeSignature(s.keyid, b64decode(s.sig, validate=True)) for s in read.signatures
            )
        except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError) as error:
            raise ReleaseMalformed(
                f"{source} is not a signed envelope: {error}",
                expected='{"payload": base64, "payloadType", "signatures": [{"keyid", "sig"}]}',
                remedy="get the file again; `strongroom release sign` makes one",
            ) from error
        for signature in signatures:
            if len(signature.value) != _SIGNATURE_BYTES:
                raise ReleaseMalformed(
                    f"a signature in {source} is no Ed25519 signature",
                    expected=f"{_SIGNATURE_BYTES} bytes",
                    actual=f"{len(signature.value)} bytes",
                    remedy="get the file again",
                )
        return cls(read.payloadType, payload, signatures)

    def serialise(self) -> bytes:
        """Returns the envelope's JSON; equal envelopes give equal bytes."""
        read = _EnvelopeJson(
            b64encode(self.payload).decode(),
            self.payload_type,
            tuple(_SignatureJson(s.keyid, b64encode(s.value).decode()) for s in self.signatures),
        )
        return msgspec.json.format(msgspec.json.encode(read), indent=2) + b"\n"

    def signed_by(self, key: Ed25519PrivateKey) -> "Envelope":
        """Returns the envelope with this key's signature, in the place of an earlier one of its."""
        own = key_id(key.public_key().public_bytes_raw())
        value = key.sign(pae(self.payload_type, self.payload))
        others: Iterable[EnvelopeSignature] = (s for s in self.signatures if s.keyid != own)
        return Envelope(self.payload_type, self.payload, (*others, EnvelopeSignature(own, value)))
