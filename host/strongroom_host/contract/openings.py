"""What was handed out with a leaf: the record it commits to, and what an answer says beside it."""

from typing import Final

from strongroom_wire.encoding import unpack_fields
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf, commitment
from strongroom_wire.pages import ANSWER_BODY, Entry

__all__ = ["WrongOpening", "read_answer_body", "record_in"]

_SALT: Final = 32


class WrongOpening(WireError):
    """An opening does not belong to the leaf: another one's, or altered."""


def record_in(leaf: Leaf, opening: bytes) -> bytes:
    """Returns the record in `opening` after proving that this leaf commits to it.

    Raises:
        WrongOpening: it does not.
    """
    if len(opening) < _SALT or commitment(opening) != leaf.commitment:
        raise WrongOpening("opening", leaf.commitment.hex(), "another's")
    return opening[_SALT:]


def read_answer_body(data: bytes) -> tuple[bytes, Entry]:
    """Returns what `pages.answer_body` put together, or raises `Malformed`."""
    body, leaf, opening = unpack_fields(ANSWER_BODY, data, None, None, None)
    return body, Entry(leaf, opening)
