"""Slots on huge pages: used when the administrator has reserved some, explained when not.

With 512 slots the ring fits eight ordinary pages, and huge ones save next to nothing; rings of many
thousand slots gain. A reserved page is also never moved or swapped.
"""

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_host.ring.errors import RingInvalid

__all__ = ["HugeFile", "make_huge", "map_huge"]

_RESERVE: Final = (
    "`sysctl vm.nr_hugepages=N` reserves N of them (as root), and `mount -t hugetlbfs none"
    " /dev/hugepages` shows them; STRONGROOM_RING_HUGE_DIR names another place"
)


@dataclass(frozen=True, slots=True)
class HugeFile:
    """Where the slots are; without a path, why they are not on huge pages."""

    path: str
    reason: str = ""


def make_huge(name: str, size: int, mode: int) -> HugeFile:
    """Makes the file of a ring's slots on huge pages, all of them reserved for it; or says why not.

    Args:
        name: The name of the ring's own file; that of the slots is called the same.
        size: Bytes needed.
        mode: Permissions.
    """
    folder = _mount()
    if folder is None:
        return HugeFile("", f"no hugetlbfs that this user may write to is mounted: {_RESERVE}")
    path = folder / name
    if len(os.fsencode(path)) > 255:
        return HugeFile("", f"the path {path} is too long")
    try:
        path.unlink(missing_ok=True)  # the producer's lock is ours: whoever made it is gone
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        return HugeFile("", f"{path} cannot be made: {error.strerror}")
    try:
        page = os.statvfs(folder).f_bsize
        os.ftruncate(descriptor, -(-size // page) * page)
        mmap.mmap(descriptor, 0).close()  # reserves the pages for the file, or fails
    except (OSError, ValueError) as error:
        path.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        need = -(-size // page)
        return HugeFile(
            "", f"{need} huge pages of {page >> 10} KiB are not free ({reason}): {_RESERVE}"
        )
    finally:
        os.close(descriptor)
    return HugeFile(str(path))


def map_huge(path: Path, size: int, user: int, *, writable: bool) -> mmap.mmap:
    """Maps the slots' file of a ring.

    Raises:
        RingInvalid: it is gone, too short, or others may have written it.
    """
    flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise _lost(path, error.strerror) from error
    try:
        status = os.fstat(descriptor)
        if status.st_uid != user or status.st_mode & 0o022 or status.st_size < size:
            raise _lost(path, f"{status.st_size} bytes, user {status.st_uid}, {status.st_mode:o}")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise _lost(path, str(error)) from error
    finally:
        os.close(descriptor)


def _mount() -> Path | None:
    """Returns the first hugetlbfs that this user can make files in."""
    if chosen := os.environ.get("STRONGROOM_RING_HUGE_DIR"):
        return Path(chosen)
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if len(fields) > 2 and fields[2] == "hugetlbfs" and os.access(fields[1], os.W_OK):
            return Path(fields[1])
    return None


def _lost(path: Path, actual: object) -> RingInvalid:
    return RingInvalid(
        f"the ring's slots on huge pages cannot be used: {path}",
        expected="the file that its producer made, writable by nobody else",
        actual=actual,
        remedy="`strongroom ring remove NAME`, and start the producer again",
    )
