"""What the record signs or is handed: receipts, published rows, an owner's credentials.

JSON, so that whoever checks a record reads it with what is at hand; canonical as the manifest is:
what this module would write differently is refused. The first member says which of them it is.
Money is text with all its places; times are ms since the epoch, UTC.
"""

from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta, Struct

from strongroom_wire.canonical import Canonical
from strongroom_wire.manifest import Hex32, Name

# What the first receipt of a chain has for the digest of the one before.
UNCHAINED = "0" * 64
# What is claimed of this account, as the venue's API answered, and never of any other. unbroken:
# everything from its first event up to the stated bound. since-opening: everything since the
# balances that the record began with. with-gaps: spans are missing, and the hours in them have no
# return.
Completeness = Literal["unbroken", "since-opening", "with-gaps"]
_DIGITS = r"^(?!-0\.0+\Z)-?(0|[1-9][0-9]{0,399})\.[0-9]"
Money = Annotated[str, Meta(pattern=_DIGITS + r"{18}\Z")] | None
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Text = Annotated[str, Meta(pattern=r"^[\n -~]{0,4096}\Z")]
# All rows of a table so far: how many, and the digest that chains them.
Tip = tuple[Count, Hex32]


class _Json(Struct, Canonical, frozen=True, tag_field="format"):
    """A value whose one spelling is JSON, which begins with its format."""

    def spelled(self) -> bytes:
        """See `Canonical`."""
        return msgspec.json.encode(self)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """See `Canonical`."""
        return msgspec.json.decode(data, type=cls)


class Receipt(_Json, frozen=True):
    """What both kinds have. An account has one chain of each, without gaps: `number` counts from
    0, `previous` is the SHA-256 of the encoding of the receipt before, or `UNCHAINED`."""

    account: Name
    venue: Name
    environment: Literal["live", "paper", "test"]
    number: Count
    previous: Hex32


class SyncReceipt(Receipt, frozen=True, tag="strongroom-sync/1"):
    """All that was fetched of an account: complete from `since_ms` (0: with its first event) up to
    `until_ms`, but for so many `gaps`. It explained all that the venue held at `balanced_ms`."""

    trades: Tip = (0, UNCHAINED)
    flows: Tip = (0, UNCHAINED)
    since_ms: Count = 0
    until_ms: Count = 0
    balanced_ms: Count = 0
    gaps: Count = 0


class ReturnsReceipt(Receipt, frozen=True, tag="strongroom-returns/1"):
    """Published rows of the hours from `first_ms` up to `end_ms`: `root` is that of the RFC 6962
    tree over their encodings, in order. `sync` is the digest of the sync receipt that they were
    computed from, `accounts` how many this record ever connected, `tier` the disclosure tier as
    the manifest has it."""

    sync: Hex32
    mode: Literal["production", "development"]
    currency: Text
    tier: Text
    completeness: Completeness
    accounts: Annotated[int, Meta(ge=1)]
    first_ms: Count
    end_ms: Count
    count: Count
    root: Hex32


class PublishedHour(_Json, frozen=True, tag="strongroom-hour/1"):
    """One disclosed period, a row of a `ReturnsReceipt`; `value` is its return, `closing` the
    equity at its end. `exact` is what else is known of a single hour under the exact tier: opening,
    flows, pnl, realised, unrealised, fees, funding; trades, mark_age_ms. `salt` (16 bytes in hex)
    keeps whoever is shown one row and its path from guessing those beside it."""

    start_ms: Count
    hours: Annotated[int, Meta(ge=1, lt=1 << 31)]
    value: Annotated[str, Meta(pattern=_DIGITS + r"{12}\Z")] | None
    closing: Money
    flags: Annotated[int, Meta(ge=0, lt=1 << 31)]
    exact: tuple[Money, Money, Money, Money, Money, Money, Money, Count, Count] | None
    salt: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]


class Credentials(_Json, frozen=True, tag="strongroom-credentials/1"):
    """A venue's read-only key as its owner seals it. Account and venue are inside as well, so that
    nobody can pass it off as another's."""

    account: Name
    venue: Name
    key: Text
    secret: Text
    passphrase: Text

    def __repr__(self) -> str:
        return "Credentials()"
