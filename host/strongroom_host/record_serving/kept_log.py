"""The record's log as it is pushed: pages are proved and stored as the keeper stores the signer's.

The signer's log is fetched by its keeper; the record pushes its own through the store port, page by
page, and goes on once a page is acknowledged. From there both are one code: `Keeper` stores leaves
under a signed head and stops for good at whatever contradicts them, so that everything that reads a
log (`strongroom log`, witnesses, monitors) reads this one. A page whose head is beyond its last
leaf waits aside for the one that leads there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
from strongroom_wire.errors import Malformed
from strongroom_wire.leaves import Leaf
from strongroom_wire.pages import Entry, LogPage

from strongroom_host.errors import EnvironmentFault, HostError
from strongroom_host.log.boots import Boots
from strongroom_host.log.errors import LogError, LogUnwritable
from strongroom_host.log.keeper import Keeper, KeeperStopped, NotKeptYet, Source
from strongroom_host.log.notes import open_checkpoint, signed_note
from strongroom_host.log.openings import Openings
from strongroom_host.log.stored import StoredLog, head_of
from strongroom_host.record_serving.aside import Aside
from strongroom_host.record_store.connecting import Connection, transaction
from strongroom_host.record_store.errors import (
    LogUnavailable,
    PageRefused,
    RowsConflict,
    RowsLeaveGap,
    StatesMissing,
)
from strongroom_host.record_store.leaves import leaf_count, put_head
from strongroom_host.record_store.staging import settle

__all__ = ["KeptLog", "OtherBoot"]

_PUBLISH_S: Final = 60.0
"""How often witnesses that did not answer are asked again."""
_AT_ONCE: Final = 500


class OtherBoot(EnvironmentFault):
    """The page is of another boot than the keeper is connected to."""


class KeptLog:
    """A folder with the record's log, and the same in the database. Any number of threads push.

    Args:
        folder: Of the log; made if missing.
        origin: The log's name.
        vouched: Returns who signs it, out of verified evidence of the boot that runs now. Its `ask`
            is not used.
        warn: Is told what a person has to look at, and what witnesses did not do.

    Raises:
        LogBusy, LogDamaged, LogUnwritable: see `Keeper`.
    """

    def __init__(
        self,
        folder: Path,
        origin: str,
        vouched: Callable[[], Source],
        warn: Callable[[str], None],
    ) -> None:
        self.folder, self.origin = folder, origin
        self._vouched, self._warn = vouched, warn
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._page = LogPage(b"", bytes(64), ())
        self._keeper = Keeper(folder, self._connect)
        self._aside = Aside(folder)
        self._news, self._ending = threading.Event(), False
        self._publisher = threading.Thread(target=self._publish, name="record-log", daemon=True)
        self._publisher.start()

    @property
    def size(self) -> int:
        """How many leaves are stored."""
        return self._keeper.size

    @property
    def stopped(self) -> bool:
        """Whether nothing is kept any more before a person has looked."""
        return self._keeper.fault is not None

    def catch_up(self, connection: Connection) -> None:
        """Brings the database up to the folder, of which it may lack what a crash cut short.

        Raises:
            RowsConflict: it has another log of this name.
            DatabaseRefused, DatabaseUnavailable: it does not take it.
        """
        with self._lock:
            self._catch_up(connection, leaf_count(connection, self.origin))

    def _catch_up(self, connection: Connection, known: int) -> None:
        """As `catch_up`, of a database with so many leaves."""
        with Openings(self.folder) as openings:
            stored = StoredLog(self.folder)
            if known > stored.size:
                self._warn(
                    f"the database has {known} leaves of the record's log, and {self.folder} has"
                    f" {stored.size}: the folder was put back from an old copy"
                )
            for at in range(known, stored.size, _AT_ONCE):
                found = range(at, min(at + _AT_ONCE, stored.size))
                entries = [Entry(stored.leaf(n), openings.get(n) or b"") for n in found]
                settle(connection, self.origin, entries, lambda error: self._warn(error.what))
            if (note := stored.signed) is not None:
                put_head(connection, self.origin, head_of(note).size, note)

    def keep(self, connection: Connection, page: bytes) -> None:
        """Returns when folder and database have the page's leaves, under its signed head, and all
        that they commit to counts and is shown. The same page again is acknowledged again. Of a
        page that does not lead to its head it returns when it is durably aside: it counts with the
        page that does.

        The database's transaction is closed last, and made good by `catch_up` if it never is.

        Raises:
            WireError: it is no page, or a leaf in it is none.
            PageRefused: it is not of the boot that runs, not signed by its record, does not
                continue what is stored, or commits to what is not there.
            LogUnavailable: there is no evidence of who signs, or the log cannot be written now.
            DatabaseRefused, DatabaseUnavailable: the database has not got it.
        """
        found = LogPage.parse(page)
        leaves = [Leaf.parse(entry.leaf) for entry in found.entries]
        if not leaves:
            raise Malformed("log page", "a leaf", "none")
        with self._lock:
            source = self._source_of(leaves[-1].epoch)
            try:
                note = signed_note(found.checkpoint, source.key, found.signature)
                signed = open_checkpoint(note, self.origin, [source.key])
            except LogError as error:
                raise self._refused(error) from error
            entries = self._joined(found.entries, partial=leaves[-1].index + 1 < signed.head.size)
            if not entries:
                return
            self._page = LogPage(found.checkpoint, found.signature, entries)
            if (known := leaf_count(connection, self.origin)) < Leaf.parse(entries[0].leaf).index:
                self._catch_up(connection, known)
            with transaction(connection):
                try:
                    settle(connection, self.origin, entries)
                except (RowsConflict, RowsLeaveGap, StatesMissing) as error:
                    raise self._refused(error) from error
                put_head(connection, self.origin, signed.head.size, note)
                self._store(entries)
                self._sign(source, note)
        self._news.set()

    def _joined(self, entries: tuple[Entry, ...], *, partial: bool) -> tuple[Entry, ...]:
        """The leaves that lead from those stored to the page's head; none if some are still to
        come, with the page put aside then."""
        size, first = self._keeper.size, Leaf.parse(entries[0].leaf).index
        try:
            joined = self._aside.joined(entries, size)
            if not partial:
                return joined
            self._keeper.keep(entries[: max(size - first, 0)])  # what is stored has to be the same
            self._aside.put(entries[max(size - first, 0) :])
        except LogUnwritable as error:
            raise LogUnavailable(error.what, remedy=error.remedy) from error
        except (LogError, KeeperStopped) as error:
            raise self._refused(error) from error
        return ()

    def _sign(self, source: Source, note: bytes) -> None:
        """Keeps the newest head of each boot: what proves its leaves to strangers afterwards."""
        try:
            Boots(self.folder).add(msgspec.structs.replace(source.boot, note=note))
        except (LogError, LogUnwritable) as error:
            raise LogUnavailable(error.what, remedy=error.remedy) from error

    def _store(self, entries: tuple[Entry, ...]) -> None:
        try:
            self._keeper.keep(entries)
        except NotKeptYet as error:
            raise LogUnavailable(error.what, remedy=error.remedy) from error
        except (LogError, KeeperStopped) as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Publishes what is not yet, and ends."""
        self._ending = True
        self._news.set()
        self._publisher.join()
        self._keeper.close()

    def __enter__(self) -> KeptLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _refused(self, error: HostError) -> PageRefused:
        do = f" (do: {error.remedy})" if error.remedy else ""
        self._warn(f"a page of the record's log was refused: {error.what}{do}")
        return PageRefused(error.what, expected=error.expected, actual=error.actual)

    def _source_of(self, boot_id: bytes) -> Source:
        """Who vouches for a page of this boot: evidence is fetched once for each boot."""
        if self._source is None or self._source.boot.boot_id != boot_id:
            try:
                self._source = self._vouched()
            except HostError as error:
                do = f" (do: {error.remedy})" if error.remedy else ""
                self._warn(f"nobody says who signs the record's log: {error.what}{do}")
                raise LogUnavailable(
                    f"no evidence of the boot whose log this is: {error.what}",
                    remedy=error.remedy,
                ) from error
        if self._source.boot.boot_id != boot_id:
            raise self._refused(
                OtherBoot(
                    "it is of another boot than the one that runs",
                    expected=self._source.boot.boot_id.hex(),
                    actual=boot_id.hex(),
                )
            )
        return self._source

    @contextmanager
    def _connect(self) -> Iterator[Source]:
        source = self._source
        if source is None:
            raise OtherBoot("no page came yet")
        yield replace(source, ask=lambda start: self._pushed(source, start))

    def _pushed(self, source: Source, start: int) -> bytes:
        """The page that was pushed, from an index on, as if it had been asked for."""
        if source is not self._source:  # the keeper connects again, to the boot that runs now
            raise OtherBoot("the enclave was booted anew")
        page = self._page
        rest = tuple(entry for entry in page.entries if Leaf.parse(entry.leaf).index >= start)
        return LogPage(page.checkpoint, page.signature, rest).serialise()

    def _publish(self) -> None:
        said, last = "", False
        while not last:
            self._news.wait(_PUBLISH_S)
            self._news.clear()
            last = self._ending
            try:
                problems = "; ".join(map(str, self._keeper.publish()))
            except HostError as error:
                problems = error.what
            if problems and problems != said:
                self._warn(problems)
            said = problems
