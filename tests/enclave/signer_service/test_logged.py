"""What the signer logs: each decision, order and permit once, and nothing leaves without it."""

import time
from collections.abc import Iterator
from hashlib import sha256

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from strongroom_enclave import VERSION
from strongroom_enclave.log import ledger as module
from strongroom_enclave.log.ledger import Ledger
from strongroom_enclave.messages import Kind as Message
from strongroom_enclave.platform.links import LinkClosed
from strongroom_host.contract.openings import record_in
from strongroom_host.contract.roles import role_keys
from strongroom_host.log.notes import Checkpoint
from strongroom_host.log.verify import AttestedBoot, Expected, KnownHead, verify
from strongroom_wire.bundle import EMPTY_LOG, Role
from strongroom_wire.encoding import pack, u64
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Intent, Kind, Reply
from strongroom_wire.leaves import Boot, Decision, Leaf, ModelDecision
from strongroom_wire.leaves import Kind as Event
from strongroom_wire.merkle import Frontier
from strongroom_wire.pages import Entry, LogPage
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, Action, OwnerOrder

from tests.enclave.signer_service.harness import RECORD, Signer, started
from tests.hostile.driver import Bot, Channel, Desk, now_ms


@pytest.fixture
def signer() -> Iterator[Signer]:
    bots = (Bot("bot"), Bot("auditor", ("log",)), Bot("trader", ("order", "query")))
    with started(Desk(bots=bots)) as signer:
        yield signer


def reading(start: int = 0) -> Intent:
    return Intent(Kind.READ_LOG, 0, 0, 0, (), u64(start))


def read(channel: Channel) -> LogPage:
    reply = channel.ask(reading())
    assert reply.code is Code.OK
    return LogPage.parse(reply.request)


def decided(reply: Reply) -> tuple[Leaf, Decision]:
    """Returns a reply's leaf and the record that it opens."""
    leaf = Leaf.parse(reply.leaf)
    return leaf, Decision.parse(record_in(leaf, reply.opening))


def test_everything_is_in_the_log_once_and_in_order(signer: Signer) -> None:
    signer.make_ready()
    channel = signer.channel()
    context = b"\x11" * 32 + b"\x22" * 32
    bought = channel.ask(msgspec.structs.replace(signer.buying(5), argument=context))
    denied = channel.buy(600)
    cancelled = channel.cancel_all()
    for silent in (Kind.HEARTBEAT, Kind.QUERY_OPEN):
        asked = channel.ask(Intent(silent, 0, 0, 0))
        assert (asked.code, asked.leaf, asked.opening) == (Code.OK, b"", b"")
    unknown = channel.ask(signer.buying(5, key=77))
    later = signer.permit(serial=2)
    signer.give(later)
    assert signer.order(Action.KILL)[0] is Code.OK
    kill = signer.entry
    after = channel.buy(5)

    page = read(channel)
    leaves = [Leaf.parse(entry.leaf) for entry in page.entries]
    assert [leaf.index for leaf in leaves] == list(range(10))
    assert [leaf.kind for leaf in leaves] == [
        Event.BOOT, Event.KEY, Event.KEY, Event.SIGNED, Event.DENIED, Event.SIGNED, Event.DENIED,
        Event.PERMIT, Event.KILL, Event.DENIED,
    ]  # fmt: skip
    assert {leaf.epoch for leaf in leaves} == {signer.bundle.boot_id}
    records = [
        record_in(leaf, entry.opening) for leaf, entry in zip(leaves, page.entries, strict=True)
    ]
    replies = {3: bought, 4: denied, 5: cancelled, 6: unknown, 9: after}
    for at, reply in replies.items():
        assert Entry(reply.leaf, reply.opening) == page.entries[at]
    assert page.entries[8] == kill

    boot, digests = Boot.parse(leaves[0].public), (signer.bundle.manifest_digest,)
    assert (boot.continued, boot.version) == (EMPTY_LOG, VERSION)
    assert (boot.manifest_digest, boot.keys_digest) == (*digests, signer.bundle.keys_digest)
    assert boot.permit_digest == sha256(records[0]).digest()
    orders = [Action(leaves[at].public[0]) for at in (1, 2)]
    assert orders == [Action.GENERATE, Action.ENROLL_DERIVE]
    statement = signer.desk.owners.sign(PERMIT_DOMAIN, later.serialise()).serialise()
    assert (leaves[7].public, records[7]) == (sha256(statement).digest(), statement)

    approved = Decision.parse(records[3])
    assert (approved.key, approved.client, approved.context) == ("main", "bot", context)
    assert approved.request == sha256(bought.request).digest()
    assert (approved.notional, approved.orders) == (5 * 10**6, 1)
    told = msgspec.structs.replace(bought, request=b"", leaf=b"", opening=b"")
    assert approved.reply == told
    assert leaves[4].public == bytes([Rule.WINDOW_NOTIONAL])
    refused = Decision.parse(records[4])
    assert (refused.request, refused.orders, refused.context) == (bytes(32), 1, b"")
    assert (refused.reply.rule, refused.reply.actual) == (Rule.WINDOW_NOTIONAL, denied.actual)
    assert decided(cancelled)[1].request == sha256(cancelled.request).digest()
    assert (leaves[6].public, Decision.parse(records[6]).key) == (bytes([Rule.NONE]), "")
    assert (after.rule, leaves[9].public) == (Rule.KILL_SWITCH, bytes([Rule.KILL_SWITCH]))


def test_a_models_decision_is_logged_and_nothing_is_signed(signer: Signer) -> None:
    signer.make_ready()
    model, inputs, output = b"\x11" * 32, b"\x22" * 32, b"\x33" * 32
    asked = Intent(Kind.MODEL, 77, 0, 0, (), model + inputs + output)
    reply = signer.channel(signer.desk.bots[2]).ask(asked)
    assert (reply.code, reply.request, reply.order_hashes) == (Code.OK, b"", ())
    leaf = Leaf.parse(reply.leaf)
    assert (leaf.kind, leaf.index, leaf.public) == (Event.MODEL, 3, b"")
    record = ModelDecision.parse(record_in(leaf, reply.opening))
    assert record == ModelDecision("trader", model, inputs, output)
    page = read(signer.channel())
    assert page.entries[3] == Entry(reply.leaf, reply.opening)
    refused, denied = decided(signer.channel(signer.desk.bots[1]).ask(asked))
    assert (refused.kind, refused.index) == (Event.DENIED, 4), "the auditor may not hand one in"
    assert (denied.reply.code, denied.client) == (Code.CALL_NOT_PERMITTED, "auditor")


def test_pages_verify_against_the_receipt_key_of_the_evidence(signer: Signer) -> None:
    signer.make_ready()
    channel = signer.channel()
    for dollars in (1, 2, 600):
        channel.buy(dollars)
    page, bundle = read(channel), signer.bundle
    key = Ed25519PublicKey.from_public_bytes(role_keys(bundle, Role.SIGNER).receipt)
    key.verify(page.signature, page.checkpoint)
    head = Checkpoint.parse(page.checkpoint).head
    attested = {bundle.boot_id: AttestedBoot(bundle.manifest_digest, bundle.keys_digest)}
    openings = {at: entry.opening for at, entry in enumerate(page.entries)}
    expected = Expected([KnownHead(head, "the page")], boots=attested, openings=openings)
    report = verify((entry.leaf for entry in page.entries), expected)
    assert report.ok, report.findings
    assert (report.proven, len(report.opened), report.unattested) == (6, 6, ())
    signer.anchor()
    signer.settle()
    assert signer.heads[-1] == head


def test_heads_follow_anchors(signer: Signer) -> None:
    signer.make_ready()
    assert signer.heads[0] == EMPTY_LOG
    for size in (3, 4):
        signer.anchor()
        signer.settle()
        assert signer.heads[-1].size == size
        signer.channel().buy(1)


def test_who_may_not_query_sees_leaves_without_openings(signer: Signer) -> None:
    signer.make_ready()
    everything, auditor, trader = (signer.channel(bot) for bot in signer.desk.bots)
    opened, closed = read(everything).entries, read(auditor).entries
    assert [entry.leaf for entry in closed] == [entry.leaf for entry in opened]
    assert all(entry.opening for entry in opened)
    assert not any(entry.opening for entry in closed)
    refused = trader.ask(reading())
    assert (refused.code, refused.request) == (Code.CALL_NOT_PERMITTED, b"")


def test_reading_beyond_the_end_shows_where_the_end_is(signer: Signer) -> None:
    signer.make_ready()
    channel = signer.channel()
    for start in (3, 4, (1 << 64) - 1):
        reply = channel.ask(reading(start))
        page = LogPage.parse(reply.request)
        assert (reply.code, page.entries) == (Code.OK, ())
        assert Checkpoint.parse(page.checkpoint).head.size == 3


def test_nothing_is_decided_while_unread_leaves_fill_the_room(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer.make_ready()
    channel = signer.channel()
    monkeypatch.setattr(module, "_KEPT", 8 << 10)
    for _ in range(4):
        assert channel.buy(1).code is Code.OK
    model = Intent(Kind.MODEL, 0, 0, 0, (), bytes(96))
    template = Intent(Kind.TEMPLATE, 0, 0, 0, signer.buying(1).orders, bytes(9))
    for asked in (signer.buying(1), signer.buying(600), template, model):
        reply = channel.ask(asked)
        assert (reply.code, reply.request, reply.leaf) == (Code.BUSY, b"", b"")
    assert signer.order(Action.GENERATE, "brief") == (Code.BUSY, b"")
    last = channel.cancel_all()
    assert (last.code, Leaf.parse(last.leaf).index) == (Code.OK, 7), "the last eighth"
    assert channel.cancel_all().code is Code.BUSY
    for silent in (Kind.HEARTBEAT, Kind.QUERY_OPEN):
        assert channel.ask(Intent(silent, 0, 0, 0)).code is Code.OK
    assert signer.order(Action.KILL, "brief")[0] is Code.OK
    assert Leaf.parse(signer.entry.leaf).index == 8, "stopping is never refused"
    signer.give(signer.permit(serial=2))
    assert len(LogPage.parse(channel.ask(reading(0)).request).entries) == 10

    assert channel.ask(reading(10)).code is Code.OK
    leaf, decision = decided(channel.buy(1))
    assert (leaf.index, decision.orders, decision.notional) == (10, 5, 5 * 10**6), (
        "what was refused with BUSY counts nowhere"
    )


def test_who_may_not_cancel_cannot_take_the_room_for_cancels(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer.make_ready()
    channel, stranger = signer.channel(), signer.channel(signer.desk.bots[1])
    monkeypatch.setattr(module, "_KEPT", 8 << 10)
    for _ in range(5):
        codes = {stranger.cancel_all().code for _ in range(8)}
    assert codes == {Code.BUSY}
    assert channel.cancel_all().code is Code.OK, "the last eighth is for who may cancel"


def test_a_replayed_order_gets_the_first_answer_and_no_second_leaf(signer: Signer) -> None:
    signer.make_ready()
    before = read(signer.channel())
    orders: list[tuple[Action, str, bytes]] = [
        (Action.GENERATE, "main", b""),
        (Action.ENROLL_DERIVE, "main", u64(7)),
        (Action.KILL, "brief", b""),
    ]
    for action, key, body in orders:
        made = OwnerOrder(action, signer.bundle.boot_id, signer.bundle.manifest_digest, key, body)
        first = signer.desk.owners.sign(ORDER_DOMAIN, made.serialise(), 2)
        again = signer.desk.owners.sign(ORDER_DOMAIN, made.serialise(), 3)
        assert first.serialise() != again.serialise()
        answered = signer.deliver_order(first), signer.entry
        for _ in range(5):
            assert (signer.deliver_order(again), signer.entry) == answered
        short = signer.desk.owners.sign(ORDER_DOMAIN, made.serialise(), 0)
        assert signer.deliver_order(short)[0] is Code.QUORUM_MISSING, "known is not authorised"
    entries = read(signer.channel()).entries
    assert entries[:3] == before.entries
    assert [Leaf.parse(entry.leaf).kind for entry in entries[3:]] == [Event.KEY, Event.KILL]


def test_an_enrolment_that_failed_may_be_asked_for_again(signer: Signer) -> None:
    signer.order_ok("main")
    signer.give(signer.permit())
    made = OwnerOrder(
        Action.ENROLL_DERIVE, signer.bundle.boot_id, signer.bundle.manifest_digest, "main", u64(0)
    ).serialise()
    payload = signer.desk.owners.sign(ORDER_DOMAIN, made).serialise()
    for code in (Code.VENUE_UNREACHABLE, Code.OK):
        signer.job = signer.ask(Message.SUBMIT_ORDER, payload)
        assert signer.job.kind == Message.ENROLL
        signer.enrolled(code, RECORD)
    assert signer.ask(Message.SUBMIT_ORDER, payload).kind == Message.REPLY, "it is done"
    kinds = [Leaf.parse(entry.leaf).kind for entry in read(signer.channel()).entries]
    assert kinds == [Event.BOOT, Event.KEY, Event.KEY, Event.KEY]


def test_a_boot_continues_the_history_that_the_owners_signed(signer: Signer) -> None:
    tree = Frontier(5, (b"\x01" * 32, b"\x02" * 32))
    signer.make_ready(signer_log=tree.serialise())
    page = read(signer.channel())
    leaf = Leaf.parse(page.entries[0].leaf)
    assert (leaf.index, Boot.parse(leaf.public).continued) == (5, tree.head)
    assert Checkpoint.parse(page.checkpoint).head.size == 8


def test_before_a_permit_nothing_is_signed_and_key_events_wait(signer: Signer) -> None:
    signer.order_ok("main")
    assert signer.entry == Entry()
    assert signer.order(Action.KILL, "brief") == (Code.OK, b"")
    assert signer.entry == Entry()
    channel = signer.channel()
    for reply in (channel.buy(5), channel.ask(reading())):
        assert reply.code is not Code.OK
        assert (reply.request, reply.order_hashes, reply.leaf) == (b"", (), b"")
    time.sleep(0.05)
    signer.give(signer.permit())
    assert signer.order(Action.GENERATE, "main", b"again")[0] is Code.OK
    leaves = [Leaf.parse(entry.leaf) for entry in read(channel).entries]
    boot, *waited = [leaf.time_ms for leaf in leaves[:3]]
    assert max(waited) < boot <= leaves[3].time_ms, "each has its own time"
    kinds = [leaf.kind for leaf in leaves]
    assert kinds == [Event.BOOT, Event.KEY, Event.KILL, Event.KEY]
    assert Leaf.parse(signer.entry.leaf).index == 3


def test_a_key_event_that_cannot_wait_does_not_happen(signer: Signer) -> None:
    for at in range(64):
        assert signer.order(Action.GENERATE, "main", b"%d" % at)[0] is Code.OK
    assert signer.order(Action.GENERATE, "brief") == (Code.BUSY, b"")
    assert signer.order(Action.KILL, "main") == (Code.OK, b"")
    signer.give(signer.permit())
    assert signer.order(Action.ENROLL_DERIVE, "brief", u64(0))[0] is Code.UNKNOWN_KEY
    assert signer.enrol()[0] is Code.OK
    assert signer.channel().buy(5).rule is Rule.KILL_SWITCH
    kinds = [Leaf.parse(entry.leaf).kind for entry in read(signer.channel()).entries]
    assert kinds == [Event.BOOT, *[Event.KEY] * 64, Event.KILL, Event.KEY, Event.DENIED]


def test_what_is_refused_leaves_no_leaf(signer: Signer) -> None:
    signer.make_ready()
    order = OwnerOrder(Action.GENERATE, bytes(32), signer.bundle.manifest_digest, "main")
    signed = signer.desk.owners.sign(ORDER_DOMAIN, order.serialise())
    assert signer.deliver_order(signed)[0] is Code.WRONG_BOOT
    assert signer.order(Action.KILL, signers=0)[0] is Code.QUORUM_MISSING
    enrol = OwnerOrder(
        Action.ENROLL_DERIVE, signer.bundle.boot_id, signer.bundle.manifest_digest, "main", u64(7)
    ).serialise()
    payload = signer.desk.owners.sign(ORDER_DOMAIN, enrol).serialise()
    assert signer.ask(Message.SUBMIT_ORDER, payload).kind == Message.ENROLL
    busy = signer.ask(Message.SUBMIT_ORDER, payload)
    assert busy.kind == Message.REPLY
    kinds = [Leaf.parse(entry.leaf).kind for entry in read(signer.channel()).entries]
    assert kinds == [Event.BOOT, Event.KEY, Event.KEY, Event.KEY], "the enrolment begun, once"


@pytest.mark.parametrize("broken", ["append", "token_bytes", "commitment", "leaf_hash"])
def test_no_request_leaves_if_the_log_fails(
    signer: Signer, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer.make_ready()
    channel = signer.channel()
    assert channel.buy(5).request

    def failing(*_: object) -> bytes:
        raise ZeroDivisionError("no room")

    monkeypatch.setattr(Ledger if broken == "append" else module, broken, failing)
    for reply in (channel.buy(5), channel.cancel_all(), channel.buy(600)):
        assert (reply.code, reply.request, reply.order_hashes) == (Code.INTERNAL, b"", ())
    monkeypatch.undo()
    reply = channel.buy(5)
    leaf, decision = decided(reply)
    assert (leaf.index, decision.notional) == (4, 15 * 10**6), "what was approved stays counted"


@pytest.mark.parametrize("what", ["permit", "order"])
def test_a_boot_whose_log_fails_is_over(
    signer: Signer, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer.make_ready()

    def failing(*_: object) -> bytes:
        raise ZeroDivisionError("no room")

    monkeypatch.setattr(module, "leaf_hash", failing)
    if what == "permit":
        signer.give(signer.permit(serial=2))
    else:
        order = OwnerOrder(
            Action.GENERATE, signer.bundle.boot_id, signer.bundle.manifest_digest, "brief"
        ).serialise()
        signed = signer.desk.owners.sign(ORDER_DOMAIN, order).serialise()
        signer.link.send(Message.SUBMIT_ORDER, 9, signed)
    with pytest.raises(LinkClosed):
        signer.receive()
    signer.thread.join(20)
    assert isinstance(signer.ended_with, ZeroDivisionError)
    signer.ended_with = LinkClosed("as it should")


@pytest.mark.parametrize(("ahead", "fine"), [(-60_000, True), (60_000, False)])
def test_a_permit_names_a_time_that_the_boots_clock_has_passed(
    signer: Signer, ahead: int, fine: bool
) -> None:
    signer.make_ready(not_before=now_ms() + ahead) if fine else None
    if not fine:
        signer.order_ok("main")
        signer.give(signer.permit(not_before=now_ms() + ahead))
        assert signer.enrol() == (Code.DENIED, b"")
    reply = signer.channel().buy(5)
    assert (reply.code is Code.OK) is fine
    boot = Leaf.parse(read(signer.channel()).entries[0].leaf)
    assert (boot.time_ms > 0) is fine, "a boot whose clock is wrong tells no time"


def test_a_later_permit_moves_no_clock(signer: Signer) -> None:
    signer.make_ready()
    signer.give(signer.permit(serial=2, not_before=now_ms() + 60_000))
    assert signer.channel().buy(5).code is Code.OK


def test_a_permit_is_in_force_only_once_it_is_logged(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits: list[object] = []
    keyring = "strongroom_enclave.signer.keyring.Keyring.permit"
    monkeypatch.setattr(keyring, lambda *given: permits.append(given))
    monkeypatch.setattr(Ledger, "open", lambda *_: 1 // 0)
    statement = signer.desk.owners.sign(PERMIT_DOMAIN, signer.permit().serialise())
    signer.link.send(Message.PERMIT, 0, pack(b"permit", statement.serialise(), b""))
    with pytest.raises(LinkClosed):
        signer.receive()
    signer.thread.join(20)
    assert permits == []
    signer.ended_with = LinkClosed("as it should")
