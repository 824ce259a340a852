"""Two views of one log held against each other: one history, or a fork and where it begins.

A host can show each verifier another history; both verify. So verifiers compare what they were
shown. Where trees differ, the first leaf that does is found by their hashes, in few steps.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from strongroom_wire.bundle import LogHead
from strongroom_wire.merkle import leaf_hash

from strongroom_host.log import proofs
from strongroom_host.log.errors import HeadsInconsistent, LogError
from strongroom_host.log.notes import Checkpoint, Note
from strongroom_host.log.sources import LogSource, reader_of

__all__ = ["Comparison", "Outcome", "View", "compare"]


class Outcome(enum.Enum):
    """What two views of a log amount to."""

    SAME = "same"
    """Both have the same leaves."""
    CONTAINED = "contained"
    """One is the beginning of the other."""
    FORKED = "forked"
    """They are different histories."""
    UNKNOWN = "unknown"
    """What is there does not tell."""


@dataclass(frozen=True, slots=True)
class View:
    """One view: a name for the reader, its signed note if it has one, and the log's storage where
    there is more than a note."""

    name: str
    note: bytes | None
    source: LogSource | None = None

    @property
    def head(self) -> LogHead | None:
        """The head in its note, whoever signed it."""
        return None if not self.note else Checkpoint.parse(Note.parse(self.note).text).head

    @property
    def size(self) -> int:
        """How many leaves it has or, of a mere note, names."""
        if self.source is not None:
            return self.source.size
        return self.head.size if self.head else 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it. `common` leaves are the same in both; in a fork `leaves` are those after
    them, one of each view, where they are there to be seen."""

    outcome: Outcome
    common: int
    what: str
    leaves: tuple[bytes, bytes] | None = None


def compare(one: View, other: View, *, every_leaf: bool = False) -> Comparison:
    """Holds two views against each other.

    First each by itself: the tiles that it shows have to lead to its note. With `every_leaf` the
    leaves themselves are compared; without, their hashes, which `verify` holds against them.

    Raises:
        NoteMalformed, CheckpointMalformed: a note is none.
        TileMissing, TileMalformed, BundleMalformed, LogUnreadable: a view does not give its part.
    """
    for view in (one, other):
        failed = _contradiction(view)
        if failed:
            return Comparison(Outcome.FORKED, 0, failed)
    if one.source is not None and other.source is not None:
        return _two_logs(one, other, every_leaf=every_leaf)
    if one.source is None and other.source is None:
        return _two_heads(one, other)
    log, note = (one, other) if one.source is not None else (other, one)
    return _log_and_head(log, note)


def _contradiction(view: View) -> str:
    """Why a view contradicts itself, or nothing."""
    head = view.head
    if view.source is None or head is None:
        return ""
    if head.size > view.source.size:
        return f"{view.name} has {view.source.size} leaves, and a signed head of {head.size}"
    if _prefix(view.source, head.size) != head:
        return f"the leaves of {view.name} do not lead to its own signed head"
    return ""


def _two_logs(one: View, other: View, *, every_leaf: bool) -> Comparison:
    first, second = _source(one), _source(other)
    size = min(first.size, second.size)
    same = _prefix(first, size) == _prefix(second, size)
    at = size
    if not same:
        at = _first_difference(size, reader_of(first).hashes, reader_of(second).hashes)
    if every_leaf:
        pairs = zip(reader_of(first).entries(0, at), reader_of(second).entries(0, at), strict=True)
        at = next((n for n, (left, right) in enumerate(pairs) if left != right), at)
    if at == size:
        return _contained(one, other)
    leaves = tuple(next(reader_of(each).entries(at, at + 1)) for each in (first, second))
    what = f"{one.name} and {other.name} are different histories from leaf {at} on"
    hidden = [
        view.name
        for view, entry in zip((one, other), leaves, strict=True)
        if leaf_hash(entry) != reader_of(_source(view)).hashes(0, at)
    ]
    if hidden:
        what += f"; the leaf in {' and in '.join(hidden)} is not that of its own tiles"
    return Comparison(Outcome.FORKED, at, what, (leaves[0], leaves[1]))


def _log_and_head(log: View, note: View) -> Comparison:
    head, source = note.head, _source(log)
    if head is None:
        return Comparison(Outcome.UNKNOWN, 0, f"{note.name} has no signed head")
    if head.size > source.size:
        what = f"{log.name} has {source.size} leaves, fewer than the {head.size} of {note.name}"
        return Comparison(Outcome.UNKNOWN, 0, what)
    if _prefix(source, head.size) != head:
        what = f"{log.name} has another history than {note.name}: they part before leaf {head.size}"
        return Comparison(Outcome.FORKED, 0, what)
    return _contained(log, note)


def _two_heads(one: View, other: View) -> Comparison:
    first, second = one.head, other.head
    if first is None or second is None:
        return Comparison(Outcome.UNKNOWN, 0, "there is no signed head to compare")
    less, more = sorted((first, second), key=lambda head: head.size)
    try:
        proofs.verify_consistency(less, more, ())
    except HeadsInconsistent:
        if first.size == second.size:
            what = f"{one.name} and {other.name} are different histories of {first.size} leaves"
            return Comparison(Outcome.FORKED, 0, what)
        what = "heads of different sizes: only a log that has the larger one tells"
        return Comparison(Outcome.UNKNOWN, 0, what)
    return _contained(one, other)


def _contained(one: View, other: View) -> Comparison:
    if one.size == other.size:
        what = f"{one.name} and {other.name} are one history of {one.size} leaves"
        return Comparison(Outcome.SAME, one.size, what)
    less, more = sorted((one, other), key=lambda view: view.size)
    what = f"{more.name}, of {more.size} leaves, begins with the {less.size} of {less.name}"
    return Comparison(Outcome.CONTAINED, less.size, what)


def _prefix(source: LogSource, size: int) -> LogHead:
    return proofs.head(size, reader_of(source).hashes)


def _source(view: View) -> LogSource:
    if view.source is None:
        raise LogError(f"{view.name} is no log")
    return view.source


def _first_difference(
    size: int, one: Callable[[int, int], bytes], other: Callable[[int, int], bytes]
) -> int:
    """The first leaf, by its hash, in which two trees of this size differ; they do."""
    start = 0
    while start < size:
        level = (size - start).bit_length() - 1
        if one(level, start >> level) != other(level, start >> level):
            while level:
                level -= 1
                index = start >> level
                if one(level, index) == other(level, index):
                    start += 1 << level
            return start
        start += 1 << level
    return size
