"""The shapes of answers. Numbers are strings with all their digits; times are ms since the epoch.

Every answer says what its completeness means and what it does not: a reader must not have to find
that out elsewhere.
"""

from base64 import b64encode
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from strongroom_host.gateway.reading import Account
from strongroom_host.metrics.series import Flag
from strongroom_host.record_store.rows import BalanceSnapshot, HourlyReturn

__all__ = [
    "COMPLETENESS",
    "AccountRow",
    "Accounts",
    "Aggregates",
    "Answer",
    "BalanceRow",
    "Balances",
    "Completeness",
    "Evidence",
    "KeyInfo",
    "Metrics",
    "ReturnRow",
    "Returns",
    "Token",
    "account_row",
    "balance_row",
    "return_row",
]

_NUMBER: Final = "0.001250000000"
_ROW: Final[JsonDict] = {
    "account": "fund",
    "start_ms": 1_790_000_000_000 - 1_790_000_000_000 % 3_600_000,
    "end_ms": 1_790_000_000_000 - 1_790_000_000_000 % 3_600_000 + 3_600_000,
    "hours": 1,
    "venue": "binance",
    "environment": "live",
    "currency": "USDT",
    "value": _NUMBER,
    "flags": 0,
    "why": [],
    "closing": "100125.000000000000000000",
    "opening": None,
    "flows": None,
    "pnl": None,
    "realised": None,
    "unrealised": None,
    "fees": None,
    "funding": None,
    "trades": None,
    "mark_age_ms": None,
    "leaf_index": 41,
    "position": 0,
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Completeness(_Model):
    """What the completeness of an answer means, and what it does not."""

    means: str
    does_not_mean: tuple[str, ...]
    check: str


COMPLETENESS: Final = Completeness(
    means=(
        "The record in the enclave stands for this account: what the venue's API answered about "
        "it, from its first trade to the end of the last period disclosed. Where it could not "
        "vouch for a period, that has a flag in the place of a return."
    ),
    does_not_mean=(
        "That there is no other account: its owner may trade elsewhere, in another enclave or in "
        "none. How many accounts this one's manifest ever connected is in each receipt.",
        "That the venue's API told everything, or that a test or paper environment is a real one: "
        "`venue` and `environment` say which it was.",
        "That each hour is shown as it was: the owner's tier may join, round or withhold periods. "
        "A period that is not there was not disclosed; it is not 0.",
        "That this answer is genuine or whole: this gateway and its database are believed nothing. "
        "What they left out or changed shows when receipts are checked against the log.",
    ),
    check="/v1/accounts/{account}/returns/{start_ms}/evidence, and the log under /v1/log/",
)


class Answer(_Model):
    """What every answer has."""

    completeness: Completeness = COMPLETENESS


class AccountRow(_Model):
    """An account, as its oldest and newest disclosed periods show it."""

    account: str
    user: str
    venue: str
    environment: Literal["live", "paper", "test"]
    currency: str
    start_ms: int
    end_ms: int
    newest_leaf: int


class Accounts(Answer):
    """Accounts with a disclosed period, by name; `next` is the cursor of the next page."""

    accounts: tuple[AccountRow, ...]
    next: str | None = None


class ReturnRow(_Model):
    """A disclosed period. `value` is its return as a fraction, null where a flag stands instead;
    what the owner's tier withholds is null. `position` is the row's place in its receipt."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_ROW]})

    account: str
    start_ms: int
    end_ms: int
    hours: int
    venue: str
    environment: Literal["live", "paper", "test"]
    currency: str
    value: str | None
    flags: int
    why: tuple[str, ...]
    closing: str | None
    opening: str | None
    flows: str | None
    pnl: str | None
    realised: str | None
    unrealised: str | None
    fees: str | None
    funding: str | None
    trades: int | None
    mark_age_ms: int | None
    leaf_index: int
    position: int


class Returns(Answer):
    """Disclosed periods in order of time."""

    returns: tuple[ReturnRow, ...]
    next: str | None = None


class BalanceRow(_Model):
    """The equity at the end of a disclosed period."""

    account: str
    at_ms: int
    currency: str
    equity: str
    leaf_index: int


class Balances(Answer):
    """Balances in order of time."""

    balances: tuple[BalanceRow, ...]
    next: str | None = None


class Aggregates(Answer):
    """Returns linked by days, months or years (UTC). `complete` tells whole ones; one without a
    return has a period in it that has none, or of which nothing was disclosed."""

    account: str
    span: Literal["day", "month", "year"]
    aggregates: tuple[dict[str, object], ...]
    next: str | None = None


class Metrics(Answer):
    """What the periods add up to; host/strongroom_host/metrics/README.md has each definition. One
    that is absent is null, and `absent` says why."""

    account: str
    metrics: dict[str, object]


class Evidence(Answer):
    """A period as the enclave signed it: base64 of the row and of the receipt that it is row
    `position` of; `row_path` leads from the row to the root in the receipt (RFC 6962, hex, lowest
    first), and the receipt is the log's leaf `leaf_index`."""

    account: str
    start_ms: int
    encoded: str
    receipt: str
    position: int
    rows: int
    row_path: tuple[str, ...]
    leaf_index: int

    @classmethod
    def of(cls, row: HourlyReturn, rows: int, path: Sequence[bytes]) -> "Evidence":
        """Returns a row's evidence, out of a receipt of so many."""
        return cls(
            account=row.account,
            start_ms=row.start_ms,
            encoded=b64encode(row.encoded).decode(),
            receipt=b64encode(row.receipt).decode(),
            position=row.position,
            rows=rows,
            row_path=tuple(each.hex() for each in path),
            leaf_index=row.leaf_index,
        )


class Token(Answer):
    """A token for the header `Authorization: Bearer`, in the place of the key."""

    token: str
    expires_in: int


class KeyInfo(Answer):
    """What the key or token of this request may do; `users` null is everybody."""

    key: str
    scopes: tuple[str, ...]
    users: tuple[str, ...] | None
    expires_ms: int


def account_row(found: Account) -> AccountRow:
    """Returns an account for an answer."""
    return AccountRow.model_validate({name: getattr(found, name) for name in found.__slots__})


def return_row(row: HourlyReturn) -> ReturnRow:
    """Returns a period for an answer."""
    named = {name: getattr(row, name) for name in ReturnRow.model_fields if hasattr(row, name)}
    texts = {name: _text(value) for name, value in named.items() if isinstance(value, Decimal)}
    why = tuple((flag.name or "").lower() for flag in Flag if flag & row.flags)
    end_ms = row.start_ms + row.hours * 3_600_000
    return ReturnRow.model_validate(named | texts | {"end_ms": end_ms, "why": why})


def balance_row(row: BalanceSnapshot) -> BalanceRow:
    """Returns a balance for an answer."""
    return BalanceRow(
        account=row.account,
        at_ms=row.at_ms,
        currency=row.currency,
        equity=_text(row.equity),
        leaf_index=row.leaf_index,
    )


def _text(number: Decimal) -> str:
    return f"{number:f}"
