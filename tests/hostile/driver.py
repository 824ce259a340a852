"""A host as an attacker would write it: it drives real processes and controls every byte between.

`Enclave` is one boot on the local platform, `Boot` the same once configured, with its owners and
bots on their machines. Nothing here uses the host's own client, which would refuse to misbehave.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Literal

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from strongroom_host.contract import sealing
from strongroom_host.contract.frames import intent_bytes
from strongroom_host.contract.openings import read_answer_body
from strongroom_host.contract.receipts import verify_receipt
from strongroom_host.contract.roles import role_keys
from strongroom_wire import frames, manifest
from strongroom_wire.bundle import EMPTY_LOG, Bundle, Role, hpke_info
from strongroom_wire.encoding import pack, u64, unpack
from strongroom_wire.errors import Code, Rule
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Signature, Statement, verify_signature
from strongroom_wire.pages import Entry
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc as rpc
from strongroom_wire.statements import (
    ORDER_DOMAIN,
    PERMIT_DOMAIN,
    Action,
    Budget,
    OwnerOrder,
    Permit,
)

from tests.hostile.venue import HOST, PORT, Authority

__all__ = [
    "CALLS", "TOKEN", "Boot", "Bot", "Channel", "Desk", "Enclave", "Forged", "Owners", "Wire",
    "now_ms", "refusal", "to_proto",
]  # fmt: skip

TOKEN = 0xC0FFEE
CALLS: tuple[manifest.Call, ...] = (
    "owner", "order", "template", "cancel", "heartbeat", "query", "log", "health",
)  # fmt: skip
TIMEOUT = 30.0
Source = Literal["generate", "import", "session"]


class Forged(Exception):
    """An answer whose receipt is not the attested role's: a client would not believe it."""


def now_ms() -> int:
    """Returns this machine's time, ms since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Owners:
    """Keys of owners, `quorum` of which must agree."""

    keys: tuple[Ed25519PrivateKey, ...]
    quorum: int

    @classmethod
    def new(cls, count: int = 3, quorum: int = 2) -> "Owners":
        return cls(tuple(Ed25519PrivateKey.generate() for _ in range(count)), quorum)

    @property
    def spec(self) -> manifest.OwnerSet:
        keys = tuple(key.public_key().public_bytes_raw().hex() for key in self.keys)
        return manifest.OwnerSet(keys, self.quorum)

    def sign(self, domain: bytes, payload: bytes, signers: int | None = None) -> Statement:
        """Returns the statement signed by the first `signers` owners (default: the quorum)."""
        signing = self.keys[: self.quorum if signers is None else signers]
        message = pack(domain, payload)
        pairs = ((key.public_key().public_bytes_raw(), key.sign(message)) for key in signing)
        return Statement(payload, tuple(Signature(*pair) for pair in pairs))


@dataclass(frozen=True)
class Bot:
    """A machine that calls: its TLS identity, and the key that opens fast channels."""

    name: str
    calls: tuple[manifest.Call, ...] = CALLS
    tls: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    frame: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    issuer: "Bot | None" = None
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        """Signs its own certificate, or has `issuer` do so as if that were a CA."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)])
        by = self.issuer.certificate.subject if self.issuer else name
        certificate = (
            x509.CertificateBuilder(by, name, self.tls.public_key(), x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.issuer.tls if self.issuer else self.tls, SHA256())
        )
        object.__setattr__(self, "certificate", certificate)

    @property
    def spec(self) -> manifest.Client:
        frame_key = self.frame.public_key().public_bytes_raw().hex()
        der = self.certificate.public_bytes(Encoding.DER)
        return manifest.Client(self.name, der, frame_key, self.calls)

    def credentials(self, server: bytes) -> grpc.ChannelCredentials:
        """Returns TLS credentials that trust exactly the server certificate (DER)."""
        pinned = x509.load_der_x509_certificate(server).public_bytes(Encoding.PEM)
        key = self.tls.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = self.certificate.public_bytes(Encoding.PEM)
        if self.issuer:
            chain += self.issuer.certificate.public_bytes(Encoding.PEM)
        return grpc.ssl_channel_credentials(pinned, key, chain)


@dataclass(frozen=True)
class Desk:
    """Owners, bots and venue of one account, and the manifest that they agreed on."""

    owners: Owners = field(default_factory=Owners.new)
    bots: tuple[Bot, ...] = field(default_factory=lambda: (Bot("bot"), Bot("second")))
    venue: Authority = field(default_factory=Authority)
    changes: Mapping[str, object] = field(default_factory=dict)
    policy_changes: Mapping[str, object] = field(default_factory=dict)

    @property
    def policy(self) -> manifest.Policy:
        one, hour = Decimal("0.01"), manifest.Window(3600, Decimal(500))
        sides: tuple[manifest.Side, ...] = ("buy", "sell")
        market = manifest.Market(str(TOKEN), "v2", sides, one, Decimal("0.99"))
        types: tuple[manifest.OrderType, ...] = ("GTC", "FOK")
        zeros = "00" * 32
        policy = manifest.Policy(
            (market,), types, Decimal(1000), (hour,), 10_000, 0, 60, zeros, zeros
        )
        return msgspec.structs.replace(policy, **self.policy_changes)

    @property
    def manifest(self) -> manifest.Manifest:
        def key(name: str, source: Source, per_boot: bool = False) -> manifest.Key:
            return manifest.Key(name, source, "eoa", "", 80002, HOST, per_boot, self.policy)

        keys = (key("main", "generate"), key("imported", "import"), key("brief", "generate", True))
        clients = tuple(bot.spec for bot in self.bots)
        document = manifest.Manifest(
            "strongroom-manifest/1", 1, "development", "desk", self.owners.spec, (), clients, keys,
            (manifest.Egress(HOST, PORT, (), (self.venue.der,)),), (), (), 0,
        )  # fmt: skip
        return msgspec.structs.replace(document, **self.changes)

    @property
    def signed(self) -> Statement:
        return self.owners.sign(manifest.MANIFEST_DOMAIN, self.manifest.serialise())

    def but(self, **changes: object) -> "Desk":
        """Returns the same people with another manifest."""
        return replace(self, changes={**self.changes, **changes})


class Wire:
    """A connection to `frames.sock`, byte by byte."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(str(path))  # blocking: with a time-out, a full backlog is an error
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(TIMEOUT)

    def send(self, message: bytes) -> None:
        self.socket.sendall(len(message).to_bytes(4, "big") + message)

    def receive(self) -> bytes | None:
        """Returns the next message, or None once the enclave closed the connection."""
        head = self._read(4)
        return None if head is None else self._read(int.from_bytes(head, "big"))

    def exchange(self, message: bytes) -> bytes | None:
        with suppress(BrokenPipeError):
            self.send(message)
        return self.receive()

    def close(self) -> None:
        self.socket.close()

    def _read(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data


class Channel:
    """A fast channel of one bot: the sealed side, and the wire it was opened on."""

    def __init__(
        self, boot: "Boot", bot: Bot, opening: bytes, secret: bytes, answer: bytes
    ) -> None:
        self.boot, self.bot, self.opening = boot, bot, opening
        self.opened = frames.ChannelOpened.parse(answer)
        key = role_keys(boot.bundle, Role.SIGNER).receipt
        verify_signature(key, self.opened.signature, self.opened.message(opening))
        self.keys = frames.channel_keys(secret, opening, self.opened.random)
        number, sends = self.opened.channel, frames.Direction.TO_ENCLAVE
        self.sealed = frames.SealedChannel(number, self.keys, sends)
        self.wire: Wire | None = None

    def frame(self, intent: frames.Intent) -> bytes:
        return self.sealed.seal(intent_bytes(intent))

    def carry(self, frame: bytes) -> bytes | None:
        """Returns the enclave's bytes in answer to these."""
        assert self.wire is not None
        return self.wire.exchange(frame)

    def ask(self, intent: frames.Intent) -> frames.Reply:
        answer = self.carry(self.frame(intent))
        if answer is None:
            raise ConnectionError("the enclave closed the connection")
        return frames.Reply.parse(self.sealed.open(answer))

    def buy(self, dollars: int = 5, **changes: int) -> frames.Reply:
        return self.ask(self.boot.buying(dollars, **changes))

    def signed_so_far(self) -> int:
        """Returns what the policy counts as signed, in pUSD: a denied order shows the sum."""
        probe = self.buy(600)  # above the window of 500, below the 1000 of a single order
        assert (probe.code, probe.rule, probe.request) == (Code.DENIED, Rule.WINDOW_NOTIONAL, b"")
        return probe.actual // 10**6 - 600

    def cancel_all(self, key: int = 0) -> frames.Reply:
        now = now_ms()
        return self.ask(frames.Intent(frames.Kind.CANCEL_ALL, key, now // 1000, now + 60_000))


class Boot:
    """A configured enclave, as those who verified its evidence know it."""

    def __init__(self, enclave: "Enclave", desk: Desk) -> None:
        self.enclave, self.desk = enclave, desk
        self.bundle = Bundle.parse(enclave.evidence().bundle)
        self.entry = Entry()
        self._stubs: dict[str, rpc.ControlStub] = {}

    def control(self, bot: Bot | None = None, certificate: bytes = b"") -> rpc.ControlStub:
        """Returns the control plane as `bot` reaches it, pinned to the attested certificate."""
        bot = bot or self.desk.bots[0]
        if (stub := self._stubs.get(bot.name)) and not certificate:
            return stub
        stub = rpc.ControlStub(self.control_channel(bot, certificate))
        if not certificate:
            self._stubs[bot.name] = stub
        return stub

    def control_channel(self, bot: Bot, certificate: bytes = b"") -> grpc.Channel:
        """Returns a connection of its own to the control plane."""
        credentials = bot.credentials(certificate or self.bundle.certificate)
        options = [("grpc.ssl_target_name_override", "strongroom-enclave")]
        target = f"unix:{self.enclave.run / 'control.sock'}"
        return self.enclave.keep(grpc.secure_channel(target, credentials, options))

    def permit(self, serial: int = 1, **changes: object) -> Permit:
        """Returns a permit for this boot: an hour, 1000 pUSD and 100 orders for each key."""
        bundle = self.bundle
        budgets = tuple(Budget(key.name, 10**9, 100) for key in self.desk.manifest.keys)
        head = (bundle.owner_root, bundle.manifest_digest, bundle.keys_digest)
        until, log = now_ms() + 3_600_000, Frontier().serialise()
        made = Permit(*head, serial, 0, until, log, EMPTY_LOG, b"", budgets)
        return msgspec.structs.replace(made, **changes)

    def seal(self, plaintext: bytes, role: Role, purpose: bytes) -> bytes:
        info = hpke_info(self.bundle, role, purpose)
        return sealing.seal(plaintext, role_keys(self.bundle, role).hpke, info)

    def submit_permit(self, permit: Permit, signers: int | None = None) -> Code:
        statement = self.desk.owners.sign(PERMIT_DOMAIN, permit.serialise(), signers)
        return self.deliver_permit(statement)

    def deliver_permit(self, statement: Statement) -> Code:
        receipt = self.control().SubmitPermit(to_proto(statement), timeout=TIMEOUT)
        return self._believed(receipt, Role.INIT, statement)

    def order(
        self, action: Action, key: str = "", body: bytes = b"", signers: int | None = None
    ) -> tuple[Code, bytes]:
        order = OwnerOrder(action, self.bundle.boot_id, self.bundle.manifest_digest, key, body)
        if signers is None and action is Action.KILL:
            signers = 1
        return self.deliver_order(self.desk.owners.sign(ORDER_DOMAIN, order.serialise(), signers))

    def deliver_order(self, statement: Statement, bot: Bot | None = None) -> tuple[Code, bytes]:
        receipt = self.control(bot).SubmitOrder(to_proto(statement), timeout=90)
        return self._logged(receipt, statement)

    def _logged(self, receipt: pb.Receipt, statement: Statement) -> tuple[Code, bytes]:
        """Returns code and body of a signed answer, and keeps its log entry in `entry`."""
        code = self._believed(receipt, Role.SIGNER, statement)
        if code is not Code.OK:
            return code, receipt.answer
        body, self.entry = read_answer_body(receipt.answer)
        return code, body

    def enrol(self, key: str = "main") -> tuple[Code, bytes]:
        """Has a credential fetched by an order of its own: one that succeeded is not done again."""
        return self.order(Action.ENROLL_DERIVE, key, u64(secrets.randbits(48)))

    def make_ready(self, **changes: object) -> "Boot":
        """Generates, permits and enrols the first key, and proves each step."""
        assert self.order(Action.GENERATE, "main")[0] is Code.OK
        assert self.submit_permit(self.permit(**changes)) is Code.OK  # type: ignore[arg-type]
        assert self.enrol()[0] is Code.OK
        return self

    def opening(self, bot: Bot, secret: bytes) -> bytes:
        sealed = self.seal(secret, Role.SIGNER, b"channel")
        unsigned = frames.ChannelOpen(bot.frame.public_key().public_bytes_raw(), sealed, bytes(64))
        signature = bot.frame.sign(unsigned.message(self.bundle.keys_digest))
        return msgspec.structs.replace(unsigned, signature=signature).serialise()

    def channel(self, bot: Bot | None = None) -> Channel:
        """Opens a fast channel, on a connection of its own."""
        bot, secret = bot or self.desk.bots[0], secrets.token_bytes(32)
        opening = self.opening(bot, secret)
        wire = self.wire()
        found = wire.exchange(opening)
        assert found is not None
        channel = Channel(self, bot, opening, secret, found)
        channel.wire = wire
        return channel

    def wire(self) -> Wire:
        wire = Wire(self.enclave.run / "frames.sock")
        self.enclave.resources.callback(wire.close)
        return wire

    def buying(
        self, dollars: int = 5, *, key: int = 0, price: int = 500_000, **changes: int
    ) -> frames.Intent:
        """Returns an intent to buy for `dollars` pUSD at 0.50; `changes` are of the order."""
        now = now_ms()
        size = dollars * 10**12 // price
        order = frames.OrderIntent(TOKEN, 0, 0, 1, 0, price, size, 0, now, 0)
        order = msgspec.structs.replace(order, **changes)
        return frames.Intent(frames.Kind.ORDERS, key, now // 1000, now + 60_000, (order,))

    def _believed(self, receipt: pb.Receipt, role: Role, statement: Statement) -> Code:
        code = Code(receipt.code)
        if code is Code.OK or any(receipt.signature):
            key, request = role_keys(self.bundle, role).receipt, statement.serialise()
            try:
                boot_id = self.bundle.boot_id
                verify_receipt(key, boot_id, request, code, receipt.answer, receipt.signature)
            except Exception as error:
                raise Forged(code) from error
        return code


@dataclass(frozen=True)
class Evidence:
    """What the platform signed, and the bundle that came with it."""

    code: Code
    document: bytes
    bundle: bytes


class Enclave:
    """One boot of the local platform, in processes of its own. A context manager.

    Its folder outlives it, because another boot may go on with its state; `folders` names all.
    """

    folders: ClassVar[list[Path]] = []

    def __init__(self, state: Path | None = None, *, clock: Path | None = None) -> None:
        self.resources = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="sr-"))
        self.folder.chmod(0o711)  # or the workers could not have users of their own
        self.folders.append(self.folder)
        self.run, self.state = self.folder / "run", state or self.folder / "state"
        self.console = self.folder / "console.log"
        program = ["-m", "strongroom_local.entry"]
        if clock:
            program = [str(Path(__file__).with_name("under_test.py")), "--clock", str(clock)]
        with self.console.open("wb") as console:
            self.process = subprocess.Popen(
                [sys.executable, "-P", *program, "--run", self.run, "--state", self.state],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        while not (self.run / "front" / "bootstrap.sock").exists():
            if self.process.poll() is not None:
                raise RuntimeError(self.console.read_text())
            time.sleep(0.01)
        channel = self.keep(grpc.insecure_channel(f"unix:{self.run / 'bootstrap.sock'}"))
        self.bootstrap = rpc.BootstrapStub(channel)
        self.phase()

    def __enter__(self) -> "Enclave":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def keep(self, channel: grpc.Channel) -> grpc.Channel:
        self.resources.callback(channel.close)
        return channel

    def stop(self) -> None:
        """Ends the boot as the runner does, and everything that belongs to it."""
        self.resources.close()
        self.process.terminate()
        self.process.wait(TIMEOUT)

    def phase(self) -> int:
        reply = self.bootstrap.GetStatus(pb.Request(), wait_for_ready=True, timeout=TIMEOUT)
        return reply.answer[0] if reply.code != Code.HALTED else pb.HALTED

    def evidence(self, nonce: bytes = b"0123456789abcdef") -> Evidence:
        reply = self.bootstrap.GetEvidence(pb.Request(value=nonce), timeout=TIMEOUT)
        code = Code(reply.code)
        found = unpack(b"evidence", reply.answer) if code is Code.OK else (b"", b"")
        return Evidence(code, *found)

    def load(self, statement: Statement) -> pb.Receipt:
        return self.bootstrap.LoadManifest(to_proto(statement), timeout=TIMEOUT)

    def configure(self, desk: Desk) -> Boot:
        """Loads the manifest of `desk`, which must be accepted."""
        receipt = self.load(desk.signed)
        assert Code(receipt.code) is Code.OK
        assert receipt.answer == sha256(desk.manifest.serialise()).digest()
        return Boot(self, desk)

    def pids(self) -> dict[str, int]:
        """Returns the process ids of init and its workers by role."""
        found = {"init": self.process.pid}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                parent = int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                words = path.joinpath("cmdline").read_bytes().split(b"\0")
                if parent == self.process.pid and b"strongroom_local.worker" in words:
                    role = words[words.index(b"strongroom_local.worker") + 1].decode()
                    found[role] = int(path.name)
        return found

    def kill(self, role: str) -> None:
        os.kill(self.pids()[role], signal.SIGKILL)

    def gone(self) -> Iterator[int]:
        """Yields the ids of this boot's processes that still run."""
        for role, pid in self.pids().items():
            if role != "init" or self.process.poll() is None:
                yield pid


def to_proto(statement: Statement) -> pb.Request:
    """Returns the statement as the control plane carries it, whatever is wrong with it."""
    signatures = (s.key + s.value for s in statement.signatures)
    packed = pack(b"strongroom/statement/v1", statement.payload, *signatures)
    return pb.Request(value=packed)


def refusal(answer: bytes | None) -> Code:
    """Returns the unsealed code that the enclave refused a message with; it said nothing more."""
    assert answer is not None
    assert len(answer) == 2
    return Code(int.from_bytes(answer))
