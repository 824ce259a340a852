"""What the signer hands out of its log: leaves, their openings, and the signed head."""

from typing import NamedTuple

from msgspec import Struct

from strongroom_wire.encoding import emit, pack, unpack_fields
from strongroom_wire.errors import Malformed

__all__ = ["Entry", "LogPage", "answer_body", "read_answer_body"]

_PAGE = b"strongroom/log-page/v1"
_BODY = b"strongroom/logged-answer/v1"


class Entry(NamedTuple):
    """A leaf, and the opening of what it commits to. Without the right to see openings the second
    is empty; before the log is open both are."""

    leaf: bytes = b""
    opening: bytes = b""


class LogPage(Struct, frozen=True):
    """The answer to READ_LOG: a checkpoint's text with its Ed25519 signature (64 bytes, by the
    role's receipt key), and leaves in order without a gap, from the index that was asked for or, if
    that is forgotten, from the oldest that is still there; none if that index is not there yet."""

    checkpoint: bytes
    signature: bytes
    entries: tuple[Entry, ...]

    def serialise(self) -> bytes:
        """Returns the canonical encoding."""
        parts = [part for entry in self.entries for part in entry]
        return emit(self, pack(_PAGE, self.checkpoint, self.signature, *parts), LogPage.parse)

    @classmethod
    def parse(cls, data: bytes) -> "LogPage":
        """Returns the page encoded in `data`; signature and leaves are checked elsewhere.

        Raises:
            TooLarge, Malformed: no such layout, or a leaf without an opening beside it.
        """
        checkpoint, signature, *parts = unpack_fields(_PAGE, data, None, 64, more=True)
        if len(parts) % 2:
            raise Malformed("log page", "pairs of leaf and opening", len(parts))
        return cls(checkpoint, signature, tuple(map(Entry, parts[::2], parts[1::2])))


def answer_body(body: bytes, entry: Entry) -> bytes:
    """Returns the body of an answer to an owner order together with its log entry."""
    return pack(_BODY, body, *entry)


def read_answer_body(data: bytes) -> tuple[bytes, Entry]:
    """Returns what `answer_body` put together, or raises `Malformed`."""
    body, leaf, opening = unpack_fields(_BODY, data, None, None, None)
    return body, Entry(leaf, opening)
