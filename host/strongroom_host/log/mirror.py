"""A stored log brought up to what somebody else shows of it: the owner's copy of his bots' log.

Nothing is stored before it is proved that the shown log begins with the stored one, and that each
leaf is under the shown head, which a key of the log has to have signed where any is known. What the
boots were that signed it is for `examine` to say, and for the next permit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec
from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import leaf_hash

from strongroom_host.log.boots import Boots
from strongroom_host.log.errors import (
    CheckpointMalformed,
    HeadsInconsistent,
    LogForked,
    LogUnreadable,
)
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import Checkpoint, Note
from strongroom_host.log.own_heads import newer_head
from strongroom_host.log.proofs import verify_consistency
from strongroom_host.log.sources import LogSource, boot_ids, read_boot
from strongroom_host.log.tiles import WIDTH, WITNESSED
from strongroom_host.log.tree import LogReader

__all__ = ["Mirrored", "mirror"]

_CHUNK: Final = 16 * WIDTH


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How many leaves, and the evidence of how many boots, were new; the head that was shown. It
    may have fewer leaves than are stored, and then nothing was new."""

    leaves: int
    boots: int
    head: LogHead


def mirror(
    log: LogFiles, source: LogSource, vouched: Callable[[bytes], object] = lambda _note: None
) -> Mirrored:
    """Brings `log` up to what `source` shows, and publishes the notes that it shows.

    `vouched` is given each note before anything rests on it, and raises if no key of the log has
    signed it: or else whoever serves the log could add what he likes to the copy.

    Raises:
        LogError: what `vouched` raised; nothing was stored.
        LogUnreadable: the source shows no signed head, or cannot be read.
        NoteMalformed, CheckpointMalformed: what it shows is none, or another log's.
        LogForked: what it shows is another history than the one stored; nothing more was stored.
        HeadsInconsistent: its leaves are not those under its own head; those before are stored.
        TileMissing, TileMalformed, BundleMalformed: it has not what it should have.
        LogUnwritable: see `LogFiles.append`.
    """
    notes = [note for note in (source.checkpoint, source.note) if note]
    if not notes:
        raise LogUnreadable(
            "no signed head is shown there", remedy="wait until the log's keeper has published one"
        )
    # Of two with one size the published one, which may be cosigned.
    note = max(notes, key=lambda each: _checkpoint(each).head.size)
    vouched(note)
    shown, known = _checkpoint(note), log.signed
    if known is not None:
        _check_origin(_checkpoint(known), shown)
    before, head = log.size, shown.head
    if head.size < before:
        _check_same(log.reader(head.size).head, head)
        return Mirrored(0, _take_boots(log, source, before), head)
    reader = LogReader(source, head, max(source.size, head.size))
    if before == head.size:
        _check_same(log.head, head)
    else:
        _continue(log, reader, note)
    if log.published < head.size or head.size == before:
        log.publish(note)  # also for cosignatures that it has got since
    cosigned = source.read(WITNESSED)
    if cosigned and (claimed := _checkpoint(cosigned)).head.size <= log.size:
        vouched(cosigned)
        _check_origin(shown, claimed)
        _check_same(log.reader(claimed.head.size).head, claimed.head)
        log.vouch(cosigned)
    return Mirrored(head.size - before, _take_boots(log, source, before), head)


def _continue(log: LogFiles, reader: LogReader, note: bytes) -> None:
    """Stores the leaves that are new, some at a time, each time after their proof."""
    try:
        reader.continues(log.head)
    except HeadsInconsistent as error:
        raise _forked(log.head, reader.head) from error
    head = reader.head
    while log.size < head.size:
        start, tree = log.size, log.frontier
        entries = list(reader.entries(start, start - start % WIDTH + _CHUNK))
        for entry in entries:
            tree.append(leaf_hash(entry))
        proof = () if tree.size == head.size else reader.consistency_proof(tree.size)
        verify_consistency(tree.head, head, proof)
        log.append(start, entries, note if tree.size == head.size else b"")


def _take_boots(log: LogFiles, source: LogSource, before: int) -> int:
    """Stores the evidence of boots of which there is none yet: what is there may be verified. Of a
    boot that went on since, it takes the head that it signed last, if it did."""
    boots, added = Boots(log.folder), 0
    shown, known = set(boot_ids(source)), set(boots.ids())
    for boot_id in shown - known:
        boots.add(read_boot(source, boot_id))
        added += 1
    for boot_id in _boots_after(log, before) & shown & known:
        kept, note = boots.get(boot_id), read_boot(source, boot_id).note
        if kept is not None and note and newer_head(kept, note):
            boots.add(msgspec.structs.replace(kept, note=note))
    return added


def _boots_after(log: LogFiles, before: int) -> set[bytes]:
    """The boots that wrote the last of so many leaves, or one after them."""
    found = set[bytes]()
    for entry in log.reader().entries(max(before - 1, 0)):
        with suppress(WireError):
            found.add(Leaf.parse(entry).epoch)
    return found


def _checkpoint(note: bytes) -> Checkpoint:
    return Checkpoint.parse(Note.parse(note).text)


def _check_origin(stored: Checkpoint, shown: Checkpoint) -> None:
    if stored.origin != shown.origin:
        raise CheckpointMalformed(
            "that is another log", expected=stored.origin, actual=shown.origin
        )


def _check_same(stored: LogHead, shown: LogHead) -> None:
    if stored != shown:
        raise _forked(stored, shown)


def _forked(stored: LogHead, shown: LogHead) -> LogForked:
    return LogForked(
        f"the log of {shown.size} leaves that is shown is another history than the one stored",
        expected=f"{stored.size} leaves, root {stored.root.hex()}",
        actual=f"{shown.size} leaves, root {shown.root.hex()}",
        remedy="keep both: one of them was forked, edited or restored from an old copy"
        " (`strongroom log compare`)",
    )
