"""What the signer hands out of its log: leaves, their openings, and the signed head."""

from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta, Struct

from strongroom_wire.canonical import Canonical
from strongroom_wire.encoding import pack

ANSWER_BODY = b"strongroom/logged-answer/v1"


class Entry(NamedTuple):
    """A leaf, and the opening of what it commits to. Without the right to see openings the second
    is empty; before the log is open both are."""

    leaf: bytes = b""
    opening: bytes = b""


class LogPage(Struct, Canonical, frozen=True, array_like=True):
    """The answer to READ_LOG: a checkpoint's text with its Ed25519 signature (64 bytes, by the
    role's receipt key), and leaves in order without a gap, from the index that was asked for or, if
    that is forgotten, from the oldest that is still there; none if that index is not there yet."""

    domain: ClassVar = b"strongroom/log-page/v2"
    checkpoint: bytes
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    entries: tuple[Entry, ...]


def answer_body(body: bytes, entry: Entry) -> bytes:
    """Returns the body of an answer to an owner order together with its log entry."""
    return pack(ANSWER_BODY, body, *entry)
