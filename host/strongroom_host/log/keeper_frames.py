"""What clients and the keeper say on its socket: a question, an answer, one at a time.

Each message follows its length, a u32, big-endian. Both are packed as everything of ours is
(`strongroom_wire.encoding`):

    question    strongroom/keep/v1: leaf and opening (which may be empty), for 1 to 64 leaves
    answer      strongroom/kept/v1: u8 outcome, u64 leaves stored, and in UTF-8 what, remedy
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from strongroom_wire.encoding import pack, u64, uint, unpack, unpack_fields
from strongroom_wire.errors import Malformed
from strongroom_wire.pages import Entry

__all__ = [
    "MAX_ENTRIES",
    "MAX_MESSAGE",
    "Answer",
    "ConnectionEnded",
    "Outcome",
    "question",
    "read_question",
    "receive",
    "send",
]

MAX_ENTRIES: Final = 64
MAX_MESSAGE: Final = 1 << 20
_KEEP: Final = b"strongroom/keep/v1"
_KEPT: Final = b"strongroom/kept/v1"
_LENGTH: Final = 4
_TEXT: Final = 4000


class ConnectionEnded(OSError):
    """The other side closed, or sends what is no message."""


class Outcome(IntEnum):
    """What became of the leaves of a question."""

    KEPT = 0
    """All are stored, durably, under a signed head."""
    REFUSED = 1
    """One is not of this log, or is no leaf: asking again does not help."""
    NOT_YET = 2
    """The enclave's log cannot be read at the moment."""
    STOPPED = 3
    """Nothing is kept any more, until a person has looked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The keeper's answer: the outcome, the log's size, and in words why and what to do."""

    outcome: Outcome
    size: int
    what: str = ""
    remedy: str = ""

    def serialise(self) -> bytes:
        """The message without its length."""
        words = (text.encode(errors="replace")[:_TEXT] for text in (self.what, self.remedy))
        return pack(_KEPT, bytes([self.outcome]), u64(self.size), *words)

    @classmethod
    def parse(cls, data: bytes) -> Answer:
        """The answer in a message, or `Malformed`."""
        outcome, size, *words = unpack_fields(_KEPT, data, 1, 8, None, None, limit=MAX_MESSAGE)
        what, remedy = (word.decode(errors="replace") for word in words)
        if outcome[0] not in [known.value for known in Outcome]:
            raise Malformed("outcome", "a known number", outcome[0])
        return cls(Outcome(outcome[0]), uint(size, 8), what, remedy)


def question(entries: Sequence[Entry]) -> bytes:
    """The message in which a client asks to have entries kept."""
    return pack(_KEEP, *(part for entry in entries for part in entry))


def read_question(data: bytes) -> tuple[Entry, ...]:
    """The entries of a question.

    Raises:
        TooLarge, Malformed: no question.
    """
    parts = unpack(_KEEP, data, limit=MAX_MESSAGE)
    if len(parts) % 2 or not 1 <= len(parts) // 2 <= MAX_ENTRIES:
        raise Malformed("question to the keeper", f"1 to {MAX_ENTRIES} pairs", len(parts))
    return tuple(map(Entry, parts[::2], parts[1::2]))


def send(stream: socket.socket, message: bytes) -> None:
    """Sends one message; raises `OSError` (also when it takes too long)."""
    stream.sendall(len(message).to_bytes(_LENGTH, "big") + message)


def receive(stream: socket.socket) -> bytes:
    """Returns the next message.

    Raises:
        ConnectionEnded: there is none, or a longer one than there is.
        OSError: the connection broke, or it took too long.
    """
    length = int.from_bytes(_exactly(stream, _LENGTH), "big")
    if length > MAX_MESSAGE:
        raise ConnectionEnded(f"a message of {length} bytes")
    return _exactly(stream, length)


def _exactly(stream: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = stream.recv(min(size, 1 << 16))
        if not part:
            raise ConnectionEnded("the other side closed the connection")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
