"""Canonical, domain-separated, length-prefixed encoding of everything that is hashed or signed.

Layout: u16 length of the domain, the domain, then for each field a u32 length and its bytes; all
integers big-endian. Two different field lists never encode to the same bytes, and the domain keeps
a signature made for one purpose from being valid for another.
"""

import struct
from hashlib import sha256

from strongroom_wire.errors import Malformed, TooLarge

__all__ = ["MAX_STATEMENT", "digest", "hex_bytes", "pack", "u32", "u64", "uint", "unpack"]

MAX_STATEMENT = 1 << 20
"""Upper bound, in bytes, of any packed value that is accepted from outside."""


def pack(domain: bytes, *fields: bytes) -> bytes:
    """Returns the canonical encoding of `fields` under `domain`."""
    parts = [struct.pack(">H", len(domain)), domain]
    for field in fields:
        parts += (struct.pack(">I", len(field)), field)
    return b"".join(parts)


def unpack(domain: bytes, data: bytes, *, limit: int = MAX_STATEMENT) -> list[bytes]:
    """Returns the fields of a value made by `pack` under the same domain.

    Raises:
        TooLarge: `data` exceeds `limit`; checked before anything is copied.
        Malformed: another domain, a field that overruns the end, or trailing bytes.
    """
    if len(data) > limit:
        raise TooLarge("statement", limit, len(data))
    prefix = struct.pack(">H", len(domain)) + domain
    if not data.startswith(prefix):
        raise Malformed("domain", domain.decode(), data[2 : 2 + len(domain)])
    fields, at, end = [], len(prefix), len(data)
    while at < end:
        if end - at < 4:
            raise Malformed("field length", "4 bytes", end - at)
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if size > end - at:
            raise Malformed("field", f"{size} bytes", end - at)
        fields.append(data[at : at + size])
        at += size
    return fields


def digest(domain: bytes, *fields: bytes) -> bytes:
    """Returns the SHA-256 of the canonical encoding, 32 bytes."""
    return sha256(pack(domain, *fields)).digest()


def u32(value: int) -> bytes:
    """Returns `value` as 4 bytes, big-endian."""
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    """Returns `value` as 8 bytes, big-endian."""
    return value.to_bytes(8, "big")


def uint(field: bytes, size: int) -> int:
    """Returns the big-endian integer in a field that must be exactly `size` bytes.

    Raises:
        Malformed: the field has another length.
    """
    if len(field) != size:
        raise Malformed("integer field", f"{size} bytes", len(field))
    return int.from_bytes(field, "big")


def hex_bytes(text: str, size: int) -> bytes:
    """Returns the bytes of a lower-case hex string of exactly `size` bytes, `0x` optional.

    Raises:
        Malformed: wrong length, or a character that is not a lower-case hex digit.
    """
    digits = text.removeprefix("0x")
    if len(digits) != 2 * size or not set(digits) <= set("0123456789abcdef"):
        raise Malformed("hex", f"{size} bytes in lower case", text[:80])
    return bytes.fromhex(digits)
