"""What requests may say. A parameter that is not one of these is refused: a mistyped limit would
otherwise be no limit."""

from typing import Annotated, Final, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from strongroom_host.gateway.cursors import MAX_CURSOR
from strongroom_host.gateway.keys import Scope
from strongroom_host.gateway.reading import Span
from strongroom_host.gateway.tokens import MAX_SECONDS

__all__ = [
    "AccountName",
    "AggregateWindow",
    "ListingWindow",
    "MetricsWindow",
    "NoParameters",
    "Page",
    "StartMs",
    "TokenRequest",
]

_LATEST_MS: Final = 253_402_300_800_000
"""The end of the year 9999, the last that any calendar here has."""
_PAGE: Final = 100
_MAX_PAGE: Final = 1000

AccountName = Annotated[
    str,
    Path(pattern=r"^[^\x00-\x1f\x7f]{1,64}$", description="An account, by its manifest's name."),
]
StartMs = Annotated[
    int, Path(ge=0, lt=_LATEST_MS, description="When a period begins, ms since the epoch.")
]


class NoParameters(BaseModel):
    """A request that says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Window(NoParameters):
    from_ms: int = Field(0, ge=0, lt=_LATEST_MS, description="Periods that begin then or later.")
    until_ms: int = Field(
        _LATEST_MS, ge=0, le=_LATEST_MS, description="Periods that begin before then."
    )

    @property
    def span(self) -> Span:
        """The times."""
        return Span(self.from_ms, self.until_ms)


class Page(NoParameters):
    """A page of a listing."""

    limit: int = Field(_PAGE, ge=1, le=_MAX_PAGE, description="Rows of one page.")
    cursor: str | None = Field(None, max_length=MAX_CURSOR, description="`next` of a page before.")


class ListingWindow(_Window, Page):
    """A page of what is in a span of time."""

    def listing(self, what: str, account: str) -> tuple[str, ...]:
        """What a cursor of this listing is bound to: all but how long a page is."""
        return (what, account, str(self.from_ms), str(self.until_ms))


class AggregateWindow(ListingWindow):
    """A page of days, months or years."""

    span_of: Literal["day", "month", "year"] = Field("day", alias="span")


class MetricsWindow(_Window):
    """What metrics are computed under. There is no default convention, since none is right."""

    convention: Literal["8760", "365", "252"] = Field(description="Samples in a year.")
    riskless: str = Field("0", pattern=r"^-?0(\.[0-9]{1,12})?$", description="Annual: 0.04 is 4 %.")


class TokenRequest(NoParameters):
    """A token that does no more than its key; what is left out is as the key has it."""

    seconds: int = Field(300, ge=1, le=MAX_SECONDS)
    scopes: list[Scope] | None = Field(None, max_length=len(Scope))
    users: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]] | None = Field(
        None, max_length=50
    )
