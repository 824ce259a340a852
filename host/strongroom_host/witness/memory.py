"""What a witness has cosigned, and whom it follows: one file, durable before anything is answered.

SQLite in WAL mode with synchronous=FULL: what was committed survives kill -9 and loss of power. A
log has one row, which only `advance` changes: within one write transaction it is read, judged,
signed and replaced, so that of two requests at the same moment, in one process or in two, the
second is judged by what the first left.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.checkpoint import log_origin

from strongroom_host.log.notes import VerifierKey
from strongroom_host.witness.errors import FolderInvalid, MemoryBroken, MemoryMissing

__all__ = ["LOG_ROLES", "MAX_CONTRADICTIONS", "FollowedOwners", "Memory", "Recorded"]

MAX_CONTRADICTIONS: Final = 16
"""How many contradicting notes are kept for each log; the first ones say it all."""
LOG_ROLES: Final = (Role.SIGNER, Role.RECORD)
"""The roles that keep a log."""
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE witness (vkey TEXT NOT NULL) STRICT;
CREATE TABLE keys (origin TEXT, vkey TEXT, boot BLOB, PRIMARY KEY (origin, vkey)) STRICT;
CREATE TABLE owners (
    root BLOB NOT NULL CHECK (length(root) = 32),
    account TEXT NOT NULL,
    heirs BLOB NOT NULL,
    PRIMARY KEY (root, account)
) STRICT;
CREATE TABLE heads (
    origin TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    size BLOB NOT NULL CHECK (length(size) = 8),
    root BLOB NOT NULL CHECK (length(root) = 32),
    seconds INTEGER NOT NULL,
    note BLOB NOT NULL
) STRICT;
CREATE TABLE contradictions (
    origin TEXT, digest BLOB, note BLOB NOT NULL, cosigned BLOB NOT NULL,
    PRIMARY KEY (origin, digest)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The newest head of a log that was cosigned: at which Unix second, and the whole note."""

    head: LogHead
    seconds: int
    note: bytes


@dataclass(frozen=True, slots=True)
class FollowedOwners:
    """Owners whose logs are followed: their root at the beginning, and the account. `heirs` are the
    roots of all owner sets from the first to the newest that was seen, 32 bytes each."""

    root: bytes
    account: str
    heirs: bytes = b""

    def origins(self) -> Iterator[tuple[Role, str]]:
        """The logs of this account, by role."""
        for role in LOG_ROLES:
            yield role, log_origin(self.root, self.account, role)


class Memory:
    """The memory of one witness key. Safe to use from several threads, and several processes.

    Raises:
        MemoryMissing: there is none at this path.
        FolderInvalid: it is another key's.
        MemoryBroken: it cannot be read, or another version wrote it.
    """

    def __init__(self, path: Path, key: VerifierKey) -> None:
        if not path.exists():
            raise MemoryMissing(
                f"the witness {key.name} has no memory",
                expected=path,
                remedy="bring it back exactly as it was last, or make a new witness: this key would"
                " cosign second histories",
            )
        self._path, self._lock = path, threading.Lock()
        self._database = _connect(path)
        with self._guarded("read"):
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            rows = self._database.execute("SELECT vkey FROM witness").fetchall() if version else []
        if version != _VERSION:
            raise MemoryBroken(f"{path} is of another version", expected=_VERSION, actual=version)
        if rows != [(str(key),)]:
            raise FolderInvalid(
                f"{path} is the memory of another key",
                expected=str(key),
                actual=", ".join(row[0] for row in rows),
            )

    @classmethod
    def create(cls, path: Path, key: VerifierKey) -> None:
        """Makes an empty memory for a new key; the file must not exist."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            database = _connect(path)
            try:
                database.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_VERSION};")
                database.execute("INSERT INTO witness VALUES (?)", (str(key),))
                database.execute("COMMIT")
            finally:
                database.close()
        except (OSError, sqlite3.Error) as error:
            raise MemoryBroken(f"cannot make {path}", actual=error) from error

    # --- whom it follows ----------------------------------------------------------------------

    def follow_key(self, key: VerifierKey, origin: str | None = None) -> None:
        """Takes signatures by `key` for those of a log, by default of the one with its name."""
        with self._transaction() as database:
            row = (origin or key.name, str(key), b"")
            database.execute("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", row)

    def follow_owners(self, owners: FollowedOwners) -> None:
        """Takes boot keys of this account from what its owners sign."""
        with self._transaction() as database:
            row = (owners.root, owners.account, owners.heirs)
            database.execute("INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", row)

    def accept_boot(
        self,
        followed: FollowedOwners,
        judge: Callable[[FollowedOwners], bytes],
        boot: bytes,
        keys: tuple[VerifierKey, ...],
    ) -> None:
        """Adds a boot's keys; `judge` returns the owner sets known from then on, or raises."""
        with self._transaction() as database:
            found = self._owners(followed.root, followed.account)
            if found is not None:
                row = (judge(found), found.root, found.account)
                database.execute("UPDATE owners SET heirs = ? WHERE (root, account) = (?, ?)", row)
                added = [(key.name, str(key), boot) for key in keys]
                database.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", added)

    def owners(self, root: bytes, account: str) -> FollowedOwners | None:
        """The followed owners with this root, for this account."""
        with self._guarded("read"):
            return self._owners(root, account)

    def all_owners(self) -> tuple[FollowedOwners, ...]:
        """All owners that are followed."""
        with self._guarded("read"):
            rows = self._database.execute("SELECT * FROM owners ORDER BY account").fetchall()
        return tuple(FollowedOwners(*row) for row in rows)

    def keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """The keys whose signatures count for a log."""
        with self._guarded("read"):
            found = self._database.execute("SELECT vkey FROM keys WHERE origin = ?", (origin,))
            return tuple(VerifierKey.parse(vkey) for (vkey,) in found.fetchall())

    def follows(self, origin: str) -> bool:
        """Whether a log is known at all, with or without a key of it."""
        mine = (name for owners in self.all_owners() for _, name in owners.origins())
        return bool(self.keys(origin)) or origin in mine

    def origins(self) -> tuple[str, ...]:
        """All logs that are known, sorted."""
        with self._guarded("read"):
            rows = self._database.execute("SELECT DISTINCT origin FROM keys").fetchall()
        mine = {name for owners in self.all_owners() for _, name in owners.origins()}
        return tuple(sorted(mine | {origin for (origin,) in rows}))

    # --- what it signed -----------------------------------------------------------------------

    def advance(self, origin: str, judge: Callable[[Recorded | None], Recorded]) -> Recorded:
        """Replaces what was cosigned last by what `judge` makes of it; durable when it returns.

        Nobody else changes the row between the two. If `judge` raises, nothing changed.
        """
        with self._transaction() as database:
            new = judge(self._recorded(origin))
            size = new.head.size.to_bytes(8, "big")
            name = sha256(origin.encode()).hexdigest()
            row = (origin, name, size, new.head.root, new.seconds, new.note)
            database.execute("INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?, ?, ?)", row)
        return new

    def recorded(self, origin: str) -> Recorded | None:
        """What was cosigned last of a log."""
        with self._guarded("read"):
            return self._recorded(origin)

    def note(self, origin_hash: str) -> bytes | None:
        """The note that was cosigned last, by the log's name in SHA-256, lower-case hex."""
        with self._guarded("read"):
            query = "SELECT note FROM heads WHERE hash = ?"
            row = self._database.execute(query, (origin_hash,)).fetchone()
        return None if row is None else bytes(row[0])

    def contradicted(self, origin: str, note: bytes, cosigned: bytes) -> None:
        """Keeps a note that the log signed and that contradicts the cosigned one: both together
        prove that the log has shown two histories."""
        with self._transaction() as database:
            query = "SELECT count(*) FROM contradictions WHERE origin = ?"
            (count,) = database.execute(query, (origin,)).fetchone()
            if count < MAX_CONTRADICTIONS:
                row = (origin, sha256(note).digest(), note, cosigned)
                database.execute("INSERT OR IGNORE INTO contradictions VALUES (?, ?, ?, ?)", row)

    def contradictions(self, origin: str) -> tuple[tuple[bytes, bytes], ...]:
        """Pairs of notes that the log signed: one that contradicts, and the cosigned one."""
        with self._guarded("read"):
            query = "SELECT note, cosigned FROM contradictions WHERE origin = ?"
            return tuple(self._database.execute(query, (origin,)).fetchall())

    def close(self) -> None:
        """Ends the use of the file."""
        self._database.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _recorded(self, origin: str) -> Recorded | None:
        query = "SELECT size, root, seconds, note FROM heads WHERE origin = ?"
        row = self._database.execute(query, (origin,)).fetchone()
        if row is None:
            return None
        size, root, seconds, note = row
        return Recorded(LogHead(int.from_bytes(size, "big"), root), seconds, note)

    def _owners(self, root: bytes, account: str) -> FollowedOwners | None:
        query = "SELECT * FROM owners WHERE (root, account) = (?, ?)"
        row = self._database.execute(query, (root, account)).fetchone()
        return None if row is None else FollowedOwners(*row)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guarded("write"):
            # A read that turns into a write later could have been overtaken in between.
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise MemoryBroken(
                f"cannot {what} {self._path}",
                actual=error,
                remedy="make room on the disk or mend it; nothing is signed until then",
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10, uri=False
        )
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise MemoryBroken(f"cannot open {path}", actual=error) from error
    return database
