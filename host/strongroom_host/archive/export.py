"""Writing a log to an archive: only what is missing, verified after it was stored.

Objects first, the manifest that names them last: an archive without the new manifest is the old
archive, whatever else an interrupted run left in it. The same command run again finds what is there
and goes on. Nothing is believed because it is there: every digest is computed from the log again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256

from strongroom_wire.bundle import LogHead
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier

from strongroom_host.archive.contents import Contents, look
from strongroom_host.archive.errors import (
    ArchiveAhead,
    HistoriesDiffer,
    NothingSigned,
    OtherLog,
    RetentionTooShort,
    Unprotected,
)
from strongroom_host.archive.manifest import (
    EVENT_FORMAT,
    FORMAT,
    ArchivedBoot,
    ArchivedOpenings,
    ArchivedSegment,
    Event,
    Manifest,
    boot_key,
    openings_key,
    segment_key,
)
from strongroom_host.archive.sealed import key_id, seal_openings
from strongroom_host.archive.segments import Segment, build, cuts
from strongroom_host.archive.store import Protection, Store, checked, day, to_second
from strongroom_host.contract.openings import record_in
from strongroom_host.log import proofs
from strongroom_host.log.boots import Boots
from strongroom_host.log.errors import LogDamaged
from strongroom_host.log.notes import Checkpoint, Note
from strongroom_host.log.openings import Openings
from strongroom_host.log.stored import StoredLog, head_of
from strongroom_host.log.tiles import CHECKPOINT
from strongroom_host.log.tree import LogReader
from strongroom_host.log.verify import Expected, KnownHead, verify

__all__ = ["Exported", "Order", "export"]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be archived, and how.

    Attributes:
        log: The log; the leaves up to its newest signed head go into the archive.
        boots: Evidence of its boots.
        openings: What the leaves commit to; they are archived only where there is a key.
        openings_key: The key that seals them, 32 bytes, or nothing.
        retention_ms: How long objects are kept from now on.
        now_ms: This machine's clock, ms since the epoch of Unix.
        by: Who does it, for the event.
        progress: Is called with the leaves archived so far, and how many there are.
    """

    log: StoredLog
    boots: Boots
    openings: Openings
    openings_key: bytes
    retention_ms: int
    now_ms: int
    by: str
    progress: Callable[[int, int], None] = field(default=lambda _done, _all: None)

    @property
    def until_ms(self) -> int:
        """Until when objects are kept."""
        return to_second(self.now_ms + self.retention_ms)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Attributes:
        manifest: What the archive consists of now.
        added: Names of the objects that were stored.
        renewed: Names of those whose protection had to be set again.
        hidden: Names of those over which somebody put a delete marker or another version.
        unsigned: Leaves of the log that no signed head has yet, and that are not archived.
        unproved: Boots, in hex, of which the log's folder has no evidence.
    """

    manifest: Manifest
    added: tuple[str, ...]
    renewed: tuple[str, ...]
    hidden: tuple[str, ...]
    unsigned: int
    unproved: tuple[str, ...]


def export(order: Order, store: Store) -> Exported:
    """Brings the archive in `store` up to the log's newest signed head.

    Raises:
        NothingSigned: the log has no signed head.
        LogDamaged: its leaves do not lead to it, or are not in order.
        OtherLog, ArchiveAhead, HistoriesDiffer: what is archived is not a beginning of this log.
        RetentionTooShort: what is archived is kept longer than is asked for now.
        Unprotected: the store keeps something less long than asked, or not at all.
        ObjectAltered: what was read back is not what was stored.
        ArchiveUnwritable, AccessRefused and the other errors of the store: run it again.
    """
    note, reader = _signed(order.log)
    store.prepare(order.now_ms)
    contents = look(store)
    origin = Checkpoint.parse(Note.parse(note).text).origin
    before = _continues(contents, store, origin, reader)
    hold = False
    if before is not None:
        kept = store.protection(before.key)
        hold = kept.hold
        if order.until_ms < kept.until_ms:
            raise RetentionTooShort(
                "what is archived already is kept longer than that",
                expected=f"a retention that reaches {day(kept.until_ms)}, or longer",
                actual=day(order.until_ms),
                remedy="give a longer --retention: one log is kept under one rule",
            )
    _in_order(reader, [] if before is None else [before.head])
    writer = _Writer(store, contents, before, Protection(store.mode, order.until_ms, hold), order)
    manifest = writer.write(origin, note.decode(), reader)
    if before is not None and not hold and store.protection(before.key).hold:
        writer.hold()  # it was put while this ran
    unproved = set(_boots_of(manifest)) - {each.boot for each in manifest.boots}
    return Exported(
        manifest,
        tuple(writer.added),
        tuple(writer.renewed),
        tuple(key for key, each in contents.objects.items() if each.hidden),
        order.log.size - manifest.size,
        tuple(sorted(unproved)),
    )


def _signed(log: StoredLog) -> tuple[bytes, LogReader]:
    """The largest signed head, with the cosignatures that were collected for it."""
    note, published = log.signed, log.read(CHECKPOINT)
    if note is None or not head_of(note).size:
        raise NothingSigned(
            f"{log.folder} has no signed head",
            expected="a checkpoint",
            remedy="run `strongroom log pull` or `strongroom log keep` first",
        )
    if published is not None and head_of(published).size >= head_of(note).size:
        note = published
    return note, log.reader(head_of(note).size)


def _continues(contents: Contents, store: Store, origin: str, reader: LogReader) -> Manifest | None:
    """Proves that what is archived is a beginning of the log, and returns its manifest."""
    if not contents.manifests:
        return None
    before = contents.required(store.place)
    if before.origin != origin:
        raise OtherLog(
            f"{store.place} is the archive of another log",
            expected=origin,
            actual=before.origin,
            remedy="give each log a directory or prefix of its own",
        )
    if before.size > reader.head.size:
        raise ArchiveAhead(
            "the archive has more leaves than the log",
            expected=f"{before.size} leaves or more",
            actual=reader.head.size,
            remedy="an old copy of the log was restored: `strongroom archive restore` gives the "
            "archived one back; or its newest leaves are not signed yet: pull first",
        )
    for key, each in contents.manifests.items():
        found = _head(reader, each.size)
        if found != each.head:
            raise HistoriesDiffer(
                "the archive and the log are of different histories",
                expected=f"{each.head.root.hex()} at {each.size}, as {key} says",
                actual=found.root.hex(),
                remedy="keep both and find out which is true; do not archive over it",
            )
    return before


def _head(reader: LogReader, size: int) -> LogHead:
    return proofs.head(size, reader.hashes)


def _in_order(reader: LogReader, heads: list[LogHead]) -> None:
    known = [KnownHead(head, "the archive") for head in heads]
    known.append(KnownHead(reader.head, "the log's checkpoint"))
    report = verify(reader.entries(), Expected(known))
    if not report.ok:
        raise LogDamaged(
            "the log is not in order, and is not archived so",
            expected="leaves that lead to its signed head",
            actual="; ".join(map(str, report.findings[:5])),
            remedy="keep the folder as it is; `strongroom log verify` says more",
        )


def _boots_of(manifest: Manifest) -> Iterator[str]:
    for segment in manifest.segments:
        yield from segment.boots


class _Writer:
    """One run of an export."""

    def __init__(
        self,
        store: Store,
        contents: Contents,
        before: Manifest | None,
        wanted: Protection,
        order: Order,
    ) -> None:
        self._store, self._there = store, contents.objects
        self._named = frozenset() if before is None else before.sizes().keys() | {before.key}
        self._wanted, self._order = wanted, order
        self.added: list[str] = []
        self.renewed: list[str] = []

    def write(self, origin: str, note: str, reader: LogReader) -> Manifest:
        """Stores what is missing, and returns the manifest of all of it."""
        segments, openings = [], []
        tree = Frontier()
        for start, end in cuts(reader.head.size):
            data = build(origin, tree, list(reader.entries(start, end)))
            segment = Segment(data)
            for index in range(start, end):
                tree.append(segment.leaf_hash(index))
            entry = _segment_entry(segment, data)
            self._keep(segment_key(entry), data)
            segments.append(entry)
            openings += self._openings(origin, segment)
            self._order.progress(end, reader.head.size)
        boots = sorted({boot for segment in segments for boot in segment.boots})
        manifest = Manifest(
            FORMAT,
            origin,
            reader.head.size,
            reader.head.root.hex(),
            note,
            tuple(segments),
            tuple(openings),
            tuple(filter(None, map(self._boot, boots))),
        )
        if self.added or manifest.key not in self._there:
            # Before the manifest, so that none is ever there without somebody to answer for it.
            event = Event(
                EVENT_FORMAT,
                self._order.now_ms,
                self._order.by,
                "export",
                "",
                manifest.key,
                self._wanted.until_ms,
                tuple(self.added),
            )
            self._keep(event.key, event.serialise())
        self._keep(manifest.key, manifest.serialise())
        return manifest

    def hold(self) -> None:
        """Puts what was stored by now under a legal hold."""
        for key in self.added:
            self._store.protect(key, replace(self._store.protection(key), hold=True))

    def _openings(self, origin: str, segment: Segment) -> list[ArchivedOpenings]:
        """Seals and stores what is known of a segment's openings."""
        key = self._order.openings_key
        if not key:
            return []
        known = dict(self._order.openings.items(segment.start, segment.end))
        for index, opening in known.items():
            record_in(Leaf.parse(bytes(segment.leaf(index))), opening)
        if not known:
            return []
        data = seal_openings(origin, segment.start, segment.end, known, key)
        digest = sha256(data).hexdigest()
        entry = ArchivedOpenings(
            segment.start, segment.end, len(data), digest, len(known), key_id(key).hex()
        )
        self._keep(openings_key(entry), data)
        return [entry]

    def _boot(self, boot: str) -> ArchivedBoot | None:
        stored = self._order.boots.get(bytes.fromhex(boot))
        if stored is None:
            return None
        data = stored.serialise()
        entry = ArchivedBoot(boot, len(data), sha256(data).hexdigest())
        self._keep(boot_key(entry), data)
        return entry

    def _keep(self, key: str, data: bytes) -> None:
        """Sees to it that an object is there, is the right one, and is protected."""
        if key not in self._there:
            self._store.put(key, data, self._wanted)
            self.added.append(key)
        # What a finished export named was read back then. `check` reads it again.
        if key not in self._named:
            checked(key, self._store.read(key))
        kept, wanted = self._store.protection(key), self._wanted
        if not self._suffices(key, kept):
            until, held = max(kept.until_ms, wanted.until_ms), kept.hold or wanted.hold
            self._store.protect(key, Protection(wanted.mode, until, held))
            self.renewed.append(key)
            kept = self._store.protection(key)
        if not self._suffices(key, kept):
            raise Unprotected(
                f"{self._store.place} does not protect {key} as asked",
                expected=f"{wanted.mode} until {day(wanted.until_ms)}",
                actual=f"{kept.mode or 'nothing'} until {day(kept.until_ms)}",
                remedy="check the bucket's Object Lock and who may change it",
            )

    def _suffices(self, key: str, kept: Protection) -> bool:
        """Whether an object is protected: a new one as long as asked, an old one at all.

        A hold that somebody put on it alone stays: no export lifts one.
        """
        least = self._order.now_ms if key in self._named else self._wanted.until_ms
        held = kept.hold or not self._wanted.hold
        return kept.mode == self._wanted.mode and held and kept.until_ms >= least


def _segment_entry(segment: Segment, data: bytes) -> ArchivedSegment:
    boots = tuple(segment.boot(number)[0].hex() for number in range(segment.boots))
    digest = sha256(data).hexdigest()
    return ArchivedSegment(segment.start, segment.end, len(data), digest, *segment.span, boots)
