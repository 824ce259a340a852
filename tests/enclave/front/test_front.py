"""Each call becomes one message and each answer one reply; nothing else passes, nothing hangs."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from select import select
from socket import socketpair
from threading import Thread

import grpc
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from strongroom_enclave.front import service
from strongroom_enclave.front.service import Front
from strongroom_enclave.messages import ANSWER, Kind, answer
from strongroom_enclave.platform.links import Link, LinkClosed, Message
from strongroom_wire.errors import Code
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc as rpc

from tests.hostile.driver import Bot

PROTO = pb.Request(value=b"a statement, or what is none")
SIGNED = ANSWER.pack(Code.OK, b"\x09" * 64) + b"answer"


class Played:
    """A front in a thread; `reply` decides what init says to each of its messages."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="sr-")))
        ours, theirs = socketpair()
        self.link, self.seen = Link(ours.detach()), list[Message]()
        self.reply: Callable[[Message], bytes | None] = lambda message: SIGNED
        self.ended_with: BaseException | None = None
        link = Link(theirs.detach())
        self.front = Front(link, self.folder)
        kind, _, self.certificate = self.link.receive(20)
        assert kind == Kind.REGISTER
        self.threads = [Thread(target=self._run), Thread(target=self._init)]
        for thread in self.threads:
            thread.start()
        self.bootstrap = rpc.BootstrapStub(self.channel("bootstrap.sock"))

    def channel(
        self, name: str, credentials: grpc.ChannelCredentials | None = None
    ) -> grpc.Channel:
        target, options = (
            f"unix:{self.folder / name}",
            [("grpc.ssl_target_name_override", "strongroom-enclave")],
        )
        made = (
            grpc.secure_channel(target, credentials, options)
            if credentials
            else grpc.insecure_channel(target)
        )
        self.stack.callback(made.close)
        return made

    def configure(self, *bots: Bot) -> None:
        clients = msgspec.msgpack.encode([bot.spec for bot in bots])
        self.link.send(Kind.CONFIGURE, 0, clients)

    def control(self, bot: Bot) -> grpc.Channel:
        return self.channel("control.sock", bot.credentials(self.certificate))

    def stop(self) -> None:
        self.stack.close()
        self.link.close()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        for server in self.front._servers:
            server.stop(None).wait(20)

    def _run(self) -> None:
        try:
            self.front.run()
        except BaseException as error:  # noqa: BLE001
            self.ended_with = error
        finally:
            self.front._link.close()

    def _init(self) -> None:
        try:
            while True:
                message = self.link.receive(0.05) if select([self.link], [], [], 0.05)[0] else None
                if message:
                    self.seen.append(message)
                    if (reply := self.reply(message)) is not None:
                        self.link.send(Kind.REPLY, message.request, reply)
        except (LinkClosed, ValueError, OSError):  # closed meanwhile
            return


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    played = Played()
    yield played
    played.stop()
    assert isinstance(played.ended_with, LinkClosed)


@pytest.fixture(autouse=True)
def fresh(played: Played) -> None:
    played.seen.clear()
    played.reply = lambda message: SIGNED


@pytest.fixture(scope="module")
def bot(played: Played) -> Bot:
    bot = Bot("bot")
    played.configure(bot)
    return bot


@pytest.fixture(scope="module")
def control(played: Played, bot: Bot) -> rpc.ControlStub:
    channel = played.control(bot)
    grpc.channel_ready_future(channel).result(20)
    return rpc.ControlStub(channel)


def test_the_certificate_is_registered_before_anybody_can_connect(played: Played) -> None:
    certificate = x509.load_der_x509_certificate(played.certificate)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    certificate.verify_directly_issued_by(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["strongroom-enclave"]


def test_bootstrap_calls_become_these_messages(played: Played) -> None:
    for call, kind in (
        (played.bootstrap.LoadManifest, Kind.LOAD_MANIFEST),
        (played.bootstrap.GetEvidence, Kind.EVIDENCE),
        (played.bootstrap.GetStatus, Kind.STATUS),
    ):
        receipt = call(PROTO, timeout=20)
        assert (receipt.code, receipt.answer, receipt.signature) == (0, b"answer", b"\x09" * 64)
        assert played.seen[-1][::2] == (kind, PROTO.value)


def test_control_calls_become_these_messages(played: Played, control: rpc.ControlStub) -> None:
    for call, kind in (
        (control.SubmitPermit, Kind.SUBMIT_PERMIT),
        (control.SubmitOrder, Kind.SUBMIT_ORDER),
    ):
        assert call(PROTO, timeout=20).answer == b"answer"
        assert played.seen[-1][::2] == (kind, PROTO.value)


def test_refusals_come_as_codes_without_a_receipt(played: Played, control: rpc.ControlStub) -> None:
    played.reply = lambda message: answer(Code.WRONG_PHASE)
    receipt = control.SubmitPermit(PROTO, timeout=20)
    assert (receipt.code, receipt.answer, receipt.signature) == (104, b"", bytes(64))


def failed(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details() or ""


def test_what_is_in_a_request_is_not_read_here(played: Played) -> None:
    for value in (b"", b"\0", b"SRC1" + bytes(176), bytes(900_000)):
        receipt = played.bootstrap.LoadManifest(pb.Request(value=value), timeout=20)
        assert receipt.answer == b"answer"
        assert played.seen[-1].payload == value
    channel, seen = played.channel("bootstrap.sock"), len(played.seen)
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        "/strongroom.v1.Bootstrap/LoadManifest"
    )
    assert failed(lambda: call(b"\xff\xff no protobuf", timeout=20))[0] is not grpc.StatusCode.OK
    assert len(played.seen) == seen


def test_a_call_without_a_request_is_none(played: Played) -> None:
    channel = played.channel("bootstrap.sock")
    call: grpc.StreamUnaryMultiCallable[pb.Request, pb.Receipt] = channel.stream_unary(
        "/strongroom.v1.Bootstrap/GetStatus"
    )
    assert failed(lambda: call(iter(()), timeout=20))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert played.seen == []


def test_a_message_over_the_limit_never_reaches_init(played: Played) -> None:
    huge = pb.Request(value=bytes(2 << 20))
    code, _ = failed(lambda: played.bootstrap.LoadManifest(huge, timeout=20))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert played.seen == []


def test_calls_wait_side_by_side_and_get_their_own_answer(played: Played) -> None:
    held: list[Message] = []
    played.reply = lambda message: held.append(message)
    answers: dict[int, bytes] = {}

    def call(at: int) -> None:
        nonce = bytes([at]) * 16
        answers[at] = played.bootstrap.GetEvidence(pb.Request(value=nonce), timeout=20).answer

    threads = [Thread(target=call, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    while len(held) < 6:
        time.sleep(0.005)
    for message in reversed(held):
        played.link.send(Kind.REPLY, message.request, answer(Code.OK, message.payload))
    for thread in threads:
        thread.join(20)
    assert answers == {at: bytes([at]) * 16 for at in range(6)}


def test_an_answer_that_comes_late_or_to_nobody_is_dropped(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_TIMEOUT", 0.02)
    played.reply = lambda message: None
    code, details = failed(lambda: played.bootstrap.LoadManifest(PROTO, timeout=20))
    assert (code, details) == (grpc.StatusCode.UNAVAILABLE, "")
    late = played.seen[-1]
    assert played.front._waiting == {}
    for number in (late.request, 0, 999_999):
        played.link.send(Kind.REPLY, number, SIGNED)
    monkeypatch.setattr(service, "_TIMEOUT", 20.0)
    played.reply = lambda message: SIGNED
    assert played.bootstrap.LoadManifest(PROTO, timeout=20).answer == b"answer"


def test_whoever_waits_when_the_boot_ends_is_told(played: Played) -> None:
    def halting(message: Message) -> None:
        played.link.send(Kind.HALTED, 0, b"")

    played.reply = halting
    receipt = played.bootstrap.LoadManifest(PROTO, timeout=20)
    assert (receipt.code, receipt.answer) == (Code.HALTED, b"")
    for call in (played.bootstrap.GetEvidence, played.bootstrap.GetStatus):
        assert call(pb.Request(), timeout=20).code == Code.HALTED


def test_without_clients_there_is_no_control_plane() -> None:
    played = Played()
    played.configure()
    played.bootstrap.LoadManifest(PROTO, timeout=20)
    assert len(played.front._servers) == 1
    assert not (played.folder / "control.sock").exists()
    played.stop()


def test_a_loop_that_ends_ends_the_link_whatever_calls_still_wait(tmp_path: Path) -> None:
    """gRPC's threads outlive the loop and would keep the process, and so the boot, in limbo."""
    ours, theirs = socketpair()
    folder = Path(tempfile.mkdtemp(prefix="sr-"))
    command = [sys.executable, "-P", "-m", "strongroom_local.worker", "front", str(folder)]
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    with theirs, (tmp_path / "console").open("wb") as console:
        process = subprocess.Popen(
            [*command, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stderr=console,
        )
    link = Link(ours.detach())
    assert link.receive(20).kind == Kind.REGISTER
    with grpc.insecure_channel(f"unix:{folder / 'bootstrap.sock'}") as channel:
        stub = rpc.BootstrapStub(channel)
        waiting = stub.GetStatus.future(pb.Request(), wait_for_ready=True)
        assert link.receive(20).kind == Kind.STATUS
        link.send(Kind.CONFIGURE, 0, b"no list of clients")
        with pytest.raises(LinkClosed, match=r"^(?!time-out)"):
            link.receive(20)
        waiting.cancel()
    process.kill()
    process.wait()
    link.close()
    shutil.rmtree(folder)
