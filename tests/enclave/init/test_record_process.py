"""The record's process as init treats it: started for accounts only, and no way to the signer."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from socket import recv_fds, socket, socketpair

import pytest
from msgspec.structs import replace
from strongroom_enclave.init import boot
from strongroom_enclave.init.lifecycle import Phase
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform.links import LinkClosed
from strongroom_enclave.platform.spawn import Worker
from strongroom_enclave.sealing import role_key
from strongroom_host.contract.roles import role_keys
from strongroom_host.contract.sealing import seal
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role, hpke_info
from strongroom_wire.encoding import unpack
from strongroom_wire.errors import Code
from strongroom_wire.manifest import Account, Tier
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, Action, OwnerOrder, Permit

from tests.enclave.init.harness import Harness, Processes
from tests.enclave.init.test_lifecycle import DESK as WITHOUT
from tests.enclave.init.test_lifecycle import NONCE, bring, bundle_of, refused_after_extend
from tests.hostile.driver import Desk

DESK = Desk().but(accounts=(Account("main", "ada", "binance", "live", "USDT", 0, Tier()),))
MANIFEST = DESK.signed.serialise()


def configured(**parts: object) -> Harness:
    harness = Harness(**parts)  # type: ignore[arg-type]
    assert harness.ask(Kind.LOAD_MANIFEST, MANIFEST).code is Code.OK
    return harness


@pytest.fixture
def harness() -> Iterator[Harness]:
    with configured() as made:
        yield made


def frontier(*content: bytes) -> Frontier:
    tree = Frontier()
    for each in content:
        tree.append(leaf_hash(each))
    return tree


def permit(harness: Harness, serial: int = 1, **changes: object) -> bytes:
    bundle = bundle_of(harness)
    names = (bundle.owner_root, bundle.manifest_digest, bundle.keys_digest, serial)
    made = Permit(*names, 0, 1 << 40, Frontier().serialise(), EMPTY_LOG, b"", ())
    made = replace(made, **changes)
    return DESK.owners.sign(PERMIT_DOMAIN, made.serialise()).serialise()


def order(harness: Harness, action: Action, desk: Desk = DESK) -> bytes:
    bundle = bundle_of(harness)
    made = OwnerOrder(action, bundle.boot_id, bundle.manifest_digest, "main")
    return desk.owners.sign(ORDER_DOMAIN, made.serialise()).serialise()


def test_it_is_started_for_a_manifest_with_accounts_and_told_the_same_as_the_signer(
    harness: Harness,
) -> None:
    bundle = bundle_of(harness)
    assert [keys.role for keys in bundle.roles] == [Role.INIT, Role.SIGNER, Role.RECORD]
    record = role_keys(bundle, Role.RECORD)
    assert (record.hpke, record.receipt, record.head) == (b"\3" * 32, b"\4" * 32, EMPTY_LOG)
    told = [link.receive(20) for link in (harness.signer, harness.record)]
    assert told[0] == told[1]
    assert told[0].kind == Kind.CONFIGURE
    anchors = [link.receive(20) for link in (harness.signer, harness.record)]
    assert anchors[0] == anchors[1]
    assert anchors[0].kind == Kind.ANCHOR


def test_without_accounts_there_is_no_record() -> None:
    with bring(Phase.READY) as harness:
        assert harness.processes.links.keys() == {"front", "signer"}
        bundle = bundle_of(harness)
        assert [keys.role for keys in bundle.roles] == [Role.INIT, Role.SIGNER]
        connect = order(harness, Action.CONNECT, WITHOUT)
        assert harness.ask(Kind.SUBMIT_ORDER, connect).code is Code.HALTED


def test_one_that_does_not_start_or_register_halts_before_any_key_is_used() -> None:
    for spoil in (
        lambda h: h.processes.failing.add("record"),
        lambda h: h.processes.first.update(record=(Kind.REPLY, bytes(64))),
        lambda h: h.processes.first.update(record=(Kind.REGISTER, b"short")),
    ):
        refused_after_extend(spoil, MANIFEST)


def test_each_role_gets_the_permit_with_its_own_sealing_key(harness: Harness) -> None:
    bundle, share = bundle_of(harness), secrets.token_bytes(32)
    info = hpke_info(bundle, Role.INIT, b"unlock-share")
    statement = permit(harness, share=seal(share, role_keys(bundle, Role.INIT).hpke, info))
    assert harness.ask(Kind.SUBMIT_PERMIT, statement).code is Code.OK
    secret = harness.sealing.secret(bundle.owner_root)
    for link, role in ((harness.signer, Role.SIGNER), (harness.record, Role.RECORD)):
        carried, key = unpack(b"permit", harness.until(link, Kind.PERMIT).payload)
        assert carried == statement
        assert key == role_key(secret, share, bundle.owner_root, role)
    assert harness.ask(Kind.SUBMIT_PERMIT, permit(harness, 2)).code is Code.OK
    assert unpack(b"permit", harness.until(harness.record, Kind.PERMIT).payload)[1] == b""


def test_later_permits_continue_the_same_logs(harness: Harness) -> None:
    logs = {"signer_log": frontier(b"a").serialise(), "record_log": frontier(b"b").serialise()}
    assert harness.ask(Kind.SUBMIT_PERMIT, permit(harness, 1, **logs)).code is Code.OK
    other = frontier(b"c").serialise()
    for name in logs:
        forked = permit(harness, 2, **{**logs, name: other})
        assert harness.ask(Kind.SUBMIT_PERMIT, forked).code is Code.WRONG_LOG_HEAD
    assert harness.ask(Kind.SUBMIT_PERMIT, permit(harness, 2, **logs)).code is Code.OK


def test_heads_of_both_logs_are_in_evidence_each_in_its_place(harness: Harness) -> None:
    heads = {Role.SIGNER: LogHead(3, b"\5" * 32), Role.RECORD: LogHead(9, b"\6" * 32)}
    harness.record.send(Kind.HEAD, 0, heads[Role.RECORD].serialise())
    harness.signer.send(Kind.HEAD, 0, heads[Role.SIGNER].serialise())
    for link in (harness.record, harness.signer):  # a message that comes after has been seen after
        link.send(Kind.REPLY, 77, b"seen")
        assert harness.front.receive(20).payload == b"seen"
    bundle = bundle_of(harness)
    assert {role: role_keys(bundle, role).head for role in heads} == heads
    assert role_keys(bundle, Role.INIT).head == EMPTY_LOG


@pytest.mark.parametrize("action", Action)
def test_an_order_goes_to_the_process_that_it_is_for(harness: Harness, action: Action) -> None:
    payload = order(harness, action)
    number = harness.send(Kind.SUBMIT_ORDER, payload)
    link = harness.record if action is Action.CONNECT else harness.signer
    assert harness.until(link, Kind.SUBMIT_ORDER) == (Kind.SUBMIT_ORDER, number, payload)
    link.send(Kind.REPLY, number, b"answer")
    assert harness.front.receive(20) == (Kind.REPLY, number, b"answer")


@pytest.mark.parametrize("payload", [b"", b"noise", MANIFEST, b"strangers"])
def test_what_is_no_order_the_signer_answers(harness: Harness, payload: bytes) -> None:
    if payload == b"strangers":  # init reads nothing that no owner has signed
        payload = order(harness, Action.CONNECT, WITHOUT)
    harness.send(Kind.SUBMIT_ORDER, payload)
    assert harness.until(harness.signer, Kind.SUBMIT_ORDER).payload == payload


def test_a_record_that_takes_nothing_is_busy_and_the_signer_is_not(harness: Harness) -> None:
    bundle, body = bundle_of(harness), bytes((1 << 20) - 1000)
    made = OwnerOrder(Action.CONNECT, bundle.boot_id, bundle.manifest_digest, "main", body)
    payload = DESK.owners.sign(ORDER_DOMAIN, made.serialise()).serialise()
    while len(harness.init._workers["record"].link.unsent) <= boot._MAX_UNSENT:
        harness.send(Kind.SUBMIT_ORDER, payload)
        assert harness.phase() == Phase.CONFIGURED
    assert harness.ask(Kind.SUBMIT_ORDER, payload).code is Code.BUSY
    harness.send(Kind.SUBMIT_ORDER, order(harness, Action.KILL))
    harness.until(harness.signer, Kind.SUBMIT_ORDER)
    assert harness.ask(Kind.SUBMIT_PERMIT, permit(harness)).code is Code.OK


def test_its_death_ends_the_record_and_not_the_signing(harness: Harness) -> None:
    harness.record.send(Kind.HEAD, 0, LogHead(9, b"\6" * 32).serialise())
    harness.record.close()
    while "record" in harness.init._workers:
        assert harness.phase() == Phase.CONFIGURED
    assert harness.processes.killed == ["record"]
    connect = order(harness, Action.CONNECT)
    assert harness.ask(Kind.SUBMIT_ORDER, connect).code is Code.HALTED
    assert harness.ask(Kind.SUBMIT_PERMIT, permit(harness)).code is Code.OK
    harness.until(harness.signer, Kind.PERMIT)
    harness.send(Kind.SUBMIT_ORDER, b"order")
    assert harness.until(harness.signer, Kind.SUBMIT_ORDER).payload == b"order"
    assert role_keys(bundle_of(harness), Role.RECORD).head.size == 9, (
        "evidence has the last that it said"
    )
    assert harness.phase() == Phase.READY


@pytest.mark.parametrize(
    "kind", [0, *(k for k in Kind if k not in (Kind.REPLY, Kind.HEAD, Kind.DIAL)), 999]
)
def test_one_that_says_anything_else_ends_the_boot(harness: Harness, kind: int) -> None:
    harness.record.send(kind, 1, bytes(64))
    harness.until(harness.front, Kind.HALTED)
    assert harness.phase() == Phase.HALTED
    assert set(harness.processes.killed) == {"record", "signer"}


def test_a_head_that_is_none_ends_the_boot(harness: Harness) -> None:
    harness.record.send(Kind.HEAD, 0, bytes(39))
    harness.until(harness.front, Kind.HALTED)


def test_a_signer_may_not_have_connections(harness: Harness) -> None:
    harness.signer.send(Kind.DIAL)
    harness.until(harness.front, Kind.HALTED)


class Proxies:
    """Connections to a proxy: the far ends are the test's. After `left` there are no more."""

    def __init__(self, left: int) -> None:
        self.left, self.far = left, list[socket]()

    def connect(self) -> socket:
        if len(self.far) == self.left:
            raise ConnectionRefusedError
        ours, theirs = socketpair()
        self.far.append(theirs)
        return ours


def test_it_is_passed_a_connection_for_each_that_it_asks_for() -> None:
    proxies = Proxies(2)
    with configured(egress=proxies.connect) as harness:
        (passed,) = harness.processes.sockets["record"]
        for n in range(2):
            harness.record.send(Kind.DIAL)
            data, (descriptor,), _, _ = recv_fds(passed, 9, 4)
            assert data == b"\0"
            with socket(fileno=descriptor) as connection:
                connection.sendall(b"to the host %d" % n)
            assert proxies.far[n].recv(99) == b"to the host %d" % n
            assert proxies.far[n].recv(1) == b"", "init kept it open"
        harness.record.send(Kind.DIAL)
        assert recv_fds(passed, 9, 4)[:2] == (b"\0", [])
        assert harness.phase() == Phase.CONFIGURED
        for sock in proxies.far:
            sock.close()


def test_the_signer_has_no_share_in_them() -> None:
    class Seen(Processes):
        def spawn(self, role: str, *sockets: socket) -> Worker:
            given[role] = [sock.fileno() for sock in sockets]
            return super().spawn(role, *sockets)

    given = dict[str, list[int]]()
    with configured(processes=Seen()) as harness:
        assert given["front"] == []
        assert given["signer"] == [harness.frames.fileno()]
        assert len(given["record"]) == 1
        assert harness.init._exchange.theirs.fileno() == -1, "init kept the record's end"


def test_one_that_asks_on_and_takes_nothing_does_not_hold_init_up() -> None:
    proxies = Proxies(1 << 20)
    with configured(egress=proxies.connect) as harness:
        with suppress(LinkClosed):
            for _ in range(5_000):
                harness.record.send(Kind.DIAL)
        harness.until(harness.front, Kind.HALTED)
        for sock in proxies.far:
            sock.close()


def test_evidence_before_any_head_has_empty_logs(harness: Harness) -> None:
    assert harness.ask(Kind.EVIDENCE, NONCE).code is Code.OK
    assert role_keys(bundle_of(harness), Role.RECORD).head == EMPTY_LOG
