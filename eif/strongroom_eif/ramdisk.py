"""What is in a ramdisk, read as the kernel reads it and in bounded memory.

A ramdisk is a row of newc archives, each as it is or compressed, with zeros allowed between. The
kernel gets all ramdisks of an image on end, so where a ramdisk begins in that row counts: an
uncompressed archive is found only on a multiple of 4 (Linux `init/initramfs.c`). Compression other
than gzip is refused here, as not looked into.

Content is never held: it passes in pieces through a SHA-256. What is inflated, how many entries
come out and how long their names are is limited by `Limits`, whatever the archive claims.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from strongroom_eif.archive_errors import (
    ArchivePaddingInvalid,
    ArchiveUnaligned,
    ArchiveUnreadable,
    CompressionUnsupported,
    PathInvalid,
    PathTooLong,
    TrailerNotEmpty,
)
from strongroom_eif.errors import shown
from strongroom_eif.image import Bytes
from strongroom_eif.inflate import Budget, Inflater, Stream, after_zeros, stored
from strongroom_eif.newc import HEADER_BYTES, TRAILER, Entry, Head, decoded, kind_of
from strongroom_eif.paths import MAX_PATH_BYTES

__all__ = ["Member", "compression_of", "entries", "members"]


_GZIP: Final = b"\x1f\x8b"
_OTHERS: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x89LZO": "lzo",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class Member:
    """An entry whose content can be read once, before the next entry is asked for."""

    __slots__ = ("_budget", "_stream", "archive", "head", "left", "path")

    def __init__(self, head: Head, path: str, stream: Stream, budget: Budget) -> None:
        self.head, self.path, self.archive = head, path, budget.archives
        self._stream, self._budget, self.left = stream, budget, head.size

    def pieces(self) -> Iterator[memoryview]:
        """Yields what is left of the content."""
        while self.left:
            piece = self._stream.some(self.left)
            self.left -= len(piece)
            yield piece

    def entry(self) -> Entry:
        """Returns the entry with its content's digest.

        Raises:
            PathTooLong: A link's target is longer than a path may be.
            ArchiveTooLarge: There is more of that than the budget allows.
        """
        head, target = self.head, b""
        if kind_of(head.mode) == "link":
            check_target_length(self.path, head.size)
            self._budget.spend_name(head.size)
            target = b"".join(self.pieces())
            digest = hashlib.sha256(target)
        else:
            digest = hashlib.sha256()
            for piece in self.pieces():
                digest.update(piece)
        return Entry(
            path=self.path,
            mode=head.mode,
            uid=head.uid,
            gid=head.gid,
            nlink=head.nlink,
            mtime=head.mtime,
            ino=head.ino,
            device=(head.rdev_major, head.rdev_minor),
            size=head.size,
            sha256=digest.digest(),
            target=decoded(target),
            archive=self.archive,
        )


def compression_of(data: Bytes) -> str:
    """Returns how a ramdisk begins: `none`, `gzip`, another known compression, or `unknown`."""
    view = memoryview(data).cast("B")
    start = bytes(view[after_zeros(view, 0) :][:8])
    if start.startswith(_GZIP):
        return "gzip"
    if start.startswith(b"0"):
        return "none"
    return next((name for magic, name in _OTHERS.items() if start.startswith(magic)), "unknown")


def entries(data: Bytes, *, position: int = 0, budget: Budget | None = None) -> Iterator[Entry]:
    """Yields the entries of a ramdisk in order. For the arguments see `members`."""
    for member in members(data, position=position, budget=budget):
        yield member.entry()


def members(data: Bytes, *, position: int = 0, budget: Budget | None = None) -> Iterator[Member]:
    """Yields the entries of a ramdisk in order, their content unread.

    Proves the archive's structure; paths and types are for `Tree`.

    Args:
        data: The ramdisk.
        position: How many bytes of ramdisks come before this one in the image.
        budget: What may come out, if several ramdisks share one.

    Raises:
        ArchiveError: A subclass per rule.
    """
    budget = budget or Budget()
    view = memoryview(data).cast("B")
    at = after_zeros(view, 0)
    while at < len(view):
        if view[at] == 0x30:
            check_aligned(position + at)
            stream = Stream(stored(view[at:], budget))
            yield from _archive(stream, budget)
            at += stream.position
        else:
            check_gzip(bytes(view[at : at + 8]))
            inflater = Inflater(view[at:], budget)
            stream = Stream(inflater.pieces())
            while stream.skip_zeros():
                check_aligned(stream.position)
                yield from _archive(stream, budget)
            at += inflater.consumed
        at = after_zeros(view, at)


def _archive(stream: Stream, budget: Budget) -> Iterator[Member]:
    """Yields the entries up to and without the trailer."""
    while True:
        head = Head.unpack(stream.exactly(HEADER_BYTES))
        check_name_size(head.name_size)
        name = stream.exactly(head.name_size)
        check_padding(stream.exactly(-(HEADER_BYTES + head.name_size) % 4))
        check_name_end(name)
        if name[:-1] == TRAILER:
            check_trailer(head)
            budget.archives += 1
            return
        check_no_nul(name[:-1])
        budget.spend_entry()
        budget.spend_name(len(name))
        member = Member(head, decoded(name[:-1]), stream, budget)
        yield member
        for _ in member.pieces():
            pass
        check_padding(stream.exactly(-head.size % 4))


# --- Rules ---------------------------------------------------------------------------------------


def check_aligned(position: int) -> None:
    """Refuses an archive where the kernel does not see one."""
    if position % 4:
        raise ArchiveUnaligned(
            f"an archive begins at byte {position} of the initramfs, which is no multiple of 4: "
            "the kernel does not find it",
            actual=position,
        )


def check_gzip(start: bytes) -> None:
    """Refuses whatever is neither an archive nor gzip."""
    if start.startswith(_GZIP):
        return
    name = compression_of(start)
    if name == "unknown":
        raise ArchiveUnreadable(
            f"{shown(start)} begins neither a newc archive nor compressed data", actual=start
        )
    raise CompressionUnsupported(f"compressed with {name}, which is not looked into", actual=name)


def check_name_size(size: int) -> None:
    """Refuses a path that the kernel would skip, before it is read."""
    if not 1 < size <= MAX_PATH_BYTES + 1:
        raise PathTooLong(
            f"a path of {size} bytes; the kernel skips entries whose path is empty or has more "
            f"than {MAX_PATH_BYTES}",
            expected=MAX_PATH_BYTES,
            actual=size,
        )


def check_name_end(name: bytes) -> None:
    """Refuses a path without its NUL: the kernel would read on."""
    if name[-1]:
        raise PathInvalid("a path does not end with a NUL")


def check_no_nul(name: bytes) -> None:
    """Refuses a NUL inside a path: the kernel stops there, other tools go on."""
    if b"\0" in name:
        raise PathInvalid(f"the path {name!a} has a NUL in it")


def check_padding(padding: bytes) -> None:
    """Refuses padding that is not zero."""
    if any(padding):
        raise ArchivePaddingInvalid(f"padding is {padding.hex()}, it has to be zero")


def check_trailer(head: Head) -> None:
    """Refuses a trailer with content, which nobody would see."""
    if head.size:
        raise TrailerNotEmpty(f"the trailer carries {head.size} bytes", actual=head.size)


def check_target_length(path: str, size: int) -> None:
    """Refuses a link whose target the kernel would not take, before it is read."""
    if size > MAX_PATH_BYTES:
        raise PathTooLong(f"a link with a target of {size} bytes", path=path, actual=size)
