"""Who is alive: locks on single bytes of a ring's file, which the kernel drops with their holder.

A process that was killed leaves its number behind, and another process may get the same one; a lock
it cannot leave behind. On Linux they are open file description locks: of this opening of the file,
not of the process, so that two ends in one process do not disturb each other, and whether one is
held can be asked without taking it. Elsewhere they are POSIX locks, which belong to the process;
there a ring is for development.
"""

import errno
import fcntl
import os
import struct
import sys
import time
from pathlib import Path
from typing import Final

__all__ = [
    "PRODUCER",
    "REGISTRY",
    "consumer_byte",
    "is_held",
    "process_start",
    "try_lock",
    "unlock",
]

PRODUCER: Final = 0
REGISTRY: Final = 1
_FIRST_CONSUMER: Final = 16
_FLOCK: Final = "hhqqi4x"


def consumer_byte(number: int) -> int:
    """Returns the byte that stands for a consumer."""
    return _FIRST_CONSUMER + number


def try_lock(descriptor: int, byte: int, patience: float = 0.0) -> bool:
    """Locks a byte for this opening of the file; returns whether it could, within `patience` s."""
    until = time.monotonic() + patience
    while not _lock_once(descriptor, byte):
        if time.monotonic() >= until:
            return False
        time.sleep(0.002)
    return True


if sys.platform == "linux":

    def _lock_once(descriptor: int, byte: int) -> bool:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, byte))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def unlock(descriptor: int, byte: int) -> None:
        """Gives up a byte's lock."""
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, byte))

    def is_held(descriptor: int, byte: int) -> bool:
        """Returns whether another opening of the file holds the byte's lock."""
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, byte))
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)

    def _flock(kind: int, byte: int) -> bytes:
        return struct.pack(_FLOCK, kind, os.SEEK_SET, byte, 1, 0)

    def process_start(pid: int) -> int:
        """Returns when a process started, in clock ticks since the system did; 0 if there is
        none. With it a number that was given again is not taken for the process that had it."""
        try:
            # The name in parentheses may contain anything; what follows is fixed.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return int(fields[19])
        except (OSError, IndexError, ValueError):
            return 0

else:

    def _lock_once(descriptor: int, byte: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def unlock(descriptor: int, byte: int) -> None:
        """Gives up a byte's lock."""
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)

    def is_held(descriptor: int, byte: int) -> bool:
        """Returns whether another process holds the byte's lock; asked by trying it."""
        try:
            if not _lock_once(descriptor, byte):
                return True
        except OSError:  # opened for reading only: cannot be asked, and is not said to be dead
            return True
        unlock(descriptor, byte)
        return False

    def process_start(pid: int) -> int:
        """Returns 1 if a process of that number is there, else 0: its start is not told here."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return 0
        except PermissionError:
            pass
        return 1
