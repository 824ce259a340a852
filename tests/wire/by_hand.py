"""MessagePack written a second time, and ways to spoil a value that is encoded with it."""

import struct
from collections.abc import Callable
from typing import Any

from msgspec import msgpack
from strongroom_wire.canonical import Canonical
from strongroom_wire.encoding import unpack

from tests.wire.test_encoding import packed

__all__ = ["encoded", "flawed", "laid_out"]

_UINTS = (
    (0x7F, b"", "B"),
    (0xFF, b"\xcc", "B"),
    (0xFFFF, b"\xcd", "H"),
    (0xFFFFFFFF, b"\xce", "I"),
)


def encoded(value: object) -> bytes:
    """Return the MessagePack encoding by the book: the shortest form of everything."""
    match value:
        case None | bool():
            return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
        case int() if value < 0:
            return struct.pack(">b", value)
        case int():
            for most, lead, layout in _UINTS:
                if value <= most:
                    return lead + struct.pack(f">{layout}", value)
            return b"\xcf" + struct.pack(">Q", value)
        case bytes():
            return _sized(len(value), (0xFF, b"\xc4", "B"), (0xFFFF, b"\xc5", "H")) + value
        case str():
            text = value.encode()
            head = bytes([0xA0 | len(text)]) if len(text) < 32 else b"\xd9" + bytes([len(text)])
            return head + text
        case list() | tuple():
            items = b"".join(map(encoded, value))
            if len(value) < 16:
                return bytes([0x90 | len(value)]) + items
            return b"\xdc" + struct.pack(">H", len(value)) + items
        case dict():
            items = b"".join(encoded(part) for pair in value.items() for part in pair)
            return bytes([0x80 | len(value)]) + items
    raise TypeError(value)


def _sized(size: int, *forms: tuple[int, bytes, str]) -> bytes:
    for most, lead, layout in forms:
        if size <= most:
            return lead + struct.pack(f">{layout}", size)
    return b"\xc6" + struct.pack(">I", size)


def laid_out(domain: bytes, value: object) -> bytes:
    """Return what a value with these fields looks like under its domain."""
    return packed(domain, encoded(value))


def flawed(value: Canonical, change: Callable[[Any], object]) -> bytes:
    """Return the encoding of a value, with `change` made to its tree: in place, or returned."""
    tree = msgpack.decode(unpack(value.domain, value.serialise())[0])
    replaced = change(tree)
    return laid_out(value.domain, tree if replaced is None else replaced)
