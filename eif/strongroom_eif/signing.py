"""Signing an image, replacing its signature and taking it off, without touching anything else.

The signature covers PCR0. The section table and the checksum of the result are made anew from the
sections, so a signature of another length leaves nothing stale, which AWS's tool gets wrong
(image-format#54).

Signatures are deterministic (RFC 6979): the same key, certificate and image give the same file,
so a signed release can be rebuilt by whoever holds the key.
"""

from datetime import datetime
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from strongroom_eif.errors import (
    AlreadySigned,
    CertificateUnusable,
    KeyMismatch,
    KeyUnsupported,
    NotSigned,
)
from strongroom_eif.image import Image
from strongroom_eif.measurements import pcr0_of
from strongroom_eif.signature import (
    Algorithm,
    encode_signature,
    parse_certificate,
    parse_signature,
    payload_of,
    to_be_signed,
    verify_signature,
)

__all__ = ["EcdsaKey", "KeyInMemory", "resign", "sign", "unsign"]


class EcdsaKey(Protocol):
    """What signs: a key in memory, a token, or a key management service."""

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Returns the public half, to be compared with the certificate's."""
        ...

    def sign(self, data: bytes, algorithm: Algorithm) -> bytes:
        """Returns r || s over `data`, each of the algorithm's coordinate length, big-endian."""
        ...


class KeyInMemory:
    """An `EcdsaKey` from a private key that this process holds."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> "KeyInMemory":
        """Returns the key in a PEM file (PKCS#8 or SEC 1).

        Raises:
            KeyUnsupported: No EC private key can be read from it.
        """
        try:
            key = load_pem_private_key(pem, passphrase)
        except TypeError as error:  # what the library raises for these two, and for nothing else
            raise KeyUnsupported(
                "the private key is not encrypted, yet a passphrase was given"
                if passphrase is not None
                else "the private key is encrypted: a passphrase is needed"
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            # The library's text may quote what it could not parse; a key's bytes stay out of it.
            raise KeyUnsupported(
                "not an unencrypted PEM private key, or the passphrase is wrong"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeyUnsupported(f"{type(key).__name__} is not an elliptic-curve key")
        return cls(key)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Returns the public half."""
        return self._key.public_key()

    def sign(self, data: bytes, algorithm: Algorithm) -> bytes:
        """Returns r || s; the same for the same data."""
        der = self._key.sign(data, ec.ECDSA(algorithm.digest, deterministic_signing=True))
        width = algorithm.coordinate_bytes
        return b"".join(half.to_bytes(width, "big") for half in decode_dss_signature(der))


def sign(image: Image, key: EcdsaKey, certificate_pem: bytes, at: datetime) -> Image:
    """Returns the unsigned image with a signature, as its last section.

    Args:
        image: Unsigned.
        key: Whose public half the certificate carries.
        certificate_pem: A PEM file of exactly one certificate; goes into the image as it is.
        at: A time at which the certificate has to be valid: now.

    Raises:
        AlreadySigned: Use `resign`.
        KeyUnsupported, KeyMismatch, CertificateUnusable: Key and certificate do not serve.
        SignatureError: The certificate is not valid at `at`, or the key signed wrongly.
    """
    check_unsigned(image)
    return _signed(image, key, certificate_pem, at)


def resign(image: Image, key: EcdsaKey, certificate_pem: bytes, at: datetime) -> Image:
    """Returns the signed image with another signature in the place of its own.

    Every other section keeps its bytes and its place; what follows the signature moves if its
    length changes. The old signature need not be valid: it may be what has to be replaced.

    Raises:
        NotSigned: Use `sign`.
        KeyUnsupported, KeyMismatch, CertificateUnusable: Key and certificate do not serve.
        SignatureError: The certificate is not valid at `at`, or the key signed wrongly.
    """
    check_signed(image)
    return _signed(image, key, certificate_pem, at)


def unsign(image: Image) -> Image:
    """Returns the image without its signature.

    Raises:
        NotSigned: It has none.
    """
    check_signed(image)
    return image.without_signature()


def _signed(image: Image, key: EcdsaKey, certificate_pem: bytes, at: datetime) -> Image:
    algorithm = _algorithm_of(key)
    check_one_certificate(certificate_pem)
    check_key_matches(key, certificate_pem)
    pcr0 = pcr0_of(image)
    payload = payload_of(pcr0)
    raw = key.sign(to_be_signed(algorithm.header, payload), algorithm)
    section = encode_signature(certificate_pem, payload, algorithm, raw)
    # Read back and verified as anyone else would: a token that signs wrongly, an expired
    # certificate or one that encodes otherwise must not leave this machine in an image.
    verify_signature(parse_signature(section), pcr0, at)
    return image.with_signature(section)


def _algorithm_of(key: EcdsaKey) -> Algorithm:
    curve = key.public_key().curve.name
    algorithm = Algorithm.of_curve(curve)
    if algorithm is None:
        raise KeyUnsupported(
            f"a key on {curve}; images are signed on P-256, P-384 or P-521", actual=curve
        )
    return algorithm


def check_unsigned(image: Image) -> None:
    """Refuses to sign twice."""
    if image.signature is not None:
        raise AlreadySigned("the image is signed already; re-sign it to replace the signature")


def check_signed(image: Image) -> None:
    """Refuses to replace or remove what is not there."""
    if image.signature is None:
        raise NotSigned("the image is not signed")


def check_one_certificate(pem: bytes) -> None:
    """Refuses several certificates in one file: only the first would be measured and checked."""
    count = pem.count(b"-----BEGIN CERTIFICATE-----")
    if count != 1:
        raise CertificateUnusable(
            f"{count} certificates in the file; exactly one is needed, since PCR8 measures one",
            expected=1,
            actual=count,
        )


def check_key_matches(key: EcdsaKey, certificate_pem: bytes) -> None:
    """Refuses a key that is not the certificate's."""
    if parse_certificate(certificate_pem).public_key() != key.public_key():
        raise KeyMismatch("the private key is not the one that the certificate is for")
