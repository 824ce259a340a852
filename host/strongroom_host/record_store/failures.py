"""Why a synchronisation ended, as a number and in words.

The record tells a code (`strongroom_wire.errors.Code`) and, if a venue was the cause, a reason (of
the enclave's `record/connectors`; the numbers are repeated here, as no text leaves an enclave). The
database has both in one column: code · 100 + reason.
"""

from typing import Final

from strongroom_wire.errors import Code

__all__ = ["REASONS", "failure", "hopeless", "remedy", "shown"]

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
    13: "it took too long: the next one goes on from there",
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
    Code.PERMIT_STALE: "the permit has ended",
}
_SILENT: Final = "the enclave was not heard of again while it worked on it"
_PASSES: Final = "nothing at first: it is tried again"
_REMEDIES: Final = {
    1: "nothing: hours before it have no return, and receipts say `with-gaps`; connect accounts"
    " early",
    2: "nothing: it waits as long as the venue says; if it stays, something else uses the same key"
    " or address",
    3: "look at the host's log; it is tried again",
    4: f"{_PASSES}; if it stays, the venue changed its API: take a newer image",
    5: f"{_PASSES}; if it stays, report it: the venue tells two histories",
    6: "check the host's clock (the enclave has the platform's) and the venue's status page",
    7: "take a newer image; until then hours wait, since as profit a gift would be performance",
    8: "take a newer image, or trade that market in another account",
    9: "nothing: MEXC tells 100 fills of one ms and no more",
    10: "nothing: hours wait until it has arrived",
    11: "make another key and `strongroom record connect` it",
    12: "see the venue's status page; it is tried again",
}
_CODE_REMEDIES: Final = {
    Code.VENUE_NOT_ALLOWED: "make a key that cannot and `strongroom record connect` it; delete the"
    " other",
    Code.KEY_CONFLICT: "`strongroom record connect` a key of the account that the record is of, or"
    " name the other in the manifest's next version",
    Code.SEALED_STATE_REFUSED: "put the newest database back; an old one is never taken, and"
    " nothing is lost but time",
    Code.VENUE_UNREACHABLE: "look at the host's log; it is tried again",
    Code.VENUE_TLS: "if the venue changed its certificates, update the image; otherwise somebody"
    " intercepts the connection",
    Code.VENUE_REFUSED: "it is tried again; see the venue's status page",
    Code.NO_CREDENTIAL: "connect it: `strongroom record connect`",
    Code.UNKNOWN_KEY: "`strongroom manifest add-account`, in the next version",
    Code.WRONG_PHASE: "the owner issues one: `strongroom permit`",
    Code.PERMIT_STALE: "the owner issues another: `strongroom permit`",
}
_DEFECT: Final = "`strongroom explain {code}` says what the code means; the enclave's console more"


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
        return _SILENT
    code, reason = divmod(number, 100)
    try:
        name = Code(code).name.lower().replace("_", " ")
        said = REASONS.get(reason) or _CODES.get(Code(code), "")
    except ValueError:
        return f"code {code}"
    return f"{said} ({name})" if said else name


def remedy(number: int) -> str:
    """Returns what to do about a failure."""
    if number < 0:
        return "look whether the boot and `strongroom record serve` run; it is tried again"
    code, reason = divmod(number, 100)
    try:
        found = _REMEDIES.get(reason) or _CODE_REMEDIES.get(Code(code), "")
    except ValueError:
        found = ""
    return found or _DEFECT.format(code=code)
