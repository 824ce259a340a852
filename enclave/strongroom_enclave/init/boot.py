"""Init's life: Booted, then Configured by a manifest, then Ready by a start permit, or Halted.

Single-threaded: one message at a time, so that no two requests can interleave in the table. It
parses what only the owner signs, composes evidence, and passes everything else on unread.
"""

import select
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from strongroom_wire.bundle import EMPTY_LOG, Bundle, Role, RoleKeys, hpke_info, pcr16
from strongroom_wire.encoding import pack, u32, u64
from strongroom_wire.errors import Code, Malformed, Refused, WireError
from strongroom_wire.hpke import open_sealed
from strongroom_wire.manifest import VerifiedManifest, verify_manifest
from strongroom_wire.owners import Statement
from strongroom_wire.statements import PERMIT_DOMAIN, Permit

from strongroom_enclave.init.lifecycle import ROUTES, Phase
from strongroom_enclave.messages import Kind, answer, signed_answer
from strongroom_enclave.platform import Platform, Sealer
from strongroom_enclave.platform.links import LinkClosed, Message
from strongroom_enclave.platform.spawn import Worker, Workers
from strongroom_enclave.sealing import role_key
from strongroom_enclave.venues import check_egress

__all__ = ["Halt", "Init"]

_MANIFEST_PCR: Final = 16
_ALL_PCRS: Final = 32
_START_TIMEOUT: Final = 30.0
_ANCHOR_INTERVAL: Final = 5.0


class Halt(Exception):
    """A failure after the point of no return; the reason goes to the console, never a value."""


class Init:
    """The switchboard and the state of one boot."""

    def __init__(
        self,
        platform: Platform,
        sealer: Sealer,
        workers: Workers,
        *,
        front_directory: Path,
        frames: socket,
        egress: Callable[[], socket],
        signer_options: tuple[str, ...] = (),
    ) -> None:
        """Starts front; nothing secret exists yet.

        Args:
            platform: The measured machine.
            sealer: Source of the platform half of sealing keys.
            workers: How to start processes.
            front_directory: Where front puts its listeners' Unix sockets.
            frames: Listening socket of the fast channel, handed to the signer.
            egress: Connects to the host's CONNECT proxy.
            signer_options: More arguments for the signer.
        """
        self.phase = Phase.BOOTED
        self._platform, self._sealer, self._spawn = platform, sealer, workers.spawn
        self._frames, self._egress, self._options = frames, egress, signer_options
        self._bundle = Bundle(boot_id=platform.random(32))
        self._serial = -1
        self._anchored = 0.0
        self._hpke = X25519PrivateKey.generate()
        self._receipt = Ed25519PrivateKey.generate()
        front = self._spawn("front", arguments=(str(front_directory),))
        self._workers = {"front": front}
        self._certificate = self._registration(front)

    def serve(self) -> None:
        """Serves until front dies; without it nobody can reach this boot any more."""
        while "front" in self._workers:
            if time.monotonic() - self._anchored > _ANCHOR_INTERVAL:
                self._guarded(self._anchor)
            links = {worker.link: worker for worker in self._workers.values()}
            for link in select.select(list(links), [], [], _ANCHOR_INTERVAL / 2)[0]:
                worker = links[link]
                if self._workers.get(worker.role) is worker:  # not killed by an earlier message
                    self._guarded(lambda w=worker: self._receive(w))  # type: ignore[misc]
        self.halt("front is gone")

    def halt(self, reason: str) -> None:
        """Ends every process that holds a key. Front stays to say that this boot is over."""
        sys.stderr.write(f"halted: {reason}\n")
        self.phase = Phase.HALTED
        for role in [role for role in self._workers if role != "front"]:
            self._workers.pop(role).kill()
        self._frames.close()
        if "front" in self._workers:
            with suppress(LinkClosed):
                self._workers["front"].link.send(Kind.HALTED)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  a boot in an unknown state must not go on
            self.halt(f"{type(error).__name__}: {error}")

    def _receive(self, worker: Worker) -> None:
        """Takes one message of `worker` and acts on it by who sent it."""
        try:
            message = worker.link.receive(_START_TIMEOUT)
        except LinkClosed:
            self._workers.pop(worker.role).kill()
            if worker.role == "enroll":
                return self._enrolled(answer(Code.VENUE_UNREACHABLE)[:4])
            return self.halt(f"{worker.role} died")
        if worker.role == "front":
            self._request(message)
        elif worker.role == "enroll" and message.kind == Kind.ENROLLED:
            self._workers.pop("enroll").kill()
            self._enrolled(message.payload)
        elif worker.role == "signer" and message.kind == Kind.REPLY:
            self._workers["front"].link.send(*message)
        elif worker.role == "signer" and message.kind == Kind.ENROLL:
            self._enroll(message)
        else:
            raise Halt(f"{worker.role} sent kind {message.kind}")

    def _request(self, message: Message) -> None:
        """Answers, or passes on, one request of the host by the lifecycle table."""
        reply: bytes | None
        try:
            route = ROUTES[self.phase, Kind(message.kind)]
        except (KeyError, ValueError):
            code = Code.HALTED if self.phase is Phase.HALTED else Code.WRONG_PHASE
            reply = answer(code)
        else:
            try:
                reply = getattr(self, f"_{route.handler}")(message)
                self.phase = route.ok
            except WireError as error:
                reply, self.phase = answer(error.code), route.refused
            except Exception as error:  # noqa: BLE001
                self.halt(f"{type(error).__name__}: {error}")
                reply = answer(Code.HALTED)
        if reply is not None:
            self._workers["front"].link.send(Kind.REPLY, message.request, reply)

    def _status(self, message: Message) -> bytes:
        return answer(Code.OK, bytes([self.phase]))

    def _evidence(self, message: Message) -> bytes:
        """Evidence over this boot's bundle and the verifier's nonce, which is all that varies."""
        if not 16 <= len(message.payload) <= 64:
            raise Malformed("nonce", "16 to 64 bytes", len(message.payload))
        document = self._platform.attest(self._bundle.commitment, message.payload)
        return answer(Code.OK, pack(b"evidence", document, self._bundle.serialise()))

    def _load_manifest(self, message: Message) -> bytes:
        """Verifies in full, then commits. Up to the extend a refusal leaves this boot as it was."""
        verified = verify_manifest(Statement.parse(message.payload))
        check_egress(verified.manifest)
        try:
            self._configure(verified)
        except Exception as error:
            raise Halt(f"after the manifest was measured: {error}") from error
        return self._signed(message, verified.digest)

    def _configure(self, verified: VerifiedManifest) -> None:
        """Measures the manifest, locks the registers, and only then lets keys come into being."""
        value = self._platform.extend(_MANIFEST_PCR, verified.digest)
        self._platform.lock(_ALL_PCRS)
        if value != pcr16(verified.digest):
            raise Halt("PCR16 was extended before this boot")
        self._verified = verified
        signer = self._spawn("signer", self._frames, arguments=self._options)
        self._workers["signer"] = signer
        keys = self._registration(signer)
        own = RoleKeys(Role.INIT, _public(self._hpke), _public(self._receipt))
        self._bundle = replace(
            self._bundle,
            manifest_digest=verified.digest,
            owner_root=verified.manifest.owner_root,
            certificate=self._certificate,
            roles=(own, RoleKeys(Role.SIGNER, keys[:32], keys[32:])),
        )
        manifest = msgspec.msgpack.encode(verified.manifest)
        signer.link.send(Kind.CONFIGURE, 0, pack(b"configure", self._bundle.serialise(), manifest))
        clients = msgspec.msgpack.encode(verified.manifest.clients)
        self._workers["front"].link.send(Kind.CONFIGURE, 0, clients)
        self._anchor()

    def _permit(self, message: Message) -> bytes:
        """Checks a start permit against this boot and hands the signer its budgets."""
        owners, bundle = self._verified.owners, self._bundle
        permit = Permit.parse(owners.verify(PERMIT_DOMAIN, Statement.parse(message.payload)))
        for code, expected, actual in (
            (Code.WRONG_OWNER, bundle.owner_root, permit.owner_root),
            (Code.WRONG_MANIFEST, bundle.manifest_digest, permit.manifest_digest),
            (Code.WRONG_BOOT, bundle.keys_digest, permit.keys_digest),
            (Code.WRONG_LOG_HEAD, EMPTY_LOG, permit.signer_head),
            (Code.PERMIT_STALE, max(permit.serial, self._serial + 1), permit.serial),
        ):
            if expected != actual:
                raise Refused(code, "permit", expected, actual)
        known = {key.name for key in self._verified.manifest.keys}
        if unknown := {budget.key for budget in permit.budgets} - known:
            raise Refused(Code.UNKNOWN_KEY, "permit budgets", known, unknown)
        sealing = b""
        if permit.share:
            info = hpke_info(bundle, Role.INIT, b"unlock-share")
            share = open_sealed(permit.share, self._hpke, info)
            secret = self._sealer.secret(bundle.owner_root)
            sealing = role_key(secret, share, bundle.owner_root, Role.SIGNER)
        self._workers["signer"].link.send(Kind.PERMIT, 0, pack(b"permit", message.payload, sealing))
        self._serial = permit.serial
        return self._signed(message, u32(permit.serial))

    def _forward(self, message: Message) -> None:
        self._workers["signer"].link.send(*message)

    def _enroll(self, message: Message) -> None:
        """Starts the one-shot process with a connection to the host's proxy, and its job."""
        if "enroll" in self._workers:
            raise Halt("signer started a second enrolment")
        self._enrolling = message.request
        try:
            with self._egress() as proxy:
                self._workers["enroll"] = worker = self._spawn("enroll", proxy)
            worker.link.send(*message)
        except (OSError, LinkClosed):
            self._enrolled(answer(Code.VENUE_UNREACHABLE)[:4])

    def _enrolled(self, outcome: bytes) -> None:
        self._workers["signer"].link.send(Kind.ENROLLED, self._enrolling, outcome)

    def _anchor(self) -> None:
        """Gives the signer the platform's time, joined to the clock that both of us read."""
        self._anchored = time.monotonic()
        if "signer" in self._workers:
            before = time.monotonic_ns()
            authenticated = self._platform.now_ms()
            middle = (before + time.monotonic_ns()) // 2
            self._workers["signer"].link.send(Kind.ANCHOR, 0, u64(authenticated) + u64(middle))

    def _registration(self, worker: Worker) -> bytes:
        """Returns what a worker registers as its first message."""
        message = worker.link.receive(_START_TIMEOUT)
        if message.kind != Kind.REGISTER:
            raise Halt(f"{worker.role} did not register")
        return message.payload

    def _signed(self, message: Message, payload: bytes) -> bytes:
        boot_id = self._bundle.boot_id
        return signed_answer(self._receipt, boot_id, message.payload, Code.OK, payload)


def _public(key: X25519PrivateKey | Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
