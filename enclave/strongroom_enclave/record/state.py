"""What the host keeps for the record, over one connection through egress: rows, states, the log.

Each message is a u32 length and, packed, a request with its verb and fields, or an answer with its
outcome (one byte, 0 is done) and fields; names are ASCII, numbers u64. No answer is believed: rows,
states and keys prove themselves where they are opened, or the account is not touched.

| verb | fields | answer |
| --- | --- | --- |
| connect | account, user, venue, environment | |
| put-key, keys | user, key's name, wrapped; user | ; every wrapped key of the user |
| put, get | table, account, number of the first, and rows; or no rows | ; rows from there on |
| put-state | account, root that it is part of, sealed | |
| states | root | account and sealed, in turn: of the states that have it |
| publish | account, root of the rows, rows | |
| log | page of the log | |
| job | accounts that may be asked for | account and FULL or INCREMENTAL, or nothing |
| ended | account, code, reason of the venue | |

What is published shows when a leaf comes whose receipt has the root of the rows, never before.

Trades and flows are rows: encrypted, in order, chained. A row opens only at its own number in its
own table of its own account, so that a row in another's place is found at once; the chain of
digests over all of them finds the rest. The order is that of arrival, and nothing else is made of
it. A row is its name (32 bytes) and a ciphertext. The name is the same for the same event of an
account under one key, so that the host can tell doubles, and nobody else what it is the name of.

Each SYNC and RETURNS leaf has the root over all states, and the owners' start permit has the root
in the newest one: so an old state, a dropped account or another boot's history is found before
anything is opened.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BufferedRWPair
from threading import Lock
from typing import Final

from msgspec import DecodeError, Struct, msgpack
from msgspec.structs import replace
from strongroom_wire import bundle, pages, record, statements
from strongroom_wire.encoding import digest, pack, u32, u64, uint, unpack_fields
from strongroom_wire.errors import Code, Malformed, Refused, WireError
from strongroom_wire.leaves import Kind

from strongroom_enclave.datakeys import DataKey, Keys, opened
from strongroom_enclave.log.ledger import Ledger
from strongroom_enclave.record import errors
from strongroom_enclave.record.connectors.rules import Cursor
from strongroom_enclave.record.events import Event, Market
from strongroom_enclave.record.returns import Doubt

_ASK = b"strongroom/store/ask/v2"
_TOLD = b"strongroom/store/told/v2"
_LONGEST = 64 << 20
_ROWS = 1000
TRADES: Final = "trades"
FLOWS: Final = "cash_flows"
_ROW = b"strongroom/record/row/v1"
_CHAIN = b"strongroom/record/chain/v1"
_EVENT: Final = msgpack.Decoder(Event)
# From which row on which key's rows count, by its name, in order.
Counted = Sequence[tuple[int, bytes]]
_STATE = b"strongroom/record/state/v3"
_ROOT = b"strongroom/record/root/v2"


class Store:
    """The host's database, as the record sees it. One thread at a time uses it.

    Raises:
        StoreBroken: from each call, when the host is gone or breaks the protocol; what was asked
            for may have been done. Every call can be repeated, over another connection.
        StoreRefused: from each call, when the host says no.
    """

    def __init__(self, stream: BufferedRWPair) -> None:
        """`stream` is that of a socket, buffered, with a time-out."""
        self._stream = stream

    def close(self) -> None:
        """Ends the connection, whatever is left to be said over it."""
        with suppress(OSError):
            self._stream.close()

    def ask(self, verb: str, *fields: str | bytes) -> list[bytes]:
        """Returns what the host answers to a request."""
        said = (field.encode() if isinstance(field, str) else field for field in (verb, *fields))
        request = pack(_ASK, *said)
        try:
            self._stream.write(u32(len(request)) + request)
            self._stream.flush()
            size = min(uint(self._stream.read(4), 4), _LONGEST)
            told = unpack_fields(_TOLD, self._stream.read(size), 1, more=True, limit=size)
        except (OSError, ValueError, WireError) as error:
            raise errors.StoreBroken("store", "an answer", type(error).__name__) from error
        if told[0] != b"\0":
            raise errors.StoreRefused(verb, "done", told[0].hex())
        return told[1:]

    def put(self, table: str, account: str, first: int, rows: list[bytes]) -> None:
        """Has rows kept from this number on; those that are there already have to be the same."""
        for at in range(0, len(rows), _ROWS):
            self.ask("put", table, account, u64(first + at), *rows[at : at + _ROWS])

    def rows(self, table: str, account: str) -> Iterator[bytes]:
        """Yields all rows that the host says it has, in order."""
        count = 0
        while found := self.ask("get", table, account, u64(count)):
            yield from found
            count += len(found)


class Chain:
    """The rows of one table of an account so far, by their number and one digest: what a receipt
    commits to, as `tip`. It grows by what is added, or by what is read back."""

    def __init__(self, account: str, venue: str, environment: str, table: str) -> None:
        # A test venue's rows are no live account's, whoever of the same user made both.
        self._place = pack(_ROW, *map(str.encode, (account, venue, environment, table)))
        self.tip: record.Tip = 0, record.UNCHAINED

    def add(self, key: DataKey, event: Event) -> bytes:
        """Returns the next row, which holds this event."""
        name = key.name(self._place, msgpack.encode(event.order[1:]))
        row = name + key.seal(self._next(name), msgpack.encode(event))
        self._advance(row)
        return row

    def read(self, keys: Keys, rows: Iterable[bytes], tip: record.Tip, own: Counted) -> list[Event]:
        """Returns the events in these rows, all there are, after proving that they are those that
        were added, in order, and that the receipt with this tip is of the first of them.

        Rows beyond it were added here too, by a run that did not come to its receipt; the next
        receipt counts them. A row under another key than `own` has for its place was added by
        a run with other credentials, which may be another account's: it is no event of this one.

        Raises:
            SealForged, KeyUnknown: a row was edited, or put in another's place.
            RowsReplaced: there are fewer, or they were added in another history than the receipt's.
        """
        events, passed = [], self.tip == tip
        for row in rows:
            content = opened(keys, self._next(row[:32]), row[32:])
            if row[32:48] in [key for first, key in own if first <= self.tip[0]][-1:]:
                events.append(_EVENT.decode(content))
            self._advance(row)
            passed = passed or self.tip == tip
        if not passed:
            raise errors.RowsReplaced("rows", tip, self.tip)
        return events

    def _next(self, name: bytes) -> bytes:
        return pack(_ROW, self._place, u64(self.tip[0]), name)

    def _advance(self, row: bytes) -> None:
        self.tip = self.tip[0] + 1, digest(_CHAIN, bytes.fromhex(self.tip[1]), row).hex()


class AccountState(Struct, forbid_unknown_fields=True):
    """Where an account stands. The receipts are the newest of their chains. `cursors` say by stream
    how far it was read; `markets` are those that were ever traded in, listed or not. `openings` are
    events that no venue told: they explain what it held and its history does not. `holder` is whose
    account it is, in the venue's own words; `counted` says by table which rows are its own."""

    credentials: record.Credentials
    sync: record.SyncReceipt
    returns: record.ReturnsReceipt | None = None
    cursors: dict[str, Cursor] = {}
    markets: dict[str, Market] = {}
    openings: list[Event] = []
    doubts: list[Doubt] = []
    holder: str = ""
    counted: dict[str, list[tuple[int, bytes]]] = {}

    def connected(self, credentials: record.Credentials, key: DataKey) -> "AccountState":
        """Returns the state that follows with these credentials: what they tell counts under `key`,
        and from here on nothing else does.

        Until something was balanced it begins anew: nothing proves that what was told so far is of
        the account that these credentials open.
        """
        state, sync = self, self.sync
        if not sync.balanced_ms:
            state = AccountState(credentials, replace(sync, since_ms=0, until_ms=0))
        for table, (count, _) in ((TRADES, sync.trades), (FLOWS, sync.flows)):
            state.counted.setdefault(table, []).append((count, key.id))
        state.credentials = credentials
        return state

    def seal(self, key: DataKey) -> bytes:
        """Returns the state as the host keeps it."""
        return key.seal(pack(_STATE, self.sync.account.encode()), msgpack.encode(self))

    @classmethod
    def open(cls, keys: Keys, account: str, sealed: bytes) -> "AccountState":
        """Returns the state of an account.

        Raises:
            SealForged, KeyUnknown: it is not what was sealed for this account.
            Malformed: it is, in a layout that is not this image's.
        """
        try:
            return msgpack.decode(opened(keys, pack(_STATE, account.encode()), sealed), type=cls)
        except DecodeError as error:
            raise Malformed("state", "this image's layout", "another") from error


def root_of(states: Mapping[str, bytes]) -> bytes:
    """Returns what a leaf says of all sealed states: 32 bytes, zero where there are none."""
    fields = [field for name in sorted(states) for field in (name.encode(), states[name])]
    return digest(_ROOT, *fields) if fields else bytes(32)


class Book:
    """The newest sealed state of every account that was ever connected, and the log of them.

    Whoever has `lock` may append to the log. `head` is how far the host has it: leaves that die
    with this process before are nobody's history, so nothing signed says anything of them.
    """

    def __init__(self, ledger: Ledger, now_ms: Callable[[], int]) -> None:
        """`ledger` is closed until there is a permit; `now_ms` is ms since the epoch."""
        self.lock, self.states, self.head = Lock(), dict[str, bytes](), ledger.head
        self._ledger, self._now, self._not_after = ledger, now_ms, 0
        self._pushed, self._awaited = 0, bytes(32)

    def permit(self, permit: statements.Permit) -> None:
        """Takes a permit that is in the log. The first says which history and states go on."""
        if not self._not_after:
            self.head, self._awaited = permit.continues(bundle.Role.RECORD).head, permit.record_root
            self._pushed = self.head.size
        self._not_after = permit.not_after

    def resume(self, store: Store) -> None:
        """Asks for the states of the permit, until there are some, and hands over the log.

        Raises:
            StatesOld: the states handed over are not those.
            Refused: PERMIT_STALE.
        """
        with self.lock:
            self._require_permit()
            if not self.states:
                found = store.ask("states", self._awaited)
                names = (str(name, "latin-1") for name in found[::2])
                states = dict(zip(names, found[1::2], strict=False))
                if (root := root_of(states)) != self._awaited:
                    raise errors.StatesOld("states", self._awaited.hex(), root.hex())
                self.states = states
            self._push(store)

    def commit(
        self, store: Store, before: bytes | None, state: AccountState, key: DataKey, kind: Kind
    ) -> pages.Entry:
        """Puts a state in the place of the one that it was made from (None: of no account yet), and
        the newest receipt of its kind in the log; returns the leaf, when the host has both.

        Whoever is killed before the host has the leaf leaves a state that is no root's, or nothing.

        Raises:
            AccountForked: the newest is another one: of another run, or of a new connection.
            Refused: PERMIT_STALE; or BUSY, the log has no room.
        """
        receipt = state.returns if kind is Kind.RETURNS and state.returns else state.sync
        name, sealed = receipt.account, state.seal(key)
        with self.lock:
            self._require_permit()
            if self.states.get(name) != before:
                raise errors.AccountForked("state", "the newest", "another")
            self._ledger.admit()
            states = {**self.states, name: sealed}
            store.ask("put-state", name, root_of(states), sealed)
            entry = self._ledger.append(kind, receipt.serialise(), root_of(states))
            self.states = states
            self._push(store)
            return entry

    def _require_permit(self) -> None:
        if (now_ms := self._now()) > self._not_after:
            raise Refused(Code.PERMIT_STALE, "permit", self._not_after, now_ms)

    def _push(self, store: Store) -> None:
        while self._pushed < self._ledger.head.size:
            page = self._ledger.page(self._pushed, opened=True)
            store.ask("log", page)
            self._pushed += len(pages.LogPage.parse(page).entries)
        self.head = self._ledger.head
