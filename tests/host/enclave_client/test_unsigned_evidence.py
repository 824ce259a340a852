"""Evidence that nobody signed: only where a development trust file says so, and then no other."""

import secrets
from datetime import UTC, datetime

import msgspec
import pytest
from strongroom_attest.freshness import Challenge
from strongroom_host.enclave_client.errors import (
    CommitmentMismatch,
    DocumentRefused,
    ManifestMismatch,
    ManifestPcrMismatch,
)
from strongroom_host.enclave_client.evidence import (
    BootedEvidence,
    UntrustedEvidence,
    VerifiedEvidence,
    verify_booted,
    verify_evidence,
)
from strongroom_host.trust.record import EvidencePolicy, Trust

from tests.host.enclave_client.simulator import MANIFEST, OWNERS, Boot
from tests.host.enclave_client.unsigned import unsigned


def emulator(boot: Boot) -> Trust:
    return Trust.emulator(*boot.trust.images)


def verified(boot: Boot, trust: Trust, *, signed: bool = False) -> VerifiedEvidence:
    fresh = Challenge(secrets.token_bytes(32))
    document = boot.document(fresh.nonce)
    untrusted = UntrustedEvidence(
        document if signed else unsigned(document), boot.bundle.serialise()
    )
    policy = EvidencePolicy(trust, MANIFEST, OWNERS)
    return verify_evidence(untrusted, policy, fresh, datetime.now(UTC))


def booted(boot: Boot, trust: Trust) -> BootedEvidence:
    fresh = Challenge(secrets.token_bytes(32))
    document = unsigned(boot.document(fresh.nonce))
    untrusted = UntrustedEvidence(document, boot.bundle.serialise())
    return verify_booted(untrusted, trust, fresh, datetime.now(UTC))


def test_a_file_for_an_emulator_takes_it_and_the_result_says_so() -> None:
    boot, waiting = Boot(), Boot(manifest=None)
    found = verified(boot, emulator(boot))
    assert found.signed is False
    assert found.bundle == boot.bundle
    assert verified(boot, boot.trust, signed=True).signed is True
    assert booted(waiting, emulator(waiting)).signed is False


def test_every_other_file_refuses_it() -> None:
    boot = Boot()
    with pytest.raises(DocumentRefused, match="nobody signed") as refused:
        verified(boot, boot.trust)
    assert "unsigned-refused" in str(refused.value)
    assert "--unsigned" in refused.value.remedy
    production = msgspec.structs.replace(boot.trust, mode="production")
    with pytest.raises(DocumentRefused, match="nobody signed"):
        verified(boot, production)


def test_a_production_verifier_refuses_it_even_under_a_file_that_was_never_checked() -> None:
    boot = Boot()
    smuggled = msgspec.structs.replace(emulator(boot), mode="production")
    with pytest.raises(DocumentRefused, match="policy-invalid"):
        verified(boot, smuggled)


def test_a_signed_document_is_not_taken_without_its_proof() -> None:
    boot = Boot()
    with pytest.raises(DocumentRefused, match="signature-invalid"):
        verified(boot, emulator(boot), signed=True)


def test_all_else_is_compared_as_ever() -> None:
    boot, other = Boot(), Boot()
    trust = emulator(boot)
    image = msgspec.structs.replace(trust.images[0], pcr1="ab" * 48)
    with pytest.raises(DocumentRefused, match="pcrs"):
        verified(boot, Trust.emulator(image))
    with pytest.raises(ManifestMismatch):
        booted(boot, trust)
    with pytest.raises(ManifestPcrMismatch):
        verified(Boot(lock=16), trust)
    fresh = Challenge(secrets.token_bytes(32))
    swapped = UntrustedEvidence(unsigned(boot.document(fresh.nonce)), other.bundle.serialise())
    with pytest.raises(CommitmentMismatch):
        verify_evidence(swapped, EvidencePolicy(trust, MANIFEST, OWNERS), fresh, datetime.now(UTC))
    stale = UntrustedEvidence(
        unsigned(boot.document(secrets.token_bytes(32))), boot.bundle.serialise()
    )
    with pytest.raises(DocumentRefused, match="nonce-mismatch"):
        verify_evidence(
            stale,
            EvidencePolicy(trust, MANIFEST, OWNERS),
            Challenge(secrets.token_bytes(32)),
            datetime.now(UTC),
        )
