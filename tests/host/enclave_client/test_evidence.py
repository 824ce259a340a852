"""Every step of `verify_evidence`: a good baseline, and one mutation for each check."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from strongroom_attest.freshness import Challenge
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
from strongroom_host.enclave_client.evidence import (
    BootedEvidence,
    UntrustedEvidence,
    VerifiedEvidence,
    verify_booted,
    verify_evidence,
)
from strongroom_host.trust.record import EvidencePolicy, Trust
from strongroom_local.measure import DEBUG, Measurements
from strongroom_local.pki import new_root
from strongroom_wire.bundle import Bundle, Role

from tests.host.enclave_client.simulator import MANIFEST, OWNERS, Boot, server_certificate


def challenge() -> Challenge:
    return Challenge(secrets.token_bytes(32))


def verified(
    boot: Boot, policy: EvidencePolicy | None = None, bundle: Bundle | None = None
) -> VerifiedEvidence:
    """Verifies a boot that attests to `bundle` (default: its own)."""
    fresh = challenge()
    bundle = bundle or boot.bundle
    document = boot.document(fresh.nonce, bundle.commitment)
    untrusted = UntrustedEvidence(document, bundle.serialise())
    return verify_evidence(untrusted, policy or boot.policy, fresh, datetime.now(UTC))


def test_a_configured_boot_is_verified() -> None:
    boot = Boot()
    found = verified(boot)
    assert found.bundle == boot.bundle
    assert found.manifest_digest == MANIFEST
    assert found.image.name == "simulated"
    assert found.keys(Role.SIGNER) == role_keys(boot.bundle, Role.SIGNER)


def test_a_document_of_another_bundle_is_a_commitment_mismatch() -> None:
    boot, other = Boot(), Boot()
    fresh = challenge()
    swapped = UntrustedEvidence(boot.document(fresh.nonce), other.bundle.serialise())
    with pytest.raises(CommitmentMismatch) as caught:
        verify_evidence(swapped, boot.policy, fresh, datetime.now(UTC))
    assert caught.value.expected == other.bundle.commitment.hex()
    assert caught.value.actual == boot.bundle.commitment.hex()


def test_every_field_of_the_bundle_is_committed_to() -> None:
    boot = Boot()
    changed: list[Bundle] = [
        replace(boot.bundle, boot_id=bytes(32)),
        replace(boot.bundle, certificate=server_certificate()[1]),
        replace(boot.bundle, nonce=b"x"),
        replace(boot.bundle, roles=Boot().bundle.roles),
    ]
    for bundle in changed:
        fresh = challenge()
        forged = UntrustedEvidence(boot.document(fresh.nonce), bundle.serialise())
        with pytest.raises(CommitmentMismatch):
            verify_evidence(forged, boot.policy, fresh, datetime.now(UTC))


def test_a_malformed_bundle_is_refused() -> None:
    boot, fresh = Boot(), challenge()
    broken = UntrustedEvidence(boot.document(fresh.nonce), boot.bundle.serialise()[:-1])
    with pytest.raises(BundleRefused):
        verify_evidence(broken, boot.policy, fresh, datetime.now(UTC))


def test_an_answer_to_another_challenge_is_refused() -> None:
    boot = Boot()
    replayed = UntrustedEvidence(boot.document(challenge().nonce), boot.bundle.serialise())
    with pytest.raises(DocumentRefused, match="nonce-mismatch"):
        verify_evidence(replayed, boot.policy, challenge(), datetime.now(UTC))


def test_a_challenge_verifies_once() -> None:
    boot, fresh = Boot(), challenge()
    untrusted = UntrustedEvidence(boot.document(fresh.nonce), boot.bundle.serialise())
    verify_evidence(untrusted, boot.policy, fresh, datetime.now(UTC))
    with pytest.raises(DocumentRefused, match="challenge-reused"):
        verify_evidence(untrusted, boot.policy, fresh, datetime.now(UTC))


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_far_off_is_refused(hours: int) -> None:
    boot, fresh = Boot(), challenge()
    untrusted = UntrustedEvidence(boot.document(fresh.nonce), boot.bundle.serialise())
    with pytest.raises(DocumentRefused):
        verify_evidence(untrusted, boot.policy, fresh, datetime.now(UTC) + timedelta(hours=hours))


def test_another_root_is_refused() -> None:
    boot = Boot(root=new_root(datetime.now(UTC)))
    with pytest.raises(DocumentRefused, match="root-not-pinned"):
        verified(boot, Boot().policy)


def test_a_production_policy_refuses_a_test_root() -> None:
    boot = Boot()
    trust = msgspec.structs.replace(boot.trust, mode="production")
    with pytest.raises(DocumentRefused, match="refused"):
        verified(boot, EvidencePolicy(trust, MANIFEST, OWNERS))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_another_measurement_is_refused(index: int) -> None:
    values = [bytes([n]) * 48 for n in (1, 2, 3)]
    values[index] = b"\xff" * 48
    with pytest.raises(DocumentRefused, match=rf"pcrs\[{index}\]"):
        verified(Boot(measured=Measurements(*values)), Boot().policy)


def test_a_debug_enclave_is_refused_by_a_trust_file_that_does_not_mean_one() -> None:
    with pytest.raises(DocumentRefused):
        verified(Boot(measured=DEBUG), Boot().policy)


def test_measurements_of_two_trusted_images_mixed_are_refused() -> None:
    one, other = Boot(), Boot(measured=Measurements(*(bytes([n]) * 48 for n in (4, 5, 6))))
    trust = msgspec.structs.replace(one.trust, images=(*one.trust.images, *other.trust.images))
    policy = EvidencePolicy(trust, MANIFEST, OWNERS)
    assert verified(one, policy).image == one.trust.images[0]
    assert verified(other, policy).image == other.trust.images[0]
    mixed = Boot(measured=Measurements(one.measured.pcr0, other.measured.pcr1, one.measured.pcr2))
    with pytest.raises(ImageMismatch):
        verified(mixed, policy)


def test_another_pcr_can_be_pinned() -> None:
    boot = Boot()
    for pcr in ("3", "4", "8"):
        trust: Trust = msgspec.structs.replace(boot.trust, other_pcrs={pcr: "ab" * 48})
        with pytest.raises(DocumentRefused, match=rf"pcrs\[{pcr}\]"):
            verified(boot, EvidencePolicy(trust, MANIFEST, OWNERS))


def test_a_boot_without_manifest_is_no_verified_evidence() -> None:
    boot = Boot(manifest=None)
    with pytest.raises(BootNotConfigured):
        verified(boot, EvidencePolicy(boot.trust, bytes(32), bytes(32)))


def test_another_manifest_is_refused() -> None:
    other = sha256(b"another").digest()
    with pytest.raises(ManifestMismatch) as caught:
        verified(Boot(manifest=other), Boot().policy)
    assert (caught.value.expected, caught.value.actual) == (MANIFEST.hex(), other.hex())


def test_other_owners_are_refused() -> None:
    boot = Boot()
    with pytest.raises(OwnerRootMismatch):
        verified(boot, bundle=replace(boot.bundle, owner_root=sha256(b"thief").digest()))


def test_a_bundle_that_claims_a_manifest_which_was_not_measured_is_refused() -> None:
    boot = Boot(manifest=sha256(b"another").digest())
    with pytest.raises(ManifestPcrMismatch, match="PCR16"):
        verified(boot, Boot().policy, replace(boot.bundle, manifest_digest=MANIFEST))


def test_more_than_the_manifest_in_pcr16_is_refused() -> None:
    with pytest.raises(ManifestPcrMismatch, match="PCR16"):
        verified(Boot(extra=((16, b"more"),)))


def test_an_unlocked_pcr16_is_refused() -> None:
    with pytest.raises(ManifestPcrMismatch, match="PCR16"):
        verified(Boot(lock=16))


def test_a_register_left_open_is_refused() -> None:
    with pytest.raises(ManifestPcrMismatch, match="PCR31"):
        verified(Boot(lock=31))


@pytest.mark.parametrize("index", [17, 31])
def test_another_register_extended_is_refused(index: int) -> None:
    with pytest.raises(ManifestPcrMismatch, match=f"PCR{index}"):
        verified(Boot(extra=((index, b"x"),)))


@pytest.mark.parametrize("role", [Role.INIT, Role.SIGNER])
def test_a_missing_role_is_refused(role: Role) -> None:
    present = tuple(r for r in (Role.INIT, Role.SIGNER, Role.RECORD) if r is not role)
    with pytest.raises(RoleMissing):
        verified(Boot(roles=present))


def test_a_certificate_that_cannot_be_pinned_is_refused() -> None:
    boot = Boot()
    for der in (b"junk", server_certificate(ec.SECP384R1())[1]):
        with pytest.raises(CertificateRefused):
            verified(boot, bundle=replace(boot.bundle, certificate=der))


@pytest.mark.parametrize("kind", [VerifiedEvidence, BootedEvidence])
def test_evidence_cannot_be_made_by_hand(kind: Callable[..., object]) -> None:
    boot = Boot()
    good = verified(boot)
    fields = {"bundle": good.bundle, "attestation": good.attestation, "image": good.image}
    if kind is VerifiedEvidence:
        fields |= {"policy": good.policy, "document": good.document}
    with pytest.raises(NotVerified):
        kind(**fields, proof=object())
    with pytest.raises(TypeError):
        kind(**fields)


def booted(boot: Boot, bundle: Bundle | None = None) -> BootedEvidence:
    fresh = challenge()
    bundle = bundle or boot.bundle
    untrusted = UntrustedEvidence(boot.document(fresh.nonce, bundle.commitment), bundle.serialise())
    return verify_booted(untrusted, boot.trust, fresh, datetime.now(UTC))


def test_a_booted_enclave_is_verified_as_such() -> None:
    boot = Boot(manifest=None)
    assert booted(boot).bundle == boot.bundle


def test_a_configured_enclave_is_not_booted() -> None:
    with pytest.raises(ManifestMismatch):
        booted(Boot())


@pytest.mark.parametrize("part", ["roles", "manifest_digest", "certificate"])
def test_a_booted_bundle_holds_nothing_of_a_configured_one(part: str) -> None:
    boot = Boot(manifest=None)
    with pytest.raises(ManifestMismatch):
        booted(boot, replace(boot.bundle, **{part: getattr(Boot().bundle, part)}))


def test_a_booted_bundle_with_a_locked_manifest_register_is_refused() -> None:
    with pytest.raises(ManifestPcrMismatch):
        booted(Boot(), Bundle(bytes(32)))


def test_every_refusal_says_what_to_do() -> None:
    boot = Boot()
    with pytest.raises(EvidenceRefused) as caught:
        verified(boot, EvidencePolicy(boot.trust, bytes(32), OWNERS))
    assert caught.value.remedy
    assert caught.value.exit_status == 3
