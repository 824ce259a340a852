"""Everything this package raises: one root, split by who erred.

`code` is stable and machine-readable; the text is for people and may change. `expected` and
`actual` hold the two values that disagreed, where there are two.
"""

from typing import ClassVar

__all__ = [
    "AlgorithmRefused",
    "AttestationError",
    "CallerError",
    "CertificateExpired",
    "CertificateMalformed",
    "CertificateNotYetValid",
    "ChainInvalid",
    "ChainSignatureInvalid",
    "ChallengeReused",
    "ClockDisagreement",
    "CriticalExtensionRefused",
    "DebugRefused",
    "DocumentFromFuture",
    "DocumentTooLarge",
    "DocumentTooOld",
    "DuplicateKey",
    "EmptyPolicy",
    "EvidenceError",
    "FieldInvalid",
    "InvalidArgument",
    "IssuerMismatch",
    "KeyRefused",
    "KeyUsageRefused",
    "MalformedDocument",
    "NestedTooDeep",
    "NoAlternative",
    "NonCanonical",
    "NonceMismatch",
    "NotAnEndEntity",
    "NotAnIssuer",
    "PathTooLong",
    "PolicyInvalid",
    "PolicyMismatch",
    "Refusal",
    "RootNotPinned",
    "SignatureInvalid",
    "Stale",
    "TestRootRefused",
    "TrailingBytes",
    "UnsignedRefused",
]


def shown(value: object) -> str:
    """Returns `value` as short printable ASCII, safe for a terminal even if a peer chose it."""
    text = value.hex() if isinstance(value, bytes) else ascii(value)
    if isinstance(value, bytes) and not value:
        text = "(empty)"
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


class AttestationError(Exception):
    """Root of all errors of this package: whatever the input, nothing else comes out.

    Attributes:
        code: Stable identifier of the failure.
        expected: What would have been accepted, if that is one value.
        actual: What was found in its place.
    """

    code: ClassVar[str] = "attestation-error"

    def __init__(self, message: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


# --- The caller of this library erred ------------------------------------------------------------


class CallerError(AttestationError):
    """The arguments make no sense, whatever the document says."""

    code = "caller-error"


class InvalidArgument(CallerError):
    """An argument is unusable: a naive datetime, a short nonce, a malformed fingerprint."""

    code = "invalid-argument"


class PolicyInvalid(CallerError):
    """A policy or its JSON form is malformed, incomplete or contradicts itself."""

    code = "policy-invalid"


class EmptyPolicy(PolicyInvalid):
    """A policy that compares nothing: accepting under it would mean nothing."""

    code = "policy-empty"


class ChallengeReused(CallerError):
    """The challenge was presented before; a nonce proves freshness once."""

    code = "challenge-reused"


# --- The peer erred: the bytes are not a genuine document ----------------------------------------


class EvidenceError(AttestationError):
    """The bytes are not a document that the pinned root vouches for."""

    code = "evidence-error"


class MalformedDocument(EvidenceError):
    """The bytes do not have the shape of an attestation document."""

    code = "malformed"


class DocumentTooLarge(MalformedDocument):
    """More bytes than any security module sends; nothing was decoded."""

    code = "too-large"


class NestedTooDeep(MalformedDocument):
    """CBOR containers nested deeper than a document needs."""

    code = "nested-too-deep"


class NonCanonical(MalformedDocument):
    """CBOR in a form this verifier refuses: tags, floats, chunked strings, long-form lengths."""

    code = "non-canonical"


class TrailingBytes(MalformedDocument):
    """Bytes follow the end of the encoded value."""

    code = "trailing-bytes"


class DuplicateKey(MalformedDocument):
    """A map names a key twice, so two parsers may read two different documents."""

    code = "duplicate-key"


class FieldInvalid(MalformedDocument):
    """One field has the wrong type, size or value.

    Attributes:
        field: Its name as in the vendor's specification.
    """

    code = "field-invalid"

    def __init__(
        self, field: str, message: str, *, expected: object = None, actual: object = None
    ) -> None:
        super().__init__(f"{field}: {message}", expected=expected, actual=actual)
        self.field = field


class AlgorithmRefused(EvidenceError):
    """The protected header does not say exactly ES384."""

    code = "algorithm-refused"


class SignatureInvalid(EvidenceError):
    """The COSE signature does not verify under the leaf's key."""

    code = "signature-invalid"


class ChainInvalid(EvidenceError):
    """The certificates do not lead from the pinned root to the leaf."""

    code = "chain-invalid"


class RootNotPinned(ChainInvalid):
    """`cabundle[0]` is not one of the roots the caller trusts."""

    code = "root-not-pinned"


class CertificateMalformed(ChainInvalid):
    """A certificate cannot be parsed, or is not X.509 version 3."""

    code = "certificate-malformed"


class CertificateExpired(ChainInvalid):
    """A certificate's life was over at the time of verification."""

    code = "certificate-expired"


class CertificateNotYetValid(ChainInvalid):
    """A certificate's life had not begun at the time of verification."""

    code = "certificate-not-yet-valid"


class ClockDisagreement(ChainInvalid):
    """The document answers a challenge made moments ago, yet `now` is outside its certificates.

    So the document is not old: the verifier's clock, or else the platform's, is wrong.
    """

    code = "clock-disagreement"


class IssuerMismatch(ChainInvalid):
    """A certificate names another issuer than the certificate before it."""

    code = "issuer-mismatch"


class NotAnIssuer(ChainInvalid):
    """A certificate that issues another one is not a certificate authority."""

    code = "not-an-issuer"


class NotAnEndEntity(ChainInvalid):
    """The leaf claims to be a certificate authority."""

    code = "not-an-end-entity"


class PathTooLong(ChainInvalid):
    """More certificate authorities follow than a pathLenConstraint allows."""

    code = "path-too-long"


class KeyUsageRefused(ChainInvalid):
    """keyUsage is missing or does not permit what the key was used for."""

    code = "key-usage-refused"


class KeyRefused(ChainInvalid):
    """A key is not ECDSA P-384, or a certificate is not signed with ecdsa-with-SHA384."""

    code = "key-refused"


class CriticalExtensionRefused(ChainInvalid):
    """A critical extension that this verifier does not process."""

    code = "critical-extension-refused"


class ChainSignatureInvalid(ChainInvalid):
    """A certificate is not signed by the key of the one before it."""

    code = "chain-signature-invalid"


# --- Genuine, but refused: policy or freshness ---------------------------------------------------


class Refusal(AttestationError):
    """The document may be genuine; it is not what was asked for."""

    code = "refused"


class PolicyMismatch(Refusal):
    """A field is not what the policy expects.

    Attributes:
        field: Its name: `pcrs[0]`, `public_key`, `user_data`, `nonce`.
    """

    code = "policy-mismatch"

    def __init__(self, field: str, *, expected: object, actual: object) -> None:
        super().__init__(
            f"{field} is {'absent' if actual is None else shown(actual)}, "
            f"the policy expects {expected}",
            expected=expected,
            actual=actual,
        )
        self.field = field


class NoAlternative(Refusal):
    """No branch of an `AnyOf` accepted.

    Attributes:
        causes: Why each branch refused, in the order of the branches.
    """

    code = "no-alternative"

    def __init__(self, causes: "tuple[Refusal, ...]") -> None:
        reasons = "; ".join(f"({n}) {cause}" for n, cause in enumerate(causes, 1))
        super().__init__(f"none of {len(causes)} alternatives accepts the document: {reasons}")
        self.causes = causes


class DebugRefused(Refusal):
    """PCR0..2 are zero: the enclave runs in debug mode and the host can read its console."""

    code = "debug-refused"


class UnsignedRefused(Refusal):
    """Nobody signed the document (QEMU's security module does not), so it proves nothing."""

    code = "unsigned-refused"


class TestRootRefused(Refusal):
    """The document chains to a root that no platform vendor holds."""

    __test__ = False  # the name begins with Test; pytest must not collect it
    code = "test-root-refused"


class NonceMismatch(Refusal):
    """The document does not answer this challenge."""

    code = "nonce-mismatch"


class Stale(Refusal):
    """The document's timestamp is outside the freshness window."""

    code = "stale"


class DocumentTooOld(Stale):
    """The document was made too long before `now`."""

    code = "stale-too-old"


class DocumentFromFuture(Stale):
    """The document was made after `now`, by more than clocks may differ."""

    code = "stale-from-future"
