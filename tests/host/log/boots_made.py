"""Logs as owners keep them: genuine evidence of each boot, permits, openings, signed heads.

What a boot is here, its image's measurements, manifest, keys and documents, is made by the software
security module; its leaves are laid out as the enclave lays them out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec.structs import replace
from strongroom_host.contract.roles import role_keys
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey, signed_note
from strongroom_host.log.openings import Openings
from strongroom_host.owner.signed import DocumentKind, SignedFile
from strongroom_host.trust.record import Trust
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Reply
from strongroom_wire.leaves import Boot, Decision, Kind, Leaf, ModelDecision, commitment
from strongroom_wire.manifest import Manifest, Witness
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.owners import Statement
from strongroom_wire.statements import (
    ORDER_DOMAIN,
    PERMIT_DOMAIN,
    Action,
    Budget,
    OwnerOrder,
    Permit,
)

from tests.host.enclave_client.simulator import Boot as Machine
from tests.wire.samples import byte, public, signed, signed_manifest
from tests.wire.samples import manifest as sample

__all__ = ["NONCE", "START", "Kept", "Running", "manifest", "witnessed_by"]

START = 1_800_000_000_000
NONCE = byte(0x99)


def manifest(version: int = 7, **changes: object) -> Manifest:
    """Return the account's manifest in this version: two of the owners 1, 2, 3; no witnesses."""
    base = {
        "version": version,
        "mode": "development",
        "accounts": (),
        "witnesses": (),
        "witness_quorum": 0,
    }
    return msgspec.structs.replace(sample(), **(base | changes))


class Running:
    """One boot: machine and manifest; decides nothing by itself. Its log is that of `role`."""

    def __init__(
        self, document: Manifest, signers: tuple[int, ...] = (1, 2), role: Role = Role.SIGNER
    ) -> None:
        self.statement, self.role = signed_manifest(document, *signers), role
        digest = sha256(self.statement.payload).digest()
        self.machine = Machine(manifest=digest, roles=tuple(Role)[: role.value])
        self.machine.bundle = replace(self.machine.bundle, owner_root=document.owner_root)
        self.document, self.signers = document, signers
        self.origin = log_origin(document.owner_root, document.account, role)
        self.digest = digest

    @property
    def boot_id(self) -> bytes:
        return self.machine.bundle.boot_id

    @property
    def key(self) -> VerifierKey:
        """The key of its checkpoints."""
        return VerifierKey(self.origin, role_keys(self.machine.bundle, self.role).receipt)

    def note(self, head: LogHead) -> bytes:
        """The checkpoint that it signs."""
        text = checkpoint_text(self.origin, head)
        return signed_note(text, self.key, self.machine.receipt[self.role].sign(text))

    def evidence(self, head: LogHead = EMPTY_LOG, **changes: object) -> StoredBoot:
        """Its evidence, while its log has this head."""
        bundle = self.machine.bundle
        roles = tuple(
            replace(entry, head=head) if entry.role is self.role else entry
            for entry in bundle.roles
        )
        bundle = replace(bundle, roles=roles)
        document = self.machine.document(NONCE, bundle.commitment)
        found = StoredBoot(document, bundle.serialise(), self.statement.serialise(), START, NONCE)
        return msgspec.structs.replace(found, **changes)

    def permit(self, tree: Frontier, **changes: object) -> Statement:
        """A start permit for it, by its owners."""
        logs = {Role.SIGNER: Frontier(), self.role: tree}
        permit = Permit(
            self.document.owner_root,
            self.digest,
            self.machine.bundle.keys_digest,
            1,
            0,
            START + 10**9,
            logs[Role.SIGNER].serialise(),
            EMPTY_LOG,
            b"",
            (Budget("main", 500_000_000, 200),),
            logs.get(Role.RECORD, Frontier()).serialise(),
        )
        return signed(PERMIT_DOMAIN, replace(permit, **changes).serialise(), *self.signers)

    def order(
        self,
        action: Action,
        key: str = "main",
        signers: tuple[int, ...] = (),
        **changes: bytes,
    ) -> Statement:
        """An owner order to it."""
        order = replace(OwnerOrder(action, self.boot_id, self.digest, key), **changes)
        return signed(ORDER_DOMAIN, order.serialise(), *(signers or self.signers))


@dataclass
class Kept:
    """A log of some boots and all that is kept of it."""

    entries: list[bytes] = field(default_factory=list)
    openings: dict[int, bytes] = field(default_factory=dict)
    boots: dict[bytes, StoredBoot] = field(default_factory=dict)
    note: bytes = b""
    tree: Frontier = field(default_factory=Frontier)
    running: Running | None = None

    @property
    def boot(self) -> Running:
        """The newest boot."""
        assert self.running is not None
        return self.running

    @property
    def head(self) -> LogHead:
        return self.tree.head

    def start(self, boot: Running, permit: Statement | None = None) -> Kept:
        """A boot continues the log, under a permit that says so or under the given one."""
        statement = permit or boot.permit(Frontier(self.tree.size, self.tree.hashes))
        record, bundle = statement.serialise(), boot.machine.bundle
        digests = boot.digest, bundle.keys_digest, sha256(record).digest()
        self.running = boot
        self.add(Kind.BOOT, record, Boot(self.tree.head, *digests, "1.2.0").serialise())
        return self.sign()

    def decide(self, *outcomes: bool, key: str = "main", client: str = "strategy") -> Kept:
        """Decisions of the newest boot: signed, or denied for their rate."""
        for approved in outcomes:
            at = self.tree.size
            reply = Reply(Code.OK, at, Rule.NONE, 0, 0, 0, (byte(at % 256),), b"")
            if not approved:
                reply = Reply(Code.DENIED, at, Rule.RATE, 0, 60, 61, (), b"")
            sent = byte(0x77) if approved else bytes(32)
            counts = 25_000_000 * at, at
            record = Decision(key, client, byte(0x55), sent, *counts, b"", reply).serialise()
            kind = Kind.SIGNED if approved else Kind.DENIED
            self.add(kind, record, b"" if approved else bytes([Rule.RATE]))
        return self.sign()

    def model(self) -> Kept:
        """A model's decision is handed in."""
        record = ModelDecision("strategy", byte(1), byte(2), byte(3)).serialise()
        self.add(Kind.MODEL, record)
        return self.sign()

    def add(
        self, kind: Kind, record: bytes, public: bytes = b"", time_ms: int | None = None
    ) -> None:
        """One leaf of the newest boot."""
        at = self.tree.size
        opening = sha256(b"salt %d" % at).digest() + record
        time_ms = START + 1000 * at if time_ms is None else time_ms
        leaf = Leaf(kind, self.boot.boot_id, at, time_ms, commitment(opening), public)
        self.entries.append(leaf.serialise())
        self.openings[at] = opening
        self.tree.append(leaf_hash(self.entries[-1]))

    def sign(self) -> Kept:
        """The newest boot signs the head, and its evidence is fetched."""
        self.note = self.boot.note(self.head)
        self.boots[self.boot.boot_id] = self.boot.evidence(self.head)
        return self

    def copy(self) -> Kept:
        """The same log, to go on otherwise."""
        tree = Frontier(self.tree.size, self.tree.hashes)
        parts = list(self.entries), dict(self.openings), dict(self.boots)
        return Kept(*parts, self.note, tree, self.running)

    @property
    def trust(self) -> Trust:
        """The trust file that means these boots and their owners."""
        record = self.boot.machine.trust
        return msgspec.structs.replace(record, owner_root=self.boot.document.owner_root.hex())

    def store(self, folder: Path) -> Path:
        """Puts it into a folder, with trust.json and manifest.signed.json beside."""
        with LogFiles(folder / "log") as files:
            files.append(0, self.entries)
            if self.note:
                files.publish(self.note)
        with Openings(folder / "log", write=True) as openings:
            openings.put(self.openings)
        for boot in self.boots.values():
            Boots(folder / "log").add(boot)
        self.trust.save(folder / "trust.json")
        SignedFile(DocumentKind.MANIFEST, self.boot.statement).save(folder / "manifest.signed.json")
        return folder / "log"


def witnessed_by(*numbers: int, quorum: int) -> dict[str, object]:
    """Return the manifest's fields that name the witnesses with these keys."""
    witnesses = tuple(Witness(f"witness.example/{n}", public(n).hex()) for n in numbers)
    return {"witnesses": witnesses, "witness_quorum": quorum}
