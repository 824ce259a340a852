"""Published returns as a verifier reads them: one row proved by itself, receipts proved a chain.

A row is a leaf of the small tree of its receipt, and the receipt is what a leaf of the record's log
commits to. That the leaf is in the log, and the log an enclave's, `tlog_proof` and `attested` say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from strongroom_wire.bundle import LogHead
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.merkle import leaf_hash, node_hash
from strongroom_wire.record import (
    UNCHAINED,
    PublishedHour,
    Receipt,
    ReturnsReceipt,
    SyncReceipt,
)

from strongroom_host.contract.openings import record_in
from strongroom_host.log.errors import ReceiptUnfit
from strongroom_host.log.proofs import inclusion_proof, verify_inclusion

__all__ = ["ProvedHour", "prove_hour", "require_follows", "require_synced", "row_path"]

_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class ProvedHour:
    """A row, and the receipt that names its account, venue, environment, tier and completeness."""

    hour: PublishedHour
    receipt: ReturnsReceipt


def prove_hour(
    row: bytes, position: int, path: Sequence[bytes], leaf: Leaf, opening: bytes
) -> ProvedHour:
    """Proves that the leaf commits to a returns receipt in which this row is at this position.

    Raises:
        ReceiptUnfit: the leaf is of another kind, or the row of hours that the receipt is not of.
        WrongOpening: the opening is another leaf's.
        NotIncluded: the row is not the receipt's.
        Malformed, TooLarge: receipt or row are not as the record writes them.
    """
    if leaf.kind is not Kind.RETURNS:
        raise ReceiptUnfit("no leaf about returns", expected="RETURNS", actual=leaf.kind.name)
    receipt = ReturnsReceipt.parse(record_in(leaf, opening))
    tree = LogHead(receipt.count, bytes.fromhex(receipt.root))
    verify_inclusion(leaf_hash(row), position, tree, path)
    hour = PublishedHour.parse(row)
    end_ms = hour.start_ms + hour.hours * _HOUR_MS
    if not receipt.first_ms <= hour.start_ms < end_ms <= receipt.end_ms:
        raise ReceiptUnfit(
            "a row is outside of its receipt",
            expected=(receipt.first_ms, receipt.end_ms),
            actual=(hour.start_ms, end_ms),
        )
    return ProvedHour(hour, receipt)


def row_path(rows: Sequence[bytes], position: int) -> tuple[bytes, ...]:
    """Returns the hashes that lead from a row to the root over all rows of its receipt.

    Raises:
        OutsideLog: there is no row at this position.
    """
    leaves = [leaf_hash(row) for row in rows]

    def subtree(level: int, index: int) -> bytes:
        hashes = leaves[index << level : (index + 1) << level]
        while len(hashes) > 1:
            pairs = zip(hashes[::2], hashes[1::2], strict=True)
            hashes = [node_hash(left, right) for left, right in pairs]
        return hashes[0]

    return inclusion_proof(position, len(rows), subtree)


def require_follows(receipt: Receipt, before: Receipt | None) -> None:
    """Proves that a receipt is the one right after `before`, or the first of its chain.

    Raises:
        ReceiptUnfit: one is missing between, doubled, of a fork, another account's or kind's; or
            it takes back what the one before said.
    """
    place = (0, UNCHAINED)
    if before is not None:
        place = (before.number + 1, sha256(before.serialise()).hexdigest())
    if (receipt.number, receipt.previous) != place:
        raise ReceiptUnfit(
            "a receipt does not follow the one before it",
            expected=place,
            actual=(receipt.number, receipt.previous),
        )
    if before is not None and not _continues(receipt, before):
        raise ReceiptUnfit("a receipt contradicts the one before it", expected=before.account)


def require_synced(receipt: ReturnsReceipt, sync: SyncReceipt) -> None:
    """Proves that returns were computed from what this sync receipt is about.

    Raises:
        ReceiptUnfit: they were not, or go further than it.
    """
    same = _whose(receipt) == _whose(sync) and receipt.end_ms <= sync.until_ms
    if not same or receipt.sync != sha256(sync.serialise()).hexdigest():
        raise ReceiptUnfit("returns of another synchronisation", expected=receipt.sync)


def _continues(receipt: Receipt, before: Receipt) -> bool:
    if _whose(receipt) != _whose(before):
        return False
    if isinstance(receipt, SyncReceipt) and isinstance(before, SyncReceipt):
        fewer = receipt.trades[0] < before.trades[0] or receipt.flows[0] < before.flows[0]
        # Until something was balanced, other credentials begin anew: nothing was published yet.
        anew = not before.balanced_ms
        return not fewer and (anew or receipt.until_ms >= before.until_ms)
    if isinstance(receipt, ReturnsReceipt) and isinstance(before, ReturnsReceipt):
        return receipt.first_ms == before.end_ms and receipt.accounts >= before.accounts
    return False


def _whose(receipt: Receipt) -> tuple[str, str, str]:
    return receipt.account, receipt.venue, receipt.environment
