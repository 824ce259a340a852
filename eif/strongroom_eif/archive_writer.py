"""Writing a ramdisk: the same nodes always give the same bytes.

Sorted by path, modification times zero, inode numbers counted from 1, no device numbers, one name
per file. The rules of `paths` hold for what is written as for what is read.
"""

import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from strongroom_eif.archive_errors import PathInvalid
from strongroom_eif.errors import InvalidArgument
from strongroom_eif.image import Bytes
from strongroom_eif.newc import HEADER_BYTES, TRAILER, Head, encoded
from strongroom_eif.paths import OWN, FilePolicy, Tree

__all__ = ["Node", "archive", "compress"]

_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Node:
    """Something to be put into an archive.

    Attributes:
        path: Relative to the root, without `.` or `..`.
        mode: Type and permissions, as in stat.
        content: Of a file its bytes (a view of a mapped file costs no memory), of a link its
            target.
        uid: Owner.
        gid: Group.
        device: Major and minor number of a device node.
    """

    path: str
    mode: int
    content: Bytes = b""
    uid: int = 0
    gid: int = 0
    device: tuple[int, int] = (0, 0)

    @classmethod
    def file(cls, path: str, content: Bytes, mode: int = 0o644) -> "Node":
        """Returns a regular file."""
        return cls(path, stat.S_IFREG | mode, content)

    @classmethod
    def directory(cls, path: str, mode: int = 0o755) -> "Node":
        """Returns a directory; every one has to be named."""
        return cls(path, stat.S_IFDIR | mode)

    @classmethod
    def link(cls, path: str, target: str) -> "Node":
        """Returns a symbolic link."""
        return cls(path, stat.S_IFLNK | 0o777, encoded(target))

    @classmethod
    def character_device(cls, path: str, major: int, minor: int, mode: int = 0o600) -> "Node":
        """Returns a character device; the policy has to name it."""
        return cls(path, stat.S_IFCHR | mode, device=(major, minor))

    def owned_by(self, uid: int, gid: int) -> "Node":
        """Returns the same node with another owner and group."""
        return replace(self, uid=uid, gid=gid)


def archive(nodes: Iterable[Node], policy: FilePolicy = OWN) -> Iterator[Bytes]:
    """Yields a newc archive in pieces; file contents are passed on as they are, uncopied.

    Args:
        nodes: In any order.
        policy: What may be in it.

    Raises:
        ArchiveError: Paths or types against the policy, or beyond what newc can say. Everything
            is checked before the first piece.
    """
    ordered = sorted(nodes, key=lambda node: encoded(node.path))
    tree = Tree(policy)
    heads = []
    for number, node in enumerate(ordered, 1):
        check_not_trailer(node.path)
        tree.add(node.path, node.mode, device=node.device)
        heads.append(_head(node, number).pack())
    for node, head in zip(ordered, heads, strict=True):
        yield _named(head, encoded(node.path))
        yield node.content
        yield bytes(-len(node.content) % 4)
    trailer = Head(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(TRAILER) + 1, 0)
    yield _named(trailer.pack(), TRAILER)


def compress(pieces: Iterable[Bytes], level: int = 9) -> Iterator[bytes]:
    """Yields `pieces` as one gzip member without name and time.

    The same zlib gives the same bytes for the same content at the same level, however it was cut;
    another version or implementation of zlib may not.

    Raises:
        InvalidArgument: The level is not within 0..9.
    """
    check_level(level)
    deflater = zlib.compressobj(level, zlib.DEFLATED, 31)
    # Always the same portions: what zlib makes of data may depend on how it is handed over.
    waiting = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(view), _PIECE):
            waiting += view[at : at + _PIECE]
            while len(waiting) >= _PIECE:
                yield deflater.compress(waiting[:_PIECE])
                del waiting[:_PIECE]
    yield deflater.compress(waiting) + deflater.flush()


def _head(node: Node, number: int) -> Head:
    return Head(
        ino=number,
        mode=node.mode,
        uid=node.uid,
        gid=node.gid,
        nlink=1,
        mtime=0,
        size=len(node.content),
        dev_major=0,
        dev_minor=0,
        rdev_major=node.device[0],
        rdev_minor=node.device[1],
        name_size=len(encoded(node.path)) + 1,
        check=0,
    )


def _named(head: bytes, path: bytes) -> bytes:
    return head + path + bytes(1 + -(HEADER_BYTES + len(path) + 1) % 4)


def check_not_trailer(path: str) -> None:
    """Refuses a path that would end the archive there and hide the rest."""
    if encoded(path) == TRAILER:
        raise PathInvalid("this name marks the end of an archive", path=path)


def check_level(level: int) -> None:
    """Refuses a level that gzip does not have; -1 would be whatever zlib takes for its default."""
    if not 0 <= level <= 9:
        raise InvalidArgument(f"gzip level {level}; there are 0 to 9", actual=level)
