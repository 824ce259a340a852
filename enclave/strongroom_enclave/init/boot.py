"""Init's life: Booted, then Configured by a manifest, then Ready by a start permit, or Halted.

Single-threaded: one message at a time, so that no two requests can interleave in the table. It
parses what only the owner signs, composes evidence, and passes everything else on unread.
"""

import select
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
from cryptography import x509
from msgspec.structs import replace
from strongroom_wire import encoding, manifest, owners, statements
from strongroom_wire.bundle import Bundle, LogHead, Role, RoleKeys, pcr16
from strongroom_wire.errors import Code, Compared, ManifestInvalid, WireError, require

from strongroom_enclave import identity, sealing, venues
from strongroom_enclave.init.lifecycle import ROUTES, Phase
from strongroom_enclave.messages import Kind, answer
from strongroom_enclave.platform import Socket, console, links, nsm, spawn

_MANIFEST_PCR, _ALL_PCRS = 16, 32
_START_TIMEOUT = 30.0
_ANCHOR_INTERVAL = 5.0
# The processes with keys and a log; the second is there if the manifest has accounts.
_ROLES = {"signer": Role.SIGNER, "record": Role.RECORD}
# Bytes that may wait for a worker: all that one client can ask front at once, of the longest.
_MAX_UNSENT = 17 << 20


class Halt(Compared):
    """A failure after the point of no return; the reason goes to the console, never a value."""


class Init:
    """The switchboard and the state of one boot."""

    def __init__(
        self,
        device: nsm.NsmPlatform,
        sealer: Callable[[bytes], bytes] | None,
        workers: spawn.Workers,
        frames: Socket,
        egress: Callable[[], Socket],
        outside: Iterable[Socket] = (),
    ) -> None:
        """Starts front; nothing secret exists yet.

        Args:
            device: The measured machine.
            sealer: Returns the platform's half of a sealing key, where there is one: 32 bytes that
                only this image on this platform can reproduce for a context. Without it an unlock
                share opens nothing, and nothing can be exported or restored.
            workers: How to start processes.
            frames: Listening socket of the fast channel, handed to the signer.
            egress: Connects to the host's CONNECT proxy.
            outside: Listening sockets for front to join to its own: bootstrap, control.
        """
        self.phase = Phase.BOOTED
        self._device, self._sealer, self._spawn = device, sealer, workers.spawn
        self._frames, self._egress = frames, egress
        self._boot, self._serial, self._anchored = Bundle(device.random(32)), -1, 0.0
        self._continued: list[LogHead] = []
        self._workers: dict[str, spawn.Worker] = {}
        self._certificate = self._start("front", *outside)

    def serve(self) -> None:
        """Serves until front dies; without it nobody can reach this boot any more.

        Nothing waits for room at a worker, or two could wait for each other for good. While front
        does not take its answers nothing is received, so that they cannot pile up.
        """
        while front := self._workers.get("front"):
            if time.monotonic() - self._anchored > _ANCHOR_INTERVAL:
                self._guarded(self._anchor)
            workers = {worker.link: worker for worker in self._workers.values()}
            reading = list(workers) if len(front.link.unsent) <= _MAX_UNSENT else []
            writing = [link for link in workers if link.unsent]
            readable, writable, _ = select.select(reading, writing, [], _ANCHOR_INTERVAL / 2)
            for link in writable:
                link.flush()
            for worker in (workers[link] for link in readable):
                if self._workers.get(worker.role) is worker:  # not killed by an earlier message
                    self._guarded(self._receive, worker)
        self.halt("front is gone")

    def halt(self, reason: str) -> None:
        """Ends every process that holds a key. Front stays to say that this boot is over."""
        console.halted(reason)
        self.phase = Phase.HALTED
        for role in [role for role in self._workers if role != "front"]:
            self._workers.pop(role).kill()
        self._frames.close()
        if "front" in self._workers:
            self._workers["front"].link.post(Kind.HALTED)

    def _guarded(self, step: Callable[..., None], *arguments: spawn.Worker) -> None:
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001  a boot in an unknown state must not go on
            self.halt(str(error) if isinstance(error, Halt) else type(error).__name__)

    def _receive(self, worker: spawn.Worker) -> None:
        """Takes one message of `worker` and acts on it by who sent it."""
        try:
            message = worker.link.receive(_START_TIMEOUT)
        except links.LinkClosed:
            if worker.role != "enroll":
                self._workers.pop(worker.role).kill()
                if worker.role == "record":  # it has read what venues send; signing goes on
                    return
                raise
            message = links.Message(Kind.ENROLLED, 0, encoding.u32(Code.VENUE_UNREACHABLE))
        match worker.role, message.kind:
            case "front", _:
                self._request(message)
            case "signer" | "record", Kind.REPLY:
                self._workers["front"].link.post(*message)
            case "signer" | "record", Kind.HEAD:
                self._logged_so_far(_ROLES[worker.role], message.payload)
            case "record", Kind.DIAL:
                self._exchange.serve()
            case "signer", Kind.ENROLL:
                self._enroll(message)
            case "enroll", Kind.ENROLLED:
                self._workers.pop("enroll").kill()
                self._enrolled(message.payload)
            case role, kind:
                raise Halt(f"{role} sent kind {kind}")

    def _request(self, message: links.Message) -> None:
        """Answers, or passes on, one request of the host by the lifecycle table.

        Whatever is no refusal of ours halts this boot, and front then answers for it.
        """
        route = ROUTES.get(message.kind)
        reply: bytes | None
        if route is None or self.phase not in route.phases:
            reply = answer(Code.HALTED if self.phase is Phase.HALTED else Code.WRONG_PHASE)
        else:
            try:
                reply = getattr(self, f"_{route.handler}")(message)
                self.phase = route.success or self.phase
            except WireError as error:
                reply = answer(error.code)
        if reply is not None:
            self._workers["front"].link.post(Kind.REPLY, message.request, reply)

    def _status(self, _: links.Message) -> bytes:
        return answer(Code.OK, bytes([self.phase]))

    def _evidence(self, message: links.Message) -> bytes:
        """Evidence over this boot's bundle and the verifier's nonce, which is all that varies."""
        require(16 <= len(message.payload) <= 64, Code.MALFORMED, "nonce of 16 to 64 bytes")
        document = self._device.attest(self._boot.commitment, message.payload)
        return answer(Code.OK, encoding.pack(b"evidence", document, self._boot.serialise()))

    def _load_manifest(self, message: links.Message) -> bytes:
        """Verifies in full, then commits. Up to the extend a refusal leaves this boot as it was."""
        verified = manifest.verify_manifest(owners.Statement.parse(message.payload))
        venues.check_egress(verified.manifest)
        _check_certificates(verified.manifest.clients)
        pools = any(key.nonce_pool for key in verified.manifest.keys)
        if pools and verified.manifest.mode == "production" and self._device.copyable():
            raise ManifestInvalid("nonce pool", "memory that nobody can copy", "another machine")
        try:
            self._configure(verified)
        except WireError as error:  # a refusal would leave this boot as it was, and it is not
            raise Halt(f"{type(error).__name__} after the manifest was measured") from error
        return self._identity.answer(message.payload, Code.OK, verified.digest)

    def _configure(self, verified: manifest.VerifiedManifest) -> None:
        """Measures the manifest, locks the registers, and only then lets keys come into being."""
        value = self._device.extend(_MANIFEST_PCR, verified.digest)
        self._device.lock(_ALL_PCRS)
        Halt.unless(value == pcr16(verified.digest), "PCR16", "untouched", "extended before")
        self._verified, document = verified, verified.manifest
        self._identity = identity.Identity(Role.INIT)
        public = {Role.INIT: self._identity.public}
        public[Role.SIGNER] = self._start("signer", self._frames)
        if document.accounts:
            self._exchange = links.Exchange(self._egress)
            with self._exchange.theirs as passed:
                public[Role.RECORD] = self._start("record", passed)
        roles = tuple(RoleKeys(role, keys[:32], keys[32:]) for role, keys in public.items())
        names = self._boot.boot_id, verified.digest, document.owner_root
        self._boot = self._identity.boot = Bundle(*names, self._certificate, roles)
        encode, workers = msgspec.msgpack.encode, self._workers
        configuration = encoding.pack(b"configure", self._boot.serialise(), encode(document))
        for name in _ROLES.keys() & workers:
            workers[name].link.post(Kind.CONFIGURE, 0, configuration)
        workers["front"].link.post(Kind.CONFIGURE, 0, encode(document.clients))
        self._anchor()

    def _permit(self, message: links.Message) -> bytes:
        """Checks a start permit against this boot, and hands it to each role with its own key."""
        self._reach("signer")  # before anything changes
        verified, bundle = self._verified, self._boot
        signed = owners.Statement.parse(message.payload)
        payload = verified.owners.verify(statements.PERMIT_DOMAIN, signed)
        permit = statements.Permit.parse(payload)
        known = {key.name for key in verified.manifest.keys}
        heads = [permit.continues(role).head for role in _ROLES.values()]
        for code, expected, actual in (
            (Code.WRONG_OWNER, bundle.owner_root, permit.owner_root),
            (Code.WRONG_MANIFEST, bundle.manifest_digest, permit.manifest_digest),
            (Code.WRONG_BOOT, bundle.keys_digest, permit.keys_digest),
            (Code.WRONG_LOG_HEAD, self._continued or heads, heads),
            (Code.PERMIT_STALE, max(permit.serial, self._serial + 1), permit.serial),
            (Code.UNKNOWN_KEY, set(), {budget.key for budget in permit.budgets} - known),
        ):
            require(expected == actual, code, "permit", expected, actual)
        keys = dict.fromkeys(_ROLES, b"")
        if permit.share and self._sealer:
            share = self._identity.open(b"unlock-share", permit.share)
            secret, root = self._sealer(bundle.owner_root), bundle.owner_root
            keys = {name: sealing.role_key(secret, share, root, _ROLES[name]) for name in _ROLES}
        for name in _ROLES.keys() & self._workers:
            permitted = encoding.pack(b"permit", message.payload, keys[name])
            self._workers[name].link.post(Kind.PERMIT, 0, permitted)
        self._serial, self._continued = permit.serial, heads
        return self._identity.answer(message.payload, Code.OK, encoding.u32(permit.serial))

    def _logged_so_far(self, role: Role, payload: bytes) -> None:
        """Takes the head of a role's log into the bundle, so that evidence commits to it."""
        head, known = LogHead.parse(payload), self._boot.roles
        roles = tuple(replace(keys, head=head) if keys.role is role else keys for keys in known)
        self._boot = replace(self._boot, roles=roles)

    def _reach(self, name: str) -> links.Link:
        """Returns the link of a process that is there, and has room for what may come.

        Raises:
            Refused: HALTED or BUSY.
        """
        require(name in self._workers, Code.HALTED, name, "running", "not, in this boot")
        link = self._workers[name].link
        require(len(link.unsent) <= _MAX_UNSENT, Code.BUSY, name, _MAX_UNSENT, len(link.unsent))
        return link

    def _order(self, message: links.Message) -> None:
        """Passes an owner order on to the process that it is for; what is none, to the signer."""
        name = "signer"
        with suppress(WireError):
            signed = owners.Statement.parse(message.payload)
            payload = self._verified.owners.verify(statements.ORDER_DOMAIN, signed, 1)
            connects = statements.OwnerOrder.parse(payload).action is statements.Action.CONNECT
            name = "record" if connects else name
        self._reach(name).post(*message)

    def _enroll(self, message: links.Message) -> None:
        """Starts the one-shot process with a connection to the host's proxy, and its job."""
        Halt.unless("enroll" not in self._workers, "enrolments", "one at a time", "a second")
        self._enrolling = message.request
        try:
            with self._egress() as proxy:
                self._workers["enroll"] = worker = self._spawn("enroll", proxy)
            worker.link.post(*message)
        except OSError:
            self._enrolled(encoding.u32(Code.VENUE_UNREACHABLE))

    def _enrolled(self, outcome: bytes) -> None:
        self._workers["signer"].link.post(Kind.ENROLLED, self._enrolling, outcome)

    def _anchor(self) -> None:
        """Gives signer and record the platform's time, joined to the clock that all of us read."""
        self._anchored = time.monotonic()
        if names := _ROLES.keys() & self._workers:
            before = time.monotonic_ns()
            authenticated = self._device.now_ms()
            middle = (before + time.monotonic_ns()) // 2
            anchor = encoding.u64(authenticated) + encoding.u64(middle)
            for name in names:
                self._workers[name].link.post(Kind.ANCHOR, 0, anchor)

    def _start(self, role: str, *sockets: Socket) -> bytes:
        """Starts a worker and returns what it registers as its first message."""
        self._workers[role] = worker = self._spawn(role, *sockets)
        kind, _, payload = worker.link.receive(_START_TIMEOUT)
        Halt.unless(kind == Kind.REGISTER, role, "registration", "another message")
        return payload


def _check_certificates(clients: tuple[manifest.Client, ...]) -> None:
    """Proves that front can open its listener for these clients, before anything is measured.

    Raises:
        ManifestInvalid: one of them has something else than a certificate.
    """
    for client in clients:
        try:
            x509.load_der_x509_certificate(client.certificate)
        except ValueError as error:
            raise ManifestInvalid(f"client {client.name}", "a DER certificate", "none") from error
