"""A cursor over the little CBOR that a signature section uses (RFC 8949), in its one spelling.

No values are built from what the bytes say they are; the caller says what must come next. Accepted:
definite lengths and shortest-form arguments, as AWS's builder writes them and QEMU insists. Every
length is compared with the bytes that are left before anything is read, so memory is bounded by
the section's 32,768 bytes.
"""

from typing import Final

from strongroom_eif.errors import SignatureMalformed

__all__ = ["Cursor"]

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_NAMES: Final = (
    "an unsigned integer", "a negative integer", "a byte string", "a text string", "an array",
    "a map", "a tag", "a simple value or float",
)  # fmt: skip
_SHORTEST: Final = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}
"""Argument width in bytes -> smallest argument that needs it (RFC 8949 section 4.2.1)."""


class Cursor:
    """Reads items one after another; `what` names the structure in errors."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what, self._at = data, what, 0

    def array(self, length: int) -> None:
        """Proves that an array of `length` items begins here."""
        check_length(self._what, "array", self._head(_ARRAY), length)

    def map(self, length: int) -> None:
        """Proves that a map of `length` pairs begins here."""
        check_length(self._what, "map", self._head(_MAP), length)

    def key(self, name: str) -> None:
        """Proves that the text string `name` comes next."""
        check_key(self._what, self._take(self._head(_TEXT)), name.encode())

    def unsigned(self) -> int:
        """Returns the unsigned integer that comes next."""
        return self._head(_UNSIGNED)

    def octets(self) -> bytes:
        """Returns the byte string that comes next."""
        return self._take(self._head(_BYTES))

    def octet_array(self) -> bytes:
        """Returns the bytes that come next, written as an array of integers of 0..255."""
        count = self._head(_ARRAY)
        # Each integer takes a byte at least: a count beyond the input cannot start a long loop.
        check_left(self._what, len(self._data) - self._at, count)
        octets = bytearray()
        for _ in range(count):
            octet = self._head(_UNSIGNED)
            check_octet(self._what, octet)
            octets.append(octet & 0xFF)
        return bytes(octets)

    def end(self) -> None:
        """Proves that nothing follows."""
        check_end(self._what, len(self._data) - self._at)

    def _head(self, major: int) -> int:
        """Returns the argument of the item that begins here, which has to be of type `major`."""
        initial = self._take(1)[0]
        check_major(self._what, initial >> 5, major)
        info = initial & 0x1F
        if info < 24:
            return info
        if info > 27:
            raise SignatureMalformed(f"{self._what}: an indefinite or reserved length")
        width = 1 << (info - 24)
        argument = int.from_bytes(self._take(width), "big")
        check_shortest(self._what, argument, width)
        return argument

    def _take(self, count: int) -> bytes:
        check_left(self._what, len(self._data) - self._at, count)
        self._at += count
        return self._data[self._at - count : self._at]


def check_left(what: str, left: int, wanted: int) -> None:
    """Refuses a length beyond the input, before it is used."""
    if wanted > left:
        raise SignatureMalformed(
            f"{what}: {wanted} more bytes are announced, {left} are left",
            expected=wanted,
            actual=left,
        )


def check_major(what: str, found: int, wanted: int) -> None:
    """Refuses an item of another type than the one that has to come here."""
    if found != wanted:
        raise SignatureMalformed(
            f"{what}: {_NAMES[found]} where {_NAMES[wanted]} has to be",
            expected=_NAMES[wanted],
            actual=_NAMES[found],
        )


def check_shortest(what: str, argument: int, width: int) -> None:
    """Refuses an argument that a shorter form could carry: a second spelling."""
    if argument < _SHORTEST[width]:
        raise SignatureMalformed(
            f"{what}: {argument} is written in {width} bytes, a shorter form exists"
        )


def check_octet(what: str, value: int) -> None:
    """Refuses an integer that is no byte."""
    if value > 0xFF:
        raise SignatureMalformed(f"{what}: {value} stands among bytes", actual=value)


def check_key(what: str, found: bytes, wanted: bytes) -> None:
    """Refuses members by other names or in another order."""
    if found != wanted:
        raise SignatureMalformed(
            f"{what}: member {found!a} where {wanted!a} has to be",
            expected=wanted,
            actual=found,
        )


def check_length(what: str, kind: str, found: int, wanted: int) -> None:
    """Refuses an array or map with another number of items."""
    if found != wanted:
        raise SignatureMalformed(
            f"{what}: {found} items in an {kind} of {wanted}", expected=wanted, actual=found
        )


def check_end(what: str, left: int) -> None:
    """Refuses bytes after the structure."""
    if left:
        raise SignatureMalformed(f"{what}: {left} bytes follow its end", expected=0, actual=left)
