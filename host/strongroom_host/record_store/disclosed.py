"""Disclosed rows as the record sent them, as rows of the tables that readers see."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from strongroom_wire.errors import Malformed
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.record import PublishedHour, ReturnsReceipt

from strongroom_host.record_store.rows import BalanceSnapshot, ExchangeConnection, HourlyReturn

__all__ = ["disclosed_rows"]

_HOUR_MS: Final = 3_600_000
_SALT: Final = 32


def disclosed_rows(
    account: ExchangeConnection, opening: bytes, rows: Sequence[bytes], index: int
) -> tuple[list[HourlyReturn], list[BalanceSnapshot]]:
    """Returns returns and balances of the rows of one receipt.

    `opening` is that of the leaf with this index: a salt of 32 bytes, and the receipt. It is kept
    with each row, so that a row, its path and the leaf prove themselves.

    Raises:
        Malformed: an encoding is none, the receipt another account's, or the rows another's.
    """
    receipt = ReturnsReceipt.parse(opening[_SALT:])
    whose = receipt.account, receipt.venue, receipt.environment
    if whose != (account.account, account.venue, account.environment):
        raise Malformed("receipt", account.account, whose)
    tree = Frontier()
    for row in rows:
        tree.append(leaf_hash(row))
    if (receipt.count, receipt.root) != (len(rows), tree.head.root.hex()):
        raise Malformed("published rows", f"the {receipt.count} of the receipt", len(rows))
    returns = [
        _return(receipt, account.user_id, PublishedHour.parse(row), row, opening, at, index)
        for at, row in enumerate(rows)
    ]
    return returns, [
        BalanceSnapshot(
            account=row.account,
            at_ms=row.start_ms + row.hours * _HOUR_MS,
            user_id=row.user_id,
            currency=row.currency,
            equity=row.closing,
            leaf_index=index,
        )
        for row in returns
        if row.closing is not None
    ]


def _return(
    receipt: ReturnsReceipt,
    user: str,
    hour: PublishedHour,
    encoded: bytes,
    opening: bytes,
    position: int,
    index: int,
) -> HourlyReturn:
    exact = hour.exact or (None, None, None, None, None, None, None, None, None)
    return HourlyReturn(
        account=receipt.account,
        start_ms=hour.start_ms,
        user_id=user,
        hours=hour.hours,
        venue=receipt.venue,
        environment=receipt.environment,
        currency=receipt.currency,
        value=_number(hour.value),
        closing=_number(hour.closing),
        opening=_number(exact[0]),
        flows=_number(exact[1]),
        pnl=_number(exact[2]),
        realised=_number(exact[3]),
        unrealised=_number(exact[4]),
        fees=_number(exact[5]),
        funding=_number(exact[6]),
        trades=exact[7],
        mark_age_ms=exact[8],
        flags=hour.flags,
        encoded=encoded,
        receipt=opening,
        position=position,
        leaf_index=index,
    )


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
