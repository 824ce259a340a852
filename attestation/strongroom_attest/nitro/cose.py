"""COSE_Sign1 (RFC 9052 section 4.2) as Nitro uses it: ES384, no unprotected headers.

The protected header and the payload are kept as the bytes that were received: re-encoding them
before verification would verify something else than what was signed.
"""

from dataclasses import dataclass
from typing import Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from strongroom_attest.errors import (
    AlgorithmRefused,
    MalformedDocument,
    SignatureInvalid,
    UnsignedRefused,
)
from strongroom_attest.nitro import cbor

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "CoseSign1",
    "check_es384_header",
    "check_unsigned_form",
    "parse_sign1",
    "verify_es384",
]

MAX_DOCUMENT_BYTES: Final = 16 * 1024
"""AWS's C SDK reserves this much; the device's response buffer has 12 KiB and the largest real
document we know 7,539 bytes."""

_TAG_18: Final = b"\xd2"
_ES384_HEADER: Final = bytes.fromhex("a1013822")  # {1: -35}
_UNSIGNED_HEADER: Final = bytes.fromhex("a10120")  # {1: -1}, unassigned; QEMU writes it
_UNSIGNED_SIGNATURE: Final = bytes(64)
_COORDINATE_BYTES: Final = 48


@dataclass(frozen=True, slots=True)
class CoseSign1:
    """The three byte strings of a COSE_Sign1, as received and unverified."""

    protected: bytes
    payload: bytes
    signature: bytes


def parse_sign1(data: bytes) -> CoseSign1:
    """Returns the parts of an untrusted COSE_Sign1, with or without its tag 18.

    Length: at most `MAX_DOCUMENT_BYTES`. The envelope is outside the signature, so only one
    spelling of it is taken: definite lengths, shortest form, an empty unprotected map. With that,
    no byte of a document but the optional tag can change and leave it acceptable.

    Raises:
        MalformedDocument: The bytes are not a COSE_Sign1 in that spelling.
    """
    envelope = cbor.decode(
        data.removeprefix(_TAG_18), max_bytes=MAX_DOCUMENT_BYTES, indefinite=False
    )
    if not isinstance(envelope, list) or len(envelope) != 4:
        raise MalformedDocument("a COSE_Sign1 is an array of four elements")
    protected, unprotected, payload, signature = envelope
    check_unprotected(unprotected)
    if not (
        isinstance(protected, bytes) and isinstance(payload, bytes) and isinstance(signature, bytes)
    ):
        raise MalformedDocument(
            "protected header, payload and signature of a COSE_Sign1 are byte strings"
        )
    return CoseSign1(protected, payload, signature)


def check_unprotected(unprotected: object) -> None:
    """Refuses unprotected headers: nobody signed them, and no document has any."""
    if unprotected != {} or not isinstance(unprotected, dict):
        raise MalformedDocument("the unprotected header must be an empty map")


def check_es384_header(sign1: CoseSign1) -> None:
    """Proves that the protected header is {1: -35}, ES384, and nothing else.

    Compared as bytes, not as a decoded map: in Python {1.0: -35.0} and {True: -35} equal
    {1: -35} too, and a `crit` header would have to be understood. Shortest form leaves one
    encoding.

    Raises:
        UnsignedRefused: The document is in the form QEMU writes instead of signing.
        AlgorithmRefused: Any other header.
    """
    if sign1.protected == _UNSIGNED_HEADER:
        raise UnsignedRefused(
            "nobody signed this document: it comes from an emulated security module. Only "
            "authenticate_unsigned and a development policy that allows it accept such a document",
            expected=_ES384_HEADER,
            actual=sign1.protected,
        )
    if sign1.protected != _ES384_HEADER:
        raise AlgorithmRefused(
            f"the protected header is {sign1.protected.hex() or '(empty)'}, "
            f"only {_ES384_HEADER.hex()} (ES384) is accepted",
            expected=_ES384_HEADER,
            actual=sign1.protected,
        )


def check_signature_length(signature: bytes) -> None:
    """Refuses an r or s without its leading zeros: 48 bytes each, never fewer."""
    if len(signature) != 2 * _COORDINATE_BYTES:
        raise SignatureInvalid(
            f"an ES384 signature has 96 bytes, this one {len(signature)}",
            expected=2 * _COORDINATE_BYTES,
            actual=len(signature),
        )


def verify_es384(sign1: CoseSign1, key: ec.EllipticCurvePublicKey) -> None:
    """Proves that the holder of `key` signed the protected header and the payload as received.

    Raises:
        SignatureInvalid: It did not.
    """
    check_signature_length(sign1.signature)
    signed = cbor2.dumps(["Signature1", sign1.protected, b"", sign1.payload])
    check_signature(key, sign1.signature, signed)


def check_signature(key: ec.EllipticCurvePublicKey, raw: bytes, signed: bytes) -> None:
    """ECDSA with SHA-384 over `signed`; `raw` is r || s, big-endian."""
    der = encode_dss_signature(
        int.from_bytes(raw[:-_COORDINATE_BYTES], "big"),
        int.from_bytes(raw[-_COORDINATE_BYTES:], "big"),
    )
    try:
        key.verify(der, signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature as error:
        raise SignatureInvalid(
            "the COSE signature does not verify under the key of the document's certificate: "
            "the document was altered, or never signed"
        ) from error


def check_unsigned_form(sign1: CoseSign1) -> None:
    """Proves that the envelope is exactly what QEMU writes: alg -1 and 64 zero bytes.

    Raises:
        SignatureInvalid: It is something else, perhaps a signed document to be authenticated.
    """
    if sign1.protected != _UNSIGNED_HEADER or sign1.signature != _UNSIGNED_SIGNATURE:
        raise SignatureInvalid(
            "neither signed nor in the unsigned form of QEMU's security module; "
            "use authenticate() for signed documents",
            expected=_UNSIGNED_HEADER,
            actual=sign1.protected,
        )
