"""Strict decoding of the CBOR subset (RFC 8949) that attestation documents use.

Two passes. Ours walks the bytes without building anything and refuses whatever has more than one
reading; cbor2 then builds the values and refuses duplicate keys. The first pass exists because
cbor2, given bytes nobody has authenticated yet, would interpret tags (dates, bignums, regular
expressions), ignore trailing bytes and take long-form lengths.

Accepted: unsigned and negative integers, byte and text strings, arrays, maps, true, false, null,
all in their shortest form. Arrays and maps of the payload may have indefinite length: AWS changed
the outer payload map from definite to indefinite in 2025.
Refused: tags, floats, undefined and other simple values, strings in chunks, lengths or integers
longer than necessary. No document in the wild has any of these, and the outer envelope is not
signed, so every second spelling there would be a second document with the same signature.
"""

from typing import Final

import cbor2

from strongroom_attest.errors import (
    DocumentTooLarge,
    DuplicateKey,
    MalformedDocument,
    NestedTooDeep,
    NonCanonical,
    TrailingBytes,
)

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "decode"]

MAX_DEPTH: Final = 6
"""A payload nests two deep (map, then pcrs or cabundle); room is left for unknown keys."""

MAX_ITEMS: Final = 512
"""A full document (32 PCRs, 4 CA certificates) has about 90 items."""

_SHORTEST: Final = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}
"""Argument width in bytes -> smallest argument that needs it (RFC 8949 section 4.2.1)."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_BREAK: Final = 0xFF
_FALSE_TRUE_NULL: Final = frozenset({20, 21, 22})


def decode(data: bytes, *, max_bytes: int, indefinite: bool) -> object:
    """Returns the one value that `data` encodes, in plain Python types.

    Args:
        data: Untrusted bytes.
        max_bytes: Larger inputs are refused before anything is decoded.
        indefinite: Whether arrays and maps may have indefinite length.

    Raises:
        MalformedDocument: Or a subclass, naming what is wrong.
    """
    check_size(data, max_bytes)
    end = _Walk(data, indefinite).skip(0, 0)
    check_end(data, end)
    return load(data)


def check_size(data: bytes, max_bytes: int) -> None:
    """Bounds the work before any of it is done."""
    if len(data) > max_bytes:
        raise DocumentTooLarge(
            f"{len(data)} bytes; at most {max_bytes} are accepted",
            expected=max_bytes,
            actual=len(data),
        )


def check_end(data: bytes, end: int) -> None:
    """Refuses bytes after the value."""
    if end != len(data):
        raise TrailingBytes(
            f"{len(data) - end} bytes follow the encoded value", expected=end, actual=len(data)
        )


def load(data: bytes) -> object:
    """Builds the values of a structure that `_Walk` has passed, refusing duplicate keys."""
    try:
        value: object = cbor2.loads(data, allow_duplicate_keys=False, max_depth=MAX_DEPTH + 1)
    except (cbor2.CBORError, ValueError, OverflowError) as error:
        # The walk leaves cbor2 two reasons: a repeated key and text that is not UTF-8. Its text is
        # the only way to tell them apart; both are MalformedDocument either way.
        if "duplicate" in str(error).lower():
            raise DuplicateKey("a map names a key twice") from error
        raise MalformedDocument(f"not decodable as CBOR: {error}") from error
    return value


def check_depth(depth: int) -> None:
    """Bounds recursion."""
    if depth > MAX_DEPTH:
        raise NestedTooDeep(f"containers nested deeper than {MAX_DEPTH}", expected=MAX_DEPTH)


def check_item_count(count: int) -> None:
    """Bounds the number of values, each of which costs an object."""
    if count > MAX_ITEMS:
        raise MalformedDocument(f"more than {MAX_ITEMS} CBOR items", expected=MAX_ITEMS)


def check_shortest(argument: int, width: int) -> None:
    """Refuses an argument that a shorter form could carry."""
    if argument < _SHORTEST[width]:
        raise NonCanonical(f"{argument} is encoded in {width} bytes; a shorter form exists")


def check_indefinite(major: int, permitted: bool) -> None:
    """Refuses indefinite length for all but arrays and maps, and for those unless permitted."""
    if major not in (_ARRAY, _MAP) or not permitted:
        raise NonCanonical("an indefinite length is not accepted here")


def check_no_tag(major: int) -> None:
    """Refuses tags: cbor2 would act on them, and a document has none."""
    if major == _TAG:
        raise NonCanonical("a CBOR tag is not accepted here")


def check_simple(info: int) -> None:
    """Refuses floats, undefined and unassigned simple values."""
    if info not in _FALSE_TRUE_NULL:
        raise NonCanonical("only true, false and null are accepted as simple values")


class _Walk:
    """One pass over `data` that checks form and builds nothing."""

    __slots__ = ("_data", "_indefinite", "_items")

    def __init__(self, data: bytes, indefinite: bool) -> None:
        self._data = data
        self._indefinite = indefinite
        self._items = 0

    def skip(self, at: int, depth: int) -> int:
        """Returns the offset after the item that starts at `at`."""
        check_depth(depth)
        self._items += 1
        check_item_count(self._items)
        major, argument, at = self._head(at)
        if major in (_UNSIGNED, _NEGATIVE):
            return at
        check_no_tag(major)
        if major in (_BYTES, _TEXT):
            return self._advance(at, argument or 0)
        if major == _SIMPLE:
            return at
        per_entry = 2 if major == _MAP else 1
        if argument is not None:
            # Each item takes a byte at least: a count beyond the input cannot start a long loop.
            self._advance(at, argument * per_entry)
            for _ in range(argument * per_entry):
                at = self.skip(at, depth + 1)
            return at
        while self._byte(at) != _BREAK:
            for _ in range(per_entry):
                at = self.skip(at, depth + 1)
        return at + 1

    def _head(self, at: int) -> tuple[int, int | None, int]:
        """Returns major type, argument (None: indefinite length) and the offset after both."""
        initial = self._byte(at)
        major, info = initial >> 5, initial & 0x1F
        if major == _SIMPLE:
            check_simple(info)
            return major, info, at + 1
        if info < 24:
            return major, info, at + 1
        if info <= 27:
            width = 1 << (info - 24)
            end = self._advance(at + 1, width)
            argument = int.from_bytes(self._data[at + 1 : end], "big")
            check_shortest(argument, width)
            return major, argument, end
        if info == 31:
            check_indefinite(major, self._indefinite)
            return major, None, at + 1
        raise NonCanonical(f"reserved additional information {info}")

    def _byte(self, at: int) -> int:
        self._advance(at, 1)
        return self._data[at]

    def _advance(self, at: int, count: int) -> int:
        if count > len(self._data) - at:
            raise MalformedDocument("the input ends inside a CBOR item")
        return at + count
