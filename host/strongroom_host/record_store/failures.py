"""Why a synchronisation ended, as a number and in words.

The record tells a code (`strongroom_wire.errors.Code`) and, if a venue was the cause, a reason (of
the enclave's `record/connectors`; the numbers are repeated here, as no text leaves an enclave). The
database has both in one column: code · 100 + reason.
"""

from typing import Final

from strongroom_wire.errors import Code

__all__ = ["REASONS", "failure", "hopeless", "shown"]

REASONS: Final = {
    1: "the venue does not tell what is that old",
    2: "the venue's rate limit",
    3: "the venue could not be reached",
    4: "the venue's answer could not be read",
    5: "pages of the venue do not continue one another",
    6: "the venue's clock, or times ahead of it",
    7: "a change of balance of a kind that this image does not know",
    8: "a market that the venue does not describe",
    9: "more rows of one moment than the venue gives out",
    10: "money is on its way",
    11: "the venue does not take the key: wrong, expired, or not allowed to read this",
    12: "the venue refused",
}
_KEY: Final = 11
_CODES: Final = {
    Code.VENUE_NOT_ALLOWED: "the key may do more than read: make one that cannot",
    Code.KEY_CONFLICT: "the key opens another account than the one that this record is of: connect"
    " a key of that one, or name the other in the manifest as an account of its own",
    Code.SEALED_STATE_REFUSED: "the database does not give back what was stored: an old copy, or"
    " rows that were changed",
    Code.VENUE_UNREACHABLE: "the venue could not be reached",
    Code.VENUE_TLS: "the venue's certificate is not one that is expected",
    Code.VENUE_REFUSED: "the venue refused, or its answer cannot be believed",
    Code.NO_CREDENTIAL: "no key was connected for this account",
    Code.UNKNOWN_KEY: "the manifest has no such account",
    Code.WRONG_PHASE: "the enclave has no permit yet",
}


def failure(code: int, reason: int = 0) -> int:
    """Returns both as the one number that the database keeps."""
    return code * 100 + min(reason, 99)


def hopeless(number: int) -> bool:
    """Returns whether trying again is of no use before the owner has done something."""
    keys = Code.VENUE_NOT_ALLOWED, Code.KEY_CONFLICT
    return number // 100 in keys or number == failure(Code.VENUE_REFUSED, _KEY)


def shown(number: int) -> str:
    """Returns a failure in words."""
    if number < 0:
        return "the enclave was not heard of again while it worked on it"
    code, reason = divmod(number, 100)
    try:
        name = Code(code).name.lower().replace("_", " ")
        said = REASONS.get(reason) or _CODES.get(Code(code), "")
    except ValueError:
        return f"code {code}"
    return f"{said} ({name})" if said else name
