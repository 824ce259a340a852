"""The log of a whole boot: what evidence says of it, and which history a boot goes on with."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace
from strongroom_host.contract.roles import role_keys
from strongroom_host.log.notes import Checkpoint
from strongroom_host.log.verify import AttestedBoot, Expected, KnownHead, Problem, verify
from strongroom_wire.bundle import EMPTY_LOG, Bundle, LogHead, Role
from strongroom_wire.encoding import u64
from strongroom_wire.errors import Code
from strongroom_wire.frames import Intent, Kind
from strongroom_wire.leaves import Boot as Beginning
from strongroom_wire.leaves import Kind as Event
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import LogPage
from strongroom_wire.statements import ORDER_DOMAIN, Action, OwnerOrder

from tests.hostile.driver import Boot, Channel, Desk, to_proto

Start = Callable[..., Boot]


def pulled(boot: Boot, index: int = 0) -> tuple[list[bytes], KnownHead]:
    """Returns all leaves from `index` on with the head that this boot's receipt key signed."""
    channel, found = boot.channel(), list[bytes]()
    while True:
        reply = channel.ask(Intent(Kind.READ_LOG, 0, 0, 0, (), u64(index + len(found))))
        assert reply.code is Code.OK
        page = LogPage.parse(reply.request)
        key = role_keys(boot.bundle, Role.SIGNER).receipt
        Ed25519PublicKey.from_public_bytes(key).verify(page.signature, page.checkpoint)
        head = Checkpoint.parse(page.checkpoint).head
        found += [entry.leaf for entry in page.entries]
        if index + len(found) >= head.size:
            return found, KnownHead(head, "the signer")


def grown(leaves: list[bytes]) -> Frontier:
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def attested(*boots: Boot) -> dict[bytes, AttestedBoot]:
    return {
        boot.bundle.boot_id: AttestedBoot(boot.bundle.manifest_digest, boot.bundle.keys_digest)
        for boot in boots
    }


def committed(boot: Boot, size: int) -> Bundle:
    """Returns the bundle of evidence once the signer's head in it has `size` leaves."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        bundle = Bundle.parse(boot.enclave.evidence().bundle)
        if role_keys(bundle, Role.SIGNER).head.size == size:
            return bundle
        time.sleep(0.1)
    pytest.fail(f"evidence never committed to {size} leaves")


@pytest.fixture(scope="module")
def first(start: Start) -> Boot:
    """A boot with a log of its own: made ready, one order signed, one denied."""
    boot = start(Desk()).make_ready()
    channel = boot.channel()
    assert channel.buy(5).code is Code.OK
    assert channel.buy(600).code is Code.DENIED
    return boot


def test_evidence_commits_to_the_head_of_the_log(first: Boot) -> None:
    leaves, known = pulled(first)
    bundle = committed(first, len(leaves))
    assert role_keys(bundle, Role.SIGNER).head == known.head == grown(leaves).head
    assert bundle.keys_digest == first.bundle.keys_digest, "the same boot, further on"
    assert role_keys(first.bundle, Role.SIGNER).head == EMPTY_LOG, "before the first permit"


def test_what_a_client_was_handed_is_in_the_log_that_evidence_vouches_for(first: Boot) -> None:
    reply = first.channel().buy(1)
    index = Leaf.parse(reply.leaf).index
    leaves, _ = pulled(first)
    head = role_keys(committed(first, len(leaves)), Role.SIGNER).head
    expected = Expected(
        [KnownHead(head, "evidence")],
        leaves={index: reply.leaf},
        openings={index: reply.opening},
        boots=attested(first),
    )
    report = verify(leaves, expected)
    assert report.ok, report.findings
    assert (report.proven, report.unattested) == (len(leaves), ())
    for spoilt, problem in (
        (leaves[:-1], Problem.SHORTER),
        ([*leaves[:2], *leaves[3:]], Problem.DROPPED),
        ([*leaves[:1], leaves[0], *leaves[2:]], Problem.DUPLICATED),
    ):
        found = verify(spoilt, expected)
        assert not found.ok
        assert problem in {finding.problem for finding in found.findings}


def test_a_later_permit_cannot_name_another_history(first: Boot) -> None:
    leaves, known = pulled(first)
    for other in (grown(leaves), Frontier(1, (b"\x01" * 32,)), Frontier(2, (b"\x02" * 32,))):
        permit = first.permit(serial=50, signer_log=other.serialise())
        assert first.submit_permit(permit) is Code.WRONG_LOG_HEAD
    assert pulled(first)[1] == known
    assert first.submit_permit(first.permit(serial=51)) is Code.OK
    assert Leaf.parse(pulled(first)[0][-1]).kind is Event.PERMIT


def test_the_next_boot_goes_on_with_the_history_of_the_last(start: Start) -> None:
    one = start(Desk()).make_ready()
    assert one.channel().buy(5).code is Code.OK
    before, _ = pulled(one)
    two = start(one.desk).make_ready(signer_log=grown(before).serialise())
    assert two.channel().buy(5).code is Code.OK
    since, known = pulled(two, len(before))
    boot = Leaf.parse(since[0])
    assert (boot.kind, boot.epoch) == (Event.BOOT, two.bundle.boot_id)
    assert Beginning.parse(boot.public).continued == grown(before).head
    report = verify([*before, *since], Expected([known], boots=attested(one, two)))
    assert report.ok, report.findings
    assert [epoch.start for epoch in report.epochs] == [0, len(before)]
    assert role_keys(committed(two, known.head.size), Role.SIGNER).head == known.head

    shorter = verify([*before[:-1], *since], Expected([known], boots=attested(one, two)))
    assert not shorter.ok


def test_the_same_root_under_another_size_is_another_history(start: Start) -> None:
    boot, tree = start(Desk()), Frontier(3, (b"\x01" * 32, b"\x02" * 32))
    assert boot.submit_permit(boot.permit(signer_log=tree.serialise())) is Code.OK
    twin = Frontier(5, tree.hashes)
    assert twin.head == LogHead(5, tree.head.root)
    permit = boot.permit(serial=2, signer_log=twin.serialise())
    assert boot.submit_permit(permit) is Code.WRONG_LOG_HEAD
    same = replace(permit, signer_log=tree.serialise())
    assert boot.submit_permit(same) is Code.OK


def test_a_refused_permit_fixes_no_history(start: Start) -> None:
    boot = start(Desk())
    other = Frontier(1, (b"\x01" * 32,)).serialise()
    assert boot.submit_permit(boot.permit(signer_log=other), signers=0) is Code.QUORUM_MISSING
    assert boot.submit_permit(boot.permit(signer_log=other, keys_digest=bytes(32))) is (
        Code.WRONG_BOOT
    )
    assert boot.submit_permit(boot.permit(signer_log=other, share=bytes(80))) is Code.BAD_SIGNATURE
    assert boot.submit_permit(boot.permit()) is Code.OK
    assert boot.order(Action.GENERATE, "main")[0] is Code.OK
    assert Leaf.parse(boot.entry.leaf).index == 1


def test_owners_who_submit_much_at_once_hang_nobody(start: Start) -> None:
    boot = start(Desk())
    assert boot.submit_permit(boot.permit()) is Code.OK
    stub, channel = boot.control(), boot.channel()
    bundle = boot.bundle
    for round_number in range(4):
        statements = []
        for at in range(8):
            unique = bytes([round_number, at]) + bytes(1_000_000)
            order = OwnerOrder(
                Action.GENERATE, bundle.boot_id, bundle.manifest_digest, "main", unique
            )
            signed = boot.desk.owners.sign(ORDER_DOMAIN, order.serialise())
            statements.append(to_proto(signed))
        calls = [stub.SubmitOrder.future(each, timeout=30) for each in statements]
        codes = {Code(call.result().code) for call in calls}
        assert codes <= {Code.OK, Code.BUSY}, "it is said if there is no room"
        channel.ask(Intent(Kind.READ_LOG, 0, 0, 0, (), u64(len(pulled(boot)[0]))))
    assert boot.order(Action.KILL)[0] is Code.OK


def test_a_client_that_reads_much_at_once_hangs_nobody(start: Start) -> None:
    boot = start(Desk())
    assert boot.submit_permit(boot.permit()) is Code.OK
    writer = boot.channel()
    for _ in range(200):
        assert writer.buy(5).code is Code.NO_CREDENTIAL
    readers = [boot.channel() for _ in range(7)]
    asking = Intent(Kind.READ_LOG, 0, 0, 0, (), u64(0))
    frames = [[reader.frame(asking) for _ in range(20)] for reader in readers]

    def read(reader: Channel, asked: list[bytes]) -> int:
        return min(len(reader.carry(frame) or b"") for frame in asked)

    with ThreadPoolExecutor(len(readers)) as pool:
        reading = [pool.submit(read, *each) for each in zip(readers, frames, strict=True)]
        assert writer.buy(5).code is Code.NO_CREDENTIAL, "signing waits for no reader"
        assert min(each.result(30) for each in reading) > 50_000
