"""A log and all that is kept of it, examined offline: evidence, signatures, leaves, records.

`verify` holds leaves against heads and says nothing of whose heads they are. Here the heads come
from the log's own folder, and each is worth what the evidence of its boot proves: the platform's
document gives image, manifest and key; the key signed the checkpoint; the checkpoint has the
leaves; the leaf of each boot has its permit. Whom the reader means, he says himself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier

from strongroom_host.errors import HostError
from strongroom_host.log import proofs
from strongroom_host.log.attested import ProvedBoot, prove_boot
from strongroom_host.log.errors import (
    HeadsInconsistent,
    LogDamaged,
    LogError,
    NotIncluded,
    OutsideLog,
    TileMalformed,
    TileMissing,
)
from strongroom_host.log.examination import Examination, ExaminedBoot, Meant, SignedNote
from strongroom_host.log.notes import Checkpoint, Note, VerifierKey, open_checkpoint
from strongroom_host.log.records import RecordsOfBoots
from strongroom_host.log.sources import LogSource, boot_ids, read_boot, reader_of
from strongroom_host.log.tiles import WITNESSED
from strongroom_host.log.verify import (
    Expected,
    Finding,
    KnownHead,
    OpeningsByIndex,
    Problem,
    Report,
    compare_heads,
    verify,
)
from strongroom_host.log.witnessed import Quorum, Witnessed, witnessed

__all__ = ["examine"]

_ANY: Final = 1 << 64
_LOST: Final = (Problem.SHORTER, Problem.FORKED, Problem.EDITED)
_UNREADABLE: Final = (TileMissing, TileMalformed, NotIncluded)


def examine(
    source: LogSource,
    meant: Meant,
    *,
    openings: OpeningsByIndex | None = None,
    start: int = 0,
    end: int | None = None,
) -> Examination:
    """Examines a log, or the leaves from `start` up to and without `end`.

    Raises:
        OutsideLog: the range is none of this log.
        LogUnreadable: the source does not give what it has.
    """
    return _Examiner(source, meant, openings, start, end).run()


class _Examiner:
    """One examination, in its steps."""

    def __init__(
        self,
        source: LogSource,
        meant: Meant,
        openings: OpeningsByIndex | None,
        start: int,
        end: int | None,
    ) -> None:
        self._source, self._meant, self._openings = source, meant, openings
        self._size = source.size
        self._end = self._size if end is None else end
        self._start = start
        if not 0 <= start <= self._end <= self._size:
            raise OutsideLog(
                "no such range of leaves",
                expected=f"within {self._size} leaves",
                actual=f"{start} to {self._end}",
            )
        self._reader = reader_of(source)
        self._proved: dict[bytes, ProvedBoot] = {}
        self._failed: dict[bytes, HostError] = {}
        self._findings: list[Finding] = []
        self._given_up: list[str] = []
        self._held: dict[int, bytes] = {}

    def run(self) -> Examination:
        # 1. The evidence of each boot, at its own time: image, manifest, key, and a head.
        self._prove_boots()
        # 2. The notes, each signed by the key of such a boot.
        origin = self._meant.origin or self._origin()
        notes = self._open_notes(origin)
        # 3. The witnesses of the manifest of the boot that signed the newest of them.
        quorum, vouched = self._witnesses(origin, notes)
        # 4. The leaves, against every head that somebody vouches for and what clients were handed;
        #    and the records in them.
        self._held = self._handed_out()
        known = [KnownHead(note.signed.head, note.source) for note in notes]
        known += self._meant.heads
        known += [p.head for p in self._proved.values() if p.head and p.key.name == origin]
        report, records = self._pass(known, vouched)
        # 5. What the owners gave up is no longer missed.
        if any(found.problem in _LOST for found in report.findings):
            signers = [(note.signed.head, note.boot_id) for note in notes]
            signers += [(p.head.head, p.boot_id) for p in self._proved.values() if p.head]
            kept = [
                each
                for each in known
                if not self._is_given_up(
                    each, {boot for head, boot in signers if head == each.head}, report, records
                )
            ]
            if len(kept) < len(known):
                report, records = self._pass(kept, vouched)
                known = kept
        # 6. Heads outside the range, by their proofs; owners, from boot to boot; failed evidence.
        self._check_outside(known)
        boots = self._boots(report, records, notes)
        self._check_owners(boots, origin)
        findings = (*report.findings, *self._findings)
        return Examination(
            origin,
            self._start,
            self._end,
            report,
            tuple(sorted(findings, key=lambda each: (each.start, each.end))),
            boots,
            notes,
            vouched,
            quorum,
            tuple(self._given_up),
            "" if self._meant.trust is None else self._meant.trust.caution,
        )

    # --- who vouches --------------------------------------------------------------------------

    def _prove_boots(self) -> None:
        if self._meant.trust is None:
            return
        try:
            ids = boot_ids(self._source)
        except LogError as error:
            self._find(Problem.UNPROVED, 0, 0, error.what)
            return
        for boot_id in ids:
            try:
                stored = read_boot(self._source, boot_id)
                proved = prove_boot(
                    stored, self._meant.trust, self._meant.owner_root, self._meant.role
                )
            except LogError as error:
                self._failed[boot_id] = error
            else:
                self._proved[boot_id] = proved

    def _origin(self) -> str:
        """The log's name: the one that its checkpoint says, if a boot that is proved has it."""
        names = [key.name for key in self._meant.keys]
        names += [proved.key.name for proved in self._proved.values()]
        with suppress(LogError):
            note = Note.parse(self._source.checkpoint or self._source.note)
            if (said := Checkpoint.parse(note.text).origin) in names:
                return said
        return names[0] if names else ""

    def _open_notes(self, origin: str) -> tuple[SignedNote, ...]:
        keys = {proved.key: boot_id for boot_id, proved in self._proved.items()}
        given = [("the stored checkpoint", self._source.checkpoint or b"")]
        given += [("the head stored with the leaves", self._source.note)]
        if (cosigned := self._source.read(WITNESSED)) != self._source.checkpoint:
            given.append(("the last checkpoint with a quorum", cosigned or b""))
        given += self._meant.notes
        found = []
        for name, data in given:
            if not data:
                continue
            try:
                signed = open_checkpoint(
                    data, origin, [*keys, *self._meant.keys], self._all_witnesses()
                )
            except LogError as error:
                self._find(Problem.UNSIGNED, 0, self._size, f"{name}: {error.what}")
            else:
                boots = (keys[key] for key in signed.signers if key in keys)
                found.append(SignedNote(name, data, signed, next(boots, None)))
        if not self._source.checkpoint and not self._source.note and self._size:
            self._find(Problem.UNSIGNED, 0, self._size, "no signed head is stored")
        heads = {(note.boot_id, note.signed.head) for note in found}
        own = self._own_notes(origin)
        return (*found, *(each for each in own if (each.boot_id, each.signed.head) not in heads))

    def _own_notes(self, origin: str) -> Iterator[SignedNote]:
        """The newest head of each boot, kept with its evidence: only its own key counts."""
        for boot_id, proved in self._proved.items():
            if not proved.note or proved.key.name != origin:
                continue
            name = f"the head kept with boot {boot_id.hex()[:16]}"
            try:
                signed = open_checkpoint(proved.note, origin, [proved.key])
            except LogError as error:
                self._find(Problem.UNSIGNED, 0, 0, f"{name}: {error.what}")
            else:
                yield SignedNote(name, proved.note, signed, boot_id)

    def _all_witnesses(self) -> list[VerifierKey]:
        quorums = (Quorum.of(proved.manifest.manifest) for proved in self._proved.values())
        return list(dict.fromkeys(key for quorum in quorums for key in quorum.witnesses))

    def _witnesses(self, origin: str, notes: Sequence[SignedNote]) -> tuple[Quorum, Witnessed]:
        none = Quorum((), 0), Witnessed()
        signed = [note for note in notes if note.boot_id is not None]
        if not signed:
            return none
        newest = max(signed, key=lambda note: note.signed.head.size)
        quorum = Quorum.of(self._proved[newest.boot_id or b""].manifest.manifest)
        keys = [proved.key for proved in self._proved.values()]
        try:
            return quorum, witnessed([note.data for note in signed], origin, keys, quorum)
        except HeadsInconsistent as error:
            self._find(Problem.FORKED, 0, self._size, error.what)
            return quorum, Witnessed()

    # --- what they vouch for ------------------------------------------------------------------

    def _pass(
        self, known: Sequence[KnownHead], vouched: Witnessed
    ) -> tuple[Report, RecordsOfBoots]:
        records = RecordsOfBoots(self._proved, self._meant.role)
        expected = Expected(
            self._within(known),
            self._held,
            boots={boot_id: proved.attested for boot_id, proved in self._proved.items()},
            openings={} if self._openings is None else self._openings,
            witnessed=vouched.size,
        )
        hashes = self._reader.hashes
        try:
            before = proofs.frontier(self._start, hashes)
        except _UNREADABLE as error:
            self._find(Problem.UNREADABLE, 0, self._start, error.what)
            before = Frontier()
        return (
            verify(
                self._reader.entries(before.size, self._end),
                expected,
                before=before,
                stored_hash=lambda index: hashes(0, index),
                record=records,
            ),
            records,
        )

    def _handed_out(self) -> dict[int, bytes]:
        """The leaves that clients hold, by index, as far as this range or the log's end tell."""
        found: dict[int, bytes] = {}
        for entry in self._meant.leaves:
            try:
                index = Leaf.parse(entry).index
            except WireError as error:
                raise LogDamaged(
                    "a leaf that a client holds cannot be read", actual=error
                ) from error
            if self._start <= index < self._end or index >= self._size:
                if found.setdefault(index, entry) != entry:
                    what = "two clients were handed different leaves for this place"
                    self._findings.append(Finding(Problem.FORKED, index, index + 1, what))
        return found

    def _within(self, known: Sequence[KnownHead]) -> list[KnownHead]:
        """The heads that the leaves of the range can be held against.

        Where leaves after it are stored, that is also its own end, which the tiles give, once it is
        proved to be the beginning of a head that somebody vouches for.
        """
        last = self._end if self._end < self._size else _ANY
        found = [each for each in known if self._start <= each.head.size <= last]
        anchor = self._anchor(known)
        if anchor is not None and anchor.head.size > last:
            with suppress(*_UNREADABLE, HeadsInconsistent):
                here = proofs.head(last, self._reader.hashes)
                proof = self._prove(last, anchor.head.size)
                proofs.verify_consistency(here, anchor.head, proof)
                found.append(KnownHead(here, f"{anchor.source}, by a consistency proof,"))
        return found

    def _anchor(self, known: Iterable[KnownHead]) -> KnownHead | None:
        """The largest head of which all leaves should be here."""
        there = [each for each in known if 0 < each.head.size <= self._size]
        return max(there, key=lambda each: each.head.size, default=None)

    def _check_outside(self, known: Sequence[KnownHead]) -> None:
        """Holds the heads that the leaves of the range were not held against to the largest."""
        last = self._end if self._end < self._size else _ANY
        anchor = self._anchor(known)
        for each in known:
            size = each.head.size
            if size > self._size and last != _ANY:
                self._find(Problem.SHORTER, self._size, size, f"{each.source} has {size} leaves")
            if anchor is None or self._start <= size <= last or not 0 < size <= self._size:
                continue
            try:
                found = self._compare(each, anchor)
            except _UNREADABLE as error:
                found = Finding(Problem.UNREADABLE, 0, anchor.head.size, error.what)
            self._findings += [] if found is None else [found]

    def _compare(self, each: KnownHead, anchor: KnownHead) -> Finding | None:
        """Proves one to be the beginning of the other; the largest has to contain the range."""
        if each is not anchor:
            return compare_heads(each, anchor, self._prove)
        here = KnownHead(proofs.head(self._end, self._reader.hashes), "what is stored")
        if compare_heads(here, anchor, self._prove) is None:
            return None
        what = f"what is stored does not lead to the head that {anchor.source} vouches for"
        return Finding(Problem.EDITED, 0, anchor.head.size, what)

    def _prove(self, old: int, new: int) -> Sequence[bytes]:
        return proofs.consistency_proof(old, new, self._reader.hashes)

    def _is_given_up(
        self,
        known: KnownHead,
        signers: set[bytes | None],
        report: Report,
        records: RecordsOfBoots,
    ) -> bool:
        """Whether the owners gave up this head; one that the store still has is not lost.

        What a boot signed that goes on from there, or comes later, is a fork and nothing else.
        """
        permits = [found for each in records.permits.values() for found in each]
        permit = next((found for found in permits if found.gives_up(known.head)), None)
        if permit is None or self._has(known.head):
            return False
        if signers & {each.epoch for each in report.epochs if each.end > permit.index}:
            return False
        until = permit.continued.size
        self._given_up.append(
            f"{known.source} vouches for {known.head.size} leaves of a history that the owners gave"
            f" up after leaf {until - 1}, in the permit of leaf {permit.index}."
        )
        return True

    def _has(self, head: LogHead) -> bool:
        try:
            return proofs.head(head.size, self._reader.hashes) == head
        except (OutsideLog, *_UNREADABLE):
            return False

    # --- boot by boot -------------------------------------------------------------------------

    def _boots(
        self, report: Report, records: RecordsOfBoots, notes: Sequence[SignedNote]
    ) -> tuple[ExaminedBoot, ...]:
        found = []
        for epoch in report.epochs:
            failure = self._failed.get(epoch.epoch)
            if failure is not None:
                self._find(Problem.UNPROVED, epoch.start, epoch.end, failure.what)
            proved = self._proved.get(epoch.epoch)
            signed = [note.signed.head for note in notes if note.boot_id == epoch.epoch]
            if proved is not None and proved.head is not None:
                signed.append(proved.head.head)
            own = min(max((head.size for head in signed), default=0), epoch.end)
            first, last = max(own, epoch.start), min(epoch.end, report.proven)
            if proved is not None and proved.role is Role.RECORD and first < last:
                what = f"boot {epoch.epoch.hex()[:16]} signed no head that has them"
                self._find(Problem.UNSIGNED, first, last, what)
            found.append(
                ExaminedBoot(
                    epoch.epoch,
                    epoch.start,
                    epoch.end,
                    epoch.boot.version if epoch.boot else "",
                    proved,
                    failure,
                    tuple(records.permits.get(epoch.epoch, ())),
                    own,
                )
            )
        seen = {epoch.epoch for epoch in report.epochs}
        for boot_id, failure in self._failed.items():
            # Outside the range, nobody asked for it.
            if boot_id not in seen and (self._start, self._end) == (0, self._size):
                what = f"boot {boot_id.hex()[:16]}, of which no leaf is here: {failure.what}"
                self._find(Problem.UNPROVED, 0, 0, what)
        return tuple(found)

    def _check_owners(self, boots: Iterable[ExaminedBoot], origin: str) -> None:
        """Holds each boot's log and owners against those of the boots before it."""
        owners: tuple[bytes, ...] = ()
        for boot in boots:
            proved = boot.proved
            if proved is None:
                continue
            if proved.key.name != origin:
                what = f"its evidence is of a boot of another log, {proved.key.name}"
                self._find(Problem.WRONG_BOOT, boot.start, boot.end, what)
                continue
            if proved.owners[: len(owners)] != owners:
                what = f"manifest {proved.manifest.digest.hex()[:16]} is not of the owners before"
                self._find(Problem.WRONG_OWNERS, boot.start, boot.end, what)
                continue
            owners = proved.owners

    def _find(self, problem: Problem, start: int, end: int, what: str) -> None:
        self._findings.append(Finding(problem, start, end, what))
