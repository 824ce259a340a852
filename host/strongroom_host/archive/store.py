"""The port to whatever keeps an archive: what it must do, and what it says of one object.

A store is believed nothing about content, as every name promises a digest. About protection it is
the only witness there is: that an object cannot be deleted, its keeper says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Protocol

from strongroom_host.archive.errors import ObjectAltered, RetentionMalformed
from strongroom_host.archive.manifest import digest_in

__all__ = [
    "DAY_MS",
    "Protection",
    "Store",
    "StoredObject",
    "checked",
    "day",
    "parse_retention",
    "to_second",
]

DAY_MS: Final = 86_400_000
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,5})([dy])", re.ASCII)
_LONGEST_DAYS: Final = 366 * 100


@dataclass(frozen=True, slots=True)
class Protection:
    """Until when nobody can change or delete an object, and by what.

    Attributes:
        mode: The store's own word: "COMPLIANCE" and "GOVERNANCE" are S3's, "WRITE-ONCE" is a
            directory's; empty where nothing protects it.
        until_ms: Until when, ms since the epoch of Unix, a whole second; 0 without a date.
        hold: A legal hold keeps it beyond that, until it is lifted.
    """

    mode: str = ""
    until_ms: int = 0
    hold: bool = False


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object with a name of ours.

    Attributes:
        key: Its name.
        size: Its length in bytes.
        hidden: Somebody put a delete marker or another version over it. It is still there.
    """

    key: str
    size: int
    hidden: bool = False


class Store(Protocol):
    """A place that keeps objects under names that `manifest` makes."""

    @property
    def place(self) -> str:
        """Where it is, in words that a person can use."""

    @property
    def mode(self) -> str:
        """The mode of protection that this store gives; what has another is not protected."""

    def prepare(self, now_ms: int) -> None:
        """Proves that objects can be stored here and will be protected.

        Raises:
            StoreUnreachable, CredentialsMissing, AccessRefused, ArchiveUnwritable, NotLockable,
            ClockWrong: they cannot; the remedy says what to do.
        """

    def objects(self, prefix: str = "") -> Iterable[StoredObject]:
        """What is stored under names that begin so, in the order of the names."""

    def put(self, key: str, data: bytes, wanted: Protection) -> None:
        """Stores an object that is not there yet, protected as `wanted`.

        Raises:
            ArchiveUnwritable, AccessRefused and the others: it may or may not be stored; a rerun
                finds out.
        """

    def read(self, key: str) -> bytes | memoryview:
        """The content that the name promises, whatever else is stored under it.

        Raises:
            ObjectMissing: there is nothing.
            ObjectAltered: there is something else.
        """

    def protection(self, key: str) -> Protection:
        """What protects the object that the name promises.

        Raises:
            ObjectMissing: there is none.
        """

    def protect(self, key: str, wanted: Protection) -> None:
        """Keeps an object longer, or puts or lifts the legal hold. No date becomes an earlier one.

        Raises:
            RetentionTooShort: it is kept longer already.
            AccessRefused: the store does not do it.
        """


def checked(key: str, data: bytes | memoryview) -> bytes | memoryview:
    """Returns `data` after proving that it is what the name promises.

    Raises:
        ObjectAltered: it is not.
    """
    found = sha256(data).hexdigest()
    if found != digest_in(key):
        raise ObjectAltered(
            f"{key} is not what its name says",
            expected=digest_in(key),
            actual=found,
            remedy="it was damaged or replaced: fetch it from another copy of the archive",
        )
    return data


def to_second(time_ms: int) -> int:
    """The time, or the next whole second: dates of retention have no parts of one."""
    return -(-time_ms // 1000) * 1000


def parse_retention(text: str) -> int:
    """The milliseconds in a period such as 6y or 2190d; a year is 366 days, so never too short.

    Raises:
        RetentionMalformed: it is none, or longer than a hundred years, which nobody could undo.
    """
    match = _PERIOD.fullmatch(text)
    days = 0 if match is None else int(match[1]) * (366 if match[2] == "y" else 1)
    if not 0 < days <= _LONGEST_DAYS:
        raise RetentionMalformed(
            "no retention period",
            expected="days or years, such as 90d or 6y, at most 100y",
            actual=text,
            remedy="mind that nobody, you included, can shorten it afterwards",
        )
    return days * DAY_MS


def day(time_ms: int) -> str:
    """A time as people read it, UTC, to the second."""
    try:
        return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms after 1970"
