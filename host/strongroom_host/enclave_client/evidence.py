"""From untrusted bytes to `VerifiedEvidence`: the one door to everything an enclave says.

Sans-I/O: bytes, a policy, a challenge and a time come in. What comes out proves that, moments ago,
a machine whose document chains to a pinned root ran a trusted image with exactly the manifest that
was meant, and that the keys in its bundle are held by that image and nothing else.

One exception, which a development trust file has to spell out: an emulator's document, signed by
nobody. Everything else is compared all the same, so that development runs the code that production
does; what comes out says that it is not signed, and proves nothing to who does not own the machine.
"""

from dataclasses import InitVar, dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from strongroom_attest.errors import AttestationError, PolicyMismatch, UnsignedRefused
from strongroom_attest.freshness import Challenge
from strongroom_attest.nitro.document import AttestationDocument
from strongroom_attest.nitro.live import verify_live, verify_live_unsigned
from strongroom_attest.nitro.policy import NitroEvidence
from strongroom_attest.nitro.verify import AuthenticatedDocument
from strongroom_attest.result import VerifiedLive
from strongroom_wire.bundle import Bundle, Role, RoleKeys, pcr16
from strongroom_wire.errors import WireError

from strongroom_host.contract.roles import role_keys
from strongroom_host.enclave_client.errors import (
    BootNotConfigured,
    BundleRefused,
    CertificateRefused,
    CommitmentMismatch,
    DocumentRefused,
    EvidenceRefused,
    ImageMismatch,
    ManifestMismatch,
    ManifestPcrMismatch,
    NotVerified,
    OwnerRootMismatch,
    RoleMissing,
)
from strongroom_host.trust.record import EvidencePolicy, Image, Trust

__all__ = [
    "BootedEvidence",
    "UntrustedEvidence",
    "VerifiedEvidence",
    "check_configured",
    "image_of",
    "parse_bundle",
    "refused",
    "verify_booted",
    "verify_document",
    "verify_evidence",
]

_ZERO32: Final = bytes(32)
_ZERO48: Final = bytes(48)
_REQUIRED_ROLES: Final = (Role.INIT, Role.SIGNER)
_MANIFEST_PCR: Final = 16
_LOCKED_PCRS: Final = range(17, 32)


class _Proof:
    """Capability to construct verified evidence: a guard against accidents, and what makes
    skipping verification a type error."""

    __slots__ = ()


_PROOF: Final = _Proof()


@dataclass(frozen=True, slots=True)
class UntrustedEvidence:
    """A document and the bundle it allegedly commits to, as they were received."""

    document: bytes
    bundle: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvidence:
    """A configured boot whose keys are proved; only `verify_evidence` makes one.

    Attributes:
        bundle: The boot's keys, manifest digest and owners.
        attestation: What the platform's document proved, when, and what was not compared.
        image: Which of the trusted images runs.
        policy: What it was verified against.
        document: The document's bytes, for the archive.
    """

    bundle: Bundle
    attestation: VerifiedLive[NitroEvidence]
    image: Image
    policy: EvidencePolicy
    document: bytes
    proof: InitVar[_Proof]

    def __post_init__(self, proof: _Proof) -> None:
        _only_here(proof)

    @property
    def signed(self) -> bool:
        """Whether a platform vouches for it; False for an emulator's, in development only."""
        return isinstance(self.attestation.evidence, AuthenticatedDocument)

    @property
    def manifest_digest(self) -> bytes:
        """SHA-256 of the manifest in force, 32 bytes."""
        return self.bundle.manifest_digest

    def keys(self, role: Role) -> RoleKeys:
        """Returns the keys of `role`; INIT and SIGNER are always there.

        Raises:
            RoleMissing: RECORD, where the manifest has no accounts.
        """
        _check_role(self.bundle, role)
        return role_keys(self.bundle, role)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootedEvidence:
    """A genuine image that waits for its manifest. It has no keys: nothing can be sealed to it."""

    bundle: Bundle
    attestation: VerifiedLive[NitroEvidence]
    image: Image
    proof: InitVar[_Proof]

    def __post_init__(self, proof: _Proof) -> None:
        _only_here(proof)

    @property
    def signed(self) -> bool:
        """Whether a platform vouches for it; False for an emulator's, in development only."""
        return isinstance(self.attestation.evidence, AuthenticatedDocument)


def verify_evidence(
    untrusted: UntrustedEvidence, policy: EvidencePolicy, challenge: Challenge, now: datetime
) -> VerifiedEvidence:
    """Proves that the enclave behind `untrusted` is the one `policy` means, configured, now.

    Raises:
        EvidenceRefused: the leaf class says which step failed; nothing may be used then.
    """
    # 1. to 4.: the platform, the image, and the bundle.
    bundle, live, image = _authenticate(untrusted, policy.trust, challenge, now)
    document = live.evidence.document
    # 5. to 8.: the manifest, its register, and the keys.
    check_configured(bundle, document, policy)
    # 9. The certificate can be pinned.
    _check_certificate(bundle.certificate)
    return VerifiedEvidence(
        bundle=bundle,
        attestation=live,
        image=image,
        policy=policy,
        document=untrusted.document,
        proof=_PROOF,
    )


def verify_booted(
    untrusted: UntrustedEvidence, trust: Trust, challenge: Challenge, now: datetime
) -> BootedEvidence:
    """Proves that a trusted image runs and has neither a manifest nor keys yet.

    Raises:
        EvidenceRefused: not so; `ManifestMismatch` when it is configured already.
    """
    bundle, live, image = _authenticate(untrusted, trust, challenge, now)
    if bundle.roles or bundle.manifest_digest != _ZERO32 or bundle.certificate:
        raise ManifestMismatch(
            "the enclave has a manifest already, and keeps it until its next boot",
            expected="no manifest",
            actual=bundle.manifest_digest.hex(),
            remedy="restart the enclave, or verify it against that manifest",
        )
    if _MANIFEST_PCR in live.evidence.document.pcrs:
        raise ManifestPcrMismatch(
            "PCR16 is locked although no manifest is loaded",
            expected="absent",
            actual=live.evidence.document.pcrs[_MANIFEST_PCR].hex(),
            remedy="do not use this enclave; restart it",
        )
    return BootedEvidence(bundle=bundle, attestation=live, image=image, proof=_PROOF)


def check_configured(bundle: Bundle, document: AttestationDocument, policy: EvidencePolicy) -> None:
    """Proves that an authenticated document and its bundle are of a boot that runs the manifest and
    belongs to the owners of `policy`: steps 5 to 8, the same for evidence of now and of then.

    Raises:
        EvidenceRefused: not so.
    """
    # 5. A manifest was loaded, so that this boot has keys at all.
    _check_configured(bundle, signed=not policy.trust.unsigned)
    # 6. It is the manifest and the owners that are meant.
    _check_manifest(bundle, policy.manifest_digest)
    _check_owners(bundle, policy.owner_root)
    # 7. The platform measured that manifest before the keys came to be, and nothing after it: a
    #    document carries locked registers only, so presence is proof that they cannot change.
    _check_manifest_pcr(document.pcrs.get(_MANIFEST_PCR), policy.manifest_digest)
    for index in _LOCKED_PCRS:
        _check_unused_pcr(index, document.pcrs.get(index))
    # 8. Both processes that answer us registered their keys.
    for role in _REQUIRED_ROLES:
        _check_role(bundle, role)


def _authenticate(
    untrusted: UntrustedEvidence, trust: Trust, challenge: Challenge, now: datetime
) -> tuple[Bundle, VerifiedLive[NitroEvidence], Image]:
    # 1. The bundle parses; parsing proves nothing, but its commitment can be computed.
    bundle = parse_bundle(untrusted)
    # 2. The document is genuine under a pinned root, answers this challenge, is recent, shows
    #    trusted measurements,
    # 3. and commits to that very bundle.
    try:
        live = verify_document(untrusted.document, trust, bundle.commitment, now, challenge)
    except AttestationError as error:
        raise refused(error, bundle) from error
    # 4. PCR0 to PCR2 belong to one image, not each to another.
    return bundle, live, image_of(trust, live.evidence.document)


def parse_bundle(untrusted: UntrustedEvidence) -> Bundle:
    """Returns the bundle beside a document; nothing about it is proved.

    Raises:
        BundleRefused: malformed.
    """
    try:
        return Bundle.parse(untrusted.bundle)
    except WireError as error:
        raise BundleRefused(
            f"the bundle beside the document is malformed: {error}",
            remedy="the relay or the enclave is broken; fetch evidence again",
        ) from error


def verify_document(
    document: bytes, trust: Trust, commitment: bytes, now: datetime, challenge: Challenge
) -> VerifiedLive[NitroEvidence]:
    """Proves that a document answers `challenge` now, shows a trusted image, and commits to
    `commitment` (64 bytes); and, unless the record says that nobody does, who signed it.

    A record for unsigned evidence takes no other, and any other record takes none: neither can
    stand in for the other.

    Raises:
        AttestationError: not so.
    """
    policy = trust.nitro_policy(commitment)
    if trust.unsigned:
        return verify_live_unsigned(document, policy, now, challenge)
    return verify_live(document, policy, trust.attest_roots, now, challenge)


def refused(error: AttestationError, bundle: Bundle) -> EvidenceRefused:
    """Returns what an error of the verifier means for evidence with this bundle."""
    if isinstance(error, PolicyMismatch) and error.field == "user_data":
        return CommitmentMismatch(
            "the attested commitment is not that of the bundle delivered with it",
            expected=bundle.commitment.hex(),
            actual=error.actual.hex() if isinstance(error.actual, bytes) else error.actual,
            remedy="do not use this connection: somebody between you and the enclave changed"
            " its keys, or mixed two boots",
        )
    if isinstance(error, UnsignedRefused):
        return DocumentRefused(
            f"nobody signed this evidence ({error.code}): it comes from an emulator",
            expected="a document signed under a root of the trust file",
            actual="the unsigned form of QEMU's security module",
            remedy="do not give it keys. To develop against your own emulator, make a trust file"
            " that says so: `strongroom enclave trust --release FILE --unsigned`",
        )
    return DocumentRefused(
        f"the attestation document was refused ({error.code}): {error}",
        remedy="do not use this enclave. If you expected it to pass, compare the trust file with"
        " the release record and run `strongroom attest show` on the document",
    )


def image_of(trust: Trust, document: AttestationDocument) -> Image:
    """Returns which of the trusted images an authenticated document shows.

    Raises:
        ImageMismatch: PCR0 to PCR2 are not together those of one.
    """
    measured = tuple(document.pcrs.get(index) for index in range(3))
    for image in trust.images:
        if image.triple == measured:
            return image
    raise ImageMismatch(
        "PCR0 to PCR2 are each known, but not together those of one image",
        expected=[image.name for image in trust.images],
        actual=[value.hex() if value else None for value in measured],
        remedy="do not use this enclave, and check how the trust file was made",
    )


def _check_configured(bundle: Bundle, *, signed: bool) -> None:
    if bundle.manifest_digest == _ZERO32:
        subject = (
            "the enclave is genuine but" if signed else "the emulator, for which nobody vouches,"
        )
        raise BootNotConfigured(
            f"{subject} has no manifest yet, so it has no keys to talk to",
            expected="a loaded manifest",
            actual="none",
            remedy="load it with `strongroom enclave load MANIFEST.signed.json`",
        )


def _check_manifest(bundle: Bundle, expected: bytes) -> None:
    if bundle.manifest_digest != expected:
        raise ManifestMismatch(
            "the enclave runs another manifest than the one you mean",
            expected=expected.hex(),
            actual=bundle.manifest_digest.hex(),
            remedy="ask who started it with which manifest; if a newer one is meant, pin that",
        )


def _check_owners(bundle: Bundle, expected: bytes) -> None:
    if bundle.owner_root != expected:
        raise OwnerRootMismatch(
            "the enclave belongs to other owners",
            expected=expected.hex(),
            actual=bundle.owner_root.hex(),
            remedy="do not use this enclave: it obeys somebody else",
        )


def _check_manifest_pcr(actual: bytes | None, manifest_digest: bytes) -> None:
    if actual != pcr16(manifest_digest):
        raise ManifestPcrMismatch(
            "PCR16 does not hold the manifest's digest",
            expected=pcr16(manifest_digest).hex(),
            actual=actual.hex() if actual else "absent",
            remedy="do not use this enclave: its claim about the manifest is not measured",
        )


def _check_unused_pcr(index: int, actual: bytes | None) -> None:
    if actual != _ZERO48:
        raise ManifestPcrMismatch(
            f"PCR{index} is not locked at zero",
            expected="locked and never extended",
            actual=actual.hex() if actual else "absent, so not locked",
            remedy="do not use this enclave: something other than the manifest was measured, or"
            " still can be",
        )


def _check_role(bundle: Bundle, role: Role) -> None:
    if role not in [entry.role for entry in bundle.roles]:
        raise RoleMissing(
            f"the bundle has no keys of {role.name.lower()}",
            expected=role.name,
            actual=[entry.role.name for entry in bundle.roles],
            remedy="restart the enclave; one of its processes did not start"
            if role in _REQUIRED_ROLES
            else "name an account in the next manifest version: without one there is no record",
        )


def _check_certificate(der: bytes) -> None:
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise CertificateRefused(
            f"the attested TLS certificate cannot be parsed: {error}",
            remedy="restart the enclave",
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRefused(
            "the attested TLS certificate has a key of the wrong kind",
            expected="P-256",
            actual=type(key).__name__,
            remedy="restart the enclave",
        )


def _only_here(proof: _Proof) -> None:
    if proof is not _PROOF:
        raise NotVerified(
            "verified evidence is made by verification only",
            remedy="call verify_evidence (or fetch_evidence)",
        )
