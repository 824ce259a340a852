"""A front that the host took over: it speaks to init as it likes, and to the clients as well.

Init and the signer are the real ones; the test holds front's end of the link.
"""

import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from socket import AF_UNIX, socket

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform.spawn import Workers
from strongroom_host.contract.roles import role_keys
from strongroom_host.enclave_client.calls import checked_answer
from strongroom_host.enclave_client.errors import EnclaveRefused, ReceiptInvalid
from strongroom_wire.bundle import Bundle, Role, receipt_message
from strongroom_wire.encoding import pack, u32, u64
from strongroom_wire.errors import Code, Rule
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, Action, OwnerOrder

from tests.enclave.init.harness import Answer, Harness, Processes, evidence
from tests.hostile.driver import Boot, Bot, Desk, Evidence, Forged, now_ms

NONCE = b"n" * 32


class Fronted:
    """Stands for `Enclave`: the processes behind a front that the test plays."""

    def __init__(self, desk: Desk) -> None:
        self.resources, self.desk = ExitStack(), desk
        folder = tempfile.TemporaryDirectory(prefix="sr-")
        self.run = Path(self.resources.enter_context(folder))
        listener = socket(AF_UNIX)
        listener.bind(str(self.run / "frames.sock"))
        listener.listen(8)

        def command(role: str) -> list[str]:
            return [sys.executable, "-P", "-m", "strongroom_local.worker", role]

        workers = Workers(command, {}, {"PYTHONPATH": ":".join(filter(None, sys.path))})
        processes = Processes(workers.spawn, "signer")
        self.harness = Harness(processes=processes, listener=listener)
        self.harness.machine.ms = now_ms()
        assert self.harness.ask(Kind.LOAD_MANIFEST, desk.signed.serialise()).code is Code.OK

    def evidence(self) -> Evidence:
        _, _, bundle = evidence(self.harness.ask(Kind.EVIDENCE, NONCE).body)
        return Evidence(Code.OK, b"", bundle)


class Behind(Boot):
    """The boot, reached through the lying front: it may alter any request and any answer."""

    def __init__(self, enclave: Fronted) -> None:
        super().__init__(enclave, enclave.desk)  # type: ignore[arg-type]
        self.harness = enclave.harness

    def deliver_permit(self, statement: Statement) -> Code:
        answer = self.harness.ask(Kind.SUBMIT_PERMIT, statement.serialise())
        return self.believed(answer, Role.INIT, statement)

    def deliver_order(self, statement: Statement, bot: Bot | None = None) -> tuple[Code, bytes]:
        answer = self.harness.ask(Kind.SUBMIT_ORDER, statement.serialise())
        return self._logged(self.receipt(answer), statement)

    def believed(self, answer: Answer, role: Role, statement: Statement) -> Code:
        return self._believed(self.receipt(answer), role, statement)

    def receipt(self, answer: Answer) -> pb.Receipt:
        signature = answer.signature if any(answer.signature) else b""
        return pb.Receipt(code=answer.code, answer=answer.body, signature=signature)

    def order_bytes(self, action: Action, key: str = "", body: bytes = b"") -> bytes:
        digest = self.bundle.manifest_digest
        return OwnerOrder(action, self.bundle.boot_id, digest, key, body).serialise()


@pytest.fixture(scope="module")
def boot() -> Iterator[Behind]:
    enclave = Fronted(Desk())
    yield Behind(enclave)
    enclave.harness.stop()
    enclave.resources.close()


def assert_unmoved(boot: Behind) -> None:
    """Init is where it was, with the same keys, and the signer signs nothing."""
    assert boot.harness.phase() == 2
    assert Bundle.parse(boot.enclave.evidence().bundle) == boot.bundle
    reply = boot.channel().buy(1)
    assert reply.code is not Code.OK
    assert reply.request == b""


def test_an_honest_front_would_be_believed(boot: Behind) -> None:
    assert boot.order(Action.GENERATE, "main")[0] is Code.OK
    assert boot.channel().buy(1).code is Code.NO_CREDENTIAL


def test_messages_between_the_other_processes_are_not_front_s_to_send(boot: Behind) -> None:
    permit = boot.desk.owners.sign(PERMIT_DOMAIN, boot.permit().serialise()).serialise()
    record = u32(Code.OK) + pack(b"credential", b"key", b"c2VjcmV0LXNlY3JldC1zZWNyZXQ=", b"pass")
    document = boot.desk.manifest
    forged = {
        Kind.PERMIT: pack(b"permit", permit, secrets.token_bytes(32)),
        Kind.ANCHOR: u64(1 << 41) + u64(1 << 50),
        Kind.ENROLL: pack(b"enroll", b"", b"GET / HTTP/1.1"),
        Kind.ENROLLED: record,
        Kind.CONFIGURE: pack(b"configure", boot.bundle.serialise(), document.serialise()),
        Kind.REGISTER: b"another certificate",
        Kind.REPLY: bytes(68),
        Kind.HALTED: b"",
    }
    for kind, payload in forged.items():
        for _ in range(3):
            answer = boot.harness.ask(kind, payload)
            assert (answer.code, answer.body) == (Code.WRONG_PHASE, b"")
    assert_unmoved(boot)


def test_noise_of_every_kind_moves_nothing(boot: Behind) -> None:
    for kind in range(80):
        for payload in (b"", b"\0", secrets.token_bytes(200), b"SRC1" + bytes(176)):
            if kind != Kind.STATUS:
                assert boot.harness.ask(kind, payload).code is not Code.OK
    assert_unmoved(boot)


def test_an_altered_order_or_permit_does_nothing(boot: Behind) -> None:
    order = boot.desk.owners.sign(ORDER_DOMAIN, boot.order_bytes(Action.GENERATE, "brief"))
    permit = boot.desk.owners.sign(PERMIT_DOMAIN, boot.permit().serialise())
    for kind, statement in ((Kind.SUBMIT_ORDER, order), (Kind.SUBMIT_PERMIT, permit)):
        data = statement.serialise()
        for at in range(0, len(data), 3):
            flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            assert boot.harness.ask(kind, flipped).code is not Code.OK
    sealed = boot.seal(bytes(32), Role.SIGNER, b"key-import")
    assert boot.order(Action.IMPORT, "brief", sealed)[0] is Code.KEY_CONFLICT
    assert_unmoved(boot)


def test_front_is_no_owner(boot: Behind) -> None:
    mine = Ed25519PrivateKey.generate()
    public = mine.public_key().public_bytes_raw()
    small = bytes([1]) + bytes(31)  # a point of order 1: anybody can sign under it
    for payload, domain, kind in (
        (boot.permit().serialise(), PERMIT_DOMAIN, Kind.SUBMIT_PERMIT),
        (boot.order_bytes(Action.KILL), ORDER_DOMAIN, Kind.SUBMIT_ORDER),
    ):
        value = mine.sign(pack(domain, payload))
        owner = bytes.fromhex(boot.desk.owners.spec.keys[0])
        for signatures in (
            (Signature(public, value),) * 2,
            (Signature(owner, value),),
            (Signature(small, small + bytes(32)),) * 3,
        ):
            statement = Statement(payload, signatures)
            code = boot.harness.ask(kind, statement.serialise()).code
            assert code in (Code.QUORUM_MISSING, Code.BAD_SIGNATURE)
    assert_unmoved(boot)


def test_forged_receipts_are_not_believed(boot: Behind) -> None:
    mine, keys = Ed25519PrivateKey.generate(), boot.bundle
    one = boot.desk.owners.sign(ORDER_DOMAIN, boot.order_bytes(Action.GENERATE, "main"))
    two = boot.desk.owners.sign(ORDER_DOMAIN, boot.order_bytes(Action.KILL))
    genuine = boot.harness.ask(Kind.SUBMIT_ORDER, one.serialise())
    assert boot.believed(genuine, Role.SIGNER, one) is Code.OK
    message = receipt_message(keys.boot_id, two.serialise(), Code.OK, b"")
    for answer, statement in (
        (genuine, two),  # another request's answer
        (replace(genuine, body=bytes(20)), one),  # another address
        (replace(genuine, signature=bytes(64)), one),  # no receipt
        (Answer(Code.OK, mine.sign(message), b""), two),  # front's own receipt
        (Answer(Code.OK, b"", b""), two),  # "done"
    ):
        with pytest.raises(Forged):
            boot.believed(answer, Role.SIGNER, statement)
        with pytest.raises(ReceiptInvalid):
            believe(boot, Role.SIGNER, answer, statement)
    with pytest.raises(Forged):  # the signer's word for init's
        boot.believed(genuine, Role.INIT, one)
    refused = replace(genuine, code=Code.KEY_CONFLICT)
    with pytest.raises(Forged):
        boot.believed(refused, Role.SIGNER, one)
    with pytest.raises(EnclaveRefused) as caught:  # an unsigned refusal only denies service
        believe(boot, Role.SIGNER, Answer(Code.BUSY, b"", b""), one)
    assert caught.value.authenticated is False


def believe(boot: Behind, role: Role, answer: Answer, statement: Statement) -> bytes:
    """Returns the answer as the host's own client takes it."""
    return checked_answer(
        pb.Receipt(code=answer.code, answer=answer.body, signature=answer.signature),
        key=role_keys(boot.bundle, role).receipt,
        boot_id=boot.bundle.boot_id,
        request=statement.serialise(),
        what="order",
    )


def test_evidence_through_front_is_still_evidence(boot: Behind) -> None:
    for nonce in (b"x" * 16, b"y" * 64):
        user_data, said, bundle = evidence(boot.harness.ask(Kind.EVIDENCE, nonce).body)
        assert said == nonce
        assert user_data == Bundle.parse(bundle).commitment == boot.bundle.commitment


def test_requests_that_front_repeats_are_answered_and_change_nothing(boot: Behind) -> None:
    statement = boot.desk.owners.sign(ORDER_DOMAIN, boot.order_bytes(Action.GENERATE, "main"))
    answers = {boot.deliver_order(statement) for _ in range(20)}
    assert len(answers) == 1
    permit = boot.desk.owners.sign(PERMIT_DOMAIN, boot.permit().serialise())
    for other in (Kind.LOAD_MANIFEST, Kind.SUBMIT_ORDER):
        assert boot.harness.ask(other, permit.serialise()).code is not Code.OK
    assert_unmoved(boot)


def test_what_a_front_holds_back_stays_undone_and_late_is_not_twice(boot: Behind) -> None:
    """A permit kept back and delivered after a newer one: the newer one holds."""
    old = boot.desk.owners.sign(PERMIT_DOMAIN, boot.permit(1).serialise())
    new = boot.permit(2, budgets=())
    assert boot.submit_permit(new) is Code.OK
    assert boot.deliver_permit(old) is Code.PERMIT_STALE
    assert boot.order(Action.KILL, signers=1)[0] is Code.OK
    reply = boot.channel().buy(1)
    assert reply.rule in (Rule.NONE, Rule.KILL_SWITCH)
    assert reply.request == b""
