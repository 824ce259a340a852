"""What the record process has kept for it: encrypted rows in order, and its encrypted states.

The record process believes none of it: it recomputes every digest. So the checks here are for an
honest host's sake: writing again what is there already is no error, so that whoever was interrupted
just goes on, and writing something else in its place is.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import Enum
from typing import Final

from psycopg import sql
from psycopg.rows import class_row

from strongroom_host.record_store.connecting import Connection, guarded, transaction
from strongroom_host.record_store.errors import (
    AccountUnknown,
    RowsConflict,
    RowsLeaveGap,
)
from strongroom_host.record_store.rows import AccountState, CashFlow, Trade

__all__ = ["RecordStore", "RowTable", "SealedRow", "own_account"]


class RowTable(Enum):
    """The tables of encrypted rows."""

    TRADES = Trade.TABLE
    CASH_FLOWS = CashFlow.TABLE


@dataclass(frozen=True, slots=True)
class SealedRow:
    """An encrypted row: its name (32 bytes), its key's (16), nonce (12), ciphertext with tag."""

    row_id: bytes
    key_id: bytes
    nonce: bytes
    ciphertext: bytes


# Constant: with the table (an Identifier) all that is interpolated; values are bound.
_SEALED: Final = "row_id, key_id, nonce, ciphertext"

_STATES_AT: Final = """
WITH newest AS (
  SELECT max(leaf_index) AS leaf FROM logged_states JOIN account_states USING (account, version)
  WHERE origin = %(origin)s AND root = %(root)s
), chosen AS (
  SELECT DISTINCT ON (account) account, version FROM logged_states, newest
  WHERE origin = %(origin)s AND leaf_index <= leaf ORDER BY account, leaf_index DESC
)
SELECT state.* FROM account_states AS state JOIN chosen USING (account, version) ORDER BY account
"""


class RecordStore:
    """The tables, as the role `enclave`. One thread at a time uses it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, table: RowTable, account: str, first: int, rows: Sequence[SealedRow]) -> int:
        """Stores rows from the sequence number `first` on; returns how many are stored then.

        Raises:
            AccountUnknown: no such account was connected.
            RowsConflict: other bytes have one of these numbers already.
            RowsLeaveGap: `first` is beyond the end.
        """
        with transaction(self._connection) as open_:
            self._own(account)
            stored = self.count(table, account)
            if first < 0 or first > stored:
                raise RowsLeaveGap(
                    f"rows of {table.value} would leave a gap", expected=stored, actual=first
                )
            known = self.get(table, account, first, min(len(rows), stored - first))
            for sequence, (old, row) in enumerate(zip(known, rows, strict=False), first):
                if old != row:
                    raise RowsConflict(
                        f"row {sequence} of {table.value} of {account} is another one already"
                    )
            new = rows[len(known) :]
            columns = sql.SQL(f"COPY {{}} (account, sequence, {_SEALED}) FROM STDIN")
            with open_.cursor().copy(columns.format(sql.Identifier(table.value))) as copy:
                for sequence, row in enumerate(new, stored):
                    copy.write_row((account, sequence, *astuple(row)))
            return stored + len(new)

    def get(self, table: RowTable, account: str, first: int, count: int) -> list[SealedRow]:
        """Returns up to `count` rows, from the sequence number `first` on, in order."""
        if count <= 0:
            return []
        text = sql.SQL(
            f"SELECT {_SEALED} FROM {{}} WHERE account = %s AND sequence >= %s"  # noqa: S608
            " ORDER BY sequence LIMIT %s"
        ).format(sql.Identifier(table.value))
        with (
            guarded(self._connection) as open_,
            open_.cursor(row_factory=class_row(SealedRow)) as cursor,
        ):
            return cursor.execute(text, [account, first, count]).fetchall()

    def count(self, table: RowTable, account: str) -> int:
        """Returns how many rows an account has; it is the next sequence number."""
        text = sql.SQL("SELECT coalesce(max(sequence) + 1, 0) FROM {} WHERE account = %s")
        with guarded(self._connection) as open_:
            found = open_.execute(text.format(sql.Identifier(table.value)), [account]).fetchone()
        return 0 if found is None else int(found[0])

    def put_state(self, account: str, root: bytes, row: SealedRow) -> int:
        """Stores a state after the newest one (`row_id` is not kept); returns its version.

        `root` (32 bytes) is what the leaf will have from which on it counts. The newest one again
        is no error.

        Raises:
            AccountUnknown: no such account was connected.
        """
        with transaction(self._connection) as open_:
            self._own(account)
            newest = self._newest(account)
            if newest is not None:
                known = (newest.root, newest.key_id, newest.nonce, newest.ciphertext)
                if known == (root, *astuple(row)[1:]):
                    return newest.version
            version = 0 if newest is None else newest.version + 1
            values = (account, version, root, row.key_id, row.nonce, row.ciphertext)
            open_.execute(
                "INSERT INTO account_states (account, version, root, key_id, nonce, ciphertext)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                values,
            )
            return version

    def log_state(self, origin: str, index: int, root: bytes) -> bool:
        """Notes that the newest state with this root counts from this leaf of the log on.

        Returns whether there is one: not in a database that was put back from an old copy.
        """
        with guarded(self._connection) as open_:
            return bool(
                open_.execute(
                    "INSERT INTO logged_states (origin, leaf_index, account, version)"
                    " SELECT %s, %s, account, version FROM account_states WHERE root = %s"
                    " ORDER BY created_at DESC, version DESC LIMIT 1",
                    [origin, index, root],
                ).rowcount
            )

    def states_at(self, origin: str, root: bytes) -> list[AccountState]:
        """Returns the states that counted when a leaf with this root was the log's newest, one of
        each account of this log; none if no such leaf is known."""
        with (
            guarded(self._connection) as open_,
            open_.cursor(row_factory=class_row(AccountState)) as cursor,
        ):
            return cursor.execute(_STATES_AT, {"origin": origin, "root": root}).fetchall()

    def prune_states(self, account: str) -> int:
        """Removes states that 16 newer ones have followed, and one that counts; returns how many.

        Where none counts yet, none is removed.
        """
        with transaction(self._connection) as open_:
            return open_.execute(
                "DELETE FROM account_states WHERE account = %(account)s AND version <="
                " (SELECT max(version) - 16 FROM account_states WHERE account = %(account)s)"
                " AND version < (SELECT max(version) FROM logged_states WHERE account ="
                " %(account)s)",
                {"account": account},
            ).rowcount

    def _newest(self, account: str) -> AccountState | None:
        with self._connection.cursor(row_factory=class_row(AccountState)) as cursor:
            return cursor.execute(
                "SELECT * FROM account_states WHERE account = %s ORDER BY version DESC LIMIT 1",
                [account],
            ).fetchone()

    def _own(self, account: str) -> None:
        own_account(self._connection, account)


def own_account(connection: Connection, account: str) -> None:
    """Makes other writers to this account wait until the transaction ends.

    Raises:
        AccountUnknown: no such account was connected.
    """
    found = connection.execute(
        "SELECT 1 FROM exchange_connections WHERE account = %s FOR NO KEY UPDATE", [account]
    ).fetchone()
    if found is None:
        raise AccountUnknown(f"no account {account} was ever connected", remedy="connect it first")
