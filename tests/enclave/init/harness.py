"""Init in a thread, with everything around it in the hands of the test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha384
from socket import socket, socketpair
from threading import Thread

from strongroom_enclave.init.boot import Init
from strongroom_enclave.messages import ANSWER, Kind
from strongroom_enclave.platform import PlatformError
from strongroom_enclave.platform.links import Link, LinkClosed, Message
from strongroom_enclave.platform.spawn import Worker
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.errors import Code

__all__ = ["Answer", "Harness", "Machine", "Processes", "Sealing", "evidence"]

TIMEOUT = 20.0


class Machine:
    """A platform in memory. `failing` names calls that raise from now on."""

    def __init__(self) -> None:
        self.registers = {16: bytes(48)}
        self.locked = 16
        self.failing: set[str] = set()
        self.calls: list[str] = []
        self.ms = 1_800_000_000_000
        self.copies = False

    def attest(self, user_data: bytes, nonce: bytes) -> bytes:
        self._called("attest")
        return pack(b"document", user_data, nonce)

    def random(self, n: int) -> bytes:
        self._called("random")
        return b"\x07" * n

    def extend(self, index: int, data: bytes) -> bytes:
        self._called("extend")
        self.registers[index] = sha384(self.registers[index] + data).digest()
        return self.registers[index]

    def lock(self, upto: int) -> None:
        self._called("lock")
        self.locked = upto

    def describe(self, index: int) -> tuple[bool, bytes]:
        return index < self.locked, self.registers.get(index, bytes(48))

    def now_ms(self) -> int:
        self._called("now_ms")
        self.ms += 1
        return self.ms

    def copyable(self) -> bool:
        self._called("copyable")
        return self.copies

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise PlatformError(name, "success", "failure")


class Sealing:
    """A sealer that remembers for what it was asked."""

    def __init__(self) -> None:
        self.contexts: list[bytes] = []

    def secret(self, context: bytes) -> bytes:
        self.contexts.append(context)
        return sha384(context).digest()[:32]


class _Process:
    """What a worker's process is to init: something to kill."""

    def __init__(self, role: str, killed: list[str]) -> None:
        self._role, self._killed = role, killed

    def kill(self) -> None:
        self._killed.append(self._role)

    def wait(self) -> int:
        return -9


class Processes:
    """Stands for the supervisor: each process that init starts is a link in the test's hands.

    `first` maps a role to the message that it begins with; a role in `real` is started for good.
    """

    def __init__(self, real: Callable[..., Worker] | None = None, roles: str = "") -> None:
        self.first = {
            "front": (Kind.REGISTER, b"certificate"),
            "signer": (Kind.REGISTER, b"\x01" * 32 + b"\x02" * 32),
            "record": (Kind.REGISTER, b"\x03" * 32 + b"\x04" * 32),
        }
        self.links: dict[str, Link] = {}
        self.sockets: dict[str, tuple[socket, ...]] = {}
        self.killed: list[str] = []
        self.failing: set[str] = set()
        self._real, self._roles = real, roles.split()
        self._open: list[Link | socket] = []

    def spawn(self, role: str, *sockets: socket) -> Worker:
        if role in self.failing:
            raise OSError("no such program")
        if role in self._roles and self._real:
            return self._real(role, *sockets)
        ours, theirs = socketpair()
        link = self.links[role] = Link(theirs.detach())
        self.sockets[role] = tuple(sock.dup() if role == "record" else sock for sock in sockets)
        init_s = Link(ours.detach())
        self._open += [link, init_s, *(self.sockets[role] if role == "record" else ())]
        if role in self.first:
            kind, payload = self.first[role]
            link.send(kind, 0, payload)
        return Worker(role, init_s, _Process(role, self.killed))  # type: ignore[arg-type]

    def close(self) -> None:
        """Closes what the ends of the processes would have."""
        for each in self._open:
            each.close()


@dataclass(frozen=True)
class Answer:
    """What init said to a request of front's."""

    code: Code
    signature: bytes
    body: bytes


@dataclass
class Harness:
    """A running init. `ask` speaks as front does; `signer` is the test's end of the signer."""

    machine: Machine = field(default_factory=Machine)
    processes: Processes = field(default_factory=Processes)
    sealing: Sealing = field(default_factory=Sealing)
    sealed: bool = True
    egress: Callable[[], socket] | None = None
    listener: socket | None = None
    numbers: int = 0
    halted: bool = False

    def __post_init__(self) -> None:
        """Starts init, and its loop in a thread that ends with the link of front."""
        ours, self.far = socketpair()
        self.frames = self.listener or ours
        if self.listener:
            ours.close()
        egress = self.egress or self._no_proxy
        sealer = self.sealing.secret if self.sealed else None
        self.init = Init(self.machine, sealer, self.processes, self.frames, egress)  # type: ignore[arg-type]
        self.thread = Thread(target=self.init.serve, name="init", daemon=True)
        self.thread.start()

    @property
    def front(self) -> Link:
        return self.processes.links["front"]

    @property
    def signer(self) -> Link:
        return self.processes.links["signer"]

    @property
    def record(self) -> Link:
        return self.processes.links["record"]

    def send(self, kind: int, payload: bytes = b"") -> int:
        """Sends a request as front and returns its number."""
        self.numbers += 1
        self.front.send(kind, self.numbers, payload)
        return self.numbers

    def ask(self, kind: int, payload: bytes = b"") -> Answer:
        """Returns init's answer to a request; a HALTED on the way is kept in mind."""
        number = self.send(kind, payload)
        while (message := self.front.receive(TIMEOUT)).kind != Kind.REPLY:
            self.halted |= message.kind == Kind.HALTED
            if message.kind == Kind.HALTED:
                return Answer(Code.HALTED, b"", b"")
        assert message.request == number
        code, signature = ANSWER.unpack_from(message.payload)
        return Answer(Code(code), signature, message.payload[ANSWER.size :])

    def phase(self) -> int:
        return self.ask(Kind.STATUS).body[-1]

    def until(self, link: Link, kind: Kind) -> Message:
        """Returns the next message of this kind on a link of the test's; anchors come between."""
        while (message := link.receive(TIMEOUT)).kind != kind:
            assert message.kind in (Kind.ANCHOR, Kind.CONFIGURE, Kind.PERMIT, Kind.HALTED), message
        return message

    def closed(self, role: str) -> bool:
        """Returns whether init has closed its end of a role's link."""
        try:
            while True:
                self.processes.links[role].receive(TIMEOUT)
        except LinkClosed as error:
            return "time-out" not in str(error)

    def stop(self) -> None:
        """Ends init as the death of front does."""
        self.front.close()
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()
        self.close()

    def close(self) -> None:
        """Closes what a process has for as long as it lives; init has ended, or never begun."""
        self.far.close()
        self.frames.close()
        self.processes.close()
        if exchange := getattr(getattr(self, "init", None), "_exchange", None):
            exchange._ours.close()

    def __enter__(self) -> "Harness":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _no_proxy(self) -> socket:
        raise ConnectionRefusedError


def evidence(body: bytes) -> tuple[bytes, bytes, bytes]:
    """Returns user data, nonce and bundle of an evidence answer made by `Machine`."""
    document, bundle = unpack(b"evidence", body)
    user_data, nonce = unpack(b"document", document)
    return user_data, nonce, bundle
