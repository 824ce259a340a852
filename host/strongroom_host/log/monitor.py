"""A monitor: is what several sources show, look after look, always one and the same growing log?

Sans-I/O but for the storages that it reads proofs from; time comes in. Whatever is shown with the
log's own vouching has to be consistent with the newest head that was proven before: so two forks
that are shown to anybody here, at any time, meet. A fork is told from a lying storage by proof, not
by its word: `_prefix`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Protocol

from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Boot, Kind, Leaf

from strongroom_host.errors import HostError
from strongroom_host.log import proofs
from strongroom_host.log.errors import (
    BootUnproved,
    CheckpointMalformed,
    CheckpointUnsigned,
    NoteMalformed,
    SignatureWrong,
    TileMissing,
)
from strongroom_host.log.monitor_state import (
    Alarm,
    AlarmState,
    MonitorState,
    SeenHead,
    SourceState,
)
from strongroom_host.log.notes import VerifierKey, open_checkpoint
from strongroom_host.log.sources import LogSource
from strongroom_host.log.tiles import CHECKPOINT, WITNESSED
from strongroom_host.log.tree import LogReader, Storage
from strongroom_host.log.verify import Expected, KnownHead, verify
from strongroom_host.log.witnessed import Quorum, Witnessed, witnessed

__all__ = ["Event", "KeyRing", "Look", "Monitor", "Notice", "Rules", "look_at"]

_UNVOUCHED: Final = (
    BootUnproved,
    CheckpointMalformed,
    CheckpointUnsigned,
    NoteMalformed,
    SignatureWrong,
)
_MAX_PENDING: Final = 64
_SKEW_S: Final = 300


class Notice(Enum):
    """What a monitor says without calling anybody."""

    FIRST = "first head"
    GROWN = "grown"
    BOOT = "boot"
    KILL = "kill switch"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the log has to live up to. Times in ms; without `max_age_ms` a head may be any age.

    What may be a moment's business (a source that is down, a head not yet cosigned) is an alarm
    only after `grace_ms`.
    """

    quorum: Quorum = field(default_factory=lambda: Quorum((), 0))
    max_age_ms: int | None = None
    grace_ms: int = 120_000


class KeyRing(Protocol):
    """Which keys may sign heads of the log."""

    def keys(self, note: bytes, source: LogSource) -> Collection[VerifierKey]:
        """The keys known, also by evidence that `source` has of the boot that signed `note`.

        Raises:
            BootUnproved: there is no such evidence, or it does not verify.
            LogUnreadable: the source does not answer.
        """


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at one source gave: a head that the log vouches for, or why there is none.

    `storage` has the tiles of that head, None where the source has none. `leaves` is how many the
    source is known to have, whatever its head. `earlier` is the head of the last checkpoint that a
    quorum cosigned, as the source says, with that note, where a key of the log signed it.
    """

    source: str
    head: LogHead | None = None
    note: bytes = b""
    storage: Storage | None = None
    covered: Witnessed = field(default_factory=Witnessed)
    leaves: int = 0
    failure: HostError | None = None
    earlier: tuple[LogHead, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the monitor's diary."""

    at_ms: int
    kind: Alarm | Notice
    source: str
    what: str
    head: LogHead | None = None
    notes: tuple[bytes, ...] = ()

    @property
    def alarm(self) -> bool:
        """Whether somebody has to be called."""
        return isinstance(self.kind, Alarm)

    @classmethod
    def of(cls, alarm: AlarmState) -> Event:
        """The line about an alarm; with the notes that contradict each other, where there are."""
        at_ms = alarm.since_ms
        return cls(at_ms, alarm.kind, alarm.source, alarm.what, notes=alarm.notes)


def look_at(
    name: str, source: LogSource, origin: str, ring: KeyRing, quorum: Quorum, now_ms: int
) -> Look:
    """Reads a source's checkpoint, and proves that a key of the log vouches for it."""
    note = source.checkpoint
    try:
        if note is None:
            raise TileMissing("the source has no checkpoint", expected=CHECKPOINT)
        keys = ring.keys(note, source)
        head = open_checkpoint(note, origin, keys).head
        # A cosignature of the future would make an old head look fresh for as long as one likes.
        until = now_ms // 1000 + _SKEW_S
        covered = witnessed([note], origin, keys, quorum, now=until)
    except HostError as error:
        return Look(name, failure=error)
    look = Look(name, head, note, source, covered, source.size)
    # What is wrong with an earlier note is no news: it counts for nothing, as if there were none.
    with suppress(HostError):
        cosigned = source.read(WITNESSED)
        if cosigned and cosigned != note:
            keys = ring.keys(cosigned, source)
            earlier = open_checkpoint(cosigned, origin, keys).head, cosigned
            further = witnessed([cosigned], origin, keys, quorum, now=until)
            best = max(covered, further, key=lambda each: (each.size, each.seconds))
            look = replace(look, covered=best, earlier=earlier)
    return look


@dataclass(frozen=True, slots=True)
class _Wrong:
    """Something that is wrong at this look: how long it may be, and whether it lasts for good."""

    what: str
    grace_ms: int = 0
    lasting: bool = False
    notes: tuple[bytes, ...] = ()


class Monitor:
    """Holds look after look against what was seen before. `state` is changed, not saved."""

    def __init__(self, rules: Rules, state: MonitorState) -> None:
        self._rules, self.state = rules, state
        self._wrong: dict[tuple[Alarm, str], _Wrong] = {}
        self._events: list[Event] = []
        self._now = 0

    def untold(self) -> list[AlarmState]:
        """The alarms that nobody was called for yet; mark them `told` when somebody was."""
        return [alarm for alarm in self.state.alarms if alarm.raised and not alarm.told]

    @property
    def alarmed(self) -> bool:
        """Whether anything is wrong now, or was so that only a person can end it."""
        return any(alarm.raised for alarm in self.state.alarms)

    def round(self, looks: Sequence[Look], now_ms: int) -> list[Event]:
        """What is new since the last round: one look at each source, at about the same time.

        Alarms are not among it: see `untold`.
        """
        self._wrong, self._events, self._now = {}, [], now_ms
        storages = [
            (look.storage, look.head.size)
            for look in looks
            if look.storage is not None and look.head is not None
        ]
        for look in looks:
            self._take(look, storages)
        self._settle_pending(storages)
        for look in looks:
            self._check_pace(look)
        self._check_witnesses()
        self._settle_alarms()
        return self._events

    # --- one source ---------------------------------------------------------------------------

    def _take(self, look: Look, storages: Sequence[tuple[Storage, int]]) -> None:
        head = look.head
        if head is None:
            if look.failure is not None:
                self._note_failure(look.source, look.failure)
            return
        here = self.state.sources.setdefault(look.source, SourceState(grown_ms=self._now))
        if here.newest is not None and head.size < here.newest.size:
            self._find(
                Alarm.SHORTER,
                look.source,
                f"it shows {head.size} leaves, and has shown {here.newest.size}:"
                f" {here.newest.size - head.size} fewer",
                notes=(here.newest.note, look.note),
            )
        seen = SeenHead.of(head, look.source, self._now, look.note)
        if look.earlier is not None and look.earlier[0] != head:
            self._wait_for(SeenHead.of(look.earlier[0], look.source, self._now, look.earlier[1]))
        if self._agrees(seen, look, storages):
            if here.newest is None or head.size > here.newest.size:
                here.newest, here.grown_ms = seen, self._now
            self._note_witnesses(look, seen, storages)

    def _note_failure(self, source: str, error: HostError) -> None:
        what = error.what if error.actual in (None, "") else f"{error.what} ({error.actual})"
        if isinstance(error, _UNVOUCHED):
            self._find(Alarm.UNSIGNED, source, what)
        else:
            self._find(Alarm.UNREACHABLE, source, what, self._rules.grace_ms)

    def _agrees(self, seen: SeenHead, look: Look, storages: Sequence[tuple[Storage, int]]) -> bool:
        """Whether a head is proven to belong to the history seen so far; which it may extend."""
        newest = self.state.newest
        if newest is None:
            if look.storage is None:
                self._wait_for(seen)
                return False
            self.state.newest = seen
            self._say(Notice.FIRST, look.source, f"{seen.size} leaves", seen.head)
            return True
        old, new = sorted((seen, newest), key=lambda each: each.size)
        found = self._contains(new.head, old.head, storages)
        if found is None:
            # A head that the log vouches for is never let go, even where its source takes it back.
            self._wait_for(seen)
            if look.storage is not None:
                self._find(
                    Alarm.UNPROVEN,
                    look.source,
                    f"nothing shows that its head of {seen.size} leaves and the head of"
                    f" {newest.size} leaves seen at {newest.source} belong to one history",
                    self._rules.grace_ms,
                )
            return False
        if not found:
            self._forked(seen, newest)
            return False
        if seen.size > newest.size:
            self._extend(newest, seen, storages)
        return True

    def _contains(
        self, new: LogHead, old: LogHead, storages: Sequence[tuple[Storage, int]]
    ) -> bool | None:
        """Whether the first leaves of `new` are those of `old`; None where no storage proves it."""
        if old.size == new.size:
            return old == new
        for storage, size in storages:
            if size >= new.size:
                try:
                    return _prefix(LogReader(storage, new, size), old.size) == old
                except HostError:
                    continue  # a storage that lies or fails proves nothing, either way
        return None

    def _forked(self, one: SeenHead, other: SeenHead) -> None:
        first, then = sorted((one, other), key=lambda each: each.size)
        self._find(
            Alarm.FORKED,
            one.source,
            f"its head of {one.size} leaves and the head of {other.size} leaves seen at"
            f" {other.source} are of two histories: they differ before leaf {first.size}."
            f" Roots {first.root[:16]} and {then.root[:16]}",
            lasting=True,
            notes=(one.note, other.note),
        )

    def _extend(
        self, old: SeenHead, new: SeenHead, storages: Sequence[tuple[Storage, int]]
    ) -> None:
        """Goes on with a larger head, and looks at the leaves that came with it."""
        self.state.newest = new
        grown = f"{old.size} to {new.size} leaves"
        self._say(Notice.GROWN, new.source, grown, new.head)
        failure: HostError | None = None
        for storage, size in storages:
            if size >= new.size:
                try:
                    self._read(LogReader(storage, new.head, size), old.head, new)
                except HostError as error:
                    failure = error
                else:
                    return
        if failure is not None:
            what = f"the leaves {old.size} to {new.size - 1} cannot be read: {failure.what}"
            self._find(Alarm.DISORDERED, new.source, what, lasting=True)

    def _read(self, reader: LogReader, old: LogHead, new: SeenHead) -> None:
        """Holds new leaves against the head and against one another.

        Raises:
            HostError: they cannot be read.
        """
        before = proofs.frontier(old.size, reader.hashes)
        events: list[tuple[Notice, str]] = []
        entries = _noted(reader.entries(old.size), events)
        report = verify(entries, Expected([KnownHead(new.head, "the new head")]), before=before)
        for finding in report.findings:
            self._find(Alarm.DISORDERED, new.source, str(finding), lasting=True)
        for kind, what in events:
            self._say(kind, new.source, what, new.head)

    # --- heads without leaves -----------------------------------------------------------------

    def _wait_for(self, seen: SeenHead) -> None:
        """Keeps an attested or signed head until a source has the leaves to hold it against."""
        pending = self.state.pending
        if all(each.head != seen.head for each in pending):
            if len(pending) == _MAX_PENDING:
                del pending[_MAX_PENDING // 2]  # the oldest and the newest say the most
            pending.append(seen)

    def _settle_pending(self, storages: Sequence[tuple[Storage, int]]) -> None:
        newest, waiting = self.state.newest, []
        for each in self.state.pending:
            found = None
            if newest is not None and each.size <= newest.size:
                found = self._contains(newest.head, each.head, storages)
            if found is None:
                waiting.append(each)
            elif not found and newest is not None:
                self._forked(each, newest)
        self.state.pending = waiting

    # --- pace and witnesses -------------------------------------------------------------------

    def _check_pace(self, look: Look) -> None:
        """Holds a source's newest head against the leaves that are known, and against the clock."""
        head, limit = look.head, self._rules.max_age_ms
        here = self.state.sources.get(look.source)
        if head is None or here is None or look.storage is None:
            return
        known = max(
            look.leaves,
            self.state.newest.size if self.state.newest else 0,
            *(each.size for each in self.state.pending),
            0,
        )
        if known > head.size:
            what = f"{known - head.size} leaves more are known than its head of {head.size} has"
            self._find(Alarm.STUCK, look.source, what, self._rules.grace_ms)
        # A cosignature is dated: made anew for an old head, it says that nothing came since.
        alive = max(here.grown_ms, 1000 * look.covered.seconds)
        if limit is not None and self._now - alive > limit:
            age = (self._now - alive) // 1000
            self._find(Alarm.STUCK, look.source, f"no new head for {age} s")

    def _note_witnesses(
        self, look: Look, seen: SeenHead, storages: Sequence[tuple[Storage, int]]
    ) -> None:
        if look.storage is None or not self._rules.quorum.needed:
            return
        newest, covered = self.state.newest, look.covered.head
        # A quorum that vouches for another history, or for one that nobody shows, covers nothing.
        if newest is not None and 0 < covered.size <= newest.size:
            if self._contains(newest.head, covered, storages):
                self.state.witnessed = max(self.state.witnessed, covered.size)
        uncovered = self.state.uncovered
        if uncovered is not None and uncovered.size <= self.state.witnessed:
            uncovered = None
        if uncovered is None and seen.size > self.state.witnessed:
            uncovered = seen
        self.state.uncovered = uncovered

    def _check_witnesses(self) -> None:
        uncovered = self.state.uncovered
        if uncovered is not None and self._now - uncovered.at_ms >= self._rules.grace_ms:
            self._find(
                Alarm.UNWITNESSED,
                uncovered.source,
                f"fewer than {self._rules.quorum.needed} of the manifest's witnesses cosigned its"
                f" head of {uncovered.size} leaves; they vouch for {self.state.witnessed}",
            )

    # --- alarms -------------------------------------------------------------------------------

    def _find(
        self,
        kind: Alarm,
        source: str,
        what: str,
        grace_ms: int = 0,
        *,
        lasting: bool = False,
        notes: Iterable[bytes] = (),
    ) -> None:
        kept = tuple(note for note in notes if note)
        self._wrong.setdefault((kind, source), _Wrong(what, grace_ms, lasting, kept))

    def _say(self, kind: Notice, source: str, what: str, head: LogHead | None = None) -> None:
        self._events.append(Event(self._now, kind, source, what, head))

    def _settle_alarms(self) -> None:
        """Raises what is wrong for too long, and ends what no longer is."""
        kept: dict[tuple[Alarm, str], AlarmState] = {}
        for alarm in self.state.alarms:
            key = alarm.kind, alarm.source
            if key in self._wrong or alarm.lasting or (alarm.raised and not alarm.told):
                kept[key] = alarm
            elif alarm.raised:
                self._say(Notice.ENDED, alarm.source, f"{alarm.kind.value}: {alarm.what}")
        for key, wrong in self._wrong.items():
            alarm = kept.setdefault(key, AlarmState(*key, wrong.what, self._now))
            if not alarm.raised:
                alarm.what, alarm.notes = wrong.what, wrong.notes
                alarm.lasting = wrong.lasting
                alarm.raised = self._now - alarm.since_ms >= wrong.grace_ms
        self.state.alarms = list(kept.values())


def _prefix(reader: LogReader, size: int) -> LogHead:
    """The head of a log's first `size` leaves, proven by the head of all of it.

    Raises:
        LogError: the storage's hashes do not lead to the head, so they prove nothing.
    """
    claimed = proofs.head(size, reader.hashes)
    proofs.verify_consistency(claimed, reader.head, reader.consistency_proof(size))
    return claimed


def _noted(entries: Iterator[bytes], events: list[tuple[Notice, str]]) -> Iterator[bytes]:
    """Passes leaves on, and notes those that a person may want to hear of."""
    texts: Mapping[Kind, tuple[Notice, str]] = {
        Kind.BOOT: (Notice.BOOT, "began"),
        Kind.KILL: (Notice.KILL, "was told to stop"),
    }
    for entry in entries:
        try:
            leaf = Leaf.parse(entry)
        except WireError:
            yield entry
            continue
        if leaf.kind in texts:
            notice, verb = texts[leaf.kind]
            more = ""
            if leaf.kind is Kind.BOOT:
                boot = Boot.parse(leaf.public)
                more = f", version {boot.version}, manifest {boot.manifest_digest.hex()[:16]}"
            events.append((notice, f"leaf {leaf.index}: boot {leaf.epoch.hex()[:16]} {verb}{more}"))
        yield entry
