"""What signer and record check of owners, and how each begins its log."""

import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from socket import socketpair
from threading import Thread

import msgspec
import pytest
from msgspec.structs import replace
from strongroom_enclave.clock import ClockStale
from strongroom_enclave.messages import ANSWER, Kind
from strongroom_enclave.platform.links import Link
from strongroom_enclave.role import RoleProcess
from strongroom_host.contract.openings import record_in
from strongroom_host.contract.receipts import verify_receipt
from strongroom_wire import leaves
from strongroom_wire.bundle import EMPTY_LOG, Bundle, LogHead, Role
from strongroom_wire.encoding import pack, u64
from strongroom_wire.errors import BadSignature, Code, Malformed, QuorumMissing, Refused
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.owners import Statement
from strongroom_wire.pages import LogPage
from strongroom_wire.statements import (
    ORDER_DOMAIN,
    PERMIT_DOMAIN,
    Action,
    OwnerOrder,
    Permit,
)

from tests.hostile.driver import Desk, now_ms

NAMES = ("", "main")
ANYWHERE = (Action.KILL, Action.GENERATE, Action.IMPORT)
CASES = [(Role.RECORD if action is Action.CONNECT else Role.SIGNER, action) for action in Action]


def frontier(*leaf: bytes) -> Frontier:
    tree = Frontier()
    for each in leaf:
        tree.append(leaf_hash(each))
    return tree


class Subject:
    """A role's process without a process; init's end of its link is the test's."""

    def __init__(self, role: Role = Role.SIGNER) -> None:
        ours, theirs = socketpair()
        self.desk, self.init = Desk(), Link(ours.detach())
        self.bundle = Bundle(b"\1" * 32, b"\2" * 32, self.desk.manifest.owner_root, b"certificate")
        document = msgspec.msgpack.encode(self.desk.manifest)
        self.init.send(Kind.CONFIGURE, 0, pack(b"configure", self.bundle.serialise(), document))
        self.role = RoleProcess(Link(theirs.detach()), role)
        self.registered = self.init.receive(20)

    def close(self) -> None:
        self.init.close()
        self.role.link.close()

    def anchor(self, ms: int | None = None) -> None:
        self.role.anchor(u64(ms or now_ms()) + u64(time.monotonic_ns()))

    def permit(self, **changes: object) -> bytes:
        """Returns a signed permit as init hands it over, with a sealing key."""
        names = self.bundle.owner_root, self.bundle.manifest_digest, self.bundle.keys_digest
        log = Frontier().serialise()
        permit = Permit(*names, 1, 0, now_ms() + 60_000, log, EMPTY_LOG, b"", ())
        permit = replace(permit, **changes)
        self.statement = self.desk.owners.sign(PERMIT_DOMAIN, permit.serialise()).serialise()
        return pack(b"permit", self.statement, b"sealing")

    def payload(self, action: Action, key: str = "main", **changes: object) -> bytes:
        order = OwnerOrder(action, self.bundle.boot_id, self.bundle.manifest_digest, key)
        return replace(order, **changes).serialise()

    def sign(self, payload: bytes, signers: int | None = None) -> Statement:
        return self.desk.owners.sign(ORDER_DOMAIN, payload, signers)

    def refused(self, statement: Statement) -> Code:
        with pytest.raises(Refused) as refused:
            self.role.authorised(statement, NAMES)
        return refused.value.code


@pytest.fixture
def made() -> Iterator[Callable[..., Subject]]:
    subjects = list[Subject]()

    def make(role: Role = Role.SIGNER) -> Subject:
        subjects.append(Subject(role))
        return subjects[-1]

    yield make
    for subject in subjects:
        subject.close()


Make = Callable[..., Subject]


def test_it_registers_before_it_knows_anything(made: Make) -> None:
    subject = made()
    identity = subject.role.identity
    assert subject.registered == (Kind.REGISTER, 0, identity.public)
    assert identity.boot == subject.bundle
    assert subject.role.manifest == subject.desk.manifest


@pytest.mark.parametrize(("role", "action"), CASES)
def test_another_boot_manifest_or_signature_is_refused(
    made: Make, role: Role, action: Action
) -> None:
    subject = made(role)
    subject.role.permitted(subject.permit())
    assert subject.role.authorised(subject.sign(subject.payload(action)), NAMES).action is action
    for payload, code in (
        (subject.payload(action, boot_id=bytes(32)), Code.WRONG_BOOT),
        (subject.payload(action, manifest_digest=bytes(32)), Code.WRONG_MANIFEST),
        (subject.payload(action, "nobody"), Code.UNKNOWN_KEY),
    ):
        assert subject.refused(subject.sign(payload)) is code
    payload = subject.payload(action)
    few = 0 if action is Action.KILL else 1
    signed = subject.sign(payload)
    for statement, expected in (
        (subject.sign(payload, few), QuorumMissing),
        (subject.desk.owners.sign(PERMIT_DOMAIN, payload), BadSignature),
        (Statement(payload, Desk().owners.sign(ORDER_DOMAIN, payload).signatures), QuorumMissing),
        (Statement(payload + b"\0", signed.signatures), BadSignature),
        (subject.sign(payload + b"\0"), Malformed),
        (Statement(b"noise", ()), QuorumMissing),  # and nothing in it was read
    ):
        with pytest.raises(expected):
            subject.role.authorised(statement, NAMES)


@pytest.mark.parametrize(("role", "action"), CASES)
def test_an_order_to_the_other_process_is_refused(made: Make, role: Role, action: Action) -> None:
    subject = made(Role.RECORD if role is Role.SIGNER else Role.SIGNER)
    subject.role.permitted(subject.permit())
    assert subject.refused(subject.sign(subject.payload(action))) is Code.UNKNOWN_REQUEST


@pytest.mark.parametrize(("role", "action"), CASES)
def test_what_needs_a_permit_waits_for_one(made: Make, role: Role, action: Action) -> None:
    subject = made(role)
    statement = subject.sign(subject.payload(action))
    if action in ANYWHERE:
        assert subject.role.authorised(statement, NAMES).action is action
    else:
        assert subject.refused(statement) is Code.WRONG_PHASE


def test_one_owner_alone_can_say_stop_in_as_many_ways_as_there_are_keys(made: Make) -> None:
    """What was obeyed is kept, and a stop always is obeyed: no owner alone fills the memory."""
    subject = made()
    padded = subject.payload(Action.KILL, "main", body=b"once more")
    assert subject.refused(subject.sign(padded, 1)) is Code.MALFORMED


def answered(subject: Subject, request: bytes, number: int) -> tuple[Code, bytes]:
    """Returns the next answer's code and body, after checking its receipt."""
    kind, numbered, payload = subject.init.receive(20)
    assert (kind, numbered) == (Kind.REPLY, number)
    code, signature = ANSWER.unpack_from(payload)
    body, key = payload[ANSWER.size :], subject.role.identity.public[32:]
    verify_receipt(key, subject.bundle.boot_id, request, Code(code), body, signature)
    return Code(code), body


def test_an_order_is_obeyed_once_and_answered_as_often_as_it_comes(made: Make) -> None:
    subject, obeyed = made(), list[OwnerOrder]()

    def obey(order: OwnerOrder) -> bytes:
        obeyed.append(order)
        return b"answer %d" % len(obeyed)

    payload = subject.payload(Action.GENERATE)
    for number, signers in enumerate((2, 3, 2)):
        request = subject.sign(payload, signers).serialise()
        subject.role.order(number, request, NAMES, obey)
        assert answered(subject, request, number) == (Code.OK, b"answer 1")
    other = subject.sign(subject.payload(Action.GENERATE, "")).serialise()
    subject.role.order(9, other, NAMES, obey)
    assert answered(subject, other, 9) == (Code.OK, b"answer 2")
    assert [order.key for order in obeyed] == ["main", ""]


def test_an_order_whose_answer_comes_later_is_kept_from_then_on(made: Make) -> None:
    subject, obeyed = made(), list[OwnerOrder]()

    def obey(order: OwnerOrder) -> bytes:
        obeyed.append(order)
        return b""

    request = subject.sign(subject.payload(Action.IMPORT)).serialise()
    for _ in range(2):
        subject.role.order(4, request, NAMES, obey)
    assert len(obeyed) == 2
    subject.role.reply(4, request, Code.VENUE_REFUSED)
    assert answered(subject, request, 4) == (Code.VENUE_REFUSED, b"")
    subject.role.order(5, request, NAMES, obey)
    subject.role.reply(5, request, Code.OK, b"done")
    assert answered(subject, request, 5) == (Code.OK, b"done")
    subject.role.order(6, request, NAMES, obey)
    assert answered(subject, request, 6) == (Code.OK, b"done")
    assert len(obeyed) == 3


def test_a_refusal_has_a_receipt_as_well(made: Make) -> None:
    subject = made()
    for request, code in (
        (b"no statement", Code.MALFORMED),
        (subject.sign(subject.payload(Action.GENERATE, "nobody")).serialise(), Code.UNKNOWN_KEY),
    ):
        subject.role.order(1, request, NAMES, lambda _: b"never")
        assert answered(subject, request, 1) == (code, b"")


@pytest.mark.parametrize("role", [Role.SIGNER, Role.RECORD])
def test_each_role_continues_its_own_log(made: Make, role: Role) -> None:
    subject = made(role)
    logs = {Role.SIGNER: frontier(b"a", b"b", b"c"), Role.RECORD: frontier(b"x")}
    given = subject.permit(
        signer_log=logs[Role.SIGNER].serialise(), record_log=logs[Role.RECORD].serialise()
    )
    permit, sealing = subject.role.permitted(given)
    assert sealing == b"sealing"
    assert permit == Permit.parse(Statement.parse(subject.statement).payload)
    page = LogPage.parse(subject.role.ledger.page(0, opened=True))
    (entry,) = page.entries
    leaf = leaves.Leaf.parse(entry.leaf)
    boot = leaves.Boot.parse(leaf.public)
    assert (leaf.kind, leaf.index) == (leaves.Kind.BOOT, logs[role].size)
    assert boot.continued == logs[role].head
    assert boot.permit_digest == sha256(subject.statement).digest()
    assert record_in(leaf, entry.opening) == subject.statement
    logs[role].append(leaf_hash(entry.leaf))
    assert subject.role.ledger.head == logs[role].head
    subject.role.permitted(subject.permit(serial=2))
    later = LogPage.parse(subject.role.ledger.page(leaf.index + 1, opened=True)).entries[0]
    assert leaves.Leaf.parse(later.leaf).kind is leaves.Kind.PERMIT
    assert leaves.Leaf.parse(later.leaf).public == sha256(subject.statement).digest()


def test_heads_follow_anchors_and_time_comes_from_them(made: Make) -> None:
    subject = made()
    with pytest.raises(ClockStale):
        subject.role.now_ms()
    assert subject.role.time_ms() == 0
    before = now_ms()
    subject.anchor(before)
    assert subject.role.now_ms() >= before
    assert subject.role.time_ms() >= before
    kind, _, head = subject.init.receive(20)
    assert (kind, LogHead.parse(head)) == (Kind.HEAD, EMPTY_LOG)
    subject.role.permitted(subject.permit())
    subject.anchor()
    assert LogHead.parse(subject.init.receive(20).payload).size == 1


def test_a_time_before_the_image_was_made_is_none(made: Make) -> None:
    subject = made()
    subject.anchor(1_767_225_599_999)
    assert subject.role.time_ms() == 0
    assert subject.role.clock.fault is not None


def test_a_permit_of_a_later_time_than_the_clocks_ends_time(made: Make) -> None:
    subject = made()
    subject.anchor()
    subject.role.permitted(subject.permit(not_before=now_ms() + 60_000))
    assert subject.role.time_ms() == 0


def test_any_thread_may_ask_for_the_time(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readings of the clock must be told of in their order, or time seems to run backwards."""
    subject = made()
    subject.anchor()
    told = subject.role.clock.now_ms

    def slow(reading: int) -> int:
        time.sleep(0.001 if reading % 2 else 0)
        return told(reading)

    monkeypatch.setattr(subject.role.clock, "now_ms", slow)
    threads = [Thread(target=lambda: [subject.role.now_ms() for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert subject.role.clock.fault is None
