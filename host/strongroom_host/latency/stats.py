"""A trading process's figures in shared memory, for whoever looks on: `strongroom latency`.

One file of fixed layout per process, little-endian: 64 bytes of head (magic, version, pid, when it
began), `Counter`s as u64, then the counts of each live stage's histogram. Written without locks by
one process; a reader may see a histogram one count behind another.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import tempfile
import time
from enum import IntEnum
from pathlib import Path
from typing import Final

from strongroom_host.errors import BadInput
from strongroom_host.latency.histogram import BUCKETS, Histogram
from strongroom_host.latency.stages import LIVE, Stage

__all__ = [
    "Counter",
    "Figures",
    "StatsAbsent",
    "StatsFile",
    "read_stats",
    "running",
    "stats_path",
]

_HEAD: Final = struct.Struct("<8sIIQ40s")
_MAGIC: Final = b"SRSTATS\0"
_VERSION: Final = 1
_PREFIX: Final = "strongroom-stats-"


class Counter(IntEnum):
    """What is counted beside the stages."""

    TICKS = 0
    GAPS = 1
    MISSED = 2
    DECISIONS = 3
    HELD = 4
    DENIED = 5
    SIGNED = 6
    SENT = 7
    ACCEPTED = 8
    REFUSED = 9
    UNKNOWN = 10
    RECONCILED = 11
    FILLS = 12
    CANCELS = 13
    HEARTBEATS = 14


_COUNTERS: Final = 32
_SIZE: Final = _HEAD.size + 8 * _COUNTERS + 8 * BUCKETS * len(LIVE)


class StatsAbsent(BadInput):
    """No trading process of that name shows its figures."""


class Figures:
    """Counters and histograms over one piece of memory."""

    def __init__(self, memory: memoryview | None = None) -> None:
        whole = memoryview(bytearray(_SIZE)) if memory is None else memory
        body = whole[_HEAD.size :].cast("Q")
        self.counters = body[:_COUNTERS]
        self.stages: dict[Stage, Histogram] = {}
        for place, stage in enumerate(LIVE):
            first = _COUNTERS + place * BUCKETS
            self.stages[stage] = Histogram(body[first : first + BUCKETS])

    def count(self, counter: Counter, by: int = 1) -> None:
        """Adds to a counter."""
        self.counters[counter] += by


class StatsFile:
    """The figures of this process, to be seen by others; a context manager."""

    def __init__(self, name: str) -> None:
        """Makes the file anew.

        Raises:
            BadInput: it cannot be made.
        """
        self.path = stats_path(name)
        _sweep()
        try:
            self.path.unlink(missing_ok=True)
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            try:
                os.ftruncate(descriptor, _SIZE)
                self._map = mmap.mmap(descriptor, _SIZE)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise BadInput(
                f"cannot make {self.path}: {error.strerror or error}",
                remedy="see that shared memory has room",
            ) from error
        head = _HEAD.pack(_MAGIC, _VERSION, os.getpid(), time.time_ns(), name.encode()[:40])
        self._map[: len(head)] = head
        self._view = memoryview(self._map)
        self.figures = Figures(self._view)

    def close(self) -> None:
        """Removes it."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Figures:
        return self.figures

    def __exit__(self, *_: object) -> None:
        self.close()


def read_stats(name: str) -> tuple[int, int, Figures]:
    """Returns a running process's pid, when it began (ns since the epoch), and its figures, live.

    Raises:
        StatsAbsent: there is none, or it is no such file.
    """
    path = stats_path(name)
    try:
        with path.open("rb") as stream:
            mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        magic, version, pid, began, _ = _HEAD.unpack_from(mapped)
        if (magic, version, len(mapped)) != (_MAGIC, _VERSION, _SIZE):
            raise ValueError("another version")
    except (OSError, ValueError, struct.error) as error:
        raise StatsAbsent(
            f"no trading process {name!r} shows its figures",
            expected=", ".join(running()) or "`strongroom trade run`, which is not running",
            actual=error,
            remedy="name one that runs, or measure with --tape FILE",
        ) from error
    return pid, began, Figures(mapped)


def running() -> list[str]:
    """Returns the names under which processes of this user show figures."""
    prefix = stats_path("").name
    with contextlib.suppress(OSError):
        folder = stats_path("").parent
        found = [path for path in folder.glob(f"{prefix}*") if _alive(path)]
        return sorted(path.name.removeprefix(prefix) for path in found)
    return []


def _sweep() -> None:
    """Removes what killed processes of this user left behind; nobody else would."""
    with contextlib.suppress(OSError):
        empty = stats_path("")
        for path in empty.parent.glob(f"{empty.name}*"):
            if _left(path):
                path.unlink(missing_ok=True)


def _left(path: Path) -> bool:
    """Whether a process made the file and is gone for sure: one that is being made has no head."""
    try:
        with open(path, "rb", opener=_look) as stream:
            magic, _, pid, _, _ = _HEAD.unpack(stream.read(_HEAD.size))
        if magic == _MAGIC and pid > 0:
            os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, struct.error):
        pass
    return False


def _alive(path: Path) -> bool:
    """Whether the process that made the file still runs; one that was killed left it behind."""
    try:
        with open(path, "rb", opener=_look) as stream:
            _, _, pid, _, _ = _HEAD.unpack(stream.read(_HEAD.size))
        os.kill(pid, 0)
    except (OSError, struct.error):
        return False
    return True


def _look(path: str, flags: int) -> int:
    """Opens what anybody may have put there, such as a pipe that nobody writes to: never waits."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def stats_path(name: str) -> Path:
    """Returns where a process of that name shows its figures.

    Raises:
        BadInput: the name has other than letters, digits, dots, dashes and underscores.
    """
    if not all(char.isalnum() or char in "._-" for char in name) or len(name) > 40:
        raise BadInput(
            f"{name!r} is no name", expected="up to 40 letters, digits, dots, dashes, underscores"
        )
    shared = Path("/dev/shm")  # noqa: S108  mode 0600, a name of this user's
    folder = shared if shared.is_dir() else Path(tempfile.gettempdir())
    return folder / f"{_PREFIX}{os.geteuid()}-{name}"
