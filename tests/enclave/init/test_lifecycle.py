"""Every request in every phase, by a table written down here a second time."""

import secrets
from collections.abc import Callable
from hashlib import sha256
from socket import socket

import pytest
from strongroom_enclave.init import boot
from strongroom_enclave.init.boot import Init
from strongroom_enclave.init.lifecycle import ROUTES, Phase
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform.spawn import Worker
from strongroom_enclave.sealing import role_key
from strongroom_host.contract.receipts import verify_receipt
from strongroom_host.contract.roles import role_keys
from strongroom_host.contract.sealing import seal
from strongroom_wire.bundle import EMPTY_LOG, Bundle, Role, hpke_info, pcr16
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.errors import Code
from strongroom_wire.manifest import MANIFEST_DOMAIN
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Statement
from strongroom_wire.statements import PERMIT_DOMAIN, Budget, Permit

from tests.enclave.init.harness import Harness, Machine, Processes, evidence
from tests.hostile.driver import Desk

DESK = Desk()
MANIFEST = DESK.signed.serialise()
NONCE = b"n" * 32
REQUESTS = tuple(kind for kind in Kind if kind < Kind.REPLY)


def permit(bundle: Bundle, serial: int = 1, share: bytes = b"") -> Statement:
    sealed = share
    if share:
        info = hpke_info(bundle, Role.INIT, b"unlock-share")
        sealed = seal(share, role_keys(bundle, Role.INIT).hpke, info)
    head = (bundle.owner_root, bundle.manifest_digest, bundle.keys_digest, serial)
    times, log = (0, 1 << 40), Frontier().serialise()
    made = Permit(*head, *times, log, EMPTY_LOG, sealed, (Budget("main", 5, 5),))
    return DESK.owners.sign(PERMIT_DOMAIN, made.serialise())


def bundle_of(harness: Harness) -> Bundle:
    return Bundle.parse(evidence(harness.ask(Kind.EVIDENCE, NONCE).body)[2])


def bring(phase: Phase) -> Harness:
    """Returns an init in `phase`."""
    harness = Harness()
    if phase in (Phase.CONFIGURED, Phase.READY):
        assert harness.ask(Kind.LOAD_MANIFEST, MANIFEST).code is Code.OK
    if phase is Phase.READY:
        statement = permit(bundle_of(harness))
        assert harness.ask(Kind.SUBMIT_PERMIT, statement.serialise()).code is Code.OK
    if phase is Phase.HALTED:
        harness.machine.failing.add("extend")
        assert harness.ask(Kind.LOAD_MANIFEST, MANIFEST).code is Code.HALTED
    assert harness.phase() == phase
    return harness


ANSWERED, FORWARDED, REFUSED = "answered", "forwarded", "refused"
TABLE = {
    Kind.STATUS: (ANSWERED, ANSWERED, ANSWERED, ANSWERED),
    Kind.EVIDENCE: (ANSWERED, ANSWERED, ANSWERED, REFUSED),
    Kind.LOAD_MANIFEST: (ANSWERED, REFUSED, REFUSED, REFUSED),
    Kind.SUBMIT_PERMIT: (REFUSED, ANSWERED, ANSWERED, REFUSED),
    Kind.SUBMIT_ORDER: (REFUSED, FORWARDED, FORWARDED, REFUSED),
}


@pytest.mark.parametrize("phase", Phase)
def test_every_request_in_this_phase(phase: Phase) -> None:
    for kind in REQUESTS:
        with bring(phase) as harness:
            payload = {
                Kind.EVIDENCE: lambda h: NONCE,
                Kind.LOAD_MANIFEST: lambda h: MANIFEST,
                Kind.SUBMIT_PERMIT: lambda h: (
                    permit(bundle_of(h), 2).serialise()
                    if phase in (Phase.CONFIGURED, Phase.READY)
                    else MANIFEST
                ),
            }.get(kind, lambda h: b"opaque")(harness)
            expected = TABLE[kind][phase - 1]
            if expected is FORWARDED:
                number = harness.send(kind, payload)
                assert harness.until(harness.signer, kind) == (kind, number, payload)
                harness.signer.send(Kind.REPLY, number, b"the signer's own answer")
                assert harness.front.receive(20) == (Kind.REPLY, number, b"the signer's own answer")
                continue
            answer = harness.ask(kind, payload)
            refusal = Code.HALTED if phase is Phase.HALTED else Code.WRONG_PHASE
            assert answer.code is (Code.OK if expected is ANSWERED else refusal), kind
            if expected is REFUSED:
                assert answer.body == b""
                assert not any(answer.signature)
                assert harness.phase() == phase


def test_the_table_here_is_the_table_there() -> None:
    assert set(ROUTES) == set(TABLE) == set(REQUESTS)
    for kind, route in ROUTES.items():
        assert callable(getattr(Init, f"_{route.handler}"))
        answered = tuple(phase for phase in Phase if TABLE[Kind(kind)][phase - 1] is not REFUSED)
        assert route.phases == answered
    assert {route.success for route in ROUTES.values()} == {
        None, Phase.CONFIGURED, Phase.READY,
    }  # fmt: skip


@pytest.mark.parametrize("phase", Phase)
def test_kinds_that_are_no_request_are_refused_and_reach_nobody(phase: Phase) -> None:
    refusal = Code.HALTED if phase is Phase.HALTED else Code.WRONG_PHASE
    with bring(phase) as harness:
        before = None if phase is Phase.HALTED else bundle_of(harness)
        for kind in (0, *range(int(Kind.REPLY), 64), 255, 65535):
            answer = harness.ask(kind, b"\0" * 64)
            assert (answer.code, answer.body) == (refusal, b"")
        assert harness.phase() == phase
        if before:
            assert bundle_of(harness) == before
        if phase in (Phase.CONFIGURED, Phase.READY):
            harness.send(Kind.SUBMIT_ORDER, b"marker")
            seen = harness.until(harness.signer, Kind.SUBMIT_ORDER)  # fails on anything unexpected
            assert seen.payload == b"marker"


def test_the_manifest_is_measured_and_locked_before_the_signer_exists() -> None:
    events: list[str] = []

    class Watched(Processes):
        def spawn(self, role: str, *sockets: socket) -> Worker:
            events.extend(machine.calls)
            events.append(f"start {role}")
            return super().spawn(role, *sockets)

    machine = Machine()
    with Harness(machine=machine, processes=Watched()) as harness:
        harness.ask(Kind.LOAD_MANIFEST, MANIFEST)
        digest = sha256(DESK.signed.payload).digest()
        assert machine.registers[16] == pcr16(digest)
        assert machine.locked == 32
        at = events.index("start signer")
        assert events[:at].count("lock") == events[:at].count("extend") == 1


def test_evidence_commits_to_the_bundle_and_the_nonce_is_all_that_varies() -> None:
    with Harness() as harness:
        for phase in (Phase.BOOTED, Phase.CONFIGURED):
            user_data, nonce, bundle = evidence(harness.ask(Kind.EVIDENCE, NONCE).body)
            assert nonce == NONCE
            parsed = Bundle.parse(bundle)
            assert user_data == parsed.commitment
            if phase is Phase.BOOTED:
                assert (parsed.roles, parsed.certificate) == ((), b"")
                harness.ask(Kind.LOAD_MANIFEST, MANIFEST)
        assert parsed.certificate == b"certificate"
        assert [entry.role for entry in parsed.roles] == [Role.INIT, Role.SIGNER]
        signer = role_keys(parsed, Role.SIGNER)
        assert (signer.hpke, signer.receipt) == (b"\x01" * 32, b"\x02" * 32)
        assert parsed.manifest_digest == sha256(DESK.signed.payload).digest()
        assert parsed.owner_root == DESK.manifest.owner_root
        for size in (0, 15, 65):
            assert harness.ask(Kind.EVIDENCE, bytes(size)).code is Code.MALFORMED


def test_receipts_of_init_are_over_the_request() -> None:
    with Harness() as harness:
        answer = harness.ask(Kind.LOAD_MANIFEST, MANIFEST)
        bundle = bundle_of(harness)
        key = role_keys(bundle, Role.INIT).receipt
        verify_receipt(key, bundle.boot_id, MANIFEST, Code.OK, answer.body, answer.signature)
        statement = permit(bundle).serialise()
        answer = harness.ask(Kind.SUBMIT_PERMIT, statement)
        assert answer.body == (1).to_bytes(4, "big")
        verify_receipt(key, bundle.boot_id, statement, Code.OK, answer.body, answer.signature)


def refused_after_extend(spoil: Callable[[Harness], None], manifest: bytes = MANIFEST) -> None:
    """Proves that a boot that fails half-way answers nothing but its status, ever."""
    with Harness() as harness:
        spoil(harness)
        assert harness.ask(Kind.LOAD_MANIFEST, manifest).code is Code.HALTED
        harness.machine.failing.clear()
        harness.processes.failing.clear()
        for kind in REQUESTS:
            if kind is not Kind.STATUS:
                answer = harness.ask(kind, MANIFEST)
                assert (answer.code, answer.body) == (Code.HALTED, b"")
        assert harness.phase() == Phase.HALTED
        if "signer" in harness.processes.links:
            assert "signer" in harness.processes.killed
            assert harness.closed("signer")


def test_a_failure_while_measuring_halts() -> None:
    refused_after_extend(lambda h: h.machine.failing.add("extend"))
    refused_after_extend(lambda h: h.machine.failing.add("lock"))


def test_a_register_that_was_extended_before_us_halts() -> None:
    refused_after_extend(lambda h: h.machine.registers.update({16: b"\1" * 48}))


def test_a_signer_that_does_not_start_or_register_halts() -> None:
    refused_after_extend(lambda h: h.processes.failing.add("signer"))
    refused_after_extend(lambda h: h.processes.first.update(signer=(Kind.REPLY, bytes(64))))
    refused_after_extend(lambda h: h.processes.first.update(signer=(Kind.REGISTER, b"short")))


def test_a_platform_without_time_halts_at_the_first_anchor() -> None:
    refused_after_extend(lambda h: h.machine.failing.add("now_ms"))


def test_a_platform_that_fails_to_attest_halts() -> None:
    with bring(Phase.READY) as harness:
        harness.machine.failing.add("attest")
        assert harness.ask(Kind.EVIDENCE, NONCE).code is Code.HALTED
        assert harness.phase() == Phase.HALTED
        assert harness.processes.killed == ["signer"]


def test_a_refusal_before_measuring_changes_nothing() -> None:
    with Harness() as harness:
        for payload in (
            b"",
            b"noise",
            Statement(DESK.signed.payload, ()).serialise(),
            DESK.owners.sign(PERMIT_DOMAIN, DESK.signed.payload).serialise(),
            DESK.owners.sign(MANIFEST_DOMAIN, b"{}").serialise(),
        ):
            assert harness.ask(Kind.LOAD_MANIFEST, payload).code is not Code.OK
        assert harness.phase() == Phase.BOOTED
        assert "extend" not in harness.machine.calls
        assert harness.processes.links.keys() == {"front"}
        assert harness.ask(Kind.LOAD_MANIFEST, MANIFEST).code is Code.OK


def test_the_signer_gets_its_own_sealing_key_and_nothing_else() -> None:
    with bring(Phase.CONFIGURED) as harness:
        bundle, share = bundle_of(harness), secrets.token_bytes(32)
        statement = permit(bundle, 1, share).serialise()
        assert harness.ask(Kind.SUBMIT_PERMIT, statement).code is Code.OK
        carried, key = unpack(b"permit", harness.until(harness.signer, Kind.PERMIT).payload)
        root = bundle.owner_root
        assert carried == statement
        assert harness.sealing.contexts == [root]
        assert key == role_key(harness.sealing.secret(root), share, root, Role.SIGNER)
        assert harness.ask(Kind.SUBMIT_PERMIT, permit(bundle, 2).serialise()).code is Code.OK
        carried, key = unpack(b"permit", harness.until(harness.signer, Kind.PERMIT).payload)
        assert key == b""


def test_without_a_sealer_a_share_opens_nothing() -> None:
    with Harness(sealed=False) as harness:
        assert harness.ask(Kind.LOAD_MANIFEST, MANIFEST).code is Code.OK
        statement = permit(bundle_of(harness), 1, secrets.token_bytes(32)).serialise()
        assert harness.ask(Kind.SUBMIT_PERMIT, statement).code is Code.OK
        carried, key = unpack(b"permit", harness.until(harness.signer, Kind.PERMIT).payload)
        assert (carried, key) == (statement, b"")


def test_a_refused_permit_reaches_nobody() -> None:
    with bring(Phase.CONFIGURED) as harness:
        bundle = bundle_of(harness)
        good = permit(bundle)
        for statement in (
            Statement(good.payload, good.signatures[:1]),
            DESK.owners.sign(MANIFEST_DOMAIN, good.payload),
            Statement(good.payload[:-1] + b"\xff", good.signatures),
        ):
            assert harness.ask(Kind.SUBMIT_PERMIT, statement.serialise()).code is not Code.OK
        assert harness.phase() == Phase.CONFIGURED
        harness.send(Kind.SUBMIT_ORDER, b"marker")
        kinds = []
        while (message := harness.signer.receive(20)).kind != Kind.SUBMIT_ORDER:
            kinds.append(message.kind)
        assert Kind.PERMIT not in kinds


def test_anchors_keep_coming_without_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "_ANCHOR_INTERVAL", 0.02)
    with bring(Phase.READY) as harness:
        for _ in range(3):
            first = harness.until(harness.signer, Kind.ANCHOR)
        second = harness.until(harness.signer, Kind.ANCHOR)
        ms = [int.from_bytes(message.payload[:8]) for message in (first, second)]
        ns = [int.from_bytes(message.payload[8:]) for message in (first, second)]
        assert ms[1] == ms[0] + 1
        assert ns[1] > ns[0]
        harness.machine.failing.add("now_ms")
        assert harness.closed("signer")
        harness.until(harness.front, Kind.HALTED)
        assert harness.phase() == Phase.HALTED


def test_one_manifest_one_signer() -> None:
    with bring(Phase.CONFIGURED) as harness:
        first = bundle_of(harness)
        other = Desk().signed.serialise()
        assert harness.ask(Kind.LOAD_MANIFEST, other).code is Code.WRONG_PHASE
        assert harness.machine.calls.count("extend") == 1
        assert bundle_of(harness) == first


def test_the_frames_listener_goes_to_the_signer_alone() -> None:
    with bring(Phase.READY) as harness:
        assert harness.processes.sockets == {"front": (), "signer": (harness.frames,)}


def test_a_packed_request_is_not_mistaken_for_another_kind() -> None:
    # A manifest's statement delivered as a permit, a permit as a manifest.
    with bring(Phase.CONFIGURED) as harness:
        assert harness.ask(Kind.SUBMIT_PERMIT, MANIFEST).code is Code.BAD_SIGNATURE
        odd = pack(b"strongroom/statement/v1", b"")
        assert harness.ask(Kind.SUBMIT_PERMIT, odd).code is Code.MALFORMED
