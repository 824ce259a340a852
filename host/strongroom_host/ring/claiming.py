"""How a producer comes by its ring: makes it, or takes over the one that another has left."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from strongroom_host.ring import layout
from strongroom_host.ring.errors import (
    RingAbsent,
    RingInvalid,
    RingMismatch,
    RingTaken,
    SpaceMissing,
)
from strongroom_host.ring.hugepages import make_huge
from strongroom_host.ring.locks import PRODUCER, try_lock
from strongroom_host.ring.places import ring_path
from strongroom_host.ring.segment import (
    Segment,
    Shape,
    check_owner,
    new_shape,
    read_shape,
    unlink_ring,
    write_shape,
)
from strongroom_host.ring.tick import SIZE

__all__ = ["Claimed", "claim", "taken"]

_PATIENCE_S: Final = 0.5
"""How long a new producer waits for one that is just ending."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A ring with this process's lock on it.

    Attributes:
        segment: Its memory.
        last: The sequence of the last tick that was published, 0 for none.
        note: Why its slots are not on huge pages, if they were to be.
    """

    segment: Segment
    last: int
    note: str


def claim(name: str, slots: int, consumers: int, *, huge: bool, mode: int) -> Claimed:
    """Returns the ring of a name, made if there is none, locked for this producer.

    Raises: as `RingWriter.create`.
    """
    path, user = ring_path(name), os.geteuid()
    layout.check_shape(slots, consumers)
    mode &= 0o644
    descriptor, note = _lock(path, user, mode), ""
    try:
        try:
            shape = read_shape(descriptor, path)
        except RingAbsent:
            shape, note = _make(path, descriptor, mode, new_shape(slots, consumers), huge=huge)
        if huge and not shape.huge_path and not note:
            note = "the ring that was left is on ordinary pages; `strongroom ring remove` it first"
        _check_same(path, shape, slots, consumers)
        segment = Segment(path, descriptor, shape, user, writable=True)
    except BaseException:
        os.close(descriptor)
        raise
    try:
        return Claimed(segment, _last_published(segment), note)
    except BaseException:
        segment.close()
        raise


def _lock(path: Path, user: int, mode: int) -> int:
    """Returns a descriptor of the ring's file, made if need be, with the producer's lock on it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(path, flags, mode)
        except OSError as error:
            raise RingInvalid(
                f"a ring cannot be made at {path}: {error.strerror}",
                expected="a folder in memory where this user may make files",
                remedy="STRONGROOM_RING_DIR names another folder",
            ) from error
        try:
            check_owner(descriptor, path, user)
            if not try_lock(descriptor, PRODUCER, _PATIENCE_S):
                raise taken(path, descriptor)
            found, mine = path.stat(), os.fstat(descriptor)
            if (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino):
                return descriptor
        except FileNotFoundError:
            pass  # removed since it was opened, by the producer before or by `ring remove`
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def taken(path: Path, descriptor: int) -> RingTaken:
    """Returns the error that names the producer that is alive."""
    data = os.pread(descriptor, layout.HEADER_SIZE, 0)
    at = 8 * layout.PRODUCER_PID
    pid = int.from_bytes(data[at : at + 8], "little")
    return RingTaken(
        f"the ring at {path} has a producer" + (f": process {pid}" if pid else ""),
        expected="one producer",
        remedy="stop it, or give the ring another name",
    )


def _make(path: Path, descriptor: int, mode: int, shape: Shape, *, huge: bool) -> tuple[Shape, str]:
    """Makes a ring of an empty file, or of one whose making was broken off."""
    os.ftruncate(descriptor, 0)
    os.fchmod(descriptor, mode)
    note = ""
    if huge:
        file = make_huge(path.name, shape.slots * SIZE, mode)
        shape, note = replace(shape, huge_path=file.path), file.reason
    try:
        write_shape(descriptor, path, shape)
    except SpaceMissing:
        unlink_ring(path, shape)
        raise
    return shape, note


def _check_same(path: Path, shape: Shape, slots: int, consumers: int) -> None:
    """Proves that a ring that was left has the shape that is asked for."""
    if (shape.slots, shape.consumers) != (slots, consumers):
        raise RingMismatch(
            f"a producer that is gone has left a ring of another shape at {path}",
            expected=f"{slots} slots, {consumers} consumers",
            actual=f"{shape.slots} slots, {shape.consumers} consumers",
            remedy="ask for that shape, or `strongroom ring remove` it first",
        )


def _last_published(segment: Segment) -> int:
    """Returns the sequence of the last tick that was published, proving that the slots agree.

    A producer that was killed may have left one slot unwritten or half-written: it holds 0, and is
    the one to be written next.
    """
    found = segment.words[:: layout.WORDS_PER_SLOT].tolist()
    slots, last = len(found), max(found)
    for at, sequence in enumerate(found):
        should = max(0, last - (last - at) % slots)
        unwritten = sequence == 0 and (last + 1) % slots == at
        if sequence != should and not unwritten:
            raise RingInvalid(
                f"{segment.path} is damaged: slot {at} does not hold what it must",
                expected=f"tick {should}",
                actual=f"tick {sequence}",
                remedy="`strongroom ring remove` it, and start the producer again",
            )
    return int(last)
