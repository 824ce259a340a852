"""The keeper: the one writer of a log's folder while a boot runs. Nobody acts before it has kept.

A client that was handed a leaf with its answer asks `keep`, and does not act on the answer before
that returns. The leaf is not taken from the client's hands but fetched from the enclave together
with all before it and a signed head, so that nothing is ever stored that no signed head vouches
for, and no client can spoil the log. One fetch and one wait for the disk serve everybody who asked
meanwhile.

Whatever contradicts the stored log stops the keeper for good: from then on it keeps nothing, and
whoever asks is told why. `publish` is apart from that, as witnesses and file systems are slow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from strongroom_wire.errors import Code, WireError
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.pages import Entry

from strongroom_host.contract.openings import record_in
from strongroom_host.enclave_client.errors import EnclaveRefused
from strongroom_host.errors import EnvironmentFault, HostError
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.cosigning import Cosigner, WitnessAt, WitnessProblem
from strongroom_host.log.errors import LeafConflict, LogError, LogUnwritable
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import Note, SignedHead, VerifierKey
from strongroom_host.log.openings import Openings
from strongroom_host.log.pull import fetch, prove_opening, store
from strongroom_host.log.stored import head_of
from strongroom_host.log.submissions import Introduction
from strongroom_host.log.tree import LogReader
from strongroom_host.log.witnessed import Quorum

__all__ = ["Keeper", "KeeperStopped", "NotKeptYet", "Source"]

_Result = TypeVar("_Result")
_PAUSE_S: Final = 0.5
"""How long nobody tries to reach an enclave again that could not be reached."""
_REFUSED: Final = {
    Code.WRONG_LOG_HEAD: (
        ", as this boot has no permit yet",
        "an owner issues it (`strongroom permit`); nothing else is needed here",
    ),
    Code.CALL_NOT_PERMITTED: (
        ", as the manifest does not let this client read the log",
        "use a client whose `calls` name `log`, or give this one the call in the next manifest"
        " version",
    ),
}
"""What a refusal to show the log means, and what helps."""
_REFRESH_S: Final = 300.0
"""How old cosignatures get before the witnesses are asked again about the same head."""


class KeeperStopped(LogError):
    """Something contradicts the stored log. Nothing is kept before a person has looked."""


class NotKeptYet(EnvironmentFault):
    """The leaf is not stored, for now: the enclave cannot be read. Asking again may help."""


@dataclass(frozen=True, slots=True)
class Source:
    """One verified boot, as its log is read.

    Attributes:
        ask: Returns the answer to READ_LOG from an index on; see `fetch`.
        key: The log's name, and the receipt key out of the boot's evidence.
        boot: The verified evidence, to be kept with the log.
        witnesses: Those that its manifest names, as far as it is known where to ask them.
        quorum: All that it names, and how many of them must cosign.
    """

    ask: Callable[[int], bytes]
    key: VerifierKey
    boot: StoredBoot
    witnesses: tuple[WitnessAt, ...] = ()
    quorum: Quorum = field(default_factory=lambda: Quorum((), 0))


class Keeper:
    """Keeps the log in `folder`. Any number of threads may ask; one may call `publish`.

    Args:
        folder: Of the log; made if missing.
        connect: Verifies the enclave that runs now, and opens what is needed to read its log. It
            is called again whenever that broke.

    Raises:
        LogBusy: another process writes this log.
        LogDamaged, LogUnwritable: see `LogFiles` and `Openings`.
    """

    def __init__(self, folder: Path, connect: Callable[[], AbstractContextManager[Source]]) -> None:
        self._folder, self._connect = folder, connect
        self._lock = threading.Lock()
        self._resources, self._connection = ExitStack(), ExitStack()
        self._log = self._resources.enter_context(LogFiles(folder))
        try:
            self._openings = self._resources.enter_context(Openings(folder, write=True))
        except BaseException:
            self._resources.close()
            raise
        self._source: Source | None = None
        self._fault: HostError | None = None
        self._unreachable: tuple[float, NotKeptYet] | None = None
        """Until when nobody tries to connect again, and why it failed."""
        self._introduced: dict[bytes, Introduction | None] = {}
        """By boot: what shows its key to a witness, or None where the permit is not known."""
        self._cosigner: tuple[tuple[WitnessAt, ...], Cosigner] | None = None
        self._cosigned: tuple[int, float] = (0, 0.0)
        """How many leaves the head has that all witnesses cosigned, and until when that will do."""

    @property
    def size(self) -> int:
        """How many leaves are stored."""
        return self._log.size

    @property
    def fault(self) -> HostError | None:
        """Why nothing is kept any more, if so."""
        return self._fault

    def keep(self, entries: Sequence[Entry]) -> None:
        """Returns when the log has these leaves, durably, in their places, under a signed head.

        Raises:
            WireError: one of them is no leaf.
            LeafConflict: the log has another leaf there, or ends before it: the enclave whose
                signatures vouch for the log never logged this one.
            OpeningWrong: an opening is not of its leaf.
            NotKeptYet: the enclave could not be read.
            KeeperStopped: nothing is kept any more.
        """
        leaves = [(Leaf.parse(entry.leaf), entry) for entry in entries]
        top = max((leaf.index for leaf, _ in leaves), default=-1) + 1
        for leaf, entry in leaves:
            if entry.opening:
                prove_opening(leaf, entry.opening)
        with self._lock:
            self._check_going()
            if self._log.size < top:
                self._pull()
            for leaf, entry in leaves:
                self._confirm(leaf, entry)

    def pull(self) -> tuple[SignedHead, StoredBoot]:
        """Stores what is new in the enclave's log; returns the head that it signed, and who it is.

        Raises:
            NotKeptYet, KeeperStopped: see `keep`.
        """
        with self._lock:
            self._check_going()
            return self._pull()

    def publish(self) -> tuple[WitnessProblem, ...]:
        """Serves the newest signed head, cosigned by the witnesses that would.

        Returns:
            Why others did not; they are asked again with the next call.

        Raises:
            KeeperStopped: a witness shows another history of this log, or it cannot be written.
        """
        with self._lock:
            self._check_going()
            note, source = self._log.signed, self._source
            if note is None:
                return ()
            head, served = head_of(note), self._log.published
            witnesses = () if source is None else source.witnesses
            settled = self._cosigned[0] == head.size and time.monotonic() < self._cosigned[1]
            if served == head.size and (settled or not witnesses):
                return ()
            reader = LogReader(_Guarded(self._log, self._lock), head, self._log.size)
            introduction = None if source is None else self._introduction(source.boot)
        problems: tuple[WitnessProblem, ...] = ()
        fault: HostError | None = None
        if witnesses:
            try:
                note, problems = self._asking(witnesses).cosign(note, reader, introduction)
            except LogError as error:  # what is stored is not what its own head says
                fault = error
        with self._lock:
            for problem in problems:
                if problem.contradicts:
                    fault = problem.error
            if fault is not None:
                raise self._stop(fault) from fault
            if source is not None and _has_quorum(note, source.quorum):
                self._guarded(lambda: self._log.vouch(note))
            self._guarded(lambda: self._log.publish(note))
        if witnesses and not problems:
            self._cosigned = head.size, time.monotonic() + _REFRESH_S
        return problems

    def run(
        self,
        stop: threading.Event,
        every: float,
        report: Callable[[str], None],
        heard: Callable[[SignedHead, StoredBoot], None] = lambda _head, _boot: None,
    ) -> None:
        """Pulls and publishes every so many seconds until `stop` is set.

        Args:
            stop: Ends it.
            every: How long an enclave's head may wait to be fetched, in seconds.
            report: Is told what is wrong, when that changes; nothing when all is well again.
            heard: Is given each signed head whose leaves are stored, with the boot that signed it.

        Raises:
            KeeperStopped: nothing is kept any more.
        """
        said = ""
        while not stop.wait(every):
            problems: list[str] = []
            try:
                heard(*self.pull())
            except NotKeptYet as error:
                problems.append(f"{error.what} (do: {error.remedy})")
            problems += map(str, self.publish())
            if (now := "; ".join(problems)) != said:
                report(now)
                said = now

    def close(self) -> None:
        """Ends it and lets the next keeper in. From the thread that called `publish`."""
        with self._lock:
            self._fault = self._fault or NotKeptYet("the keeper has ended", remedy="start it again")
            if self._cosigner is not None:
                self._cosigner[1].close()
                self._cosigner = None
            self._disconnect()
            self._resources.close()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- with the lock held -------------------------------------------------------------------

    def _check_going(self) -> None:
        if isinstance(self._fault, NotKeptYet):
            raise self._fault
        if self._fault is not None:
            raise _stopped(self._fault)

    def _stop(self, fault: HostError) -> KeeperStopped:
        """Returns what to raise, after making sure that nothing is kept any more."""
        self._fault = fault
        self._disconnect()
        return _stopped(fault)

    def _disconnect(self) -> None:
        self._source = None
        self._connection.close()

    def _connected(self) -> Source:
        if self._source is None:
            if self._unreachable is not None and time.monotonic() < self._unreachable[0]:
                raise self._unreachable[1]
            try:
                self._source = self._connection.enter_context(self._connect())
            except HostError as error:
                reason = _not_yet(error)
                self._unreachable = time.monotonic() + _PAUSE_S, reason
                raise reason from error
        return self._source

    def _pull(self) -> tuple[SignedHead, StoredBoot]:
        reused = self._source is not None
        source = self._connected()
        try:
            news = fetch(self._log, source.ask, source.key)
        except (LogError, LogUnwritable, WireError) as error:
            raise self._stop(_as_fault(error)) from error
        except HostError as error:
            refused = isinstance(error, EnclaveRefused) and error.authenticated
            if not refused:
                self._disconnect()
                if reused:  # perhaps only the connection was old
                    return self._pull()
            raise _not_yet(error) from error
        if news.entries:
            self._guarded(lambda: store(self._log, news, self._openings))
        if source.boot.boot_id not in self._introduced:
            self._guarded(lambda: Boots(self._folder).add(source.boot))
            self._introduction(source.boot)
        return news.signed, source.boot

    def _confirm(self, leaf: Leaf, entry: Entry) -> None:
        """Proves that a leaf is stored in its place, and stores its opening if nobody has yet."""
        at = leaf.index
        found = self._guarded(lambda: self._log.leaf(at)) if at < self._log.size else b""
        if found != entry.leaf:
            raise LeafConflict(
                f"leaf {leaf.index} is not in the log that the enclave signed",
                expected=f"a leaf of boot {leaf.epoch.hex()[:16]} among {self._log.size}",
                actual="another one, or none",
                remedy="it is of a boot that is over and was not kept in time: do not act on it;"
                " `strongroom log recover` puts it in, before another boot goes on",
            )
        if entry.opening and self._guarded(lambda: self._openings.get(at)) is None:
            self._guarded(lambda: self._openings.put({at: entry.opening}))

    def _guarded(self, job: Callable[[], _Result]) -> _Result:
        """Uses the store; if that fails, what is on the disk is not known any more."""
        try:
            return job()
        except (LogError, LogUnwritable) as error:
            raise self._stop(error) from error

    # --- witnesses ----------------------------------------------------------------------------

    def _asking(self, witnesses: tuple[WitnessAt, ...]) -> Cosigner:
        if self._cosigner is None or self._cosigner[0] != witnesses:
            if self._cosigner is not None:
                self._cosigner[1].close()
            self._cosigner = witnesses, Cosigner(witnesses)
        return self._cosigner[1]

    def _introduction(self, boot: StoredBoot) -> Introduction | None:
        """What shows a boot's key to a witness, if its signed permit is known here."""
        boot_id = boot.boot_id
        if boot_id not in self._introduced:
            self._introduced[boot_id] = None
            for index in range(self._log.size - 1, -1, -1):
                leaf = Leaf.parse(self._log.leaf(index))
                if leaf.epoch != boot_id:
                    break
                opening = self._openings.get(index) if leaf.kind is Kind.BOOT else None
                if opening is not None:
                    found = Introduction(boot.manifest, record_in(leaf, opening), boot.bundle)
                    self._introduced[boot_id] = found
        return self._introduced[boot_id]


class _Guarded:
    """A log as a storage that may be read while others write."""

    def __init__(self, log: LogFiles, lock: threading.Lock) -> None:
        self._log, self._lock = log, lock

    def read(self, path: str) -> bytes | None:
        with self._lock:
            return self._log.read(path)


def _has_quorum(note: bytes, quorum: Quorum) -> bool:
    return 0 < quorum.needed <= len(Note.parse(note).verify(quorum.witnesses))


def _stopped(fault: HostError) -> KeeperStopped:
    return KeeperStopped(
        f"the log is not kept any more: {fault.what}",
        expected=fault.expected,
        actual=fault.actual,
        remedy=fault.remedy or "look at the keeper's own messages",
    )


def _not_yet(error: HostError) -> NotKeptYet:
    why, remedy = "", error.remedy or "once the enclave answers, ask again"
    if isinstance(error, EnclaveRefused) and error.code in _REFUSED:
        why, remedy = _REFUSED[error.code]
    return NotKeptYet(
        f"the enclave's log cannot be read: {error.what}{why}",
        expected=error.expected,
        actual=error.actual,
        remedy=remedy,
    )


def _as_fault(error: Exception) -> HostError:
    return error if isinstance(error, HostError) else LogError(f"no page of a log came: {error}")
