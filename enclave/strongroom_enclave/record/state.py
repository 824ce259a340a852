"""What the record remembers of its accounts, and the log that says which memory is the newest.

The host keeps the states. Each SYNC and RETURNS leaf has the root over all of them, and the owners'
start permit has the root in the newest one: so an old state, a dropped account or another boot's
history is found before anything is opened.
"""

from collections.abc import Callable, Mapping
from threading import Lock

from msgspec import DecodeError, Struct, msgpack
from msgspec.structs import replace
from strongroom_wire import bundle, encoding, pages, record, statements
from strongroom_wire.errors import Code, Malformed, Refused
from strongroom_wire.leaves import Kind

from strongroom_enclave.datakeys import DataKey, Keys, opened
from strongroom_enclave.log.ledger import Ledger
from strongroom_enclave.record.connectors.rules import Cursor
from strongroom_enclave.record.errors import AccountForked, StatesOld
from strongroom_enclave.record.events import Event, Market
from strongroom_enclave.record.returns import Doubt
from strongroom_enclave.record.rows import FLOWS, TRADES
from strongroom_enclave.record.store import Store

_STATE = b"strongroom/record/state/v3"
_ROOT = b"strongroom/record/root/v2"


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
        return key.seal(_place(self.sync.account), msgpack.encode(self))

    @classmethod
    def open(cls, keys: Keys, account: str, sealed: bytes) -> "AccountState":
        """Returns the state of an account.

        Raises:
            SealForged, KeyUnknown: it is not what was sealed for this account.
            Malformed: it is, in a layout that is not this image's.
        """
        try:
            return msgpack.decode(opened(keys, _place(account), sealed), type=cls)
        except DecodeError as error:
            raise Malformed("state", "this image's layout", "another") from error


def root_of(states: Mapping[str, bytes]) -> bytes:
    """Returns what a leaf says of all sealed states: 32 bytes, zero where there are none."""
    fields = [field for name in sorted(states) for field in (name.encode(), states[name])]
    return encoding.digest(_ROOT, *fields) if fields else bytes(32)


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
                    raise StatesOld("states", self._awaited.hex(), root.hex())
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
                raise AccountForked("state", "the newest", "another")
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


def _place(account: str) -> bytes:
    return encoding.pack(_STATE, account.encode())
