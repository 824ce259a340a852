"""The openings of a log's leaves: what was decided, in full. The owner's and his auditors' alone.

A leaf says in public what happened, when and where; what it commits to is in its opening (salt and
record, see `strongroom_wire.leaves`). They are in `openings.db` beside the leaves, SQLite with mode
0600, and are never served. The log is whole without them: whoever has none verifies all the same.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_host.log.errors import LogDamaged, LogUnwritable, OutsideLog

__all__ = ["OPENINGS", "Openings"]

OPENINGS: Final = "openings.db"
_VERSION: Final = 1
_SCHEMA: Final = "CREATE TABLE openings (leaf INTEGER PRIMARY KEY, opening BLOB NOT NULL) STRICT"
_PAGE: Final = 500
_TOP: Final = (1 << 63) - 1
_BUSY_S: Final = 30.0


class Openings:
    """The openings in a log's folder, to read, or with `write` to add to. A context manager.

    One process writes, the one that holds the log's own lock; any number read meanwhile. An object
    may be used by any thread, by one at a time.

    Raises:
        LogDamaged: what is there is no such database, or one of another version.
        LogUnwritable: it cannot be opened.
    """

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        self._path = folder / OPENINGS
        self._database: sqlite3.Connection | None = None
        with self._explained("cannot open the openings"):
            if write:
                folder.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            elif not self._path.exists():
                return  # a log that was pulled without the right to see openings
            self._database = self._connect(write)
            try:
                self._prepare(self._database, write)
            except BaseException:
                self.close()
                raise

    def get(self, index: int) -> bytes | None:
        """The opening of the leaf at `index`, or None where it is not known here."""
        if self._database is None or not 0 <= index <= _TOP:
            return None
        with self._explained("cannot read the openings"):
            query = "SELECT opening FROM openings WHERE leaf = ?"
            row = self._database.execute(query, (index,)).fetchone()
        return None if row is None else bytes(row[0])

    def items(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Index and opening from `start` up to and without `end`, in order, as far as known.

        They are read a few hundred at a time, so that a slow reader holds up no writer.
        """
        last = _TOP if end is None else min(end - 1, _TOP)
        query = "SELECT leaf, opening FROM openings WHERE leaf BETWEEN ? AND ? ORDER BY leaf"
        while self._database is not None and start <= last:
            with self._explained("cannot read the openings"):
                page = (start, last, _PAGE)
                rows = self._database.execute(f"{query} LIMIT ?", page).fetchall()
            for index, opening in rows:
                yield index, bytes(opening)
            if len(rows) < _PAGE:
                return
            start = rows[-1][0] + 1

    def put(self, openings: Mapping[int, bytes]) -> None:
        """Adds openings by index, all or none. When it returns, they survive whatever happens.

        The caller has proved that each is of the leaf at its place (`Leaf.record`). So one that
        replaces another replaces that of a leaf which never came to be stored.

        Raises:
            OutsideLog: no leaf has such an index.
            LogUnwritable: nothing was added, or this object is only for reading.
        """
        if not all(0 <= index <= _TOP for index in openings):
            raise OutsideLog("no leaf of a log", expected=f"0 to {_TOP}", actual=sorted(openings))
        if not openings:
            return
        with self._explained("cannot add openings"):
            if self._database is None:
                raise LogUnwritable(f"{self._path} was opened to be read")
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(
                    "INSERT INTO openings VALUES (?, ?)"
                    " ON CONFLICT (leaf) DO UPDATE SET opening = excluded.opening",
                    openings.items(),
                )
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Ends it; harmless when ended."""
        if self._database is not None:
            self._database.close()
        self._database = None

    def __enter__(self) -> Openings:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connect(self, write: bool) -> sqlite3.Connection:
        mode = "rw" if write else "ro"
        if not write and not os.access(self._path.parent, os.W_OK):
            # A copy on a read-only medium: SQLite could not make the files that readers share,
            # and nobody else can be writing either.
            mode = "ro&immutable=1"
        return sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )

    def _prepare(self, database: sqlite3.Connection, write: bool) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if write:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
        if write and version == 0:
            database.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA}; PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        elif version != _VERSION and (version or self._path.stat().st_size):
            raise LogDamaged(
                f"{self._path} is of another version", expected=_VERSION, actual=version
            )
        elif version == 0:
            self.close()  # made a moment ago by a writer who has not put anything in it yet

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            broken = not isinstance(error, sqlite3.OperationalError)
            kind = LogDamaged if broken else LogUnwritable
            raise kind(f"{what} {self._path}", actual=error) from error
        except OSError as error:
            raise LogUnwritable(f"{what} {self._path}", actual=error) from error
