"""Permits, orders, hand-overs and on-chain keys, against the enclave's own readers."""

import secrets
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account import Account
from msgspec.structs import replace
from strongroom_attest.freshness import Challenge
from strongroom_host.enclave_client.errors import RoleMissing
from strongroom_host.enclave_client.evidence import (
    UntrustedEvidence,
    VerifiedEvidence,
    verify_evidence,
)
from strongroom_host.owner.chain_keys import (
    address_of,
    authorise_session_calldata,
    checksum_address,
    parse_private_key,
    revoke_session_calldata,
)
from strongroom_host.owner.errors import (
    DocumentInvalid,
    NotAnOwner,
    PrivateKeyInvalid,
    UnknownManifestKey,
)
from strongroom_host.owner.handover import before_last, draft_handover, sign_handover
from strongroom_host.owner.statements import (
    RecordHistory,
    WrongBootDocument,
    check_for_boot,
    draft_connect,
    draft_enrolment,
    draft_export,
    draft_import,
    draft_kill,
    draft_order,
    draft_permit,
    key_index,
    parse_budget,
)
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role, hpke_info
from strongroom_wire.errors import BadSignature, QuorumMissing
from strongroom_wire.hpke import open_sealed
from strongroom_wire.manifest import Manifest, VerifiedManifest
from strongroom_wire.merkle import Frontier
from strongroom_wire.record import Credentials
from strongroom_wire.statements import ORDER_DOMAIN, Action, Budget, OwnerOrder, Permit

from tests.host.enclave_client.simulator import MANIFEST, Boot
from tests.host.owner.samples import OwnerKeys, sample_manifest
from tests.wire.samples import byte

OWNERS = OwnerKeys.new(3, 2)
BASE = sample_manifest(OWNERS)


@pytest.fixture(scope="module")
def boot() -> Boot:
    return Boot()


def proved(boot: Boot) -> VerifiedEvidence:
    challenge = Challenge(secrets.token_bytes(32))
    document = boot.document(challenge.nonce)
    untrusted = UntrustedEvidence(document, boot.bundle.serialise())
    return verify_evidence(untrusted, boot.policy, challenge, datetime.now(UTC))


@pytest.fixture(scope="module")
def evidence(boot: Boot) -> VerifiedEvidence:
    return proved(boot)


MEANT = VerifiedManifest(BASE, MANIFEST, BASE.owners())


def permit(evidence: VerifiedEvidence, share: bytes | None = None) -> Permit:
    budgets = (Budget("main", 1, 2),)
    return draft_permit(evidence, budgets, serial=5, not_after=6, share=share)


def test_a_permit_names_this_boot(evidence: VerifiedEvidence) -> None:
    made = permit(evidence)
    assert Permit.parse(made.serialise()) == made
    assert made.keys_digest == evidence.bundle.keys_digest
    assert (made.serial, made.not_after, made.share) == (5, 6, b"")
    check_for_boot(made, evidence, MEANT)


def test_the_share_opens_in_init_of_this_boot_only(boot: Boot, evidence: VerifiedEvidence) -> None:
    share = secrets.token_bytes(32)
    sealed = permit(evidence, share).share
    info = hpke_info(boot.bundle, Role.INIT, b"unlock-share")
    assert open_sealed(sealed, boot.hpke[Role.INIT], info) == share
    with pytest.raises(BadSignature):
        open_sealed(sealed, boot.hpke[Role.SIGNER], info)
    with pytest.raises(BadSignature):
        open_sealed(sealed, boot.hpke[Role.INIT], hpke_info(boot.bundle, Role.INIT, b"other"))


def test_an_imported_key_opens_in_the_signer_only(boot: Boot, evidence: VerifiedEvidence) -> None:
    secret = secrets.token_bytes(32)
    order = draft_import(evidence, "main", secret)
    assert secret not in order.serialise()
    info = hpke_info(boot.bundle, Role.SIGNER, b"key-import")
    assert open_sealed(order.body, boot.hpke[Role.SIGNER], info) == secret


def test_a_permit_names_both_logs_and_the_states_of_the_record(evidence: VerifiedEvidence) -> None:
    made = draft_permit(evidence, (), serial=5, not_after=6, share=None)
    assert (made.continues(Role.RECORD).head, made.record_abandons) == (EMPTY_LOG, EMPTY_LOG)
    assert made.record_root == bytes(32)
    log, gone = Frontier(1, (byte(1),)), LogHead(9, byte(9))
    record = RecordHistory(log, gone, byte(2))
    made = draft_permit(evidence, (), serial=5, not_after=6, share=None, record=record)
    assert Permit.parse(made.serialise()) == made
    assert (made.continues(Role.RECORD).head, made.record_abandons) == (log.head, gone)
    assert made.continues(Role.SIGNER).head == EMPTY_LOG
    assert made.record_root == byte(2)


def test_credentials_open_in_the_record_only(evidence: VerifiedEvidence) -> None:
    credentials = Credentials("main", "binance", "the key", "the secret", "")
    with pytest.raises(RoleMissing):
        draft_connect(evidence, credentials)
    boot = Boot(roles=tuple(Role))
    order = draft_connect(proved(boot), credentials)
    assert (order.action, order.key) == (Action.CONNECT, "main")
    assert b"the secret" not in order.serialise()
    info = hpke_info(boot.bundle, Role.RECORD, b"record-credentials")
    assert Credentials.parse(open_sealed(order.body, boot.hpke[Role.RECORD], info)) == credentials
    with pytest.raises(BadSignature):
        open_sealed(order.body, boot.hpke[Role.SIGNER], info)


def test_no_receipt_of_an_earlier_export_answers_a_later_one(evidence: VerifiedEvidence) -> None:
    """A receipt is for exact bytes: an old blob, without the keys made since, must not fit."""
    made = [draft_export(evidence) for _ in range(2)]
    assert {order.action for order in made} == {Action.EXPORT}
    assert made[0].serialise() != made[1].serialise()


@pytest.mark.parametrize("field", ["keys_digest", "manifest_digest", "owner_root"])
def test_a_permit_for_another_boot_is_not_signed(evidence: VerifiedEvidence, field: str) -> None:
    wrong: dict[str, Any] = {field: bytes(32)}
    made = replace(permit(evidence), **wrong)
    with pytest.raises(WrongBootDocument) as caught:
        check_for_boot(made, evidence, MEANT)
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("field", ["boot_id", "manifest_digest"])
def test_an_order_for_another_boot_is_not_signed(evidence: VerifiedEvidence, field: str) -> None:
    order = draft_order(evidence, Action.GENERATE, "main")
    check_for_boot(order, evidence, MEANT)
    wrong: dict[str, Any] = {field: bytes(32)}
    with pytest.raises(WrongBootDocument):
        check_for_boot(replace(order, **wrong), evidence, MEANT)


def test_enrolment_carries_its_nonce(evidence: VerifiedEvidence) -> None:
    create = draft_enrolment(evidence, "main", derive=False, nonce=7)
    derive = draft_enrolment(evidence, "main", derive=True, nonce=0)
    assert (create.action, create.body) == (Action.ENROLL_CREATE, (7).to_bytes(8, "big"))
    assert (derive.action, derive.body) == (Action.ENROLL_DERIVE, bytes(8))


def test_one_owner_can_stop_everything(evidence: VerifiedEvidence) -> None:
    statement = draft_kill(evidence, OWNERS.keys[0])
    payload = BASE.owners().verify(ORDER_DOMAIN, statement, quorum=1)
    order = OwnerOrder.parse(payload)
    assert (order.action, order.boot_id) == (Action.KILL, evidence.bundle.boot_id)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("main=500:200", Budget("main", 500_000_000, 200)),
        ("main=0.000001:1", Budget("main", 1, 1)),
        ("other=1", Budget("other", 1_000_000, 100)),
        ("other=10000000000", Budget("other", 10**16, 2**32 - 1)),
    ],
)
def test_budgets_are_read_exactly(text: str, budget: Budget) -> None:
    assert parse_budget(text, BASE) == budget


@pytest.mark.parametrize(
    "text",
    ["main", "main=", "main=x", "main=1:", "main=1:x", "main=1:-1", "main=0.0000001", "main=-1",
     "main=1:4294967296", "main=99999999999999999999", "=1"],
)  # fmt: skip
def test_malformed_budgets_are_refused(text: str) -> None:
    with pytest.raises((DocumentInvalid, UnknownManifestKey)):
        parse_budget(text, BASE)


def test_a_budget_for_a_key_nobody_has_is_refused(evidence: VerifiedEvidence) -> None:
    with pytest.raises(UnknownManifestKey) as caught:
        parse_budget("mian=1", BASE)
    assert "main" in str(caught.value.expected)
    assert [key_index(BASE, name) for name in ("main", "other")] == [0, 1]
    twice = (Budget("main", 1, 1), Budget("main", 2, 2))
    with pytest.raises(DocumentInvalid, match="twice"):
        draft_permit(evidence, twice, serial=1, not_after=1, share=None)


# --- hand-over -----------------------------------------------------------------------------------


def hand_over(manifest: Manifest, to: OwnerKeys, *by: Ed25519PrivateKey) -> Manifest:
    draft = draft_handover(manifest, to.spec)
    for key in by:
        draft, _, _ = sign_handover(draft, key)
    return draft


def test_a_hand_over_needs_the_quorum_before() -> None:
    heirs = OwnerKeys.new(2, 2)
    draft = hand_over(BASE, heirs, OWNERS.keys[0])
    with pytest.raises(QuorumMissing):
        draft.owners()
    done = hand_over(BASE, heirs, OWNERS.keys[0], OWNERS.keys[2])
    assert done.owners() == heirs.spec.owners
    assert done.owner_root == BASE.owner_root
    assert done.version == 2
    assert Manifest.parse(done.serialise()) == done


def test_hand_overs_form_a_chain() -> None:
    first, second = OwnerKeys.new(2, 1), OwnerKeys.new(1, 1)
    one = hand_over(BASE, first, *OWNERS.keys[:2])
    two = hand_over(one, second, first.keys[1])
    assert two.owners() == second.spec.owners
    assert before_last(two) == first.spec.owners


def test_signing_twice_counts_once() -> None:
    draft = draft_handover(BASE, OwnerKeys.new(1, 1).spec)
    draft, count, quorum = sign_handover(draft, OWNERS.keys[0])
    again, count, quorum = sign_handover(draft, OWNERS.keys[0])
    assert (again, count, quorum) == (draft, 1, 2)


def test_only_owners_before_may_consent() -> None:
    heirs = OwnerKeys.new(1, 1)
    with pytest.raises(NotAnOwner):
        sign_handover(draft_handover(BASE, heirs.spec), heirs.keys[0])


def test_impossible_hand_overs_are_refused() -> None:
    with pytest.raises(DocumentInvalid, match="already"):
        draft_handover(BASE, OWNERS.spec)
    with pytest.raises(DocumentInvalid):
        draft_handover(BASE, msgspec.structs.replace(OWNERS.spec, quorum=9))
    unfinished = draft_handover(BASE, OwnerKeys.new(1, 1).spec)
    with pytest.raises(DocumentInvalid):
        draft_handover(unfinished, OwnerKeys.new(1, 1).spec)
    with pytest.raises(DocumentInvalid, match="no hand-over"):
        before_last(BASE)


# --- on chain ------------------------------------------------------------------------------------


def test_calldata_equals_the_official_clients() -> None:
    calls = pytest.importorskip("polymarket._internal.actions.relayer.calls")
    signer, wallet = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x" + "33" * 20
    raw = bytes.fromhex(signer[2:])
    authorise = calls.authorize_session_signer_call(
        wallet_address=wallet, session_signer=signer, valid_until=1_800_000_000
    )
    revoke = calls.revoke_session_signer_call(wallet_address=wallet, session_signer=signer)
    assert "0x" + authorise_session_calldata(raw, 1_800_000_000).hex() == authorise.data
    assert "0x" + revoke_session_calldata(raw).hex() == revoke.data
    assert checksum_address(raw) == signer


def test_calldata_takes_addresses_and_times_only() -> None:
    with pytest.raises(DocumentInvalid):
        revoke_session_calldata(bytes(19))
    for until in (0, -1, 1 << 64):
        with pytest.raises(DocumentInvalid):
            authorise_session_calldata(bytes(20), until)


def test_private_keys_are_read_strictly_and_never_shown() -> None:
    secret = secrets.token_bytes(32)
    for text in (secret.hex(), "0x" + secret.hex(), f"  {secret.hex().upper()}\n"):
        assert parse_private_key(text.encode()) == secret
    assert checksum_address(address_of(secret)) == Account.from_key(secret).address
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    bad = ["", "00" * 32, f"{order:064x}", secret.hex()[:-1], secret.hex() + "00", "zz" * 32]
    for text in bad:
        with pytest.raises(PrivateKeyInvalid) as caught:
            parse_private_key(text.encode())
        assert len(text) < 8 or text not in repr(vars(caught.value))
