"""How times, amounts, digests and refusals read in a report, the same on the page and in CSV."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from strongroom_wire.errors import Rule

from strongroom_host.cli.explain import CODES, RULES, figures
from strongroom_host.log.report.record import Decision, Outcome

__all__ = ["NO_TIME", "ago", "amount", "because", "moment", "quantity", "rfc3339", "sha", "short"]

NO_TIME: Final = "no time"
_SHORT: Final = 12
_BARE: Final = frozenset({"permits", "kills", "clock", "flag"})
"""Units whose figures say no more than the rule does."""
_YEAR_9999_MS: Final = 253_402_300_800_000


def moment(time_ms: int) -> str:
    """Returns a time to the millisecond in UTC; for what no calendar has, the figure.

    A log is believed nothing, so neither are its times: 2**64 - 1 ms is shown, not stumbled over.
    """
    if not time_ms:
        return NO_TIME
    if time_ms >= _YEAR_9999_MS:
        return f"{time_ms} ms since 1970"
    found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return f"{found:%Y-%m-%d %H:%M:%S}.{found.microsecond // 1000:03} UTC"


def rfc3339(time_ms: int) -> str:
    """Returns a time as programs read it, RFC 3339 in UTC; nothing where there is none."""
    text = moment(time_ms) if time_ms else ""
    return text.replace(" UTC", "Z").replace(" ", "T") if text.endswith(" UTC") else text


def ago(time_ms: int, now_ms: int) -> str:
    """Returns how long before `now_ms` something was, in the largest unit that says enough."""
    seconds = (now_ms - time_ms) // 1000
    if not time_ms or seconds < 0:
        return ""
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return f"{quantity(seconds // size, name)} before"
    return "less than a minute before"


def amount(micro: int) -> str:
    """Returns millionths of pUSD as pUSD, exactly, without zeros that say nothing."""
    whole, _, part = f"{Decimal(micro).scaleb(-6):.6f}".partition(".")
    part = part.rstrip("0")
    return f"{whole}.{part}" if part else whole


def quantity(count: int, what: str, plural: str = "") -> str:
    """Returns a count with its noun: `1 order`, `2 orders`."""
    return f"{count:,} {what if count == 1 else plural or what + 's'}"


def short(digest: bytes) -> str:
    """Returns the beginning of a digest or key, which is enough to tell those of one page apart."""
    return digest.hex()[:_SHORT]


def sha(digest: bytes) -> str:
    """Returns a whole SHA-256 digest in a form that no spreadsheet takes for a number."""
    return f"sha256:{digest.hex()}" if digest else ""


def because(decision: Decision) -> str:
    """Returns why a request was not signed, in words with figures; nothing if it was."""
    if decision.rule is not Rule.NONE:
        words = f"{decision.rule.name}: {RULES[decision.rule].wrong}"
        if not decision.opened or RULES[decision.rule].unit in _BARE:
            return words
        limit, actual = figures(decision.rule, decision.limit, decision.actual)
        return f"{words}; limit {limit}, asked {actual}"
    if decision.outcome is Outcome.REFUSED and decision.opened:
        return f"{decision.code.name} ({int(decision.code)}): {CODES[decision.code].wrong}"
    return ""
