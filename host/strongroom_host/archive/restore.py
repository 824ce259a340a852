"""Making a log of an archive again: the folder as `strongroom log` keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from strongroom_wire.leaves import Leaf

from strongroom_host.archive.contents import look
from strongroom_host.archive.errors import HistoriesDiffer, ObjectAltered
from strongroom_host.archive.manifest import Manifest, boot_key, openings_key, segment_key
from strongroom_host.archive.sealed import open_openings
from strongroom_host.archive.segments import Segment
from strongroom_host.archive.store import Store
from strongroom_host.contract.openings import record_in
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.files import LogFiles
from strongroom_host.log.openings import Openings

__all__ = ["Restored", "restore"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back. `added` leaves were not in the folder before."""

    manifest: Manifest
    added: int
    openings: int
    boots: int


def restore(
    store: Store,
    folder: Path,
    openings_key: bytes = b"",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Restored:
    """Puts the newest archived log into a folder, which may hold a beginning of it already.

    Every object is proved to be what its name says, and the leaves to lead to the head of the
    manifest; whose signature that carries, `strongroom log verify` says. Run again, it goes on.

    Raises:
        NotArchived, OtherLog: there is no archive, or more than one.
        ObjectMissing, ObjectAltered, SegmentMalformed: something of it is gone.
        LeafConflict: the folder has another history.
        HistoriesDiffer: the leaves lead to another head than the manifest's, or the folder has
            more leaves.
        OpeningsSealed: another key's openings.
        LogUnwritable: run it again when the disk is mended.
    """
    manifest = look(store).required(store.place)
    with LogFiles(folder) as log:
        before = log.size
        if before > manifest.size:
            raise HistoriesDiffer(
                "the folder has more leaves than the archive",
                expected=f"{manifest.size} or fewer",
                actual=before,
                remedy="restore into an empty folder, and compare the two",
            )
        for entry in manifest.segments:
            if entry.end <= before:  # the head, below, is of these too
                continue
            segment = Segment(store.read(segment_key(entry)))
            if (segment.start, segment.end) != (entry.start, entry.end):
                raise ObjectAltered(f"{segment_key(entry)} has other leaves than its name says")
            log.append(segment.start, list(segment.entries()))
            progress(segment.end, manifest.size)
        if log.head != manifest.head:
            raise HistoriesDiffer(
                "the leaves lead to another head than the manifest's",
                expected=manifest.root,
                actual=log.head.root.hex(),
                remedy="restore into an empty folder, and compare the two",
            )
        if log.published <= manifest.size:
            log.publish(manifest.checkpoint.encode())
        opened = _openings(store, manifest, folder, openings_key, log)
    boots = Boots(folder)
    for each in manifest.boots:
        data = bytes(store.read(boot_key(each)))
        boots.add(StoredBoot.parse(data, bytes.fromhex(each.boot)))
    return Restored(manifest, manifest.size - before, opened, len(manifest.boots))


def _openings(store: Store, manifest: Manifest, folder: Path, key: bytes, log: LogFiles) -> int:
    """Opens what is sealed and keeps what belongs to the leaves; returns how many."""
    if not key or not manifest.openings:
        return 0
    count, reader = 0, log.reader()
    with Openings(folder, write=True) as openings:
        for entry in manifest.openings:
            found = open_openings(store.read(openings_key(entry)), manifest.origin, key)
            leaves = reader.entries(entry.start, entry.end)
            for index, leaf in enumerate(leaves, entry.start):
                if index in found:
                    record_in(Leaf.parse(leaf), found[index])
            openings.put(found)
            count += len(found)
    return count
