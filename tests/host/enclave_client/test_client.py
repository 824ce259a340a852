"""The control client: pinned TLS, receipts of the right role, typed refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.bootstrap import (
    BootstrapClient,
    Phase,
    fetch_booted,
    fetch_evidence,
    load_manifest,
)
from strongroom_host.enclave_client.client import EnclaveClient
from strongroom_host.enclave_client.errors import (
    BootChanged,
    CallerRefused,
    Denied,
    Halted,
    ManifestMismatch,
    NotVerified,
    OwnerDocumentRefused,
    PermitStale,
    PlatformFault,
    QuorumRefused,
    ReceiptInvalid,
    SequenceRefused,
    SignatureRefused,
    Unreachable,
    VenueFault,
    WrongBoot,
    WrongManifest,
    WrongOwner,
    WrongPhase,
    refusal,
)
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_wire.bundle import Role
from strongroom_wire.errors import Code
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.pages import Entry, answer_body

from tests.host.enclave_client.conftest import verify
from tests.host.enclave_client.simulator import MANIFEST, Boot, Server, server_certificate

STATEMENT = Statement(b"payload", (Signature(bytes(32), bytes(64)),))


@pytest.fixture
def server(boot: Boot, tmp_path: Path, identity: ClientIdentity) -> Iterator[Server]:
    with Server(boot, tmp_path, (identity.certificate,)) as running:
        yield running


@pytest.fixture
def client(
    server: Server, evidence: VerifiedEvidence, identity: ClientIdentity, address: EnclaveAddress
) -> Iterator[EnclaveClient]:
    with EnclaveClient(evidence, identity, address.control) as made:
        yield made


def test_nothing_but_verified_evidence_makes_a_client(
    boot: Boot, identity: ClientIdentity, address: EnclaveAddress
) -> None:
    for other in (boot.bundle, None, boot):
        with pytest.raises(NotVerified):
            EnclaveClient(cast(Any, other), identity, address.control)


def test_an_accepted_permit_returns_the_answer(client: EnclaveClient) -> None:
    assert client.submit_permit(STATEMENT) == b"ok"
    assert client.submit_order(STATEMENT) == b"ok"


def test_a_permit_receipt_of_the_signer_is_refused(client: EnclaveClient, server: Server) -> None:
    def by_signer(statement: Statement, role: Role) -> tuple[Code, bytes, bytes]:
        request, answer = statement.serialise(), answer_body(b"", Entry())
        return Code.OK, answer, server.boot.sign_receipt(Role.SIGNER, request, Code.OK, answer)

    server.answer = by_signer
    with pytest.raises(ReceiptInvalid):
        client.submit_permit(STATEMENT)
    assert client.submit_order(STATEMENT) == b""


def test_an_order_is_answered_with_its_log_entry(client: EnclaveClient, server: Server) -> None:
    server.entry = Entry(b"the leaf", b"its opening")
    assert client.submit_order(STATEMENT) == b"ok"
    assert client.logged == server.entry


def test_an_order_answered_without_a_log_entry_is_refused(
    client: EnclaveClient, server: Server
) -> None:
    def bare(statement: Statement, role: Role) -> tuple[Code, bytes, bytes]:
        request = statement.serialise()
        return Code.OK, b"ok", server.boot.sign_receipt(Role.SIGNER, request, Code.OK, b"ok")

    server.answer = bare
    with pytest.raises(ReceiptInvalid, match="no log entry"):
        client.submit_order(STATEMENT)


def test_an_order_receipt_of_init_is_refused(client: EnclaveClient, server: Server) -> None:
    def by_init(statement: Statement, role: Role) -> tuple[Code, bytes, bytes]:
        request = statement.serialise()
        return Code.OK, b"", server.boot.sign_receipt(Role.INIT, request, Code.OK, b"")

    server.answer = by_init
    with pytest.raises(ReceiptInvalid):
        client.submit_order(STATEMENT)


@pytest.mark.parametrize("signature", [b"", bytes(64), b"\1" * 64, b"short"])
def test_an_acceptance_without_a_receipt_is_refused(
    client: EnclaveClient, server: Server, signature: bytes
) -> None:
    server.answer = lambda statement, role: (Code.OK, b"ok", signature)
    with pytest.raises(ReceiptInvalid):
        client.submit_permit(STATEMENT)


def test_a_receipt_for_another_request_is_refused(client: EnclaveClient, server: Server) -> None:
    old = server.boot.sign_receipt(Role.INIT, b"another request", Code.OK, b"ok")
    server.answer = lambda statement, role: (Code.OK, b"ok", old)
    with pytest.raises(ReceiptInvalid):
        client.submit_permit(STATEMENT)


def test_a_receipt_for_another_answer_is_refused(client: EnclaveClient, server: Server) -> None:
    def changed(statement: Statement, role: Role) -> tuple[Code, bytes, bytes]:
        request = statement.serialise()
        return Code.OK, b"forged", server.boot.sign_receipt(role, request, Code.OK, b"ok")

    server.answer = changed
    with pytest.raises(ReceiptInvalid):
        client.submit_permit(STATEMENT)


def test_a_refusal_turned_into_an_acceptance_is_refused(
    client: EnclaveClient, server: Server
) -> None:
    def turned(statement: Statement, role: Role) -> tuple[Code, bytes, bytes]:
        request = statement.serialise()
        return Code.OK, b"", server.boot.sign_receipt(role, request, Code.WRONG_BOOT, b"")

    server.answer = turned
    with pytest.raises(ReceiptInvalid):
        client.submit_permit(STATEMENT)


def test_a_refusal_says_whether_it_is_proved(client: EnclaveClient, server: Server) -> None:
    server.answer = lambda statement, role: (Code.WRONG_BOOT, b"", None)
    with pytest.raises(WrongBoot) as caught:
        client.submit_permit(STATEMENT)
    assert caught.value.authenticated
    server.answer = lambda statement, role: (Code.WRONG_BOOT, b"", b"")
    with pytest.raises(WrongBoot) as caught:
        client.submit_permit(STATEMENT)
    assert not caught.value.authenticated


def test_a_refusal_with_a_forged_receipt_is_no_refusal(
    client: EnclaveClient, server: Server
) -> None:
    server.answer = lambda statement, role: (Code.WRONG_BOOT, b"", b"\1" * 64)
    with pytest.raises(ReceiptInvalid):
        client.submit_permit(STATEMENT)


def test_fronts_own_refusal_is_typed(client: EnclaveClient, server: Server) -> None:
    server.abort = (grpc.StatusCode.PERMISSION_DENIED, str(int(Code.CALL_NOT_PERMITTED)))
    with pytest.raises(CallerRefused) as caught:
        client.submit_permit(STATEMENT)
    assert caught.value.code is Code.CALL_NOT_PERMITTED
    assert not caught.value.authenticated


def test_another_certificate_is_not_talked_to(
    boot: Boot, tmp_path: Path, identity: ClientIdentity, evidence: VerifiedEvidence
) -> None:
    impostor = Server(boot, tmp_path, (identity.certificate,))
    impostor.tls = server_certificate()
    address = EnclaveAddress.at_run_directory(tmp_path)
    made = EnclaveClient(evidence, identity, address.control, timeout=5)
    with impostor, made as client, pytest.raises(Unreachable) as caught:
        client.submit_permit(STATEMENT)
    assert "certificate" in caught.value.remedy


def test_a_stranger_is_not_let_in(
    server: Server, evidence: VerifiedEvidence, address: EnclaveAddress
) -> None:
    stranger = ClientIdentity.generate("stranger")
    made = EnclaveClient(evidence, stranger, address.control, timeout=5)
    with made as client, pytest.raises(Unreachable):
        client.submit_permit(STATEMENT)


def test_nobody_there_is_unreachable(
    evidence: VerifiedEvidence, identity: ClientIdentity, tmp_path: Path
) -> None:
    address = EnclaveAddress.at_run_directory(tmp_path / "none")
    made = EnclaveClient(evidence, identity, address.control, timeout=2)
    with made as client, pytest.raises(Unreachable) as caught:
        client.submit_permit(STATEMENT)
    assert caught.value.remedy


def test_the_same_boot_verifies_again(client: EnclaveClient) -> None:
    assert client.reverify().bundle == client.evidence.bundle


def test_a_boot_with_other_keys_is_noticed(
    server: Server, identity: ClientIdentity, address: EnclaveAddress, evidence: VerifiedEvidence
) -> None:
    with EnclaveClient(evidence, identity, address.control) as client:
        server.boot = Boot()
        with pytest.raises(BootChanged):
            client.reverify()


def test_bootstrap_tells_status_and_evidence(server: Server, address: EnclaveAddress) -> None:
    with BootstrapClient(address.bootstrap) as bootstrap:
        assert bootstrap.status() is Phase.CONFIGURED
        assert fetch_evidence(bootstrap, server.boot.policy).bundle == server.boot.bundle
        server.evidence_code = Code.HALTED
        with pytest.raises(Halted):
            fetch_evidence(bootstrap, server.boot.policy)
        server.phase = b"\x4d"
        assert bootstrap.status() is Phase.UNKNOWN


@pytest.fixture
def booting(tmp_path: Path) -> Iterator[Server]:
    with Server(Boot(manifest=None), tmp_path) as running:
        running.loaded = Boot()
        running.answer = lambda statement, role: (Code.OK, MANIFEST, None)
        yield running


MANIFEST_STATEMENT = Statement(b"the manifest", ())


def test_loading_a_manifest_proves_what_was_loaded(
    booting: Server, address: EnclaveAddress
) -> None:
    with BootstrapClient(address.bootstrap) as bootstrap:
        fetch_booted(bootstrap, booting.boot.trust)
        found = load_manifest(bootstrap, MANIFEST_STATEMENT, booting.boot.policy)
    assert found.manifest_digest == MANIFEST


def test_loading_into_a_configured_enclave_is_refused(
    server: Server, address: EnclaveAddress
) -> None:
    with BootstrapClient(address.bootstrap) as bootstrap, pytest.raises(ManifestMismatch):
        load_manifest(bootstrap, MANIFEST_STATEMENT, server.boot.policy)


@pytest.mark.parametrize(
    ("answer", "signature"), [(MANIFEST, b"\1" * 64), (MANIFEST, b""), (b"another", None)]
)
def test_a_load_without_its_receipt_is_refused(
    booting: Server, address: EnclaveAddress, answer: bytes, signature: bytes | None
) -> None:
    booting.answer = lambda statement, role: (Code.OK, answer, signature)
    bootstrap = BootstrapClient(address.bootstrap)
    with bootstrap, pytest.raises(ReceiptInvalid):
        load_manifest(bootstrap, MANIFEST_STATEMENT, booting.boot.policy)


def test_a_refused_load_is_typed(booting: Server, address: EnclaveAddress) -> None:
    booting.loaded = None
    booting.answer = lambda statement, role: (Code.QUORUM_MISSING, b"", b"")
    with BootstrapClient(address.bootstrap) as bootstrap, pytest.raises(QuorumRefused):
        load_manifest(bootstrap, MANIFEST_STATEMENT, booting.boot.policy)


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_every_code_has_its_class(code: Code) -> None:
    families = {1: CallerRefused, 2: OwnerDocumentRefused, 3: Denied, 4: VenueFault,
                5: PlatformFault}  # fmt: skip
    leaves = {
        Code.WRONG_PHASE: WrongPhase, Code.BAD_SEQUENCE: SequenceRefused, Code.HALTED: Halted,
        Code.BAD_SIGNATURE: SignatureRefused, Code.QUORUM_MISSING: QuorumRefused,
        Code.WRONG_BOOT: WrongBoot, Code.WRONG_MANIFEST: WrongManifest,
        Code.WRONG_OWNER: WrongOwner, Code.PERMIT_STALE: PermitStale,
    }  # fmt: skip
    error = refusal(code, "x")
    assert isinstance(error, families[code // 100])
    assert type(error) is leaves.get(code, families[code // 100])
    assert error.code is code


def test_an_identity_is_of_its_own_boot(boot: Boot) -> None:
    assert verify(boot).bundle.keys_digest == boot.bundle.keys_digest
