"""The bytes of a counter file: a header page, then two pages for each counter. Little-endian.

    header (page 0)                          slot (pages 1 + 2k and 2 + 2k for counter k)
     0  magic `SRSEQ001`, 8 bytes             0  magic `SRSEQCTR`, 8 bytes
     8  number of the file on its disk, u64   8  revision, u64, from 1
    16  the file's own id, 16 random bytes   16  bound, u64: numbers below it may be in use
    32  SHA-256 of the above                 24  the file's id
                                             40  index k, u64
                                             48  name, UTF-8, 64 bytes, padded with zeros
                                            112  SHA-256 of the above

A revision is written over the older slot of the two and synced before any of its numbers is used,
so that a torn write loses numbers nobody got. Each slot has a page of its own: a disk that tears a
write tears no more than one.

All counters exist from the beginning, without a name: nothing that was used can look as if it never
was. A name is written to both slots before the first number.

Which of two damaged histories is true cannot be told from the bytes: one torn slot may be the write
that a crash cut off, or a newer truth that rotted later. Both are survived by the same rule: a slot
raises the bound by at most `MAX_STEP`, so `bound + MAX_STEP` of the slot that is left is above
everything that was ever given out.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

__all__ = [
    "COUNTERS",
    "FILE_SIZE",
    "LAST",
    "MAX_STEP",
    "NAME_SIZE",
    "PAGE",
    "Header",
    "Slot",
    "State",
    "resume",
]

PAGE: Final = 4096
COUNTERS: Final = 32
FILE_SIZE: Final = PAGE * (1 + 2 * COUNTERS)
NAME_SIZE: Final = 64
MAX_STEP: Final = 1 << 20
LAST: Final = (1 << 63) - 1
"""The largest number: one that every language can hold."""

_HEADER: Final = struct.Struct("<8sQ16s")
_SLOT: Final = struct.Struct("<8sQQ16sQ64s")
_HEADER_MAGIC: Final = b"SRSEQ001"
_SLOT_MAGIC: Final = b"SRSEQCTR"
_DIGEST: Final = 32


@dataclass(frozen=True, slots=True)
class Header:
    """Which file this is: `inode` tells a copy from the original, `file_id` binds the slots."""

    inode: int
    file_id: bytes

    def serialise(self) -> bytes:
        """The header's bytes, to be padded to a page."""
        return _sealed(_HEADER.pack(_HEADER_MAGIC, self.inode, self.file_id))

    @classmethod
    def parse(cls, page: bytes) -> Header | None:
        """The header in a page, or None where its checksum does not hold."""
        body = _opened(page, _HEADER.size)
        if body is None:
            return None
        magic, inode, file_id = _HEADER.unpack(body)
        return cls(inode, file_id) if magic == _HEADER_MAGIC else None


@dataclass(frozen=True, slots=True)
class Slot:
    """One state of one counter: every number below `bound` may have been given out."""

    revision: int
    bound: int
    file_id: bytes
    index: int
    name: str

    def serialise(self) -> bytes:
        """The slot's bytes."""
        name = self.name.encode()
        fields = (self.revision, self.bound, self.file_id, self.index, name)
        return _sealed(_SLOT.pack(_SLOT_MAGIC, *fields))

    @classmethod
    def parse(cls, page: bytes) -> Slot | None:
        """The slot in a page, or None where its checksum does not hold."""
        body = _opened(page, _SLOT.size)
        if body is None:
            return None
        magic, revision, bound, file_id, index, name = _SLOT.unpack(body)
        try:
            text = name.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            return None
        if magic != _SLOT_MAGIC or not revision or not 1 <= bound <= LAST + 1:
            return None
        return cls(revision, bound, file_id, index, text)


@dataclass(frozen=True, slots=True)
class State:
    """Where a counter goes on.

    `slot.bound` is above every number that was ever given out. `older` is which of the two pages
    the next revision goes to. Where `mending`, the two do not say the same or one is damaged, for
    which the bound was raised by `MAX_STEP`: `slot` must be written there before another number is
    reserved, lest two changes depend on one page.
    """

    slot: Slot
    older: int
    mending: bool = False


def resume(pages: tuple[bytes, bytes], header: Header, index: int) -> State | None:
    """Where a counter goes on, or None where that cannot be said.

    It cannot where no page holds, or where they belong to another counter or file.
    """
    first, second = found = [Slot.parse(page) for page in pages]
    if any(slot and (slot.file_id != header.file_id or slot.index != index) for slot in found):
        return None
    if first is not None and second is not None:
        low, high = sorted((first, second), key=lambda slot: slot.revision)
        naming = not low.name and bool(high.name)
        # Revisions alternate and bounds never fall; where they did, somebody else wrote.
        if high.revision != low.revision + 1 or high.bound < low.bound:
            return None
        if high.name != low.name and not naming:
            return None
        # A name that only one page has would be lost with it, and the counter would begin anew.
        return State(high, 0 if low is first else 1, mending=naming)
    left = first or second
    if left is None:
        return None
    bound = min(left.bound + MAX_STEP, LAST + 1)
    raised = Slot(left.revision, bound, left.file_id, index, left.name)
    return State(raised, 1 if left is first else 0, mending=True)


def _sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def _opened(page: bytes, size: int) -> bytes | None:
    body, digest = page[:size], page[size : size + _DIGEST]
    return body if len(page) >= size + _DIGEST and hashlib.sha256(body).digest() == digest else None
