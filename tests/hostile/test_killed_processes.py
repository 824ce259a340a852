"""`kill -9` of any process at any moment: the boot is over, and the next one starts from nothing.

A few rounds in `make test`, hundreds in `make soak`.
"""

import random
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import grpc
import pytest
from strongroom_wire.errors import Code, Rule, WireError
from strongroom_wire.frames import Reply
from strongroom_wire.statements import PERMIT_DOMAIN, Action, Budget

from tests.conftest import SOAK, Progress
from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Channel, Desk, Enclave
from tests.hostile.venue import Venue

ROUNDS = 150 if SOAK else 2
pytestmark = pytest.mark.timeout(3600 if SOAK else 300)
HALTED = 4
BUDGET = Budget("main", 50 * 10**6, 1000)


class Recorder(Thread):
    """Buys for 5 pUSD as fast as it can, until the enclave is gone, and keeps what came back."""

    def __init__(self, channel: Channel, ahead: int = 4) -> None:
        super().__init__(daemon=True)
        self.channel, self.ahead = channel, ahead
        self.answers: list[bytes] = []
        self.signed: list[bytes] = []
        self.going = Event()

    def run(self) -> None:
        """Sends `ahead` frames before it reads, so that decisions lie between frame and answer."""
        wire = self.channel.wire
        assert wire is not None
        try:
            while True:
                for _ in range(self.ahead):
                    wire.send(self.channel.frame(self.channel.boot.buying(5)))
                for _ in range(self.ahead):
                    answer = wire.receive()
                    if answer is None:
                        return
                    self.answers.append(answer)
                    reply = Reply.parse(self.channel.sealed.open(answer))
                    assert reply.code is Code.OK or reply.rule is Rule.BUDGET_NOTIONAL
                    self.signed += reply.order_hashes
                    self.going.set()
        except OSError:
            return
        finally:
            self.going.set()


def interrupted(boot: Boot, role: str, luck: random.Random) -> list[Recorder]:
    """Lets two clients trade, kills `role` in the middle, and returns what they got."""
    recorders = [Recorder(boot.channel(bot)) for bot in boot.desk.bots]
    for recorder in recorders:
        recorder.start()
    for recorder in recorders:
        assert recorder.going.wait(20)
    time.sleep(luck.uniform(0, 0.02))
    boot.enclave.kill(role)
    for recorder in recorders:
        recorder.join(30)
        assert not recorder.is_alive(), "a client still waits for an enclave that is gone"
    return recorders


def assert_over(enclave: Enclave, role: str) -> None:
    """The boot has ended, or says that it has halted and holds no key any more."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        left = set(enclave.pids()) if enclave.process.poll() is None else set()
        if left <= ({"init", "front"} if role == "signer" else set()):
            break
        time.sleep(0.02)
    else:
        raise AssertionError(f"still running: {left}")
    if role == "signer":
        while enclave.phase() != HALTED:  # init learns of it a moment after the kernel does
            assert time.monotonic() < ends, "init never noticed"
            time.sleep(0.02)
        assert enclave.evidence().code is Code.HALTED


def assert_needs_its_own_permit(boot: Boot, before: Boot) -> None:
    """What the earlier boot was given is worthless in this one."""
    assert boot.order(Action.GENERATE, "main")[0] is Code.OK
    assert boot.channel().buy(5).code is Code.NO_CREDENTIAL
    assert boot.enrol()[0] is Code.WRONG_PHASE
    statement = boot.desk.owners.sign(PERMIT_DOMAIN, before.permit(1).serialise())
    assert boot.deliver_permit(statement) is Code.WRONG_BOOT


@pytest.mark.parametrize("role", ["signer", "front", "init"])
def test_a_process_killed_while_orders_are_decided(
    role: str, tmp_path: Path, progress: Progress
) -> None:
    luck = random.Random(role)  # noqa: S311  when to kill is no secret
    desk, seen = Desk(), Counter[tuple[bytes, bytes]]()
    before: Boot | None = None
    for done in range(ROUNDS):
        progress(done, ROUNDS)
        with Enclave(tmp_path) as enclave:
            venue = Venue(enclave.run / "egress.sock", desk.venue)
            boot = enclave.configure(desk)
            if before:
                assert_needs_its_own_permit(boot, before)
            boot.make_ready(budgets=(BUDGET,))
            recorders = interrupted(boot, role, luck)
            signed = [order for recorder in recorders for order in recorder.signed]
            assert len(set(signed)) == len(signed) <= 10, "more than the permit's 50 pUSD"
            for recorder in recorders:
                key = recorder.channel.keys[1]
                seen.update((key, answer[16:24]) for answer in recorder.answers)
            assert_over(enclave, role)
            before = boot
            venue.close()
    progress(ROUNDS, ROUNDS)
    assert set(seen.values()) == {1}, "a sequence was used twice under one key"


def test_a_halted_boot_answers_everybody_and_gives_nothing(start: Start) -> None:
    boot = start(Desk()).make_ready()
    channel = boot.channel()
    assert channel.buy(1).code is Code.OK
    boot.enclave.kill("signer")
    assert_over(boot.enclave, "signer")
    assert channel.wire is not None
    assert channel.wire.receive() is None
    with suppress(OSError):
        assert boot.wire().exchange(channel.opening) is None
    assert boot.submit_permit(boot.permit(2)) is Code.HALTED
    assert boot.order(Action.KILL) == (Code.HALTED, b"")
    assert Code(boot.enclave.load(boot.desk.signed).code) is Code.HALTED
    assert boot.enclave.phase() == HALTED


def test_whoever_waits_while_the_signer_dies_is_told(start: Start) -> None:
    boot = start(Desk()).make_ready()
    venue = Venue(boot.enclave.run / "egress.sock", boot.desk.venue)
    venue.hold = Event()
    answers: list[object] = []
    waiting = Thread(target=lambda: answers.append(boot.enrol()[0]), daemon=True)
    waiting.start()
    while "enroll" not in boot.enclave.pids() or not venue.requests:
        time.sleep(0.01)
    boot.enclave.kill("signer")
    waiting.join(20)
    assert answers == [Code.HALTED]
    assert_over(boot.enclave, "signer")
    venue.hold.set()


def test_an_enrolment_killed_is_an_enrolment_to_repeat(start: Start, progress: Progress) -> None:
    boot = start(Desk()).make_ready()
    venue = Venue(boot.enclave.run / "egress.sock", boot.desk.venue)
    channel = boot.channel()
    for done in range(ROUNDS):
        progress(done, ROUNDS)
        seen, venue.hold = len(venue.requests), Event()
        answers: list[Code] = []
        waiting = Thread(target=lambda a=answers: a.append(boot.enrol()[0]), daemon=True)
        waiting.start()
        while len(venue.requests) == seen:
            time.sleep(0.01)
        assert boot.order(Action.ENROLL_DERIVE, "main", bytes(8))[0] is Code.BUSY
        # A soak has more rounds than the permit has orders: then cancels show the same.
        reply = channel.buy(1) if done < 50 else channel.cancel_all()
        assert reply.code is Code.OK, "an enrolment holds up trading"
        boot.enclave.kill("enroll")
        waiting.join(20)
        assert answers == [Code.VENUE_UNREACHABLE]
        venue.hold.set()
        venue.hold = None
        assert boot.enrol()[0] is Code.OK
    assert boot.enclave.phase() == 3
    progress(ROUNDS, ROUNDS)


def test_init_takes_everything_with_it(start: Start) -> None:
    boot = start(Desk()).make_ready()
    workers = {role: pid for role, pid in boot.enclave.pids().items() if role != "init"}
    boot.enclave.process.kill()
    boot.enclave.process.wait(20)
    ends = time.monotonic() + 20
    while time.monotonic() < ends and any(_running(pid) for pid in workers.values()):
        time.sleep(0.01)
    assert not [role for role, pid in workers.items() if _running(pid)]
    with pytest.raises((grpc.RpcError, WireError)):
        boot.submit_permit(boot.permit(2))


def _running(pid: int) -> bool:
    try:
        return "(python" in Path(f"/proc/{pid}/stat").read_text() and " Z " not in (
            Path(f"/proc/{pid}/stat").read_text()
        )
    except OSError:
        return False
