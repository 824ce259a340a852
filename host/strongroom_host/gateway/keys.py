"""The gateway's own database: who may ask, for what, about whom, and until when.

SQLite, in a folder of its own: one process reads it and a person changes it now and then, so that
the login at PostgreSQL needs nothing but to read two tables there. A key is 256 random bits; what
is kept is a MAC of it under a secret of another file, so that a copy of the database opens nothing
and no guess can be tried on it.
"""

import hmac
import os
import re
import secrets
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from strongroom_host.gateway.errors import (
    ExpiryInvalid,
    KeyRefused,
    KeyStoreUnusable,
    KeyUnknown,
    NotLimited,
)
from strongroom_host.private_files import FileExposed, read_private, write_private

__all__ = ["DAY_MS", "KEY_PREFIX", "Access", "ApiKey", "KeyStore", "Scope"]

KEY_PREFIX: Final = "srk_"
DAY_MS: Final = 86_400_000
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_MAX_DAYS: Final = 366
_USER: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
"""As the database has them: no name may mean several, or all."""
_VERSION: Final = 1
_USED_EVERY_MS: Final = 60_000
"""A write per request would be a write for nothing: last use is kept to the minute."""

_SCHEMA: Final = """
CREATE TABLE keys (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL CHECK (length(digest) = 32),
  scopes TEXT NOT NULL, users TEXT, login TEXT NOT NULL, created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL, revoked_ms INTEGER, used_ms INTEGER
) STRICT;
"""
# Constant: what is interpolated into SQL here; values are bound.
_COLUMNS: Final = (
    "id, name, digest, scopes, users, login, created_ms, expires_ms, revoked_ms, used_ms"
)


class Scope(StrEnum):
    """What a key is for."""

    RETURNS = "returns"
    METRICS = "metrics"
    BALANCES = "balances"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do.

    Attributes:
        key: The id of the key that it was made with, or whose token it has.
        scopes: What it may ask for.
        users: Whose returns it may see; None is everybody's.
        login: The reader's login that the database is asked with; empty is the gateway's own.
    """

    key: str
    scopes: frozenset[Scope]
    users: frozenset[str] | None
    login: str = ""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: everything but the key. Times are ms since the epoch."""

    id: str
    name: str
    digest: bytes = field(repr=False)
    access: Access
    created_ms: int
    expires_ms: int
    revoked_ms: int | None
    used_ms: int | None

    def state(self, now_ms: int) -> str:
        """Whether it opens anything, in a word."""
        if self.revoked_ms is not None:
            return "revoked"
        return "active" if now_ms < self.expires_ms else "expired"


class KeyStore:
    """The keys in a folder, made there if need be. Threads may share one.

    Raises:
        KeyStoreUnusable: the folder or database cannot be used, or is of another version.
        FileExposed: others can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._used = dict[str, int]()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._secret = self._own_secret(folder / "pepper.key")
        path = folder / "keys.sqlite"
        try:
            # Before SQLite makes it with the umask's mode; its side files take on this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            _require_private(path)
            self._database = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=5
            )
        except (OSError, sqlite3.Error) as error:
            raise KeyStoreUnusable(f"{path} cannot be opened", actual=error) from error
        with self._guarded():
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._prepare()

    def close(self) -> None:
        """Ends the use of the database."""
        self._database.close()

    def secret(self, purpose: str) -> bytes:
        """Returns 32 bytes that are this folder's own, others for each purpose."""
        return hmac.digest(self._secret, b"strongroom gateway " + purpose.encode(), "sha256")

    def create(
        self,
        name: str,
        scopes: Iterable[Scope],
        users: Iterable[str] | None,
        *,
        now_ms: int,
        days: int,
        login: str = "",
    ) -> tuple[str, ApiKey]:
        """Returns a new key, which is nowhere kept, and what is kept of it.

        Raises:
            NotLimited: it would be for nothing, or for nobody, or for what is nobody's name.
            ExpiryInvalid: not 1 to 366 days.
        """
        wanted = frozenset(scopes)
        seen = None if users is None else frozenset(users)
        if not wanted or (seen is not None and not seen):
            raise NotLimited(
                "a key needs something that it is for, and users whom it may see",
                expected="one scope or more; users, or all of them said outright",
            )
        if seen is not None and not all(map(_USER.fullmatch, seen)):
            raise NotLimited(
                "no user can be called that", expected=_USER.pattern, actual=sorted(seen)
            )
        if not 1 <= days <= _MAX_DAYS:
            raise ExpiryInvalid(
                "a key lives too long, or not at all",
                expected=f"1 to {_MAX_DAYS} days",
                actual=days,
            )
        key_id = secrets.token_hex(_ID_BYTES)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        kept = ApiKey(
            id=key_id,
            name=name,
            digest=self._digest(key_id, secret),
            access=Access(key_id, wanted, seen, login),
            created_ms=now_ms,
            expires_ms=now_ms + days * DAY_MS,
            revoked_ms=None,
            used_ms=None,
        )
        with self._guarded():
            self._database.execute(
                f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",  # noqa: S608
                (
                    kept.id,
                    name,
                    kept.digest,
                    " ".join(sorted(wanted)),
                    None if seen is None else "\n".join(sorted(seen)),
                    login,
                    kept.created_ms,
                    kept.expires_ms,
                ),
            )
        return f"{KEY_PREFIX}{key_id}_{secret}", kept

    def open(self, text: str, now_ms: int) -> ApiKey:
        """Proves that `text` is a key in force; returns it, and notes its use.

        Raises:
            KeyRefused: it is none, was revoked or has expired; the answer is the same for all.
        """
        key_id, _, secret = text.removeprefix(KEY_PREFIX).partition("_")
        found = self._find(key_id) if text.startswith(KEY_PREFIX) else None
        # One that is unknown takes as long as one whose secret is wrong.
        expected = bytes(32) if found is None else found.digest
        genuine = hmac.compare_digest(self._digest(key_id, secret), expected)
        if found is None or not genuine:
            raise _refused()
        return self._in_force(found, now_ms)

    def still(self, key_id: str, now_ms: int) -> ApiKey:
        """Returns a key by its id if it is in force: what a token made with it stands on.

        Raises:
            KeyRefused: it is not.
        """
        found = self._find(key_id)
        if found is None:
            raise _refused()
        return self._in_force(found, now_ms)

    def listed(self) -> list[ApiKey]:
        """Returns all keys, in order of making."""
        with self._guarded():
            rows = self._database.execute(
                f"SELECT {_COLUMNS} FROM keys ORDER BY created_ms, id"  # noqa: S608
            ).fetchall()
        return [_key(row) for row in rows]

    def revoke(self, key_id: str, now_ms: int) -> None:
        """Ends a key, and with it every token made with it, from the next request on.

        Raises:
            KeyUnknown: there is none with that id.
        """
        with self._guarded():
            changed = self._database.execute(
                "UPDATE keys SET revoked_ms = coalesce(revoked_ms, ?) WHERE id = ?",
                (now_ms, key_id),
            ).rowcount
        if not changed:
            raise KeyUnknown(
                f"no key has the id {key_id}", remedy="`strongroom gateway key list` names them"
            )

    def _in_force(self, key: ApiKey, now_ms: int) -> ApiKey:
        if key.state(now_ms) != "active":
            raise _refused()
        with self._lock:
            due = now_ms - self._used.get(key.id, key.used_ms or 0) >= _USED_EVERY_MS
            if due:
                self._used[key.id] = now_ms
        if due:
            with self._guarded():
                self._database.execute("UPDATE keys SET used_ms = ? WHERE id = ?", (now_ms, key.id))
        return key

    def _find(self, key_id: str) -> ApiKey | None:
        with self._guarded():
            row = self._database.execute(
                f"SELECT {_COLUMNS} FROM keys WHERE id = ?",  # noqa: S608
                (key_id,),
            ).fetchone()
        return None if row is None else _key(row)

    def _digest(self, key_id: str, secret: str) -> bytes:
        return hmac.digest(self.secret("api key"), f"{key_id}_{secret}".encode(), "sha256")

    def _prepare(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._database.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        elif version != _VERSION:
            raise KeyStoreUnusable(
                "the keys were written by another version", expected=_VERSION, actual=version
            )

    @staticmethod
    def _own_secret(path: Path) -> bytes:
        if not path.exists():
            write_private(path, secrets.token_bytes(32))
        if len(secret := read_private(path)) != 32:
            raise KeyStoreUnusable(f"{path} is no secret", expected="32 bytes", actual=len(secret))
        return secret

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise KeyStoreUnusable("the gateway's own database failed", actual=error) from error


def _key(row: tuple[object, ...]) -> ApiKey:
    key_id, name, digest, scopes, users, login, created, expires, revoked, used = row
    if not isinstance(digest, bytes):
        raise KeyStoreUnusable("a key's digest is no bytes")
    seen = None if users is None else frozenset(str(users).split("\n"))
    return ApiKey(
        id=str(key_id),
        name=str(name),
        digest=digest,
        access=Access(str(key_id), frozenset(map(Scope, str(scopes).split(" "))), seen, str(login)),
        created_ms=int(str(created)),
        expires_ms=int(str(expires)),
        revoked_ms=None if revoked is None else int(str(revoked)),
        used_ms=None if used is None else int(str(used)),
    )


def _refused() -> KeyRefused:
    return KeyRefused(
        "this key opens nothing",
        expected="a key that was made here, was not revoked and has not expired",
        remedy="ask whoever runs this gateway for one",
    )


def _require_private(path: Path) -> None:
    status = path.stat()
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid not in (0, os.geteuid()):
        raise FileExposed(
            f"{path} says who may ask, but other users may read or change it",
            expected="mode 0600, owned by you",
            actual=f"mode {stat.S_IMODE(status.st_mode):04o}, user {status.st_uid}",
            remedy=f"chmod 600 {path}",
        )
