"""How init treats its processes: what each may say, and what their deaths mean."""

import os
from contextlib import suppress
from socket import socket, socketpair
from threading import Thread

import pytest
from strongroom_enclave.init.boot import Halt
from strongroom_enclave.init.lifecycle import Phase
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform.links import LinkClosed
from strongroom_enclave.platform.spawn import Worker
from strongroom_wire.encoding import u32
from strongroom_wire.errors import Code

from tests.enclave.init.harness import Harness, Processes
from tests.enclave.init.test_lifecycle import MANIFEST, bring


def halted(harness: Harness) -> None:
    """The boot ended: front was told and answers status, and the signer's process is gone."""
    harness.until(harness.front, Kind.HALTED)
    assert harness.phase() == Phase.HALTED
    assert "signer" in harness.processes.killed
    assert harness.closed("signer")
    assert harness.frames.fileno() == -1, "new connections would wait for a dead signer"


@pytest.mark.parametrize("kind", [0, *(k for k in Kind if k not in (Kind.REPLY, Kind.ENROLL)), 999])
def test_a_signer_that_says_anything_else_is_not_trusted_on(kind: int) -> None:
    with bring(Phase.READY) as harness:
        harness.signer.send(kind, 1, bytes(64))
        halted(harness)


def test_a_signer_that_dies_ends_the_boot() -> None:
    with bring(Phase.READY) as harness:
        harness.signer.close()
        harness.until(harness.front, Kind.HALTED)
        assert harness.phase() == Phase.HALTED


def test_a_front_that_dies_ends_init_and_the_signer() -> None:
    harness = bring(Phase.READY)
    harness.front.close()
    harness.thread.join(20)
    assert not harness.thread.is_alive(), "init goes on without a front"
    assert set(harness.processes.killed) == {"front", "signer"}
    assert harness.closed("signer")
    harness.far.close()


@pytest.mark.parametrize(
    "noise", [b"\xff" * 64, b"\x7f\xff\xff\xff", b"\0\0\0\x02ab", b"\xff\xff\xff\xfe"]
)
def test_a_front_that_does_not_speak_the_protocol_ends_the_boot(noise: bytes) -> None:
    harness = bring(Phase.READY)
    os.write(harness.front.fileno(), noise)
    harness.thread.join(20)
    assert not harness.thread.is_alive()
    assert "signer" in harness.processes.killed
    harness.front.close()
    harness.far.close()


def with_proxy() -> Harness:
    """Returns a ready init whose proxy connects, and which waits for an enrolment."""

    def proxy() -> socket:
        ours, theirs = socketpair()
        theirs.close()
        return ours

    harness = Harness(egress=proxy)
    assert harness.ask(Kind.LOAD_MANIFEST, MANIFEST).code is Code.OK
    return harness


def test_an_enrolment_has_one_process_with_the_job_and_the_proxy() -> None:
    with with_proxy() as harness:
        harness.signer.send(Kind.ENROLL, 77, b"job")
        while "enroll" not in harness.processes.links:
            harness.phase()
        enroll = harness.processes.links["enroll"]
        assert enroll.receive(20) == (Kind.ENROLL, 77, b"job")
        assert len(harness.processes.sockets["enroll"]) == 1
        assert harness.processes.sockets["enroll"][0].fileno() == -1, "init keeps the connection"
        enroll.send(Kind.ENROLLED, 1, u32(Code.OK) + b"record")
        message = harness.until(harness.signer, Kind.ENROLLED)
        assert message == (Kind.ENROLLED, 77, u32(Code.OK) + b"record"), (
            "the number is the signer's"
        )
        assert harness.processes.killed == ["enroll"]
        assert harness.phase() == Phase.CONFIGURED


def test_an_enrolment_that_dies_is_an_answer() -> None:
    with with_proxy() as harness:
        harness.signer.send(Kind.ENROLL, 78, b"job")
        while "enroll" not in harness.processes.links:
            harness.phase()
        harness.processes.links["enroll"].close()
        message = harness.until(harness.signer, Kind.ENROLLED)
        assert message == (Kind.ENROLLED, 78, u32(Code.VENUE_UNREACHABLE))
        assert harness.processes.killed == ["enroll"]
        assert harness.phase() == Phase.CONFIGURED


def test_an_enrolment_dead_before_its_job_is_answered_once() -> None:
    """A second answer would be one that the signer did not ask for, and end the boot."""
    with with_proxy() as harness:
        spawn = harness.processes.spawn

        def stillborn(role: str, *sockets: socket) -> Worker:
            worker = spawn(role, *sockets)
            if role == "enroll":
                harness.processes.links["enroll"].close()
            return worker

        harness.init._spawn = stillborn
        for number in (81, 82):
            harness.signer.send(Kind.ENROLL, number, b"job" * 10**5)
            message = harness.until(harness.signer, Kind.ENROLLED)
            assert message == (Kind.ENROLLED, number, u32(Code.VENUE_UNREACHABLE))
            assert harness.phase() == Phase.CONFIGURED
        assert harness.processes.killed == ["enroll", "enroll"]


def test_without_a_proxy_or_a_process_the_answer_is_unreachable() -> None:
    with Harness() as harness:
        harness.ask(Kind.LOAD_MANIFEST, MANIFEST)
        harness.signer.send(Kind.ENROLL, 5, b"job")
        assert harness.until(harness.signer, Kind.ENROLLED).payload == u32(Code.VENUE_UNREACHABLE)
    with with_proxy() as harness:
        harness.processes.failing.add("enroll")
        harness.signer.send(Kind.ENROLL, 6, b"job")
        assert harness.until(harness.signer, Kind.ENROLLED).payload == u32(Code.VENUE_UNREACHABLE)
        assert harness.phase() == Phase.CONFIGURED


def test_a_second_enrolment_at_once_is_a_fault_of_ours() -> None:
    with with_proxy() as harness:
        harness.signer.send(Kind.ENROLL, 1, b"job")
        harness.signer.send(Kind.ENROLL, 2, b"job")
        halted(harness)
        assert "enroll" in harness.processes.killed


@pytest.mark.parametrize("kind", [Kind.REPLY, Kind.PERMIT, Kind.SUBMIT_ORDER, Kind.ANCHOR, 999])
def test_an_enrolment_that_says_anything_else_reaches_nobody(kind: int) -> None:
    with with_proxy() as harness:
        harness.signer.send(Kind.ENROLL, 1, b"job")
        while "enroll" not in harness.processes.links:
            harness.phase()
        with suppress(LinkClosed):
            harness.processes.links["enroll"].send(kind, 1, b"forged")
        halted(harness)


def test_an_init_whose_front_does_not_register_does_not_start() -> None:
    processes = Processes()
    processes.first["front"] = (Kind.REPLY, b"")
    harness = Harness.__new__(Harness)
    with pytest.raises(Halt, match="did not register"):
        harness.__init__(processes=processes)  # type: ignore[misc]
    harness.frames.close()
    harness.far.close()


def test_requests_and_answers_keep_their_numbers_when_they_cross() -> None:
    with bring(Phase.READY) as harness:
        numbers = [harness.send(Kind.SUBMIT_ORDER, bytes([at])) for at in range(5)]
        seen = [harness.until(harness.signer, Kind.SUBMIT_ORDER) for _ in numbers]
        assert [message.request for message in seen] == numbers
        for message in reversed(seen):
            harness.signer.send(Kind.REPLY, message.request, message.payload)
        back = [harness.front.receive(20) for _ in numbers]
        assert [message.request for message in back] == numbers[::-1]


def test_a_message_as_large_as_may_be_passes_both_ways() -> None:
    with bring(Phase.READY) as harness:
        payload = bytes(1 << 20)
        sender = Thread(target=harness.send, args=(Kind.SUBMIT_ORDER, payload))
        sender.start()
        message = harness.until(harness.signer, Kind.SUBMIT_ORDER)
        sender.join()
        assert message.payload == payload
        answering = Thread(target=harness.signer.send, args=(Kind.REPLY, message.request, payload))
        answering.start()
        assert harness.front.receive(20).payload == payload
        answering.join()
