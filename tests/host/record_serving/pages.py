"""A record's log as its process pushes it: real leaves, signed by the key of a boot."""

from msgspec.structs import replace
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.keeper import Source
from strongroom_host.log.notes import VerifierKey
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.pages import Entry, LogPage

from tests.host.log.histories import History
from tests.wire.samples import bundle, byte, private_key, public

__all__ = ["RECORD_ORIGIN", "Pushing", "source_of"]

RECORD_ORIGIN = log_origin(byte(1), "fund", Role.RECORD)


def source_of(boot: int) -> Source:
    """Who vouches for the pages of a boot."""
    keys = replace(bundle(), boot_id=byte(boot)).serialise()
    evidence = StoredBoot(b"document", keys, b"manifest", 1)
    return Source(lambda _: b"", VerifierKey(RECORD_ORIGIN, public(boot)), evidence)


class Pushing:
    """A record's log, boot after boot; `page` is what would be pushed next."""

    def __init__(self) -> None:
        self.history, self.number, self.pushed = History(), 0, 0

    def boot(self) -> "Pushing":
        self.number += 1
        self.history.boot(self.number)
        return self

    def went_on(self, count: int = 1) -> "Pushing":
        """Add leaves that commit to nothing in the database."""
        for _ in range(count):
            self.history.add(Kind.PERMIT, byte(7))
        return self

    def leaf(self, kind: Kind, root: bytes, record: bytes) -> "Pushing":
        """Add a leaf of an account's: a receipt, and the root of the states then."""
        at = self.history.tree.size
        opening = byte(at) + record
        self.history.openings[at] = opening
        made = Leaf(kind, self.history.epoch, at, 1, commitment(opening), root)
        self.history.put(made.serialise())
        return self

    def page(
        self, first: int | None = None, signer: int | None = None, count: int | None = None
    ) -> bytes:
        """Return a page of all leaves from `first` on, by default those not pushed yet, or of so
        many of them; its head is that of all."""
        first = self.pushed if first is None else first
        self.pushed = len(self.history.entries) if count is None else first + count
        text = checkpoint_text(RECORD_ORIGIN, self.history.tree.head)
        entries = tuple(
            Entry(leaf, self.history.openings[index])
            for index, leaf in enumerate(self.history.entries[first : self.pushed], first)
        )
        signature = private_key(signer or self.number).sign(text)
        return LogPage(text, signature, entries).serialise()
