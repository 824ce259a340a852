"""Times of leaves, for people: the enclave's are numbers of up to 64 bits, and may be anything."""

from datetime import UTC, datetime

from strongroom_host.errors import BadInput

__all__ = ["parse_time", "shown_time"]


def shown_time(ms: int) -> str:
    """Returns a time in ms since the epoch as text of two words, whatever it is."""
    if ms == 0:
        return "no time"
    try:
        moment = datetime.fromtimestamp(ms // 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ms % 1000:03}Z"


def parse_time(text: str) -> int:
    """Returns the ms since the epoch of an ISO 8601 time; one without a zone is in UTC.

    Raises:
        BadInput: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is no time", expected="ISO 8601: 2026-11-21T08:00Z") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
