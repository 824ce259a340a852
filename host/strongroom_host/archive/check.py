"""Verifying an archive: everything that the newest manifest names, read again and held against it.

Two questions, answered apart. Is this the log? Digests, layouts, leaves, heads of all manifests,
signatures: the store is believed nothing. Is it protected? That, only the store can say.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier

from strongroom_host.archive.contents import Contents, look
from strongroom_host.archive.errors import ArchiveError, ObjectMissing, SegmentMalformed
from strongroom_host.archive.manifest import (
    EVENTS,
    ArchivedSegment,
    Event,
    Manifest,
    boot_key,
    openings_key,
    segment_key,
)
from strongroom_host.archive.sealed import SealedOpenings, open_openings
from strongroom_host.archive.segments import Segment
from strongroom_host.archive.store import Store, day
from strongroom_host.contract.openings import record_in
from strongroom_host.errors import HostError
from strongroom_host.log.attested import ProvedBoot
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.errors import LogError, TileMissing
from strongroom_host.log.notes import VerifierKey, open_checkpoint
from strongroom_host.log.verify import Expected, KnownHead, Report, verify
from strongroom_host.log.witnessed import Quorum, witnessed

__all__ = ["ArchiveFinding", "ArchiveProblem", "ArchiveReport", "Trusted", "check"]


class ArchiveProblem(enum.Enum):
    """What can be wrong with an archive."""

    MISSING = "missing"
    """An object that the archive names is not there."""
    ALTERED = "altered"
    """What is there has another digest than its name says, or is not what it should be."""
    HIDDEN = "hidden"
    """Somebody put a delete marker or another version over an object; it is still there."""
    UNPROTECTED = "unprotected"
    """An object can be deleted or replaced: no compliance mode, or its date has passed."""
    LOG = "log"
    """The archived leaves are not in order, or lead to another head than a manifest says."""
    UNSIGNED = "unsigned"
    """No key that is known to be the log's signed the head of the newest manifest."""
    OPENING = "opening"
    """Sealed openings cannot be opened, or do not belong to their leaves."""


@dataclass(frozen=True, slots=True)
class ArchiveFinding:
    """One problem, and the object concerned."""

    problem: ArchiveProblem
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.problem.value}: {self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the archive is held against besides itself.

    Attributes:
        keys: Keys that may sign the log's heads.
        prove: Proves a boot's evidence: what its first leaf must say, the key that signs in it, and
            which witnesses its manifest names; None without the means.
        openings_key: The key of the sealed openings, or nothing.
    """

    keys: Collection[VerifierKey] = ()
    prove: Callable[[StoredBoot], ProvedBoot] | None = None
    openings_key: bytes = b""


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What was found.

    Attributes:
        manifest: The newest one, which is the archive.
        findings: What is wrong.
        log: What `strongroom_host.log.verify` says of the leaves.
        objects: How many objects were read, the manifests included.
        until_ms: The earliest date on which protection of any of them ends.
        held: How many are under a legal hold.
        signed: A known key signed the newest head.
        opened: How many openings were opened and belong to their leaves.
        sealed: How many are archived.
        keyed: There was a key to open them with.
        asked: Evidence proved which witnesses count, so their cosignatures were counted.
    """

    manifest: Manifest
    findings: tuple[ArchiveFinding, ...]
    log: Report
    objects: int
    until_ms: int
    held: int
    signed: bool
    opened: int
    sealed: int
    keyed: bool
    asked: bool

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return not self.findings and self.log.ok

    def not_excluded(self) -> tuple[str, ...]:
        """What this verification does not exclude, in sentences for its reader."""
        log = self.log
        if not self.asked:  # nobody knows then which witnesses count, so none is missed
            log = replace(log, witnessed=log.proven)
        found = list(log.not_excluded())
        if not self.signed:
            found.append(
                "Whose signature the head carries was not checked: whoever may write here could "
                "have made this archive. Give the boot's key, or the means to prove its evidence."
            )
        if not self.asked:
            found.append(
                "Which witnesses vouch for it was not checked: the evidence of its boots, once it "
                "is proved, says which ones count."
            )
        if self.sealed and not self.keyed:
            found.append(f"{self.sealed} sealed openings were not opened: no key was given.")
        if self.sealed < self.manifest.size:
            count = self.manifest.size - self.sealed
            found.append(f"What {count} leaves commit to is not archived.")
        return tuple(found)


def check(
    store: Store,
    trusted: Trusted,
    *,
    now_ms: int,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> ArchiveReport:
    """Verifies the archive in a store, whole.

    Raises:
        NotArchived: there is none.
        OtherLog: there are manifests of several logs.
        StoreUnreachable, AccessRefused and the others: the store cannot be read.
    """
    contents = look(store, every=True)
    manifest = contents.required(store.place)
    return _Check(store, trusted, contents, manifest, now_ms, progress).report()


@dataclass(slots=True)
class _Check:
    store: Store
    trusted: Trusted
    contents: Contents
    manifest: Manifest
    now_ms: int
    progress: Callable[[int, int], None]
    findings: list[ArchiveFinding] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    opened: int = 0

    def report(self) -> ArchiveReport:
        for key, error in self.contents.unreadable.items():
            self._find(ArchiveProblem.ALTERED, key, error.what)
        proved = self._boots()
        keys = [*self.trusted.keys, *(boot.key for boot in proved)]
        signed = self._signature(keys)
        heads = [KnownHead(each.head, key) for key, each in self.contents.manifests.items()]
        attested = {boot.boot_id: boot.attested for boot in proved}
        vouched = self._witnessed(proved, keys) if signed else 0
        log = verify(self._leaves(), Expected(heads, boots=attested, witnessed=vouched))
        for finding in log.findings:
            self._find(ArchiveProblem.LOG, f"leaf {finding.start}", str(finding))
        self._events()
        until, held = self._protected()
        self.findings.sort(key=lambda each: list(ArchiveProblem).index(each.problem))
        return ArchiveReport(
            manifest=self.manifest,
            findings=tuple(self.findings),
            log=log,
            objects=len(self.read),
            until_ms=until,
            held=held,
            signed=signed,
            opened=self.opened,
            sealed=sum(each.known for each in self.manifest.openings),
            keyed=bool(self.trusted.openings_key),
            asked=signed and bool(proved),
        )

    def _find(self, problem: ArchiveProblem, where: str, what: str) -> None:
        self.findings.append(ArchiveFinding(problem, where, what))

    def _get(self, key: str, size: int) -> bytes | memoryview | None:
        """An object that the manifest names, or None, and then a finding says why."""
        try:
            data = self.store.read(key)
        except ObjectMissing as error:
            self._find(ArchiveProblem.MISSING, key, error.what)
        except ArchiveError as error:
            self._find(ArchiveProblem.ALTERED, key, error.what)
        else:
            self.read.add(key)
            if len(data) == size:
                return data
            what = f"the manifest says {size} bytes, there are {len(data)}"
            self._find(ArchiveProblem.ALTERED, key, what)
        return None

    # --- whose log it is ----------------------------------------------------------------------

    def _boots(self) -> list[ProvedBoot]:
        """What the archived evidence proves, where there are the means to."""
        proved: list[ProvedBoot] = []
        for entry in self.manifest.boots:
            key, boot_id = boot_key(entry), bytes.fromhex(entry.boot)
            data = self._get(key, entry.bytes)
            if data is None:
                continue
            try:
                stored = StoredBoot.parse(bytes(data), boot_id)
                if self.trusted.prove is not None:
                    proved.append(self.trusted.prove(stored))
            except HostError as error:
                self._find(ArchiveProblem.ALTERED, key, f"its evidence proves nothing: {error}")
        return proved

    def _signature(self, keys: Collection[VerifierKey]) -> bool:
        """Whether one of these keys signed the newest head; where there are any, one must have."""
        if not keys and self.trusted.prove is None:
            return False
        try:
            open_checkpoint(self.manifest.checkpoint.encode(), self.manifest.origin, keys)
        except LogError as error:
            self._find(ArchiveProblem.UNSIGNED, self.manifest.key, error.what)
            return False
        return True

    def _witnessed(self, proved: Sequence[ProvedBoot], keys: Collection[VerifierKey]) -> int:
        """Up to which leaf the witnesses that the signing boot's manifest names vouch."""
        note, origin = self.manifest.checkpoint.encode(), self.manifest.origin
        signers = open_checkpoint(note, origin, keys).signers
        boot = next((each for each in proved if each.key in signers), None)
        if boot is None:
            return 0
        try:
            return witnessed([note], origin, keys, Quorum.of(boot.manifest.manifest)).size
        except LogError as error:
            self._find(ArchiveProblem.UNSIGNED, self.manifest.key, error.what)
            return 0

    # --- the leaves ---------------------------------------------------------------------------

    def _leaves(self) -> Iterator[bytes]:
        """All leaves, segment after segment; ends, as a store does, where one is not there."""
        tree = Frontier()
        for entry in self.manifest.segments:
            key = segment_key(entry)
            data = self._get(key, entry.bytes)
            if data is None:
                raise TileMissing("a segment is missing or altered", expected=key)
            try:
                segment = self._segment(entry, data, tree)
            except SegmentMalformed as error:
                self._find(ArchiveProblem.ALTERED, key, error.what)
                raise TileMissing("a segment is none", expected=key) from error
            yield from segment.entries()
            for index in range(segment.start, segment.end):
                tree.append(segment.leaf_hash(index))
            self._openings(segment)
            self.progress(segment.end, self.manifest.size)

    def _segment(self, entry: ArchivedSegment, data: bytes | memoryview, tree: Frontier) -> Segment:
        segment = Segment(data)
        segment.check(self.manifest.origin)
        boots = tuple(segment.boot(number)[0].hex() for number in range(segment.boots))
        described = segment.start, segment.end, *segment.span, boots
        named = entry.start, entry.end, entry.earliest_ms, entry.latest_ms, entry.boots
        if described != named or segment.before != tree.head:
            raise SegmentMalformed("the segment is another than the manifest says")
        return segment

    def _openings(self, segment: Segment) -> None:
        for entry in self.manifest.openings:
            if entry.start != segment.start:
                continue
            key = openings_key(entry)
            data = self._get(key, entry.bytes)
            if data is None:
                continue
            try:
                header = SealedOpenings.parse(data)
                if (header.end, header.known, header.key_id.hex()) != (
                    entry.end,
                    entry.known,
                    entry.key_id,
                ):
                    raise SegmentMalformed("the openings are others than the manifest says")
                if self.trusted.openings_key:
                    found = open_openings(data, self.manifest.origin, self.trusted.openings_key)
                    for index, opening in found.items():
                        record_in(Leaf.parse(bytes(segment.leaf(index))), opening)
                    self.opened += len(found)
            except (ArchiveError, WireError) as error:
                self._find(ArchiveProblem.OPENING, key, str(error))

    # --- what the store says ------------------------------------------------------------------

    def _events(self) -> None:
        for key in self.contents.objects:
            if key.startswith(EVENTS):
                try:
                    Event.parse(bytes(self.store.read(key)))
                    self.read.add(key)
                except ArchiveError as error:
                    self._find(ArchiveProblem.ALTERED, key, error.what)

    def _protected(self) -> tuple[int, int]:
        """The earliest date at which anything read loses its protection, and how many are held."""
        self.read |= self.contents.manifests.keys()
        dates, held = [], 0
        for key in sorted(self.read):
            kept = self.store.protection(key)
            held += kept.hold
            dates.append(kept.until_ms)
            if kept.mode != self.store.mode:
                what = f"its mode is {kept.mode or 'none'}, not {self.store.mode}"
                self._find(ArchiveProblem.UNPROTECTED, key, what)
            elif kept.until_ms <= self.now_ms and not kept.hold:
                what = f"its retention ended on {day(kept.until_ms)}"
                self._find(ArchiveProblem.UNPROTECTED, key, what)
        for each in self.store.objects():
            if each.hidden:
                what = "a delete marker or another version lies over it"
                self._find(ArchiveProblem.HIDDEN, each.key, what)
        return min(dates, default=0), held
