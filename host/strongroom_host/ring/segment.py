"""A ring's memory: made, opened and looked into, but neither written to nor read from.

Whoever opens it believes nothing in it: size, magic, version, layout and shape are checked, and
that it is the user's file and nobody else can write to it.
"""

import mmap
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from strongroom_host.ring import layout
from strongroom_host.ring.errors import RingAbsent, RingInvalid, SizeInvalid, SpaceMissing
from strongroom_host.ring.hugepages import map_huge
from strongroom_host.ring.locks import process_start
from strongroom_host.ring.tick import SIZE

__all__ = [
    "Producer",
    "Segment",
    "Shape",
    "check_owner",
    "new_shape",
    "open_file",
    "read_shape",
    "unlink_ring",
    "write_shape",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a ring is fixed for its life."""

    slots: int
    consumers: int
    identity: bytes
    created_ns: int
    huge_path: str

    @property
    def size(self) -> int:
        """The length of the ring's file in bytes."""
        return layout.SLOTS_OFFSET + (0 if self.huge_path else self.slots * SIZE)


@dataclass(frozen=True, slots=True)
class Producer:
    """Who writes, or wrote last."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether that process is there: its number alone may be another's by now."""
        return self.pid > 0 and process_start(self.pid) == self.started != 0


def open_file(path: Path, *, writable: bool, user: int) -> int:
    """Returns a descriptor of a ring's file after proving that nobody but `user` can write to it.

    Raises:
        RingAbsent: it is not there.
        RingInvalid: it is not safely the user's.
    """
    # O_NONBLOCK: a pipe that somebody put there must not hold the reader up.
    flags = os.O_RDWR if writable else os.O_RDONLY
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise RingAbsent(
            f"there is no ring at {path}",
            remedy="start its producer first; `strongroom ring list` shows what there is",
        ) from error
    except OSError as error:
        raise RingInvalid(
            f"the ring at {path} cannot be opened: {error.strerror}",
            expected="a plain file that this user may read"
            + (" and write" if writable else "; a reader without a name only reads"),
        ) from error
    try:
        check_owner(descriptor, path, user)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_owner(descriptor: int, path: Path, user: int) -> None:
    """Proves that an open file is a plain one, the user's, and writable by nobody else.

    Raises:
        RingInvalid: it is not.
    """
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != user or mode & 0o022:
        raise RingInvalid(
            f"{path} is not safely this user's ring: others may have written it",
            expected=f"a plain file of user {user} that no other can write",
            actual=f"mode {mode:04o}, user {status.st_uid}",
            remedy="find out who made it, remove it, and start the producer again",
        )


class Segment:
    """An open ring: its file, its mappings, and views of them in words of 64 bits."""

    def __init__(
        self, path: Path, descriptor: int, shape: Shape, user: int, *, writable: bool
    ) -> None:
        """Maps the file, of which `shape` was read or written; owns `descriptor` if it succeeds.

        Raises:
            RingInvalid: its slots on huge pages cannot be mapped.
        """
        self.path, self.descriptor, self.shape = path, descriptor, shape
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self._maps = [mmap.mmap(descriptor, shape.size, access=access)]
        self.bytes = memoryview(self._maps[0])
        self.header = self.bytes[: layout.HEADER_SIZE].cast("Q")
        if shape.huge_path:
            length = shape.slots * SIZE
            try:
                slots = map_huge(Path(shape.huge_path), length, user, writable=writable)
            except BaseException:
                # Now, not when the error is forgotten: a mapping keeps its file open, and locked.
                self.header.release()
                self.bytes.release()
                self._maps[0].close()
                raise
            self._maps.append(slots)
            self.slots = memoryview(slots)[:length]
        else:
            self.slots = self.bytes[layout.SLOTS_OFFSET :]
        self.words = self.slots.cast("Q")

    def map_consumers(self) -> memoryview:
        """Returns the consumers' region, writable, also where all else is mapped for reading."""
        length = layout.SLOTS_OFFSET - layout.CONSUMERS_OFFSET
        region = mmap.mmap(self.descriptor, length, offset=layout.CONSUMERS_OFFSET)
        self._maps.append(region)
        return memoryview(region)

    def producer(self) -> Producer:
        """Returns who writes, or wrote last."""
        return Producer(self.header[layout.PRODUCER_PID], self.header[layout.PRODUCER_START])

    def newest(self) -> int:
        """Returns the highest sequence in the ring, 0 if there is none: of ticks published before
        the call, the last is that or an older one."""
        return max(self.words[:: layout.WORDS_PER_SLOT].tolist())

    def is_current(self) -> bool:
        """Returns whether the ring's name still stands for this file."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        mine = os.fstat(self.descriptor)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def end(self) -> None:
        """Tells the readers that nothing more will come, and removes the ring's files.

        For whoever holds the producer's lock.
        """
        self.header[layout.STATE] = layout.CLOSED
        if self.is_current():
            unlink_ring(self.path, self.shape)

    def close(self) -> None:
        """Unmaps the ring and closes its file. Views of it may not be used any more."""
        if self.descriptor < 0:
            return
        for view in (self.words, self.slots, self.header, self.bytes):
            view.release()
        for mapping in self._maps:
            try:
                mapping.close()
            except BufferError:  # a view is still held somewhere; it goes when that does
                continue
        os.close(self.descriptor)
        self.descriptor = -1


def read_shape(descriptor: int, path: Path) -> Shape:
    """Returns what a ring's file says of itself, once it is consistent.

    Raises:
        RingAbsent: it is being made, or its making was broken off.
        RingInvalid: it is no ring, of another version, or damaged.
    """
    data = os.pread(descriptor, layout.HEADER_SIZE, 0)
    if len(data) < layout.HEADER_SIZE or not any(data[: layout.FIXED.size]):
        if any(data):
            raise _invalid(path, "is cut off", f"{layout.HEADER_SIZE} bytes or more", len(data))
        raise RingAbsent(f"the ring at {path} is not finished", remedy="start its producer again")
    magic, version, digest, slots, consumers, identity, created = layout.FIXED.unpack_from(data)
    if magic != layout.MAGIC:
        raise _invalid(path, "is no ring", layout.MAGIC.hex(), magic.hex())
    if version != layout.VERSION or digest != layout.DIGEST:
        expected = f"version {layout.VERSION}, layout {layout.DIGEST.hex()[:16]}"
        actual = f"version {version}, layout {digest.hex()[:16]}"
        raise _invalid(path, "is a ring of another version of this program", expected, actual)
    length = data[layout.HUGE_PATH]
    huge = data[layout.HUGE_PATH + 1 : layout.HUGE_PATH + 1 + length].decode(errors="replace")
    try:
        layout.check_shape(slots, consumers)
    except SizeInvalid as error:
        raise _invalid(path, f"is damaged: {error.what}", error.expected, error.actual) from error
    shape = Shape(slots, consumers, identity, created, huge)
    if (size := os.fstat(descriptor).st_size) != shape.size:
        raise _invalid(path, "has not the size that its header tells", shape.size, size)
    if data[8 * layout.STATE] == layout.UNFINISHED:
        raise RingAbsent(f"the ring at {path} is not finished", remedy="start its producer again")
    return shape


def write_shape(descriptor: int, path: Path, shape: Shape) -> None:
    """Gives a new, empty file its memory and fixed header; the state stays UNFINISHED.

    Raises:
        SpaceMissing: there is not enough memory for it. All of it is reserved here, since a page
            that cannot be had later would end the process with SIGBUS.
    """
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, shape.size)
        else:
            os.pwrite(descriptor, bytes(shape.size), 0)
    except OSError as error:
        free = os.statvfs(path.parent)
        raise SpaceMissing(
            f"no room for a ring in {path.parent}: {error.strerror}",
            expected=f"{shape.size:,} bytes free",
            actual=f"{free.f_bavail * free.f_frsize:,} bytes free",
            remedy="fewer slots; `strongroom ring list` for rings that nobody needs; a container"
            " gets more by --shm-size",
        ) from error
    name = shape.huge_path.encode()
    os.pwrite(descriptor, bytes([len(name)]) + name, layout.HUGE_PATH)
    fixed = (layout.MAGIC, layout.VERSION, layout.DIGEST, shape.slots, shape.consumers)
    os.pwrite(descriptor, layout.FIXED.pack(*fixed, shape.identity, shape.created_ns), 0)


def unlink_ring(path: Path, shape: Shape) -> None:
    """Removes a ring's files; of its slots' file only the very one that `make_huge` makes."""
    path.unlink(missing_ok=True)
    if shape.huge_path and Path(shape.huge_path).name == path.name:
        Path(shape.huge_path).unlink(missing_ok=True)


def new_shape(slots: int, consumers: int) -> Shape:
    """Returns the shape of a new ring, its slots in the ring's own file.

    Raises:
        SizeInvalid: there is none with these numbers.
    """
    layout.check_shape(slots, consumers)
    return Shape(slots, consumers, os.urandom(16), time.time_ns(), "")


def _invalid(path: Path, what: str, expected: object, actual: object) -> RingInvalid:
    return RingInvalid(
        f"{path} {what}",
        expected=expected,
        actual=actual,
        remedy="stop what uses it, `strongroom ring remove NAME`, and start the producer again",
    )
