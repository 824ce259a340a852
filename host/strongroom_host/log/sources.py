"""Where a log is read from: a folder on this machine, or a URL that serves one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from strongroom_wire.bundle import LogHead

from strongroom_host.log.boots import BOOTS_INDEX, StoredBoot, boot_path, parse_index
from strongroom_host.log.errors import LogDamaged
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.remote import RemoteLog
from strongroom_host.log.tree import LogReader

__all__ = ["LogSource", "boot_ids", "open_source", "read_boot", "reader_of"]


class LogSource(Protocol):
    """A log as somebody shows it, at one moment; believed nothing. A `Storage`, and more."""

    @property
    def checkpoint(self) -> bytes | None:
        """The signed note that is published, or None."""

    @property
    def note(self) -> bytes:
        """Another one that is stored with the leaves and may be newer, or nothing."""

    @property
    def size(self) -> int:
        """Up to where it says that it has leaves."""

    def read(self, path: str) -> bytes | None:
        """The bytes at a path relative to the log's prefix, or None where there are none."""


@contextmanager
def open_source(
    place: str, cache: Path | None = None, *, boots: bool = True, within_s: float | None = None
) -> Iterator[LogSource]:
    """Opens the log in a folder or, where `place` has a scheme, at a URL; see `RemoteLog`.

    Raises:
        BadInput: there is none.
        LogUnreadable: it cannot be read.
    """
    if "://" in place:
        with RemoteLog(place, cache, boots=boots, within_s=within_s) as remote:
            yield remote
    else:
        yield FolderLog(Path(place).expanduser())


def boot_ids(source: LogSource) -> tuple[bytes, ...]:
    """Of which boots the source says that it has evidence.

    Raises:
        LogDamaged: its index is none.
        LogUnreadable: see `LogSource.read`.
    """
    data = source.read(BOOTS_INDEX)
    return () if data is None else parse_index(data)


def read_boot(source: LogSource, boot_id: bytes) -> StoredBoot:
    """The evidence that the source has of a boot, believed nothing.

    Raises:
        LogDamaged: it has none, or something else.
        LogUnreadable: see `LogSource.read`.
    """
    data = source.read(boot_path(boot_id))
    if data is None:
        raise LogDamaged("there is no evidence of this boot", expected=boot_path(boot_id))
    return StoredBoot.parse(data, boot_id)


def reader_of(source: LogSource) -> LogReader:
    """Returns a reader of all that is stored, proved by nothing: its root is not known."""
    return LogReader(source, LogHead(source.size, bytes(32)))
