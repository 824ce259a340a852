"""Stored evidence of a boot: a good baseline, and one change for each check."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace
from strongroom_host.enclave_client.archived import ArchivedEvidence, verify_archived_evidence
from strongroom_host.enclave_client.errors import (
    BootNotConfigured,
    BundleRefused,
    CommitmentMismatch,
    DocumentRefused,
    ImageMismatch,
    ManifestMismatch,
    ManifestPcrMismatch,
    NotVerified,
    OwnerRootMismatch,
    RoleMissing,
)
from strongroom_host.enclave_client.evidence import UntrustedEvidence
from strongroom_host.log.attested import prove_boot
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.errors import BootUnproved
from strongroom_host.trust.record import EvidencePolicy, Image, Trust
from strongroom_local.measure import Measurements
from strongroom_local.pki import new_root
from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.errors import BadSignature, QuorumMissing

from tests.host.enclave_client.simulator import MEASURED
from tests.host.enclave_client.simulator import Boot as Machine
from tests.host.enclave_client.unsigned import unsigned
from tests.host.log.boots_made import NONCE, Running, manifest
from tests.wire.samples import byte, handed_over, owners_of, signed_manifest

BOOT = Running(manifest())
ROOT = BOOT.document.owner_root
HEAD = LogHead(5, byte(0x11))
TRUST = BOOT.machine.trust
Cause = type[Exception]


def refused(stored: StoredBoot, cause: Cause, trust: Trust = TRUST, owners: bytes = ROOT) -> None:
    with pytest.raises(BootUnproved) as caught:
        prove_boot(stored, trust, owners)
    assert isinstance(caught.value.__cause__, cause), repr(caught.value.__cause__)
    assert caught.value.remedy


def test_what_the_evidence_of_a_boot_proves() -> None:
    found = prove_boot(BOOT.evidence(HEAD), TRUST, ROOT)
    assert found.boot_id == BOOT.boot_id
    assert found.key == BOOT.key
    assert found.attested.manifest_digest == BOOT.digest
    assert found.attested.keys_digest == BOOT.machine.bundle.keys_digest
    assert found.head is not None
    assert found.head.head == HEAD
    assert found.manifest.manifest == BOOT.document
    assert found.evidence.image.name == "simulated"
    assert found.evidence.signed
    assert found.owners == (ROOT,)
    assert prove_boot(BOOT.evidence(), TRUST, ROOT).head is None


def test_the_one_manifest_that_a_trust_file_pins_is_not_asked_for() -> None:
    pinned = msgspec.structs.replace(TRUST, manifest_digest="00" * 32, owner_root=ROOT.hex())
    assert prove_boot(BOOT.evidence(), pinned, ROOT).manifest.manifest.version == 7


def test_the_challenge_has_to_be_the_one_that_was_kept() -> None:
    assert prove_boot(BOOT.evidence(nonce=b""), TRUST, ROOT).evidence.signed
    refused(BOOT.evidence(nonce=bytes(32)), DocumentRefused)


def with_bundle(change: Callable[[Machine], None]) -> StoredBoot:
    """Evidence of another boot of the same manifest, attested after a change to it."""
    other = Running(BOOT.document)
    change(other.machine)
    return other.evidence()


def test_evidence_that_is_changed_proves_nothing() -> None:
    good, other = BOOT.evidence(), Running(BOOT.document).evidence()
    refused(msgspec.structs.replace(good, bundle=b"bundle"), BundleRefused)
    refused(msgspec.structs.replace(good, bundle=other.bundle), CommitmentMismatch)
    refused(msgspec.structs.replace(good, document=other.document), CommitmentMismatch)
    refused(msgspec.structs.replace(good, document=good.document[:-1]), DocumentRefused)
    refused(msgspec.structs.replace(good, document=unsigned(good.document)), DocumentRefused)
    refused(msgspec.structs.replace(good, manifest=b"x"), Exception)
    larger = BOOT.evidence(LogHead(9, byte(1))).bundle
    refused(msgspec.structs.replace(good, bundle=larger), CommitmentMismatch)


def test_another_image_root_or_owner_is_refused() -> None:
    good = BOOT.evidence()
    other = Image("other", "44" * 48, "55" * 48, "66" * 48)
    refused(good, DocumentRefused, msgspec.structs.replace(TRUST, images=(other,)))
    mixed = Image("mixed", "01" * 48, "55" * 48, "66" * 48)
    second = Image("second", "44" * 48, "02" * 48, "03" * 48)
    refused(good, ImageMismatch, msgspec.structs.replace(TRUST, images=(mixed, second)))
    root = Machine(root=new_root(datetime.now(UTC)), measured=MEASURED).trust
    refused(good, DocumentRefused, root)
    refused(good, OwnerRootMismatch, TRUST, byte(1))


def test_a_boot_of_an_image_that_was_left_is_still_proved_and_taken_for_no_running_one() -> None:
    good, new = BOOT.evidence(), Image("new", "44" * 48, "55" * 48, "66" * 48)
    trust = msgspec.structs.replace(TRUST, images=(new,), past_images=TRUST.images)
    assert prove_boot(good, trust, ROOT).evidence.image == TRUST.images[0]
    with pytest.raises(DocumentRefused):
        verify_archived_evidence(
            UntrustedEvidence(good.document, good.bundle),
            EvidencePolicy(trust, BOOT.digest, ROOT),
            good.nonce,
        )


def test_a_boot_of_another_manifest_is_refused() -> None:
    other = signed_manifest(manifest(8), 1, 2).serialise()
    refused(BOOT.evidence(manifest=other), ManifestMismatch)


def test_a_manifest_that_its_owners_did_not_sign_is_refused() -> None:
    refused(Running(manifest(), (1,)).evidence(), QuorumMissing)
    refused(Running(manifest(), (8, 9)).evidence(), QuorumMissing)
    good = BOOT.evidence()
    forged = bytearray(good.manifest)
    forged[-1] ^= 1
    refused(msgspec.structs.replace(good, manifest=bytes(forged)), BadSignature)


def test_owners_are_followed_over_their_changes() -> None:
    later = handed_over(manifest(8), owners_of(5, 6, quorum=1), 1, 2)
    found = prove_boot(Running(later, (5,)).evidence(), TRUST, ROOT)
    assert found.owners == (ROOT, owners_of(5, 6, quorum=1).owners.root)
    refused(Running(later, (1, 2)).evidence(), QuorumMissing)


def test_a_bundle_does_not_name_other_owners_than_its_manifest() -> None:
    """No genuine image does that; if one did, its manifest would still be the strangers'."""
    others = Running(manifest(genesis=owners_of(5, 6, quorum=1)), (5,))
    others.machine.bundle = replace(others.machine.bundle, owner_root=ROOT)
    with pytest.raises(BootUnproved, match="other owners"):
        prove_boot(others.evidence(), TRUST, ROOT)


def test_registers_and_keys_are_compared() -> None:
    def boot(**changes: object) -> StoredBoot:
        made = Running(BOOT.document)
        made.machine = Machine(manifest=made.digest, **changes)  # type: ignore[arg-type]
        made.machine.bundle = replace(made.machine.bundle, owner_root=ROOT)
        return made.evidence()

    assert prove_boot(boot(), TRUST, ROOT).head is None
    refused(boot(lock=16), ManifestPcrMismatch)
    refused(boot(extra=((16, b"x"),)), ManifestPcrMismatch)
    refused(boot(extra=((17, b"x"),)), ManifestPcrMismatch)
    refused(boot(roles=(Role.SIGNER,)), RoleMissing)
    refused(boot(measured=Measurements(*(bytes([9]) * 48,) * 3)), DocumentRefused)


def test_a_boot_without_a_manifest_is_refused() -> None:
    empty = Machine(manifest=None)
    stored = BOOT.evidence(document=empty.document(NONCE), bundle=empty.bundle.serialise())
    refused(stored, BootNotConfigured)


def test_an_emulators_evidence_is_taken_only_where_the_trust_file_says_so() -> None:
    image = TRUST.images[0]
    emulator, good = Trust.emulator(image), BOOT.evidence()
    refused(good, DocumentRefused, emulator)
    bare = msgspec.structs.replace(good, document=unsigned(good.document))
    found = prove_boot(bare, emulator, ROOT)
    assert not found.evidence.signed
    refused(msgspec.structs.replace(bare, nonce=bytes(32)), DocumentRefused, emulator)


def test_only_verification_makes_the_result() -> None:
    good = BOOT.evidence()
    policy = EvidencePolicy(TRUST, BOOT.digest, ROOT)
    found = verify_archived_evidence(UntrustedEvidence(good.document, good.bundle), policy)
    assert found.keys(Role.INIT).role is Role.INIT
    with pytest.raises(NotVerified):
        ArchivedEvidence(
            bundle=found.bundle,
            document=found.document,
            image=found.image,
            policy=policy,
            as_of=found.as_of,
            signed=True,
            proof=None,  # type: ignore[arg-type]
        )
