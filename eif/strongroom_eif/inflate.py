"""Bytes out of a ramdisk, in pieces and in bounded number, whatever sizes it claims."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom_eif.archive_errors import ArchiveTooLarge, ArchiveTruncated, ArchiveUnreadable
from strongroom_eif.image import Bytes

__all__ = ["DEFAULT_LIMITS", "Budget", "Inflater", "Limits", "Stream", "after_zeros", "stored"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may come out of ramdisks.

    Attributes:
        inflated: Bytes, over all ramdisks read with one budget.
        entries: Likewise.
        names: Bytes of paths and targets of links, likewise. They are kept while an image is read,
            and deflate a thousandfold.
    """

    inflated: int
    entries: int
    names: int = 64 << 20


DEFAULT_LIMITS: Final = Limits(inflated=4 << 30, entries=500_000)
"""A container image of a gigabyte has about 50,000 files, and 4 MB of paths."""

_FEED: Final = 1 << 16
_PIECE: Final = 1 << 18


class Budget:
    """What is left of some limits, while one or several ramdisks are read."""

    __slots__ = ("archives", "entries", "inflated", "limits", "names")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.inflated = self.entries = self.names = self.archives = 0

    def spend_bytes(self, count: int) -> None:
        """Counts bytes that came out."""
        self.inflated += count
        check_inflated(self.inflated, self.limits)

    def spend_entry(self) -> None:
        """Counts an entry that came out."""
        self.entries += 1
        check_entries(self.entries, self.limits)

    def spend_name(self, size: int) -> None:
        """Counts the bytes of a path or of a link's target."""
        self.names += size
        check_names(self.names, self.limits)


class Stream:
    """Bytes out of pieces, with a position."""

    __slots__ = ("_current", "_pieces", "position")

    def __init__(self, pieces: Iterator[Bytes]) -> None:
        self._pieces, self._current, self.position = pieces, memoryview(b""), 0

    def _refill(self) -> bool:
        """Returns whether there is a byte left."""
        while not self._current:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._current = memoryview(piece)
        return True

    def some(self, most: int) -> memoryview:
        """Returns 1 to `most` bytes."""
        if not self._refill():
            raise ArchiveTruncated(f"the archive ends at {self.position}, inside an entry")
        piece, self._current = self._current[:most], self._current[most:]
        self.position += len(piece)
        return piece

    def exactly(self, count: int) -> bytes:
        """Returns `count` bytes, a few thousand at most."""
        found = b""
        while len(found) < count:
            found += self.some(count - len(found))
        return found

    def skip_zeros(self) -> bool:
        """Passes over zeros; returns whether anything else follows."""
        while self._refill():
            after = after_zeros(self._current, 0)
            self.position += after
            self._current = self._current[after:]
            if self._current:
                return True
        return False


class Inflater:
    """One gzip member at the start of a view; `consumed` is its length once it was read."""

    __slots__ = ("_budget", "_view", "consumed")

    def __init__(self, view: memoryview, budget: Budget) -> None:
        self._view, self._budget, self.consumed = view, budget, 0

    def pieces(self) -> Iterator[bytes]:
        """Yields what comes out.

        Raises:
            ArchiveUnreadable, ArchiveTruncated, ArchiveTooLarge: Damaged, cut off, or more than
                the budget allows.
        """
        inflater = zlib.decompressobj(wbits=31)
        for at in range(0, len(self._view), _FEED):
            fed = self._view[at : at + _FEED]
            left: Bytes = fed
            while left and not inflater.eof:
                try:
                    piece = inflater.decompress(left, _PIECE)
                except zlib.error as error:
                    raise ArchiveUnreadable(f"damaged gzip data: {error}") from error
                self._budget.spend_bytes(len(piece))
                left = inflater.unconsumed_tail
                if piece:
                    yield piece
            if inflater.eof:
                self.consumed = at + len(fed) - len(inflater.unused_data)
                return
        raise ArchiveTruncated("the gzip data end before their trailer")


def stored(view: memoryview, budget: Budget) -> Iterator[memoryview]:
    """Yields a view in pieces."""
    for at in range(0, len(view), _PIECE):
        piece = view[at : at + _PIECE]
        budget.spend_bytes(len(piece))
        yield piece


def after_zeros(view: memoryview, at: int) -> int:
    """Returns the offset of the first byte from `at` on that is not zero."""
    while at < len(view):
        piece = bytes(view[at : at + _FEED])
        kept = piece.lstrip(b"\0")
        at += len(piece) - len(kept)
        if kept:
            break
    return at


# --- Rules ---------------------------------------------------------------------------------------


def check_inflated(count: int, limits: Limits) -> None:
    """Bounds what comes out, before it is kept."""
    if count > limits.inflated:
        raise ArchiveTooLarge(
            f"more than {limits.inflated} bytes come out", expected=limits.inflated, actual=count
        )


def check_entries(count: int, limits: Limits) -> None:
    """Bounds the number of entries, each of which costs an object."""
    if count > limits.entries:
        raise ArchiveTooLarge(
            f"more than {limits.entries} entries", expected=limits.entries, actual=count
        )


def check_names(count: int, limits: Limits) -> None:
    """Bounds the length of all paths and targets together, before they are kept."""
    if count > limits.names:
        raise ArchiveTooLarge(
            f"more than {limits.names} bytes of paths", expected=limits.names, actual=count
        )
