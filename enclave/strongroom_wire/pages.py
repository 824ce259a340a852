"""What the signer hands out of its log: leaves, their openings, and the head that is signed over."""

from typing import NamedTuple

from msgspec import Struct

from strongroom_wire.encoding import emit, pack, unpack
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
    """The answer to READ_LOG: the head as a signed note, and leaves in order without a gap, from
    the index that was asked for or, if that is forgotten, from the oldest that is still there."""

    note: bytes
    entries: tuple[Entry, ...]

    def serialise(self) -> bytes:
        """Returns the canonical encoding."""
        parts = [part for entry in self.entries for part in entry]
        return emit(self, pack(_PAGE, self.note, *parts), LogPage.parse)

    @classmethod
    def parse(cls, data: bytes) -> "LogPage":
        """Returns the page encoded in `data`; note and leaves are checked elsewhere.

        Raises:
            TooLarge, Malformed: no note, or a leaf without an opening beside it.
        """
        note, *parts = unpack(_PAGE, data) or [b""]
        if not note or len(parts) % 2:
            raise Malformed("log page", "a note, then pairs", len(parts))
        return cls(note, tuple(map(Entry, parts[::2], parts[1::2])))


def answer_body(body: bytes, entry: Entry) -> bytes:
    """Returns the body of an answer to an owner order together with its log entry."""
    return pack(_BODY, body, *entry)


def read_answer_body(data: bytes) -> tuple[bytes, Entry]:
    """Returns what `answer_body` put together, or raises `Malformed`."""
    parts = unpack(_BODY, data)
    if len(parts) != 3:
        raise Malformed("answer", "a body, a leaf, an opening", len(parts))
    return parts[0], Entry(*parts[1:])
