"""How init treats its processes: what each may say, and what their deaths mean."""

import os
import time
from contextlib import suppress
from socket import socket, socketpair
from threading import Thread

import pytest
from strongroom_enclave.init import boot
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
    harness.close()


@pytest.mark.parametrize(
    "noise", [b"\xff" * 64, b"\x7f\xff\xff\xff", b"\0\0\0\x02ab", b"\xff\xff\xff\xfe"]
)
def test_a_front_that_does_not_speak_the_protocol_ends_the_boot(noise: bytes) -> None:
    harness = bring(Phase.READY)
    os.write(harness.front.fileno(), noise)
    harness.thread.join(20)
    assert not harness.thread.is_alive()
    assert "signer" in harness.processes.killed
    harness.close()


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
    with pytest.raises(Halt, match="expected registration"):
        harness.__init__(processes=processes)  # type: ignore[misc]
    harness.close()


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


STATEMENT = bytes(1 << 20)


def test_init_and_a_signer_that_both_have_much_to_say_do_not_wait_for_each_other() -> None:
    """The signer answers before it takes the next request, as it does, and front is in a hurry."""
    with bring(Phase.READY) as harness:
        rounds, received = 12, list[int]()

        def signer() -> None:
            for _ in range(rounds):
                message = harness.until(harness.signer, Kind.SUBMIT_ORDER)
                harness.signer.send(Kind.REPLY, message.request, message.payload)

        def front() -> None:
            while len(received) < rounds:
                message = harness.front.receive(20)
                assert message.payload == STATEMENT
                received.append(message.request)

        threads = [Thread(target=signer), Thread(target=front)]
        for thread in threads:
            thread.start()
        sent = [harness.send(Kind.SUBMIT_ORDER, STATEMENT) for _ in range(rounds)]
        for thread in threads:
            thread.join(60)
        assert received == sent
        assert harness.phase() == Phase.READY


def test_what_waits_for_the_signer_is_bounded_and_the_rest_is_busy() -> None:
    with bring(Phase.READY) as harness:
        fitting = 0
        while len(harness.init._workers["signer"].link.unsent) <= boot._MAX_UNSENT:
            harness.send(Kind.SUBMIT_ORDER, STATEMENT)
            assert harness.phase() == Phase.READY, "init answers while the signer does nothing"
            fitting += 1
        assert fitting <= 19
        for kind in (Kind.SUBMIT_ORDER, Kind.SUBMIT_PERMIT):
            assert harness.ask(kind, STATEMENT).code is Code.BUSY
        assert harness.ask(Kind.EVIDENCE, b"n" * 32).code is Code.OK
        held = len(harness.init._workers["signer"].link.unsent)
        assert held <= boot._MAX_UNSENT + len(STATEMENT) + 1_000
        for _ in range(fitting):
            assert harness.until(harness.signer, Kind.SUBMIT_ORDER).payload == STATEMENT
        number = harness.send(Kind.SUBMIT_ORDER, b"order")
        assert harness.until(harness.signer, Kind.SUBMIT_ORDER) == (
            Kind.SUBMIT_ORDER, number, b"order",
        )  # fmt: skip


def test_while_front_takes_no_answers_nothing_is_received() -> None:
    with bring(Phase.READY) as harness:
        answers = 20

        def signer() -> None:
            for _ in range(answers):
                harness.signer.send(Kind.REPLY, 5, STATEMENT)

        sender = Thread(target=signer)
        sender.start()
        waiting = harness.init._workers["front"].link
        ends = time.monotonic() + 60
        while len(waiting.unsent) <= boot._MAX_UNSENT:
            assert time.monotonic() < ends, "init takes none"
            time.sleep(0.01)
        sender.join(1)
        assert sender.is_alive(), "init takes them all, whatever front does"
        assert len(waiting.unsent) <= boot._MAX_UNSENT + 2 * len(STATEMENT)
        for _ in range(answers):
            assert harness.front.receive(20).payload == STATEMENT
        sender.join(20)
        assert harness.phase() == Phase.READY


def test_a_front_that_dies_with_answers_waiting_ends_init() -> None:
    harness = bring(Phase.READY)

    def signer() -> None:
        with suppress(LinkClosed):
            for _ in range(20):
                harness.signer.send(Kind.REPLY, 5, STATEMENT)

    Thread(target=signer, daemon=True).start()
    while len(harness.init._workers["front"].link.unsent) <= boot._MAX_UNSENT:
        time.sleep(0.01)
    harness.front.close()
    harness.thread.join(20)
    assert not harness.thread.is_alive()
    harness.close()
