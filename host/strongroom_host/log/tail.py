"""The bytes of a log's tail: the leaves that do not fill a bundle yet, and heads signed over them.

Each record carries a checksum, so that what a crash cut short is told from what was written whole:

    leaf    u16 length (1 to 65,535), the leaf, 8 bytes of its hash
    note    u16 zero, u32 length, a signed note, 8 bytes of its hash as if it were a leaf

Big-endian. A note stands behind the leaves that its head has, in the same write and so under the
same synchronisation: a leaf that is acknowledged comes with the signature that vouches for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_wire.merkle import leaf_hash

from strongroom_host.log.notes import MAX_NOTE
from strongroom_host.log.tiles import WIDTH

__all__ = ["Tail", "parse_tail", "records"]

_CHECKSUM: Final = 8


@dataclass(frozen=True, slots=True)
class Tail:
    """What a tail holds whole: its leaves, the newest note (or nothing), and how many bytes that
    takes; the rest is what a crash left behind."""

    entries: list[bytes]
    note: bytes
    whole: int


def records(entries: Sequence[bytes], note: bytes = b"") -> bytes:
    """The records of leaves and, if there is one, of the note behind them."""
    found = [len(entry).to_bytes(2, "big") + entry + _checksum(entry) for entry in entries]
    if note:
        found.append(b"\0\0" + len(note).to_bytes(4, "big") + note + _checksum(note))
    return b"".join(found)


def parse_tail(data: bytes) -> Tail:
    """The records at the beginning of `data` that are whole."""
    entries: list[bytes] = []
    note, at = b"", 0
    while True:
        start = at + 2
        length = int.from_bytes(data[at:start], "big")
        if is_note := length == 0:
            start += 4
            length = int.from_bytes(data[start - 4 : start], "big")
        content, end = data[start : start + length], start + length + _CHECKSUM
        # Zeros, which some file systems leave behind, are no record: no checksum is zero.
        if length > MAX_NOTE or data[end - _CHECKSUM : end] != _checksum(content):
            break
        if is_note:
            note = content
        elif len(entries) == WIDTH:
            break
        else:
            entries.append(content)
        at = end
    return Tail(entries, note, at)


def _checksum(content: bytes) -> bytes:
    return leaf_hash(content)[:_CHECKSUM]
