"""The certificate chain of a Nitro document, walked link by link.

Why not `cryptography.x509.verification`: it follows the web's profile and refuses AWS's leaf (no
authorityKeyIdentifier, no subjectAlternativeName). So each rule of RFC 5280 section 6 that matters
for this one, fixed hierarchy is a function here, and tests remove them one at a time.

Considered and left out: revocation (AWS's document says not to use the CRLs; the certificates live
for hours), AKI/SKI matching (a hint for path building, and there is no path to build), name
constraints (as a critical extension they are refused), re-verifying the root's self-signature (its
hash is pinned, so the signature adds nothing but 0.5 ms).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from strongroom_attest.errors import (
    CertificateExpired,
    CertificateMalformed,
    CertificateNotYetValid,
    ChainSignatureInvalid,
    CriticalExtensionRefused,
    IssuerMismatch,
    KeyRefused,
    KeyUsageRefused,
    NotAnEndEntity,
    NotAnIssuer,
    PathTooLong,
    RootNotPinned,
)
from strongroom_attest.nitro.roots import Roots

__all__ = [
    "LEAF_NOT_BEFORE_LEEWAY",
    "Certificate",
    "check_root_pinned",
    "parse_certificate",
    "verify_chain",
]

LEAF_NOT_BEFORE_LEEWAY: Final = timedelta(seconds=30)
"""AWS does not backdate the leaf, so it can be seconds old; a verifier whose clock is that much
slow would refuse a good document. Leaf only, and only for live verification."""

_PROCESSED: Final = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})


@dataclass(frozen=True, slots=True)
class Certificate:
    """One parsed certificate and what the walk needs of it, taken out once.

    Attributes:
        label: Where it stood in the document: `cabundle[1]`, `certificate`.
        parsed: The library's object, which also holds the names and the DER.
        key: On P-384.
        basic: basicConstraints, if there.
        usage: keyUsage, if there.
        unprocessed: Critical extensions that nothing here enforces, as dotted OIDs.
    """

    label: str
    parsed: x509.Certificate
    not_before: datetime
    not_after: datetime
    key: ec.EllipticCurvePublicKey
    basic: x509.BasicConstraints | None
    usage: x509.KeyUsage | None
    unprocessed: tuple[str, ...]

    @property
    def subject(self) -> str:
        """The subject's name as in RFC 4514, for people.

        The library decodes names on demand, so a hostile one fails here and not in parsing.
        """
        try:
            return self.parsed.subject.rfc4514_string()
        except ValueError:
            return "(unreadable name)"

    @property
    def sha256(self) -> bytes:
        """The fingerprint of the DER."""
        return self.parsed.fingerprint(hashes.SHA256())


def check_root_pinned(root_der: bytes, roots: Roots) -> bytes:
    """Proves that `cabundle[0]` is a root the caller trusts; returns its SHA-256.

    Raises:
        RootNotPinned: It is not, whatever the chain says.
    """
    fingerprint = hashlib.sha256(root_der).digest()
    if fingerprint not in roots.fingerprints:
        raise RootNotPinned(
            f"the document's root has SHA-256 {fingerprint.hex()}, which is not a trusted root",
            expected=roots.fingerprints,
            actual=fingerprint,
        )
    return fingerprint


def parse_certificate(der: bytes, label: str) -> Certificate:
    """Returns an untrusted certificate's parts; its key is P-384 or it is refused.

    Raises:
        CertificateMalformed: Not one X.509 v3 certificate in DER.
        KeyRefused: The key is of another kind or curve.
    """
    try:
        parsed = x509.load_der_x509_certificate(der)
        check_version(parsed, label)
        extensions = {extension.oid: extension for extension in parsed.extensions}
        basic = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
        usage = extensions.get(ExtensionOID.KEY_USAGE)
        return Certificate(
            label=label,
            parsed=parsed,
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            key=read_p384_key(parsed.public_key(), label),
            basic=basic.value if basic and isinstance(basic.value, x509.BasicConstraints) else None,
            usage=usage.value if usage and isinstance(usage.value, x509.KeyUsage) else None,
            unprocessed=tuple(
                extension.oid.dotted_string
                for extension in extensions.values()
                if extension.critical and extension.oid not in _PROCESSED
            ),
        )
    except UnsupportedAlgorithm as error:
        raise KeyRefused(f"{label}: {error}") from error
    except (
        ValueError,
        TypeError,
        OverflowError,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        # Raised instead of shown where the process turns warnings into errors: cryptography warns
        # about oddities (a serial number of zero) that a hostile document can contain.
        UserWarning,
    ) as error:
        raise CertificateMalformed(f"{label}: not an X.509 certificate: {error}") from error


def verify_chain(chain: Sequence[Certificate], at: datetime, leeway: timedelta) -> None:
    """Proves that each certificate was issued by the one before it and was valid at `at`.

    Args:
        chain: Root, intermediates, leaf. That the root is trusted is `check_root_pinned`'s proof.
        at: The moment for which validity is judged.
        leeway: How far `at` may lie before the leaf's notBefore.

    Raises:
        ChainInvalid: Or a subclass that says which rule a certificate broke.
    """
    leaf, authorities = chain[-1], chain[:-1]
    # Everything that costs microseconds first; nothing is believed until all of it has passed.
    for certificate in chain:
        check_extensions(certificate)
        check_not_expired(certificate, at)
        check_started(certificate, at, leeway if certificate is leaf else timedelta(0))
    for following, authority in enumerate(reversed(authorities)):
        check_is_authority(authority)
        check_path_length(authority, following)
        check_may_sign_certificates(authority)
    check_is_end_entity(leaf)
    check_may_sign_documents(leaf)
    for subject in chain[1:]:
        check_algorithm(subject)
    # Names, and four of the five signatures; the fifth is the document's own.
    for issuer, subject in pairwise(chain):
        check_issued(issuer, subject)


def check_version(parsed: x509.Certificate, label: str) -> None:
    """Refuses version 1, which has no extensions and so cannot say that it is not an authority."""
    if parsed.version is not x509.Version.v3:
        raise CertificateMalformed(f"{label}: X.509 version 3 is required")


def read_p384_key(key: object, label: str) -> ec.EllipticCurvePublicKey:
    """Returns the key if it is on P-384, the only curve of this hierarchy."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
        raise KeyRefused(f"{label}: the key is {kind}, not P-384", expected="P-384", actual=kind)
    return key


def check_extensions(certificate: Certificate) -> None:
    """Refuses critical extensions that nothing here enforces (RFC 5280 section 4.2)."""
    if certificate.unprocessed:
        raise CriticalExtensionRefused(
            f"{certificate.label}: critical extensions {', '.join(certificate.unprocessed)} are "
            "not understood",
            actual=certificate.unprocessed,
        )


def check_not_expired(certificate: Certificate, at: datetime) -> None:
    """Proves `at` <= notAfter."""
    if at > certificate.not_after:
        raise CertificateExpired(
            f"{certificate.label} expired at {certificate.not_after.isoformat()}, "
            f"{at - certificate.not_after} before the time of verification, {at.isoformat()}. "
            "Leaf certificates live three hours: an old document has to be verified as archived. "
            "If the document was made just now, the clock that gave this time runs fast",
            expected=certificate.not_after,
            actual=at,
        )


def check_started(certificate: Certificate, at: datetime, leeway: timedelta) -> None:
    """Proves notBefore - `leeway` <= `at`."""
    if at < certificate.not_before - leeway:
        raise CertificateNotYetValid(
            f"{certificate.label} is valid from {certificate.not_before.isoformat()}, "
            f"{certificate.not_before - at} after the time of verification, {at.isoformat()}. "
            "The platform does not issue certificates ahead of time: most likely the clock that "
            "gave this time runs slow",
            expected=certificate.not_before,
            actual=at,
        )


def check_is_authority(certificate: Certificate) -> None:
    """Proves that an issuing certificate says CA:TRUE."""
    if certificate.basic is None or not certificate.basic.ca:
        raise NotAnIssuer(
            f"{certificate.label} issued a certificate but is not a certificate authority"
        )


def check_path_length(certificate: Certificate, following: int) -> None:
    """Proves that at most pathLenConstraint authorities follow before the leaf."""
    limit = certificate.basic.path_length if certificate.basic else None
    if limit is not None and following > limit:
        raise PathTooLong(
            f"{certificate.label} allows {limit} authorities below it, {following} follow",
            expected=limit,
            actual=following,
        )


def check_may_sign_certificates(certificate: Certificate) -> None:
    """Proves that an authority's keyUsage is present and has keyCertSign."""
    if certificate.usage is None or not certificate.usage.key_cert_sign:
        raise KeyUsageRefused(f"{certificate.label}: its key may not sign certificates")


def check_is_end_entity(leaf: Certificate) -> None:
    """Proves that the leaf is no authority; without basicConstraints it is none (RFC 5280)."""
    if leaf.basic is not None and leaf.basic.ca:
        raise NotAnEndEntity(f"{leaf.label} is a certificate authority; it cannot sign documents")


def check_may_sign_documents(leaf: Certificate) -> None:
    """Proves that the leaf's keyUsage is present and has digitalSignature."""
    if leaf.usage is None or not leaf.usage.digital_signature:
        raise KeyUsageRefused(f"{leaf.label}: its key may not sign data")


def check_algorithm(subject: Certificate) -> None:
    """Proves that the certificate is declared as signed with ecdsa-with-SHA384."""
    algorithm = subject.parsed.signature_algorithm_oid
    if algorithm != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise KeyRefused(
            f"{subject.label}: signature algorithm {algorithm.dotted_string} is refused",
            expected=SignatureAlgorithmOID.ECDSA_WITH_SHA384,
            actual=algorithm,
        )


def check_issued(issuer: Certificate, subject: Certificate) -> None:
    """Proves that `subject` names `issuer` and is signed by its key.

    The library call compares the names as DER and the two places where a certificate states its
    signature algorithm, then verifies. Validity and constraints it does not look at.
    """
    try:
        subject.parsed.verify_directly_issued_by(issuer.parsed)
    except InvalidSignature as error:
        raise ChainSignatureInvalid(
            f"{subject.label} is not signed by the key of {issuer.label}"
        ) from error
    except (ValueError, TypeError) as error:
        raise IssuerMismatch(
            f"{subject.label} was not issued by {issuer.label}: {error}"
        ) from error
