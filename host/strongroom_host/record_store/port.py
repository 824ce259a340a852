"""The store port: answers the record process, which reaches it through egress, from the database.

The record has no SQL and no driver; it has this protocol (`enclave/strongroom_enclave/record/
store.py`). Nothing here is trusted by it, so what is checked here is checked for an honest host's
sake: that nothing is replaced, and that what readers are shown is what the receipt is about.
"""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from itertools import combinations, product
from typing import IO, Final

from strongroom_wire.encoding import digest, pack, u64, uint, unpack, unpack_fields
from strongroom_wire.errors import Malformed, WireError
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.record import PublishedHour, ReturnsReceipt

from strongroom_host.record_store.connecting import Connection, connect
from strongroom_host.record_store.connections import (
    account_of,
    add_key,
    add_user,
    connect_account,
    keys_of,
    replace_credentials,
)
from strongroom_host.record_store.errors import (
    AccountUnknown,
    DatabaseRefused,
    DatabaseUnavailable,
    NumberNotExact,
    RowsConflict,
    RowsLeaveGap,
)
from strongroom_host.record_store.publishing import publish
from strongroom_host.record_store.rows import (
    AccountState,
    BalanceSnapshot,
    ExchangeConnection,
    HourlyReturn,
)
from strongroom_host.record_store.store import RecordStore, RowTable, SealedRow

__all__ = ["MAX_MESSAGE", "StorePort", "serve_stream", "serving"]

MAX_MESSAGE: Final = 64 << 20
"""Bytes of a message, either way."""
_ASK: Final = b"strongroom/store/ask/v1"
_TOLD: Final = b"strongroom/store/told/v1"
_STATE: Final = b"strongroom/record/state/v1"
_ROOT: Final = b"strongroom/record/root/v1"
_PAGE: Final = 16 << 20
_HOUR_MS: Final = 3_600_000
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
        wanted = _text(account), uint(version, 8)
        for state in self._store.kept_states():
            if (state.account, state.version) == wanted:
                return [_sealed(state)]
        raise AccountUnknown("no such state is kept", actual=wanted)

    def _publish(self, fields: list[bytes]) -> list[bytes]:
        account, index, opening, *rows = _sized(fields, None, 8, None, more=True)
        receipt = ReturnsReceipt.parse(opening[32:])
        tree = Frontier()
        for row in rows:
            tree.append(leaf_hash(row))
        found = receipt.account, receipt.count, receipt.root
        if found != (_text(account), len(rows), tree.head.root.hex()):
            raise Malformed("published rows", found, (_text(account), len(rows)))
        user = account_of(self._connection, receipt.account).user_id
        numbered = enumerate(map(PublishedHour.parse, rows))
        hours = [
            _hour(receipt, user, hour, rows[at], opening, at, uint(index, 8))
            for at, hour in numbered
        ]
        publish(self._connection, hours, [_balance(hour) for hour in hours if hour.closing])
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


def serve_stream(stream: IO[bytes], port: StorePort) -> None:
    """Answers one connection's requests until it ends or breaks the protocol."""
    while len(head := stream.read(4)) == 4 and (size := uint(head, 4)) <= MAX_MESSAGE:
        request = stream.read(size)
        if len(request) < size:
            return
        answer = port.answer(request)
        stream.write(len(answer).to_bytes(4) + answer)
        stream.flush()


@contextmanager
def serving(dsn: str, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[tuple[str, int]]:
    """Serves the port until the block ends, a thread and a database connection for each of the
    record's; yields where. The egress proxy maps a name to it.

    Raises:
        OSError: the address is taken.
    """
    with socket.create_server(address) as listener:
        open_: set[socket.socket] = set()
        threads = [threading.Thread(target=_accept, args=(listener, dsn, open_), daemon=True)]
        threads[0].start()
        try:
            yield listener.getsockname()[:2]
        finally:
            for sock in (listener, *open_):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            threads[0].join()


def _accept(listener: socket.socket, dsn: str, open_: set[socket.socket]) -> None:
    threads = []
    with suppress(OSError):
        while True:
            sock, _ = listener.accept()
            open_.add(sock)
            threads.append(threading.Thread(target=_serve, args=(sock, dsn), daemon=True))
            threads[-1].start()
    for thread in threads:
        thread.join()


def _serve(sock: socket.socket, dsn: str) -> None:
    with (
        suppress(OSError, DatabaseUnavailable),
        sock,
        connect(dsn, "strongroom store port") as open_,
    ):
        with sock.makefile("rwb") as stream:
            serve_stream(stream, StorePort(open_))


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


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _hour(
    receipt: ReturnsReceipt,
    user: str,
    hour: PublishedHour,
    encoded: bytes,
    opening: bytes,
    position: int,
    index: int,
) -> HourlyReturn:
    *money, trades, mark_age_ms = hour.exact or (None,) * 9
    names = ("opening", "flows", "pnl", "realised", "unrealised", "fees", "funding")
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
        **dict(zip(names, map(_number, money), strict=True)),
        trades=trades,
        mark_age_ms=mark_age_ms,
        flags=hour.flags,
        encoded=encoded,
        receipt=opening,
        position=position,
        leaf_index=index,
    )


def _balance(hour: HourlyReturn) -> BalanceSnapshot:
    if hour.closing is None:
        raise Malformed("balance", "a number", None)
    return BalanceSnapshot(
        account=hour.account,
        at_ms=hour.start_ms + hour.hours * _HOUR_MS,
        user_id=hour.user_id,
        currency=hour.currency,
        equity=hour.closing,
        leaf_index=hour.leaf_index,
    )
