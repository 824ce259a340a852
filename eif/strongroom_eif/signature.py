"""The signature section: its encoding, and what a valid one proves.

    array(1) [ map(2) {
        "signing_certificate": array of octets    the PEM file, byte for byte
        "signature":           array of octets    an untagged COSE_Sign1:
            array(4) [ bstr {1: alg}, {}, bstr payload, bstr r || s ]
            payload = map(2) { "register_index": 0, "register_value": array of 48 octets }
    } ]

Byte strings for the arrays of integers, other orders and other lengths exist in no builder and are
refused by QEMU. Nothing here says who may sign: nobody checks the certificate's issuer, neither
AWS's tools nor the hypervisor. PCR8 is the certificate, and whoever relies on it pins it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom_eif.cbor import Cursor
from strongroom_eif.errors import (
    AlgorithmMismatch,
    CertificateExpired,
    CertificateNotYetValid,
    CertificateUnusable,
    InvalidArgument,
    SignatureInvalid,
    SignatureWrongImage,
    shown,
)

__all__ = [
    "Algorithm",
    "Signature",
    "encode_signature",
    "parse_certificate",
    "parse_signature",
    "payload_of",
    "to_be_signed",
    "verify_signature",
]

_REGISTER: Final = 0
"""Only PCR0 is ever signed."""
_REGISTER_BYTES: Final = 48


class Algorithm(Enum):
    """The three that exist, by the certificate's curve.

    Attributes:
        curve: The name of the curve in SEC 2 spelling.
        header: The protected header, {1: -7}, {1: -35} or {1: -36}, encoded.
        coordinate_bytes: Length of r and of s.
    """

    ES256 = ("secp256r1", bytes.fromhex("a10126"), 32)
    ES384 = ("secp384r1", bytes.fromhex("a1013822"), 48)
    ES512 = ("secp521r1", bytes.fromhex("a1013823"), 66)

    def __init__(self, curve: str, header: bytes, coordinate_bytes: int) -> None:
        self.curve, self.header, self.coordinate_bytes = curve, header, coordinate_bytes

    @property
    def digest(self) -> hashes.HashAlgorithm:
        """The hash function that goes with it."""
        return {"ES256": hashes.SHA256(), "ES384": hashes.SHA384()}.get(self.name, hashes.SHA512())

    @classmethod
    def of_curve(cls, name: str) -> "Algorithm | None":
        """Returns the algorithm for a curve, None if the format has none."""
        return next((member for member in cls if member.curve == name), None)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature section taken apart. Nothing in it is verified.

    Attributes:
        certificate_pem: As in the section, text around the certificate included.
        certificate: The first certificate in it.
        protected: The COSE protected header as received.
        payload: The COSE payload as received.
        signature: r || s, big-endian.
        register_index: Which PCR the payload is about.
        register_value: Its value.
    """

    certificate_pem: bytes
    certificate: x509.Certificate
    protected: bytes
    payload: bytes
    signature: bytes
    register_index: int
    register_value: bytes

    @property
    def der(self) -> bytes:
        """The certificate as PCR8 measures it."""
        return self.certificate.public_bytes(Encoding.DER)


def parse_signature(section: bytes) -> Signature:
    """Returns the parts of a signature section; proves its encoding and nothing else.

    Raises:
        SignatureMalformed: It is encoded otherwise than described above.
        CertificateUnusable: The certificate in it cannot be parsed.
    """
    outer = Cursor(section, "signature section")
    outer.array(1)
    outer.map(2)
    outer.key("signing_certificate")
    pem = outer.octet_array()
    outer.key("signature")
    cose = outer.octet_array()
    outer.end()

    envelope = Cursor(cose, "COSE_Sign1")
    envelope.array(4)
    protected = envelope.octets()
    envelope.map(0)
    payload = envelope.octets()
    signature = envelope.octets()
    envelope.end()

    signed = Cursor(payload, "signed payload")
    signed.map(2)
    signed.key("register_index")
    index = signed.unsigned()
    signed.key("register_value")
    value = signed.octet_array()
    signed.end()
    return Signature(pem, parse_certificate(pem), protected, payload, signature, index, value)


def parse_certificate(pem: bytes) -> x509.Certificate:
    """Returns the first certificate of a PEM file.

    Raises:
        CertificateUnusable: There is none that can be parsed.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateUnusable(
            f"the signing certificate is not a PEM certificate: {error}"
        ) from error


def verify_signature(signature: Signature, pcr0: bytes, at: datetime) -> None:
    """Proves that the certificate's key signed PCR0, with the certificate valid at `at`.

    In order of what a wrong image most likely is: a signature of another image, an expired
    certificate, a forged one.

    Args:
        signature: As parsed.
        pcr0: Of the image that carries it.
        at: When the image is to boot; must carry a time zone.

    Raises:
        InvalidArgument: `at` has no time zone.
        SignatureError: A subclass per rule.
    """
    check_aware(at)
    check_register(signature, pcr0)
    check_not_expired(signature.certificate, at)
    check_not_early(signature.certificate, at)
    key, algorithm = _key_of(signature.certificate)
    check_algorithm(signature.protected, algorithm)
    check_signature_length(signature.signature, algorithm)
    check_ecdsa(key, algorithm, signature)


def encode_signature(pem: bytes, payload: bytes, algorithm: Algorithm, raw: bytes) -> bytes:
    """Returns a signature section's bytes; `parse_signature` takes them apart again."""
    cose = cbor2.dumps([algorithm.header, {}, payload, raw])
    # Lists, not bytes: AWS's serialiser writes byte vectors as arrays of integers, and QEMU
    # accepts nothing else. The order of insertion is the order on the wire.
    return cbor2.dumps([{"signing_certificate": list(pem), "signature": list(cose)}])


def payload_of(pcr0: bytes) -> bytes:
    """Returns the COSE payload for a PCR0."""
    return cbor2.dumps({"register_index": _REGISTER, "register_value": list(pcr0)})


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Returns the Sig_structure that the key signs (RFC 9052 section 4.4)."""
    return cbor2.dumps(["Signature1", protected, b"", payload])


def _key_of(certificate: x509.Certificate) -> tuple[ec.EllipticCurvePublicKey, Algorithm]:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateUnusable(f"the certificate's key cannot be used: {error}") from error
    name = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
    algorithm = Algorithm.of_curve(name)
    if algorithm is None or not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateUnusable(
            f"the certificate's key is {name}; images are signed on P-256, P-384 or P-521",
            actual=name,
        )
    return key, algorithm


# --- Rules ---------------------------------------------------------------------------------------


def check_aware(at: datetime) -> None:
    """Refuses a time that does not say in which zone."""
    if at.tzinfo is None:
        raise InvalidArgument("the time of verification carries no time zone")


def check_register(signature: Signature, pcr0: bytes) -> None:
    """Refuses a signature over anything but PCR0 of this image."""
    if signature.register_index != _REGISTER:
        raise SignatureWrongImage(
            f"the signature is over PCR{signature.register_index}, it has to be over PCR0",
            expected=_REGISTER,
            actual=signature.register_index,
        )
    if signature.register_value != pcr0:
        raise SignatureWrongImage(
            "the signature is over another image, or the image changed after it was signed: "
            f"signed is PCR0 {shown(signature.register_value)}, this image has {shown(pcr0)}",
            expected=pcr0,
            actual=signature.register_value,
        )


def check_not_expired(certificate: x509.Certificate, at: datetime) -> None:
    """Refuses a certificate whose life is over."""
    if at > certificate.not_valid_after_utc:
        raise CertificateExpired(
            f"the signing certificate expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%MZ}"
            ": an enclave with it does not boot",
            expected=certificate.not_valid_after_utc,
            actual=at,
        )


def check_not_early(certificate: x509.Certificate, at: datetime) -> None:
    """Refuses a certificate whose life has not begun."""
    if at < certificate.not_valid_before_utc:
        raise CertificateNotYetValid(
            "the signing certificate is valid from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%MZ}: before that an enclave with it "
            "does not boot",
            expected=certificate.not_valid_before_utc,
            actual=at,
        )


def check_algorithm(protected: bytes, algorithm: Algorithm) -> None:
    """Refuses a protected header that names another algorithm than the curve's, or anything more.

    Compared as bytes: there is one encoding, and a `crit` header would have to be understood.
    """
    if protected != algorithm.header:
        raise AlgorithmMismatch(
            f"the protected header is {shown(protected)}, for {algorithm.curve} it has to be "
            f"{algorithm.header.hex()} ({algorithm.name})",
            expected=algorithm.header,
            actual=protected,
        )


def check_signature_length(raw: bytes, algorithm: Algorithm) -> None:
    """Refuses an r or s without its leading zeros."""
    if len(raw) != 2 * algorithm.coordinate_bytes:
        raise SignatureInvalid(
            f"{algorithm.name} signatures have {2 * algorithm.coordinate_bytes} bytes, this one "
            f"{len(raw)}",
            expected=2 * algorithm.coordinate_bytes,
            actual=len(raw),
        )


def check_ecdsa(key: ec.EllipticCurvePublicKey, algorithm: Algorithm, signature: Signature) -> None:
    """Refuses a signature that does not verify over the header and payload as received."""
    half = len(signature.signature) // 2
    der = encode_dss_signature(
        int.from_bytes(signature.signature[:half], "big"),
        int.from_bytes(signature.signature[half:], "big"),
    )
    signed = to_be_signed(signature.protected, signature.payload)
    try:
        key.verify(der, signed, ec.ECDSA(algorithm.digest))
    except InvalidSignature as error:
        raise SignatureInvalid(
            "the signature does not verify under the certificate's key: the section was altered, "
            "or another key signed"
        ) from error
