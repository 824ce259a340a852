"""Logs that are followed, boots that are introduced, and witnesses over them, all in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace
from strongroom_host.log.notes import VerifierKey, signed_note
from strongroom_host.log.submissions import Introduction, Submission
from strongroom_host.log.tree import LogReader
from strongroom_host.witness.folder import WitnessFolder, WitnessKey
from strongroom_host.witness.memory import FollowedOwners, Memory
from strongroom_host.witness.signing import Witness
from strongroom_wire.bundle import Bundle, LogHead, Role, RoleKeys
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.encoding import digest
from strongroom_wire.manifest import Manifest, verify_manifest
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.statements import PERMIT_DOMAIN

from tests.host.log.histories import stored
from tests.wire.samples import (
    byte,
    manifest,
    permit,
    private_key,
    public,
    signed,
    signed_manifest,
)

__all__ = ["NOW", "ORIGIN", "Clock", "Log", "Station", "document", "introduction"]
__all__ += ["origin_of", "owners_of_account"]

NOW = 1_800_000_000
ORIGIN = "example.com/log"
NAME = "witness.example/w1"


class Clock:
    """Returns what it was set to."""

    def __init__(self, seconds: float = NOW) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Log:
    """A log of leaves that differ by `word`, signed by one key."""

    word: str = "leaf"
    key: int = 31
    origin: str = ORIGIN
    shared: int = 0
    """How many leaves it has in common with the log of the word `leaf`."""

    @property
    def vkey(self) -> VerifierKey:
        """The key it signs with."""
        return VerifierKey(self.origin, public(self.key))

    def entries(self, size: int) -> list[bytes]:
        """Return its first leaves."""
        words = ("leaf" if n < self.shared else self.word for n in range(size))
        return [f"{word} {n}".encode() for n, word in enumerate(words)]

    def head(self, size: int) -> LogHead:
        """Return its head at a size."""
        tree = Frontier()
        for entry in self.entries(size):
            tree.append(leaf_hash(entry))
        return tree.head

    def note(self, size: int) -> bytes:
        """Return its signed checkpoint."""
        text = checkpoint_text(self.origin, self.head(size))
        return signed_note(text, self.vkey, private_key(self.key).sign(text))

    def reader(self, size: int) -> LogReader:
        """Return what is stored of it."""
        return LogReader(stored(self.entries(size)), self.head(size))

    def submission(self, old: int, size: int) -> bytes:
        """Return the request that goes from one size to another."""
        proof = self.reader(size).consistency_proof(old) if old <= size else ()
        return Submission(old, proof, self.note(size)).serialise()


class Station:
    """A witness in a folder, with a clock that stands still."""

    def __init__(self, root: Path, *followed: VerifierKey, name: str = NAME) -> None:
        self.folder = WitnessFolder(root)
        if not root.exists():
            self.folder.create(name)
        self.key: WitnessKey = self.folder.key()
        self.memory: Memory = self.folder.memory()
        for key in followed:
            self.memory.follow_key(key)
        self.clock = Clock()
        self.witness = Witness(self.key, self.memory, self.clock)

    @property
    def public(self) -> VerifierKey:
        """What others know it by."""
        return self.key.public


def document(account: str = "acme") -> Manifest:
    """Return the manifest of the sample owners for an account."""
    return msgspec.structs.replace(manifest(), account=account)


def origin_of(made: Manifest) -> str:
    """Return the name of the signer's log of a manifest."""
    return log_origin(made.owner_root, made.account, Role.SIGNER)


def introduction(
    boot: int = 0x61,
    made: Manifest | None = None,
    signers: tuple[int, ...] = (1, 2),
    permitted: tuple[int, ...] = (1, 2),
) -> Introduction:
    """Return what shows that these owners let that boot sign; its receipt key is `boot`'s."""
    made = document() if made is None else made
    statement = signed_manifest(made, *signers)
    manifest_digest = verify_manifest(statement).digest if len(signers) > 1 else byte(2)
    roles = (
        RoleKeys(Role.INIT, byte(0x41), byte(0x42)),
        RoleKeys(Role.SIGNER, byte(0x43), public(boot), LogHead(7, byte(0x45))),
    )
    boot_id = digest(b"boot", bytes([boot]))
    bundle = Bundle(boot_id, manifest_digest, made.owner_root, b"certificate", roles)
    allowed = permit_for(made, manifest_digest, bundle)
    return Introduction(
        statement.serialise(),
        signed(PERMIT_DOMAIN, allowed, *permitted).serialise(),
        bundle.serialise(),
    )


def permit_for(made: Manifest, manifest_digest: bytes, bundle: Bundle) -> bytes:
    """Return the permit for a bundle."""
    return replace(
        permit(),
        owner_root=made.owner_root,
        manifest_digest=manifest_digest,
        keys_digest=bundle.keys_digest,
    ).serialise()


def owners_of_account(made: Manifest) -> FollowedOwners:
    """Return whom to follow for a manifest."""
    return FollowedOwners(made.owner_root, made.account)
