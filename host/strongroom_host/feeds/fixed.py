"""Decimal texts of venues as integers of 1e-8, exactly or not at all.

No float comes near: "0.1" is 10,000,000, and what would need a ninth decimal is refused rather than
rounded. Prices and sizes repeat, so results are kept for a while.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from strongroom_host.feeds.errors import Reason, Refused

__all__ = ["MAX_FIXED", "PLACES", "fixed8", "millis_ns", "whole"]

PLACES: Final = 8
MAX_FIXED: Final = (1 << 63) - 1
"""What the tick's signed 64 bits hold: 92,233,720,368.54775807."""
_MAX_TEXT: Final = 40
_LONGEST: Final = 128
"""Characters that are looked at: texts are remembered, and zeros at the end have no end."""
_SCALE: Final[tuple[int, ...]] = tuple(10 ** (PLACES - places) for places in range(PLACES + 1))
_MAX_MILLIS: Final = ((1 << 64) - 1) // 1_000_000


@lru_cache(maxsize=1 << 16)
def fixed8(text: str) -> int:
    """The value of an unsigned decimal text in units of 1e-8.

    Digits with at most one point; ".48" is a number, as venues write it, "48." and "1e2" are not.

    Raises:
        Refused: MALFORMED, INEXACT beyond 1e-8, OUT_OF_RANGE beyond 64 bits.
    """
    if len(text) > _LONGEST:
        raise Refused(Reason.OUT_OF_RANGE, "a very long number", actual=text[:_MAX_TEXT])
    whole_part, point, part = text.partition(".")
    digits = whole_part + part
    if not (digits.isascii() and digits.isdigit()) or (point and not part):
        raise Refused(Reason.MALFORMED, "not a decimal number", actual=text[:_MAX_TEXT])
    if len(part) > PLACES:
        part = part.rstrip("0")
        if len(part) > PLACES:
            raise Refused(Reason.INEXACT, "finer than 1e-8", actual=text[:_MAX_TEXT])
        digits = whole_part + part
    if len(digits) > _MAX_TEXT:
        raise Refused(Reason.OUT_OF_RANGE, "a very long number", actual=text[:_MAX_TEXT])
    value = int(digits or "0") * _SCALE[len(part)]
    if value > MAX_FIXED:
        raise Refused(Reason.OUT_OF_RANGE, "more than a tick holds", actual=text)
    return value


def whole(text: str, most: int = (1 << 64) - 1) -> int:
    """The value of a text of decimal digits, 0 to `most`.

    Raises:
        Refused: MALFORMED or OUT_OF_RANGE.
    """
    if not (text.isascii() and text.isdigit()):
        raise Refused(Reason.MALFORMED, "not a whole number", actual=text[:_MAX_TEXT])
    if len(text) > _MAX_TEXT or (value := int(text)) > most:
        raise Refused(Reason.OUT_OF_RANGE, "a whole number too large", actual=text[:_MAX_TEXT])
    return value


def millis_ns(text: str) -> int:
    """Unix milliseconds as text, in ns; 0 for an empty text: the venue told no time.

    Raises:
        Refused: MALFORMED or OUT_OF_RANGE.
    """
    return whole(text, _MAX_MILLIS) * 1_000_000 if text else 0
