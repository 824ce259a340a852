"""The signer's loop in a thread, with init's end of its link in the test's hands."""

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from strongroom_enclave.messages import ANSWER, Kind
from strongroom_enclave.platform.links import Link, LinkClosed, Message
from strongroom_enclave.signer.service import Service
from strongroom_wire.bundle import Bundle, LogHead, Role, RoleKeys
from strongroom_wire.encoding import pack, u64, unpack
from strongroom_wire.errors import Code
from strongroom_wire.owners import Statement
from strongroom_wire.pages import Entry
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.statements import PERMIT_DOMAIN, Action, Permit

from tests.hostile.driver import Boot, Bot, Desk, Wire, now_ms

__all__ = ["RECORD", "Signer", "jobs", "started"]

TIMEOUT = 20.0
RECORD = pack(b"credential", b"api-key", b"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=", b"pass")
"""What enroll hands over for a good answer, after its code."""


class Signer(Boot):
    """A signer as init and the fast channel's listener reach it; init's part is the test's."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk, self.path, self.numbers = desk, folder / "frames.sock", 0
        self.heads, self.entry = list[LogHead](), Entry()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(8)
        self.listener, self.closing = listener, ExitStack()
        ours, theirs = socket.socketpair()
        self.link = Link(ours.detach())
        self.ended_with: BaseException | None = None
        self.thread = Thread(target=self._run, args=(Link(theirs.detach()),), daemon=True)
        self.thread.start()
        public = self.link.receive(TIMEOUT)
        assert public.kind == Kind.REGISTER
        init = (X25519PrivateKey.generate(), Ed25519PrivateKey.generate())
        own = b"".join(key.public_key().public_bytes_raw() for key in init)
        roles = ((Role.INIT, own), (Role.SIGNER, public.payload))
        self.bundle = Bundle(
            b"\x05" * 32, b"\x06" * 32, desk.manifest.owner_root, b"certificate",
            tuple(RoleKeys(role, keys[:32], keys[32:]) for role, keys in roles),
        )  # fmt: skip
        document = msgspec.msgpack.encode(desk.manifest)
        self.link.send(Kind.CONFIGURE, 0, pack(b"configure", self.bundle.serialise(), document))
        self.anchor()

    def _run(self, link: Link) -> None:
        service = None
        try:
            service = self.service = Service(link, self.listener)
            service.run()
        except BaseException as error:  # noqa: BLE001
            self.ended_with = error
        finally:
            link.close()
            for stream in service._streams.values() if service else ():
                stream.close()

    def anchor(self, ms: int | None = None, ns: int | None = None) -> None:
        authenticated = now_ms() if ms is None else ms
        reading = time.monotonic_ns() if ns is None else ns
        self.link.send(Kind.ANCHOR, 0, u64(authenticated) + u64(reading))

    def give(self, permit: Permit, sealing: bytes = b"") -> None:
        """Passes a permit on as init does, once it has verified it."""
        statement = self.desk.owners.sign(PERMIT_DOMAIN, permit.serialise())
        self.link.send(Kind.PERMIT, 0, pack(b"permit", statement.serialise(), sealing))

    def ask(self, kind: Kind, payload: bytes) -> Message:
        """Sends a request and returns the next message, an answer or an enrolment's job."""
        self.numbers += 1
        self.link.send(kind, self.numbers, payload)
        return self.receive()

    def receive(self) -> Message:
        """Returns the signer's next message that is no head; heads are kept in `heads`."""
        while (message := self.link.receive(TIMEOUT)).kind == Kind.HEAD:
            self.heads.append(LogHead.parse(message.payload))
        return message

    def taken(self, message: Message, statement: Statement) -> tuple[Code, bytes]:
        """Returns a signed answer's code and body after checking its receipt."""
        assert message.kind == Kind.REPLY
        code, signature = ANSWER.unpack_from(message.payload)
        body = message.payload[ANSWER.size :]
        receipt = pb.Receipt(code=code, answer=body, signature=signature)
        return self._logged(receipt, statement)

    def deliver_order(self, statement: Statement, bot: Bot | None = None) -> tuple[Code, bytes]:
        message = self.ask(Kind.SUBMIT_ORDER, statement.serialise())
        if message.kind == Kind.ENROLL:
            self.job = message
            message = self.enrolled(Code.OK, RECORD)
        return self.taken(message, statement)

    def enrolled(self, code: int, record: bytes = b"") -> Message:
        """Hands over what an enrolment brought and returns what the signer answers."""
        self.link.send(Kind.ENROLLED, self.job.request, code.to_bytes(4, "big") + record)
        return self.receive()

    def wire(self) -> Wire:
        wire = Wire(self.path)
        self.closing.callback(wire.close)
        return wire

    def settle(self) -> None:
        """Waits until the signer has taken what was sent so far: it answers in order."""
        assert self.ask(Kind.SUBMIT_ORDER, b"no order").kind == Kind.REPLY

    def make_ready(self, **changes: object) -> "Signer":
        self.order_ok("main")
        self.give(self.permit(**changes))  # type: ignore[arg-type]
        assert self.enrol()[0] is Code.OK
        return self

    def order_ok(self, key: str) -> bytes:
        code, address = self.order(Action.GENERATE, key)
        assert code is Code.OK
        return address

    def stop(self) -> None:
        self.closing.close()
        self.link.close()
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()
        self.listener.close()


@contextmanager
def started(desk: Desk | None = None) -> Iterator[Signer]:
    """Yields a configured signer, and checks that it ends with init's link and for no other
    reason, unless the test has taken note of one."""
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        signer = Signer(desk or Desk(), Path(folder))
        yield signer
        signer.stop()
        assert isinstance(signer.ended_with, LinkClosed), signer.ended_with


def jobs(message: Message) -> tuple[bytes, bytes]:
    """Returns venue and request of an enrolment's job."""
    venue, request = unpack(b"enroll", message.payload)
    return venue, request
