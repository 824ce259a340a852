"""Canonical, domain-separated, length-prefixed encoding of everything that is hashed or signed.

Layout: u16 length of the domain, the domain, then for each field a u32 length and its bytes; all
integers big-endian. Two different field lists never encode to the same bytes, and the domain keeps
a signature made for one purpose from being valid for another.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256

from strongroom_wire.errors import Malformed, TooLarge

# Upper bound, in bytes, of any packed value that is accepted from outside.
MAX_STATEMENT = 1 << 20


def pack(domain: bytes, *fields: bytes) -> bytes:
    """Returns the canonical encoding of `fields` under `domain`."""
    parts = [len(domain).to_bytes(2, "big"), domain]
    for field in fields:
        parts += (len(field).to_bytes(4, "big"), field)
    return b"".join(parts)


def unpack(domain: bytes, data: bytes, *, limit: int = MAX_STATEMENT) -> list[bytes]:
    """Returns the fields of a value made by `pack` under the same domain.

    Raises:
        TooLarge: `data` exceeds `limit`; checked before anything is copied.
        Malformed: another domain, a field that overruns the end, or trailing bytes.
    """
    TooLarge.unless(len(data) <= limit, "statement", limit, len(data))
    prefix = len(domain).to_bytes(2, "big") + domain
    Malformed.unless(data.startswith(prefix), "domain", prefix, data[: len(prefix)])
    fields, at = [], len(prefix)
    while at < len(data):
        start = at + 4
        at = start + int.from_bytes(data[at:start], "big")
        # Also when the length itself is cut short, as then start is.
        Malformed.unless(at <= len(data), "end of a field", at, len(data))
        fields.append(data[start:at])
    return fields


def unpack_fields(
    domain: bytes, data: bytes, *sizes: int | None, more: bool = False, limit: int = MAX_STATEMENT
) -> list[bytes]:
    """Returns the fields of a value whose layout is fixed: `sizes` in bytes, None for any size.

    With `more`, further fields of any size may follow those.

    Raises:
        TooLarge, Malformed: as `unpack`, or another number of fields, or a field of another size.
    """
    fields = unpack(domain, data, limit=limit)
    found = [len(field) for field in fields[: len(sizes) + 1 - more]]
    wanted = [n if size is None else size for size, n in zip(sizes, found, strict=False)]
    Malformed.unless(len(sizes) == len(found) and found == wanted, domain.decode(), sizes, found)
    return fields


def emit(value: object, data: bytes, parse: Callable[[bytes], object]) -> bytes:
    """Returns `data`, the encoding of `value`, after proving that it parses back to `value`.

    What a parser of ours would refuse or read differently is therefore never signed, hashed or
    sent: a field of the wrong length, a repeated name, a value out of bounds.

    Raises:
        WireError: as `parse` does; `Malformed` if the encoding stands for another value.
    """
    Malformed.unless(parse(data) == value, type(value).__name__, "what parses back", "another")
    return data


def digest(domain: bytes, *fields: bytes) -> bytes:
    """Returns the SHA-256 of the canonical encoding, 32 bytes."""
    return sha256(pack(domain, *fields)).digest()


def _big_endian(value: int, size: int) -> bytes:
    """Returns `value` in so many bytes; `Malformed` when it does not fit."""
    try:
        return value.to_bytes(size, "big")
    except OverflowError as error:
        raise Malformed("integer", f"0 to 2**{8 * size} - 1", value) from error


u32, u64, u256 = (partial(_big_endian, size=size) for size in (4, 8, 32))


def uint(field: bytes, size: int) -> int:
    """Returns the big-endian integer in a field that must be exactly `size` bytes.

    Raises:
        Malformed: the field has another length.
    """
    Malformed.unless(len(field) == size, "bytes of an integer field", size, len(field))
    return int.from_bytes(field, "big")
