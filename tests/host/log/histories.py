"""Logs as an enclave makes them, boot after boot, and storages to put them in."""

from dataclasses import dataclass, field
from hashlib import sha256

from strongroom_host.log.notes import VerifierKey, signed_note
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, WIDTH, Tile, bundle, parent
from strongroom_host.log.verify import AttestedBoot, KnownHead
from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.errors import Rule
from strongroom_wire.leaves import Boot, Kind, Leaf, commitment
from strongroom_wire.merkle import Frontier, leaf_hash

from tests.wire.samples import byte, private_key, public

__all__ = ["ORIGIN", "History", "Memory", "checkpoint", "key_of", "stored"]

ORIGIN = log_origin(byte(1), "fund", Role.SIGNER)
START = 1_800_000_000_000


def key_of(boot: int) -> VerifierKey:
    """Return the receipt key of the boot with this number."""
    return VerifierKey(ORIGIN, public(boot))


def checkpoint(head: LogHead, boot: int = 1, origin: str = ORIGIN) -> bytes:
    """Return the note in which that boot signs `head`."""
    text = checkpoint_text(origin, head)
    return signed_note(text, VerifierKey(origin, public(boot)), private_key(boot).sign(text))


@dataclass
class History:
    """A log of some boots; what they signed, and what clients were handed."""

    entries: list[bytes] = field(default_factory=list)
    openings: dict[int, bytes] = field(default_factory=dict)
    attested: dict[bytes, AttestedBoot] = field(default_factory=dict)
    heads: list[LogHead] = field(default_factory=list)
    tree: Frontier = field(default_factory=Frontier)
    epoch: bytes = b""

    def boot(self, number: int, leaves: int = 0) -> "History":
        """Start a boot that continues the log, and let it decide `leaves` times."""
        self.epoch = byte(number)
        digests = byte(0xA0 + number), byte(0xB0 + number), byte(0xC0 + number)
        start = Boot(self.tree.head, *digests, "1.0.0")
        self.attested[self.epoch] = AttestedBoot(*digests[:2])
        self.add(Kind.BOOT, start.serialise())
        for _ in range(leaves):
            self.add(*((Kind.SIGNED, b""), (Kind.DENIED, bytes([Rule.RATE])))[self.tree.size % 2])
        self.heads.append(self.tree.head)
        return self

    def add(self, kind: Kind, public: bytes = b"", time_ms: int | None = None) -> Leaf:
        """Append one leaf as the enclave would."""
        at = self.tree.size
        opening = sha256(b"salt %d" % at).digest() + b"record %d" % at
        time_ms = START + 10 * at if time_ms is None else time_ms
        leaf = Leaf(kind, self.epoch, at, time_ms, commitment(opening), public)
        self.openings[at] = opening
        self.put(leaf.serialise())
        return leaf

    def put(self, entry: bytes) -> None:
        """Append whatever it is."""
        self.entries.append(entry)
        self.tree.append(leaf_hash(entry))

    def known(self) -> list[KnownHead]:
        """Return the heads that were signed, as a verifier knows them."""
        return [KnownHead(head, f"head of {head.size}") for head in self.heads]

    def copy(self) -> "History":
        """Return the same log, to go on otherwise."""
        tree = Frontier(self.tree.size, self.tree.hashes)
        parts = list(self.entries), dict(self.openings), dict(self.attested), list(self.heads)
        return History(*parts, tree, self.epoch)


class Memory(dict[str, bytes]):
    """A storage that holds what it was given."""

    def read(self, path: str) -> bytes | None:
        """Return the bytes at a path."""
        return self.get(path)


def stored(entries: list[bytes], note: bytes = b"") -> Memory:
    """Return the tiles and bundles of a log of these entries, made without any code of `files`."""
    memory = Memory({CHECKPOINT: note} if note else {})
    for at in range(0, len(entries), WIDTH):
        part = entries[at : at + WIDTH]
        memory[Tile(ENTRIES, at // WIDTH, len(part)).path] = bundle(part)
    hashes, level = [leaf_hash(entry) for entry in entries], 0
    while hashes:
        above = []
        for at in range(0, len(hashes), WIDTH):
            part = hashes[at : at + WIDTH]
            memory[Tile(level, at // WIDTH, len(part)).path] = b"".join(part)
            if len(part) == WIDTH:
                above.append(parent(part))
        hashes, level = above, level + 1
    return memory
