"""What waits for its leaf, and what a leaf of the record's log makes of it, in one transaction.

The record hands over states and rows before the leaf that commits to them. Until that leaf is
stored they are nothing: a state does not count, rows are shown to nobody, and whoever was killed in
between does it all again. With the leaf they count and are shown, or the leaf is not stored either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from psycopg.rows import class_row
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import Entry
from strongroom_wire.record import ReturnsReceipt

from strongroom_host.record_store.connecting import Connection, guarded, statement, transaction
from strongroom_host.record_store.connections import account_of
from strongroom_host.record_store.disclosed import disclosed_rows
from strongroom_host.record_store.errors import RowsConflict, StatesMissing, StoreError
from strongroom_host.record_store.leaves import leaf_count, put_leaves
from strongroom_host.record_store.publishing import publish
from strongroom_host.record_store.rows import StagedReturns
from strongroom_host.record_store.store import RecordStore

__all__ = ["settle", "stage"]

_ROWS: Final = b"strongroom/staged-rows/v1"
_LIMIT: Final = 64 << 20
_STAGE: Final = (
    f"{StagedReturns.INSERT} ON CONFLICT (account) DO UPDATE SET root = EXCLUDED.root,"
    " rows = EXCLUDED.rows, created_at = now()"
)


def stage(connection: Connection, account: str, root: bytes, rows: Sequence[bytes]) -> None:
    """Keeps rows for the returns receipt that will have this root, in the place of others.

    Raises:
        RowsConflict: the root is not theirs.
        DatabaseRefused: no such account was connected.
    """
    tree = Frontier()
    for row in rows:
        tree.append(leaf_hash(row))
    if tree.head.root != root:
        raise RowsConflict(f"rows of {account} with another root", expected=tree.head.root.hex())
    with guarded(connection):
        values = {"account": account, "root": root, "rows": pack(_ROWS, *rows)}
        connection.execute(statement(_STAGE), values)


def settle(
    connection: Connection,
    origin: str,
    entries: Sequence[Entry],
    missed: Callable[[StoreError], None] | None = None,
) -> int:
    """Stores a page's leaves and what they say: which states count, which rows are shown.

    Leaves that are stored already change nothing. Returns how many rows are shown newly. With
    `missed`, which is told then, states and rows may be missing: where the log cannot be changed
    any more, and the database is brought up to it as far as possible.

    Raises:
        RowsConflict: another leaf is stored at a place, other rows were published for a time, or
            the rows of a receipt are not those that were staged.
        RowsLeaveGap: leaves are missing before these.
        StatesMissing: nobody put a state with the root that a leaf has.
        AccountUnknown, Malformed, NumberNotExact: see `disclosed_rows` and `publish`.
    """
    published = 0
    leaves = [Leaf.parse(entry.leaf) for entry in entries]
    with transaction(connection):
        known = leaf_count(connection, origin)
        if leaves:
            put_leaves(connection, origin, leaves[0].index, [entry.leaf for entry in entries])
        for leaf, entry in zip(leaves, entries, strict=True):
            if leaf.index < known or leaf.kind not in (Kind.SYNC, Kind.RETURNS):
                continue
            try:
                with transaction(connection):
                    published += _count(connection, origin, leaf, entry.opening)
            except StoreError as error:
                if missed is None:
                    raise
                missed(error)
    return published


def _count(connection: Connection, origin: str, leaf: Leaf, opening: bytes) -> int:
    if not RecordStore(connection).log_state(origin, leaf.index, leaf.public):
        raise StatesMissing(
            "a leaf of the record's log is about a state that was never put",
            expected=leaf.public.hex(),
            remedy="the database was put back from an old copy: take the newest one",
        )
    return _show(connection, opening, leaf.index) if leaf.kind is Kind.RETURNS else 0


def _show(connection: Connection, opening: bytes, index: int) -> int:
    receipt = ReturnsReceipt.parse(opening[32:])
    text = statement(f"{StagedReturns.SELECT} WHERE account = %s AND root = %s")
    with connection.cursor(row_factory=class_row(StagedReturns)) as cursor:
        found = cursor.execute(text, [receipt.account, bytes.fromhex(receipt.root)]).fetchone()
    if found is None:
        raise RowsConflict(
            f"the rows of a returns receipt of {receipt.account} were not staged",
            expected=receipt.root,
        )
    rows = unpack(_ROWS, found.rows, limit=_LIMIT)
    account = account_of(connection, receipt.account)
    count = publish(connection, *disclosed_rows(account, opening, rows, index))
    connection.execute("DELETE FROM staged_returns WHERE account = %s", [receipt.account])
    return count
