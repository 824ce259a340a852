"""The newest head that each boot signed itself, kept beside its evidence.

A later boot takes the leaves before its own from the permit of its owners, so only a head of the
boot that wrote a leaf proves that this boot wrote it. The head of a boot that runs is stored with
its leaves; when the next one's is about to take its place, it goes to the boot's evidence.
"""

from __future__ import annotations

import msgspec
from strongroom_wire.bundle import Bundle
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf

from strongroom_host.contract.roles import role_keys
from strongroom_host.log.attested import role_of
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.errors import LogError
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import Checkpoint, Note, SignedHead, VerifierKey, open_checkpoint
from strongroom_host.log.stored import head_of

__all__ = ["keep_own_head", "newer_head", "own_head"]


def own_head(boot: StoredBoot, note: bytes, origin: str) -> SignedHead:
    """Proves that a note is this boot's, by the key in its bundle; the bundle is not proved here.

    Raises:
        LogError: it is of another log or key, or no note.
    """
    try:
        key = VerifierKey(origin, role_keys(Bundle.parse(boot.bundle), role_of(origin)).receipt)
    except WireError as error:
        raise LogError("a boot's evidence has no key for this log", actual=error) from error
    return open_checkpoint(note, origin, [key])


def keep_own_head(log: LogFiles) -> None:
    """Keeps the head that is stored with the leaves beside the evidence of the boot that wrote the
    last of them, if that signed it and its evidence is there. Nothing that is kept gets older.

    Raises:
        LogDamaged, LogUnwritable: see `Boots`.
    """
    note, boots = log.signed, Boots(log.folder)
    if note is None or not 0 < head_of(note).size <= log.size:
        return
    try:
        leaf = Leaf.parse(log.leaf(head_of(note).size - 1))
    except WireError:
        return  # a log of somebody else's making
    if (kept := boots.get(leaf.epoch)) is not None and newer_head(kept, note):
        boots.add(msgspec.structs.replace(kept, note=note))


def newer_head(kept: StoredBoot, note: bytes) -> bool:
    """Whether the boot signed this note, and it has more leaves than the one kept of it."""
    try:
        known = head_of(kept.note).size if kept.note else 0
        origin = Checkpoint.parse(Note.parse(note).text).origin
        return own_head(kept, note, origin).head.size > known
    except LogError:
        return False
