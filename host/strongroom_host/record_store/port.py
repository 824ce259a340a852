"""The store port: answers the record process, which reaches it through egress, from the database.

The record has no SQL and no driver; it has this protocol (`enclave/strongroom_enclave/record/
store.py`). Nothing here is trusted by it, so what is checked here is checked for an honest host's
sake: that nothing is replaced, and that what readers are shown is what the receipt is about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Final

from strongroom_wire.encoding import digest, pack, u64, uint, unpack, unpack_fields
from strongroom_wire.errors import Malformed, WireError

from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.connections import (
    account_of,
    add_key,
    add_user,
    connect_account,
    keys_of,
    replace_credentials,
)
from strongroom_host.record_store.disclosed import disclosed_rows
from strongroom_host.record_store.errors import (
    AccountUnknown,
    DatabaseRefused,
    DatabaseUnavailable,
    NumberNotExact,
    RowsConflict,
    RowsLeaveGap,
)
from strongroom_host.record_store.publishing import publish
from strongroom_host.record_store.rows import AccountState, ExchangeConnection
from strongroom_host.record_store.store import RecordStore, RowTable, SealedRow

__all__ = ["MAX_MESSAGE", "StorePort", "states_with_root"]

MAX_MESSAGE: Final = 64 << 20
"""Bytes of a message, either way."""
_ASK: Final = b"strongroom/store/ask/v1"
_TOLD: Final = b"strongroom/store/told/v1"
_STATE: Final = b"strongroom/record/state/v1"
_ROOT: Final = b"strongroom/record/root/v1"
_PAGE: Final = 16 << 20
_NAME: Final = 32
_KEY: Final = 16
_NONCE: Final = 12
_OUTCOMES: Final = (
    (RowsConflict, 1),
    (RowsLeaveGap, 2),
    (AccountUnknown, 3),
    (DatabaseUnavailable, 4),
    (DatabaseRefused, 5),
    (NumberNotExact, 5),
    (WireError, 6),
)
"""What the record is told; 0 is done. The first that fits."""


class StorePort:
    """The database behind one connection of the record. One thread at a time uses it."""

    def __init__(self, connection: Connection) -> None:
        """`connection` is that of the role `enclave`, in autocommit mode."""
        self._connection, self._store = connection, RecordStore(connection)
        self._verbs: dict[bytes, Callable[[list[bytes]], list[bytes]]] = {
            b"put": self._put,
            b"get": self._get,
            b"put-state": self._put_state,
            b"states": self._states,
            b"state": self._state,
            b"publish": self._publish,
            b"connect": self._connect,
            b"connection": self._connection_of,
            b"put-key": self._put_key,
            b"keys": self._keys,
        }

    def answer(self, request: bytes) -> bytes:
        """Returns the answer to a request; a failure is an answer as well."""
        try:
            verb, *fields = unpack(_ASK, request, limit=MAX_MESSAGE) or [b""]
            if verb not in self._verbs:
                raise Malformed("verb", "a known one", verb[:40])
            return pack(_TOLD, b"\0", *self._verbs[verb](fields))
        except tuple(kind for kind, _ in _OUTCOMES) as error:
            outcome = next(number for kind, number in _OUTCOMES if isinstance(error, kind))
            return pack(_TOLD, bytes([outcome]))

    def _put(self, fields: list[bytes]) -> list[bytes]:
        table, account, first, *rows = _sized(fields, None, None, 8, more=True)
        sealed = [_row(row) for row in rows]
        self._store.put(_table(table), _text(account), uint(first, 8), sealed)
        return []

    def _get(self, fields: list[bytes]) -> list[bytes]:
        table, account, first, count = _sized(fields, None, None, 8, 4)
        place = _table(table), _text(account), uint(first, 8), uint(count, 4)
        rows, room = list[bytes](), _PAGE
        for row in self._store.get(*place):
            rows.append(row.row_id + row.key_id + row.nonce + row.ciphertext)
            room -= len(rows[-1])
            if room < 0:
                break
        return rows

    def _put_state(self, fields: list[bytes]) -> list[bytes]:
        account, version, sealed = _sized(fields, None, 8, None)
        self._store.put_state(_text(account), uint(version, 8), _row(bytes(_NAME) + sealed))
        self._store.prune_states(_text(account))
        return []

    def _states(self, fields: list[bytes]) -> list[bytes]:
        [root] = _sized(fields, 32)
        chosen = states_with_root(self._store.kept_states(), root)
        return [u64(version) + account.encode() for account, version in chosen]

    def _state(self, fields: list[bytes]) -> list[bytes]:
        account, version = _sized(fields, None, 8)
        state = self._store.state(_text(account), uint(version, 8))
        if state is None:
            raise AccountUnknown("no such state is kept", actual=account)
        return [_sealed(state)]

    def _publish(self, fields: list[bytes]) -> list[bytes]:
        account, index, opening, *rows = _sized(fields, None, 8, None, more=True)
        owner = account_of(self._connection, _text(account))
        publish(self._connection, *disclosed_rows(owner, opening, rows, uint(index, 8)))
        return []

    def _connect(self, fields: list[bytes]) -> list[bytes]:
        account, user, venue, environment, kept = _sized(fields, None, None, None, None, None)
        key, nonce, content = _split(kept)
        row = ExchangeConnection(
            account=_text(account),
            user_id=_text(user),
            venue=_text(venue),
            environment=_text(environment),
            key_id=key,
            nonce=nonce,
            credentials=content,
        )
        try:
            old = account_of(self._connection, row.account)
        except AccountUnknown:
            connect_account(self._connection, row)
            return []
        same = (old.user_id, old.venue, old.environment)
        if same != (row.user_id, row.venue, row.environment):
            raise RowsConflict(f"another account is named {row.account} already")
        replace_credentials(self._connection, row.account, key, nonce, content)
        return []

    def _connection_of(self, fields: list[bytes]) -> list[bytes]:
        [account] = _sized(fields, None)
        row = account_of(self._connection, _text(account))
        return [row.user_id.encode(), row.key_id + row.nonce + row.credentials]

    def _put_key(self, fields: list[bytes]) -> list[bytes]:
        user, key, wrapped = _sized(fields, None, _KEY, None)
        add_user(self._connection, _text(user))
        add_key(self._connection, _text(user), key, wrapped)
        return []

    def _keys(self, fields: list[bytes]) -> list[bytes]:
        [user] = _sized(fields, None)
        return [key.wrapped for key in keys_of(self._connection, _text(user))]


def states_with_root(kept: Sequence[AccountState], root: bytes) -> list[tuple[str, int]]:
    """Returns account and version of the states that have this root, by account.

    Those are the newest, but for an account or two whose last state was stored and never logged:
    the record was killed in between. If there are none, the newest; the record will refuse them.
    """
    by_account: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for state in kept:
        place = pack(_STATE, state.account.encode(), u64(state.version))
        by_account[state.account].append((state.version, digest(_ROOT, place, _sealed(state))))
    chosen = {account: versions[0] for account, versions in sorted(by_account.items())}
    for departing in range(min(len(chosen), 2) + 1):
        for accounts in combinations(chosen, departing):
            for older in product(*(by_account[account][1:] + [(-1, b"")] for account in accounts)):
                tried = {**chosen, **dict(zip(accounts, older, strict=True))}
                found = [(name, *entry) for name, entry in tried.items() if entry[1]]
                if digest(_ROOT, *(entry for _, _, entry in found)) == root:
                    return [(account, version) for account, version, _ in found]
    return [(account, version) for account, (version, _) in chosen.items()]


def _sized(fields: list[bytes], *sizes: int | None, more: bool = False) -> list[bytes]:
    return unpack_fields(_ASK, pack(_ASK, *fields), *sizes, more=more, limit=MAX_MESSAGE)


def _text(field: bytes) -> str:
    try:
        return field.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("name", "ASCII", field[:40]) from error


def _table(field: bytes) -> RowTable:
    try:
        return RowTable(_text(field))
    except ValueError as error:
        raise Malformed("table", [table.value for table in RowTable], field[:40]) from error


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    """Returns the name of the key, nonce and ciphertext."""
    if len(sealed) < _KEY + _NONCE + 16:
        raise Malformed("ciphertext", f"{_KEY + _NONCE + 16} bytes or more", len(sealed))
    return sealed[:_KEY], sealed[_KEY : _KEY + _NONCE], sealed[_KEY + _NONCE :]


def _row(row: bytes) -> SealedRow:
    return SealedRow(row[:_NAME], *_split(row[_NAME:]))


def _sealed(state: AccountState) -> bytes:
    return state.key_id + state.nonce + state.ciphertext
