"""Manifests and evidence as a host may mix them: another boot's, an older one, other owners'."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes

import msgspec
import pytest
from strongroom_attest.freshness import Challenge
from strongroom_host.enclave_client.errors import (
    BootNotConfigured,
    CommitmentMismatch,
    EvidenceRefused,
    ManifestMismatch,
    OwnerRootMismatch,
)
from strongroom_host.enclave_client.evidence import UntrustedEvidence, verify_evidence
from strongroom_host.trust.record import EvidencePolicy, Image, Trust
from strongroom_local.measure import measure_installed
from strongroom_wire.bundle import Bundle, pcr16
from strongroom_wire.errors import Code
from strongroom_wire.manifest import MANIFEST_DOMAIN, Egress
from strongroom_wire.owners import Statement
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, Action, OwnerOrder

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Desk, Enclave, Evidence, Owners
from tests.hostile.venue import HOST, PORT

CHALLENGE = b"challenge of 32 bytes".ljust(32, b".")


@pytest.fixture
def booted() -> Iterator[Enclave]:
    with Enclave() as enclave:
        yield enclave


@pytest.fixture(scope="module")
def first(start: Start) -> Boot:
    return start(Desk())


@pytest.fixture(scope="module")
def second(start: Start, first: Boot) -> Boot:
    """The same inputs, state folder included, in another boot."""
    return start(first.desk, first.enclave.state)


def policy(boot: Boot) -> EvidencePolicy:
    root = sha256((boot.enclave.run / "nsm-root.der").read_bytes()).hexdigest()
    measured = measure_installed()
    image = Image("this", measured.pcr0.hex(), measured.pcr1.hex(), measured.pcr2.hex())
    trust = Trust("strongroom-trust/1", "development", (root,), (image,), None, None, {})
    document = boot.desk.manifest
    return EvidencePolicy(trust, sha256(document.serialise()).digest(), document.owner_root)


def verify(evidence: Evidence, wanted: EvidencePolicy, nonce: bytes = CHALLENGE) -> Bundle:
    untrusted = UntrustedEvidence(evidence.document, evidence.bundle)
    return verify_evidence(untrusted, wanted, Challenge(nonce), datetime.now(UTC)).bundle


def test_the_boot_that_is_meant_verifies(first: Boot) -> None:
    assert verify(first.enclave.evidence(CHALLENGE), policy(first)) == first.bundle


def test_a_bundle_beside_another_boots_document_is_refused(first: Boot, second: Boot) -> None:
    a, b = first.enclave.evidence(CHALLENGE), second.enclave.evidence(CHALLENGE)
    mixed = (Evidence(Code.OK, a.document, b.bundle), Evidence(Code.OK, b.document, a.bundle))
    for evidence in mixed:
        with pytest.raises(CommitmentMismatch):
            verify(evidence, policy(first))


def test_a_bundle_with_one_key_exchanged_is_refused(first: Boot, second: Boot) -> None:
    evidence, ours, theirs = first.enclave.evidence(CHALLENGE), first.bundle, second.bundle
    init, signer = ours.roles
    for changes in (
        {"certificate": theirs.certificate},
        {"boot_id": theirs.boot_id},
        {"roles": (init, theirs.roles[1])},
        {"roles": (theirs.roles[0], signer)},
        {"roles": ()},
    ):
        forged = msgspec.structs.replace(ours, **changes)
        with pytest.raises(EvidenceRefused):
            verify(Evidence(Code.OK, evidence.document, forged.serialise()), policy(first))


def test_recorded_evidence_does_not_answer_a_new_challenge(first: Boot) -> None:
    recorded = first.enclave.evidence(CHALLENGE)
    with pytest.raises(EvidenceRefused):
        verify(recorded, policy(first), token_bytes(32))


def test_evidence_from_before_the_manifest_carries_no_keys(booted: Enclave, first: Boot) -> None:
    evidence = booted.evidence(CHALLENGE)
    bundle = Bundle.parse(evidence.bundle)
    assert (bundle.roles, bundle.certificate, bundle.manifest_digest) == ((), b"", bytes(32))
    root = sha256((booted.run / "nsm-root.der").read_bytes()).hexdigest()
    trust = msgspec.structs.replace(policy(first).trust, roots=(root,))
    wanted = replace(policy(first), trust=trust)
    with pytest.raises(BootNotConfigured):
        verify(evidence, wanted)


def test_a_clone_has_keys_of_its_own(first: Boot, second: Boot) -> None:
    ours, theirs = first.bundle, second.bundle
    assert ours.manifest_digest == theirs.manifest_digest
    assert ours.boot_id != theirs.boot_id
    assert ours.certificate != theirs.certificate
    assert not {r.hpke for r in ours.roles} & {r.hpke for r in theirs.roles}
    assert not {r.receipt for r in ours.roles} & {r.receipt for r in theirs.roles}


def test_an_older_manifest_shows_in_the_evidence(start: Start, first: Boot) -> None:
    newer = start(first.desk.but(version=2), first.enclave.state)
    digests = [boot.bundle.manifest_digest for boot in (first, newer)]
    assert pcr16(digests[0]) != pcr16(digests[1])
    # The owner means version 2, and the host shows a genuine boot of version 1.
    wanted = replace(policy(first), manifest_digest=digests[1])
    with pytest.raises(ManifestMismatch):
        verify(first.enclave.evidence(CHALLENGE), wanted)


def test_a_foreign_manifest_boots_but_obeys_and_proves_only_its_own(
    start: Start, first: Boot
) -> None:
    foreign = start(Desk(), first.enclave.state)
    with pytest.raises(ManifestMismatch):
        verify(foreign.enclave.evidence(CHALLENGE), policy(first))
    renamed = replace(policy(first), manifest_digest=foreign.bundle.manifest_digest)
    with pytest.raises(OwnerRootMismatch):
        verify(foreign.enclave.evidence(CHALLENGE), renamed)
    rightful = first.desk.owners
    permit = rightful.sign(PERMIT_DOMAIN, foreign.permit().serialise())
    assert foreign.deliver_permit(permit) is Code.QUORUM_MISSING
    for action in Action:
        order = _order(foreign, action)
        code, _ = foreign.deliver_order(rightful.sign(ORDER_DOMAIN, order, 3))
        assert code is Code.QUORUM_MISSING


def _order(boot: Boot, action: Action) -> bytes:
    digest = boot.bundle.manifest_digest
    return OwnerOrder(action, boot.bundle.boot_id, digest, "main", bytes(8)).serialise()


def test_a_second_manifest_in_the_same_boot_is_refused(first: Boot) -> None:
    before = first.bundle
    for desk in (first.desk, first.desk.but(version=2), Desk()):
        receipt = first.enclave.load(desk.signed)
        assert (Code(receipt.code), receipt.answer) == (Code.WRONG_PHASE, b"")
    assert first.enclave.phase() == 2
    assert Bundle.parse(first.enclave.evidence().bundle) == before


def test_a_refused_manifest_leaves_the_boot_as_it_was(booted: Enclave) -> None:
    desk, before = Desk(), booted.evidence().bundle
    payload, owners = desk.manifest.serialise(), desk.owners
    production = desk.but(mode="production")
    unlisted = production.but(egress=(Egress(HOST, PORT, (), ()),))
    narrowed = desk.but(egress=(Egress(HOST, PORT, (), ()),))
    spoilt = msgspec.structs.replace(desk.manifest.clients[1], certificate=b"no certificate")
    unusable = desk.but(clients=(desk.manifest.clients[0], spoilt))
    for statement, expected in (
        (owners.sign(MANIFEST_DOMAIN, payload, 1), Code.QUORUM_MISSING),
        (owners.sign(PERMIT_DOMAIN, payload), Code.BAD_SIGNATURE),
        (Owners.new().sign(MANIFEST_DOMAIN, payload), Code.QUORUM_MISSING),
        (Statement(payload, ()), Code.QUORUM_MISSING),
        (owners.sign(MANIFEST_DOMAIN, payload + b"\n"), Code.MANIFEST_INVALID),
        (owners.sign(MANIFEST_DOMAIN, b"{}"), Code.MANIFEST_INVALID),
        (owners.sign(MANIFEST_DOMAIN, b"[" * 100_000), Code.MANIFEST_INVALID),
        (owners.sign(MANIFEST_DOMAIN, b"\xff\xfe"), Code.MANIFEST_INVALID),
        (owners.sign(MANIFEST_DOMAIN, bytes(300 * 1024)), Code.TOO_LARGE),
        (production.signed, Code.MANIFEST_INVALID),
        (unlisted.signed, Code.VENUE_NOT_ALLOWED),
        (narrowed.signed, Code.VENUE_NOT_ALLOWED),
        (unusable.signed, Code.MANIFEST_INVALID),
    ):
        assert Code(booted.load(statement).code) is expected
    assert booted.phase() == 1
    assert booted.evidence().bundle == before
    assert booted.configure(desk).enclave.phase() == 2


def test_a_nonce_must_be_a_challenge(booted: Enclave) -> None:
    for size in (0, 1, 15, 65, 512, 100_000):
        evidence = booted.evidence(bytes(size))
        assert (evidence.code, evidence.document, evidence.bundle) == (Code.MALFORMED, b"", b"")
    for size in (16, 64):
        assert booted.evidence(bytes(size)).code is Code.OK


def test_no_listener_takes_requests_of_clients_before_the_manifest(booted: Enclave) -> None:
    assert not Path(booted.run / "control.sock").exists()
