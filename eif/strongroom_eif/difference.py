"""One difference between two images, and where two runs of bytes part."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom_eif.image import Bytes

__all__ = ["Difference", "cut", "parting"]

_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs.

    Attributes:
        where: A section (`ramdisk[1]`), a path in it, or a header field.
        what: What about it: `content`, `mode`, `only in the first`, ...
        first: In the first image, for people.
        second: In the second.
        matters: Why anyone should care.
    """

    where: str
    what: str
    first: str
    second: str
    matters: str


def cut(data: Bytes) -> Iterator[Bytes]:
    """Yields data in pieces."""
    view = memoryview(data)
    for at in range(0, len(view), _PIECE):
        yield view[at : at + _PIECE]


def parting(first: Iterator[Bytes], second: Iterator[Bytes]) -> int:
    """Returns the offset of the first byte that differs, the shorter one's length at most."""
    offset, a, b = 0, b"", b""
    while True:
        a, b = a or bytes(next(first, b"")), b or bytes(next(second, b""))
        length = min(len(a), len(b))
        if not length:
            return offset
        if a[:length] != b[:length]:
            return offset + next(n for n in range(length) if a[n] != b[n])
        offset, a, b = offset + length, a[length:], b[length:]
