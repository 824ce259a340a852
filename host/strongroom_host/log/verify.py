"""The whole log, or a range of it, checked offline; what is wrong is named, with its place.

Leaves come as they are stored, believed nothing. What they are held against is what somebody
vouches for: signed heads (`notes`), leaves that clients were handed with their answers, evidence of
boots, openings of commitments. One pass, and memory does not grow with the number of leaves.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Boot, Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash

from strongroom_host.contract.openings import WrongOpening, record_in
from strongroom_host.log.errors import (
    BundleMalformed,
    HeadsInconsistent,
    LogError,
    TileMalformed,
    TileMissing,
)
from strongroom_host.log.gaps import Gaps
from strongroom_host.log.proofs import verify_consistency

__all__ = [
    "AttestedBoot",
    "Epoch",
    "Expected",
    "Finding",
    "KnownHead",
    "OpeningsByIndex",
    "Problem",
    "RecordCheck",
    "Report",
    "compare_heads",
    "verify",
]


class Problem(enum.Enum):
    """What can be wrong with a log."""

    SHORTER = "shorter"
    """A signed head has more leaves than are stored: cut off, or an old copy was restored."""
    FORKED = "forked"
    """Two histories of one log exist: both have the vouching of those who vouch for it."""
    EDITED = "edited"
    """A leaf is not the one that was signed."""
    DROPPED = "dropped"
    """A leaf is missing between others."""
    REORDERED = "reordered"
    """A leaf stands at another place than it says."""
    DUPLICATED = "duplicated"
    """A leaf stands there a second time."""
    UNREADABLE = "unreadable"
    """What is stored at a place is no leaf."""
    EPOCH_BROKEN = "epoch broken"
    """A boot's leaves do not begin with its start, begin twice, or go on after another boot's."""
    WRONG_CONTINUATION = "wrong continuation"
    """A boot continues another head than that of the leaves before it."""
    CLOCK_BACKWARDS = "clock backwards"
    """A leaf is older than one before it in the same boot."""
    WRONG_BOOT = "wrong boot"
    """A boot's start says something else than its evidence."""
    WRONG_OPENING = "wrong opening"
    """An opening does not belong to the leaf that it was given for."""
    WRONG_PERMIT = "wrong permit"
    """A boot began, or went on, without a permit of the owners for it and for this history."""
    WRONG_RECORD = "wrong record"
    """What a leaf commits to contradicts the leaf, its boot, or those who should have signed it."""
    WRONG_OWNERS = "wrong owners"
    """A boot's manifest is of owners who had handed over, or never took over."""
    UNPROVED = "unproved"
    """The stored evidence of a boot does not prove which image and manifest it ran."""
    UNSIGNED = "unsigned"
    """No boot that evidence proves has signed the stored head, or of a record's log the boot that
    is said to have written some leaves signed no head that has them."""

    @property
    def code(self) -> str:
        """Its name for programs; it never changes."""
        return self.name.lower()


_BEFORE_PERMITS = (Kind.KEY, Kind.KILL)
"""What happens without a permit follows the boot's own leaf with the time at which it happened."""
_CHANGES = frozenset(
    {Problem.EDITED, Problem.DROPPED, Problem.REORDERED, Problem.DUPLICATED, Problem.UNREADABLE}
)
"""What explains that the leaves from there on lead to no head that is vouched for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem: leaves `start` up to and without `end` are concerned, or one among them; none
    in particular if that is none."""

    problem: Problem
    start: int
    end: int
    what: str

    def __str__(self) -> str:
        where = f"leaves {self.start} to {self.end - 1}"
        if self.end <= self.start + 1:
            where = f"leaf {self.start}" if self.end > self.start else "the log"
        return f"{self.problem.value}: {where}: {self.what}"


@dataclass(frozen=True, slots=True)
class KnownHead:
    """A head that somebody vouches for, and who, in words for the reader of the report."""

    head: LogHead
    source: str


@dataclass(frozen=True, slots=True)
class AttestedBoot:
    """What verified evidence says of one boot: digests of its manifest and of its keys."""

    manifest_digest: bytes
    keys_digest: bytes


class OpeningsByIndex(Protocol):
    """Openings of leaves: a mapping, or what reads them from a disk. Asked in ascending order."""

    def get(self, index: int, /) -> bytes | None:
        """The opening of the leaf at `index`, or None."""


RecordCheck = Callable[[int, Leaf, bytes], Iterable[tuple[Problem, str]]]
"""Is told the index of a leaf, the leaf, and its record; says what is wrong with that record."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the stored leaves are held against. By index: whole leaves, and openings."""

    heads: Sequence[KnownHead] = ()
    leaves: Mapping[int, bytes] = field(default_factory=dict)
    boots: Mapping[bytes, AttestedBoot] = field(default_factory=dict)
    openings: OpeningsByIndex = field(default_factory=dict[int, bytes])
    witnessed: int = 0
    """How many leaves the largest head has that enough witnesses cosigned; 0 without witnesses."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The leaves of one boot: from `start` up to and without `end`; `boot` None if it began before
    the range."""

    epoch: bytes
    start: int
    end: int
    boot: Boot | None


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `head` is that of all leaves given; the first `proven` of them are those of a
    head somebody vouches for; `opened` are the records whose openings were right, by index (none
    where they were handed to a `RecordCheck`), and `records` their number."""

    findings: tuple[Finding, ...]
    head: LogHead
    proven: int
    epochs: tuple[Epoch, ...]
    unattested: tuple[bytes, ...]
    kinds: Mapping[Kind, int]
    opened: Mapping[int, bytes]
    witnessed: int
    records: int = 0

    @property
    def ok(self) -> bool:
        """Nothing was found, and at least one head vouches for the leaves."""
        return not self.findings and (self.proven > 0 or self.head.size == 0)

    def not_excluded(self) -> tuple[str, ...]:
        """What this verification does not exclude, in sentences for its reader."""
        found = []
        if self.proven < self.head.size:
            count = self.head.size - self.proven
            found.append(f"Nobody vouches for the newest {count} leaves: no signed head has them.")
        if self.witnessed < self.proven:
            which = f"After leaf {self.witnessed - 1} no" if self.witnessed else "No"
            found.append(
                f"{which} witness vouches for this log: that others are shown another history, and "
                "that its newest leaves were taken away, is not excluded."
            )
        if self.unattested:
            found.append(
                f"No evidence was given for {len(self.unattested)} of {len(self.epochs)} boots: "
                "which image and manifest they ran is their own word."
            )
        return tuple(found)


def verify(
    entries: Iterable[bytes],
    expected: Expected,
    *,
    before: Frontier | None = None,
    stored_hash: Callable[[int], bytes] | None = None,
    record: RecordCheck | None = None,
) -> Report:
    """Checks stored leaves, in order, from the first or from those `before` on.

    The frontier of a range need not be trusted: it and the leaves lead to a known head, or not.
    `stored_hash` gives the leaf hash that the store's tiles have for an index; where leaf and tile
    differ, one of them was edited, and the place is known. `record` is handed each record whose
    opening is right, instead of their being kept for the report.
    """
    check = _Check(expected, before or Frontier(), stored_hash, record)
    try:
        for entry in entries:
            check.take(entry)
    except (TileMissing, TileMalformed, BundleMalformed) as error:
        check.stop(error)
    return check.report()


def compare_heads(
    one: KnownHead, other: KnownHead, prove: Callable[[int, int], Sequence[bytes]]
) -> Finding | None:
    """Holds two heads of one log, as two verifiers were shown them, against each other.

    `prove` asks the store for the consistency proof between two sizes. A store that is honest can
    give it. None when one history contains the other.
    """
    old, new = sorted((one, other), key=lambda known: known.head.size)
    try:
        same = old.head.size == new.head.size
        proof = () if same else prove(old.head.size, new.head.size)
        verify_consistency(old.head, new.head, proof)
    except HeadsInconsistent as error:
        what = f"{old.source} and {new.source} vouch for different histories ({error.what})"
        return Finding(Problem.FORKED, 0, max(old.head.size, 1), what)
    return None


class _Check:
    """One pass over the leaves."""

    def __init__(
        self,
        expected: Expected,
        before: Frontier,
        stored_hash: Callable[[int], bytes] | None,
        record: RecordCheck | None,
    ) -> None:
        self._expected, self._stored_hash, self._record = expected, stored_hash, record
        self._tree = Frontier(before.size, before.hashes)
        self._first = self._proven = before.size
        self._heads = sorted(
            (known for known in expected.heads if known.head.size >= before.size),
            key=lambda known: known.head.size,
        )
        self._next_head = 0
        self._unproven: list[KnownHead] = []
        self._findings: list[Finding] = []
        self._latest: dict[Problem, int] = {}
        self._gaps = Gaps(before.size)
        self._epochs: list[Epoch] = []
        self._seen: set[bytes] = set()
        self._time = self._begun = 0
        self._kinds: Counter[Kind] = Counter()
        self._opened: dict[int, bytes] = {}
        self._records = 0
        self._compare_known()
        self._check_heads()

    def take(self, entry: bytes) -> None:
        """Checks the next leaf."""
        at, digest = self._tree.size, leaf_hash(entry)
        handed_out = self._expected.leaves.get(at)
        if handed_out is not None and handed_out != entry:
            self._find(Problem.EDITED, at, "another leaf than was handed out with the answer")
        if self._stored_hash is not None and self._stored_hash(at) != digest:
            self._find(Problem.EDITED, at, "leaf and tile of the store differ")
        try:
            leaf = Leaf.parse(entry)
        except WireError as error:
            self._gaps.skip()
            self._find(Problem.UNREADABLE, at, str(error))
        else:
            if self._in_place(at, leaf):
                self._boot(at, leaf)
            self._kinds[leaf.kind] += 1
            self._open(at, leaf)
        self._tree.append(digest)
        self._check_heads()

    def stop(self, error: LogError) -> None:
        """Notes that the store gives no more."""
        self._find(Problem.UNREADABLE, self._tree.size, f"{error.what} ({error.expected})")

    def report(self) -> Report:
        """What all of it amounts to."""
        for start, end in self._gaps.missing:
            self._find(Problem.DROPPED, start, "leaves before and after it are there", end)
        self._explain_unproven()
        self._find_the_end()
        attested, order = self._expected.boots, list(Problem)
        self._findings.sort(key=lambda each: (each.start, each.end, order.index(each.problem)))
        return Report(
            findings=tuple(self._findings),
            head=self._tree.head,
            proven=self._proven,
            epochs=tuple(self._epochs),
            unattested=tuple(e.epoch for e in self._epochs if e.epoch not in attested),
            kinds=dict(self._kinds),
            opened=self._opened,
            witnessed=min(self._expected.witnessed, self._proven),
            records=self._records,
        )

    def _find_the_end(self) -> None:
        """Holds the place of the last leaf, as it says itself, against what there should be."""
        end = self._gaps.following
        if self._heads and (known := self._heads[-1]).head.size > end:
            what = f"{known.source} has {known.head.size} leaves"
            self._find(Problem.SHORTER, end, what, known.head.size)
            end = known.head.size
        for at in sorted(at for at in self._expected.leaves if at >= end):
            self._find(Problem.SHORTER, at, "it was handed out with an answer and is not stored")

    def _find(self, problem: Problem, start: int, what: str, end: int | None = None) -> None:
        end = start + 1 if end is None else end
        last = self._latest.get(problem)
        if last is not None and self._findings[last].end == start:
            begun = self._findings[last]
            self._findings[last] = Finding(problem, begun.start, end, begun.what)
        else:
            self._latest[problem] = len(self._findings)
            self._findings.append(Finding(problem, start, end, what))

    def _compare_known(self) -> None:
        """Two heads of one size and two roots: no leaf is needed to see it."""
        for one, other in zip(self._heads, self._heads[1:], strict=False):
            if one.head.size == other.head.size and one.head.root != other.head.root:
                what = f"{one.source} and {other.source} vouch for different trees of this size"
                self._find(Problem.FORKED, self._first, what, max(one.head.size, self._first + 1))

    def _check_heads(self) -> None:
        """Holds the tree as it is now against the known heads of its size."""
        while self._next_head < len(self._heads):
            known = self._heads[self._next_head]
            if known.head.size != self._tree.size:
                return
            self._next_head += 1
            if known.head == self._tree.head:
                self._proven = self._tree.size
            else:
                self._unproven.append(known)

    def _explain_unproven(self) -> None:
        """Names why the leaves do not lead to a head: a fork, an edit, or what is named already.

        Leaves that lead to a larger head that somebody vouches for are not edited, so the smaller
        head is of another history. Otherwise the edit is after the last head they do lead to.
        """
        for known in self._unproven:
            size = known.head.size
            if size <= self._proven:
                what = f"{known.source} vouches for another history than is stored"
                self._find(Problem.FORKED, self._first, what, max(size, self._first + 1))
            elif not any(
                found.problem in _CHANGES and self._proven <= found.start < size
                for found in self._findings
            ):
                what = f"what is stored does not lead to the head that {known.source} vouches for"
                self._find(Problem.EDITED, self._proven, what, size)

    def _in_place(self, at: int, leaf: Leaf) -> bool:
        """Holds the place that a leaf names against those of the leaves before it."""
        place = self._gaps.place(leaf.index)
        if place is Gaps.NEXT or leaf.index == at:
            return True
        problem = Problem.REORDERED if place is Gaps.EARLIER else Problem.DUPLICATED
        self._find(problem, at, f"it says that it is leaf {leaf.index}")
        return False

    def _boot(self, at: int, leaf: Leaf) -> None:
        """Holds a leaf against the boot it says it is of."""
        current = self._epochs[-1] if self._epochs else None
        boot = Boot.parse(leaf.public) if leaf.kind is Kind.BOOT else None
        if current is not None and current.epoch == leaf.epoch:
            self._epochs[-1] = Epoch(current.epoch, current.start, at + 1, current.boot)
            if boot is not None:
                self._find(Problem.EPOCH_BROKEN, at, "this boot has started before")
            if leaf.kind not in _BEFORE_PERMITS:
                self._time = max(self._time, self._begun)
            if leaf.time_ms and leaf.time_ms < self._time:
                what = f"{self._time - leaf.time_ms} ms before an earlier leaf"
                self._find(Problem.CLOCK_BACKWARDS, at, what)
            self._time = max(self._time, leaf.time_ms)
            return
        self._epochs.append(Epoch(leaf.epoch, at, at + 1, boot))
        self._begun, self._time = leaf.time_ms, 0 if boot else leaf.time_ms
        if leaf.epoch in self._seen:
            self._find(Problem.EPOCH_BROKEN, at, "this boot was over: another one came after it")
        elif boot is None and (current is not None or at == 0):
            self._find(Problem.EPOCH_BROKEN, at, "the first leaf of this boot is not its start")
        self._seen.add(leaf.epoch)
        if boot is not None:
            self._start(at, leaf.epoch, boot)

    def _start(self, at: int, epoch: bytes, boot: Boot) -> None:
        """Holds a boot's start against the tree before it, and against its evidence."""
        changes = _CHANGES | {Problem.WRONG_CONTINUATION}
        disturbed = self._gaps.missing or any(found.problem in changes for found in self._findings)
        if boot.continued != self._tree.head and not disturbed:
            kind = "root" if boot.continued.size == at else f"size {boot.continued.size}"
            what = f"it continues a head of another {kind} than the {at} leaves before it have"
            self._find(Problem.WRONG_CONTINUATION, at, what)
        attested = self._expected.boots.get(epoch)
        if attested is not None:
            found = AttestedBoot(boot.manifest_digest, boot.keys_digest)
            if found != attested:
                self._find(Problem.WRONG_BOOT, at, "its evidence has other keys or manifest")

    def _open(self, at: int, leaf: Leaf) -> None:
        opening = self._expected.openings.get(at)
        if opening is None:
            return
        try:
            record = record_in(leaf, opening)
        except WrongOpening:
            self._find(Problem.WRONG_OPENING, at, "the leaf commits to something else")
            return
        self._records += 1
        if self._record is None:
            self._opened[at] = record
            return
        for problem, what in self._record(at, leaf, record):
            self._find(problem, at, what)
