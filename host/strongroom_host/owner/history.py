"""Which history of the log a permit continues: replayed leaf by leaf, and held against memory.

Pure: leaves and heads come in, and either what the permit must say comes out, or what is wrong with
the stored copy. Three things vouch for leaves: heads that boots signed, heads that the owner
remembers, and nothing; each needs another word from the owner to be gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from strongroom_wire.bundle import EMPTY_LOG, LogHead
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash

from strongroom_host.errors import HostError
from strongroom_host.log.verify import Expected, Finding, verify
from strongroom_host.owner.heads import Abandoned, How, RememberedHead

__all__ = [
    "BootSuperseded",
    "Continued",
    "HistoryEdited",
    "HistoryForked",
    "HistoryRefused",
    "HistoryShorter",
    "LeavesUnsigned",
    "LogDatedAhead",
    "NothingAbandoned",
    "Replay",
    "StoredLogDisordered",
    "Vouched",
    "continued",
    "replay",
]

_SLACK_MS: Final = 120_000
_FOUND: Final = 3
"""How many findings a message names."""
_NEWER_COPY: Final = (
    "find the copy that has it: `strongroom log mirror URL` where a keeper serves it, `log pull`"
    " while its boot runs, `log recover` from clients, another owner."
    ' If it is lost for good, permit with --abandon "REASON": the permit, and so the log, says so'
)


class HistoryRefused(HostError):
    """Root of what keeps an owner from naming the stored history in a permit."""

    exit_status = 3


class HistoryShorter(HistoryRefused):
    """The stored log has fewer leaves than a head that is remembered."""


class HistoryForked(HistoryRefused):
    """The stored log is vouched for, and is another history than the remembered one."""


class HistoryEdited(HistoryRefused):
    """The stored log does not lead to a head that is remembered, nor is it vouched for itself."""


class StoredLogDisordered(HistoryRefused):
    """The stored leaves contradict each other."""


class LeavesUnsigned(HistoryRefused):
    """Leaves are stored for which no signed or remembered head vouches."""


class BootSuperseded(HistoryRefused):
    """Another boot has continued the log after this one began: this one must not go on."""


class LogDatedAhead(HistoryRefused):
    """The log's newest leaf lies in this machine's future."""


class NothingAbandoned(HistoryRefused):
    """The owner gives up a history that nothing takes from him."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """A head that the history must contain: who vouches for it, in words, since when (ms since the
    epoch, 0 where unknown), and out of which boot (its id, or empty).

    `given_up` marks one that the owner gave up in a permit for that boot. A permit may never have
    reached its boot, so the next one says it again, until that boot's leaves are stored.
    """

    head: LogHead
    what: str
    at_ms: int = 0
    boot: bytes = b""
    remembered: bool = False
    given_up: bool = False

    @classmethod
    def of(cls, known: RememberedHead) -> Vouched:
        """A head out of the owner's memory."""
        words = {
            How.PERMIT: "named in a permit",
            How.PULLED: "pulled",
            How.SHOWN: "shown in evidence",
        }
        # A permit names the history before its boot: none of these leaves is that boot's own.
        boot = b"" if known.how is How.PERMIT else known.boot
        return cls(known.head, words[known.how], known.at_ms, boot, remembered=True)

    @classmethod
    def gone(cls, gone: Abandoned) -> Vouched:
        """A head that the owner gave up."""
        return cls(gone.head, "given up", gone.at_ms, gone.boot, remembered=True, given_up=True)

    def __str__(self) -> str:
        return f"{self.what}{f' on {_date(self.at_ms)}' if self.at_ms else ''}"


@dataclass(frozen=True, slots=True)
class Replay:
    """A stored log, gone through once.

    Attributes:
        before: All leaves before the first of the boot that is to be permitted.
        newest_ms: The newest time among those, ms since the epoch; 0 where none has one.
        head: That of all stored leaves.
        kept: The vouched heads that it contains, smallest first.
        lost: Those that it does not contain, smallest first.
        findings: What is wrong with the leaves themselves.
        superseded: Whether another boot's leaves come after this boot's.
        boots: Whose leaves there are.
        root: What the newest leaf with a root of all account states says, among those before; zero
            if none has one.
    """

    before: Frontier
    newest_ms: int
    head: LogHead
    kept: tuple[Vouched, ...]
    lost: tuple[Vouched, ...]
    findings: tuple[Finding, ...]
    superseded: bool
    boots: frozenset[bytes] = frozenset()
    root: bytes = bytes(32)

    @property
    def proven(self) -> int:
        """How many leaves the largest vouched head that it contains has."""
        return self.kept[-1].head.size if self.kept else 0


@dataclass(frozen=True, slots=True)
class Continued:
    """What a permit says about a log. `unpulled` is the largest head of the running boot itself of
    which leaves are not stored yet; it stops no permit, as they can still be pulled. `root` is that
    of the states which a record's log ends with."""

    log: Frontier
    not_before: int
    abandons: LogHead
    unpulled: LogHead
    root: bytes = bytes(32)


class _Pass:
    """Watches the leaves go by on their way to `verify`."""

    def __init__(self, boot: bytes, sizes: set[int]) -> None:
        self._boot, self._sizes = boot, sizes
        self._own, self._before = False, Frontier()
        self.superseded, self.boots = False, set[bytes]()
        self.tree, self.newest, self.root = Frontier(), 0, bytes(32)
        self.heads = {0: EMPTY_LOG}

    @property
    def before(self) -> Frontier:
        """All leaves before this boot's first."""
        return self._before if self._own else self.tree

    def watch(self, entries: Iterable[bytes]) -> Iterator[bytes]:
        for entry in entries:
            self._take(entry)
            yield entry

    def _take(self, entry: bytes) -> None:
        try:
            leaf = Leaf.parse(entry)
        except WireError:
            own, time = self._own, 0  # `verify` names it
        else:
            own, time = leaf.epoch == self._boot, leaf.time_ms
            self.boots.add(leaf.epoch)
            if leaf.kind in (Kind.SYNC, Kind.RETURNS) and not own:
                self.root = leaf.public
        self.superseded |= self._own and not own
        if own and not self._own:
            self._own, self._before = True, Frontier(self.tree.size, self.tree.hashes)
        self.tree.append(leaf_hash(entry))
        if not self._own:
            self.newest = max(self.newest, time)
        if self.tree.size in self._sizes:
            self.heads[self.tree.size] = self.tree.head


def replay(
    entries: Iterable[bytes],
    vouched: Sequence[Vouched],
    boot_id: bytes,
    stored_hash: Callable[[int], bytes] | None = None,
) -> Replay:
    """Goes through all stored leaves, in constant memory; the store is believed nothing.

    Args:
        entries: All of them, in order.
        vouched: Heads that the history must contain.
        boot_id: The boot that is to be permitted; what it added itself is not what it continues.
        stored_hash: See `verify`.
    """
    watched = _Pass(boot_id, {each.head.size for each in vouched})
    report = verify(watched.watch(entries), Expected(), stored_hash=stored_hash)
    order = sorted(vouched, key=lambda each: (each.head.size, each.at_ms))
    kept = tuple(each for each in order if watched.heads.get(each.head.size) == each.head)
    lost = tuple(each for each in order if watched.heads.get(each.head.size) != each.head)
    return Replay(
        watched.before,
        watched.newest,
        report.head,
        kept,
        lost,
        report.findings,
        watched.superseded,
        frozenset(watched.boots),
        watched.root,
    )


def continued(
    found: Replay, boot_id: bytes, *, now_ms: int, abandon: bool = False, unsigned: bool = False
) -> Continued:
    """Decides which history a permit for that boot names.

    Args:
        found: The stored log.
        boot_id: The boot.
        now_ms: This machine's clock.
        abandon: The owner gives up what is lost, and the permit will say so.
        unsigned: The owner goes on with leaves for which nothing vouches, too.

    Raises:
        HistoryShorter, HistoryForked, HistoryEdited: a vouched head is lost, and not given up.
        NothingAbandoned: none is, but the owner says so.
        StoredLogDisordered, BootSuperseded: it cannot be continued at all.
        LeavesUnsigned: nothing vouches for its newest leaves.
        LogDatedAhead: its time or this machine's clock is wrong.
    """
    # A running boot still has its newest leaves, and may be permitted to go on while they wait.
    waiting = [
        each
        for each in found.lost
        if each.boot == boot_id and each.head.size > found.head.size and not each.given_up
    ]
    # What was given up and stands in the log, in the first leaf of that boot, is said.
    said = [each for each in found.lost if each.given_up and each.boot in found.boots]
    lost = [each for each in found.lost if each not in waiting and each not in said]
    if not abandon and (missed := [each for each in lost if not each.given_up]):
        raise _parted(found, missed)
    if abandon and not lost:
        raise NothingAbandoned(
            "there is nothing to abandon: the stored log contains every head that is known of it",
            remedy="permit without --abandon",
        )
    _check_order(found)
    _check_vouched(found, unsigned=unsigned)
    if found.newest_ms > now_ms + _SLACK_MS:
        raise LogDatedAhead(
            "the log's newest leaf lies in this machine's future",
            expected=f"at most {_date(now_ms)}",
            actual=_date(found.newest_ms),
            remedy="set this machine's clock; a permit would hold the enclave's clock above that"
            " leaf's time",
        )
    abandons = lost[-1].head if lost else EMPTY_LOG
    unpulled = waiting[-1].head if waiting else EMPTY_LOG
    return Continued(found.before, found.newest_ms, abandons, unpulled, found.root)


def _parted(found: Replay, lost: Sequence[Vouched]) -> HistoryRefused:
    """Names how the stored history differs from what is vouched for."""
    size = found.head.size
    largest, first = lost[-1], lost[0]
    common = max((k.head.size for k in found.kept if k.head.size < first.head.size), default=0)
    where = f"the two agree on the first {common} leaves" if common else "nothing shows them alike"
    if first.head.size > size:
        missing = largest.head.size - size
        return HistoryShorter(
            f"the stored log lacks the newest {missing} leaves: cut off, or an old copy restored",
            expected=f"{largest.head.size} leaves ({largest})",
            actual=f"{size} leaves, which contain all that is known up to leaf {common}",
            remedy=_NEWER_COPY,
        )
    kind: type[HistoryRefused] = HistoryEdited
    words = "does not lead to a head that is known"
    if found.proven >= first.head.size:
        kind = HistoryForked
        words = "is another history than the known one"
    short = f"; besides, it is {largest.head.size - size} leaves shorter"
    return kind(
        f"the stored log {words}: {where}, and they part before leaf {first.head.size}"
        + (short if largest.head.size > size else ""),
        expected=f"{first.head.size} leaves with root {first.head.root.hex()} ({first})",
        actual=f"another root; in all {largest.head.size - common} known leaves are at stake",
        remedy="keep this copy as it is, and " + _NEWER_COPY,
    )


def _check_order(found: Replay) -> None:
    if found.findings:
        named = [str(each) for each in found.findings[:_FOUND]]
        raise StoredLogDisordered(
            "the stored log is not in order, so no boot can continue it",
            expected="leaves of boots that follow one another",
            actual="; ".join(named),
            remedy="`strongroom log verify` names all of it; put the right leaves back from another"
            " copy, or begin an empty log in another folder (--log) with --abandon",
        )
    if found.superseded:
        raise BootSuperseded(
            "another boot has continued the log after this one began",
            expected="this boot's leaves at the end of the log",
            actual="another boot's after them",
            remedy="permit that later boot, or restart this one: two boots that extend one log fork"
            " it",
        )


def _check_vouched(found: Replay, *, unsigned: bool) -> None:
    count = found.before.size - found.proven
    if count > 0 and not unsigned:
        raise LeavesUnsigned(
            f"nothing vouches for the newest {count} of the {found.before.size} stored leaves",
            expected="a head signed by a boot whose evidence is stored, or one that was pulled",
            actual=f"the newest such head has {found.proven} leaves",
            remedy="`strongroom log pull`, if the boot that made them still runs. If it is gone and"
            " these leaves are what clients were handed, go on with --unsigned-leaves",
        )


def _date(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms after 1970"
