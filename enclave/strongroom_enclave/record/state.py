"""What the record remembers of its accounts, and the one digest of it all that leaves carry.

The host keeps the states. Which are the newest, the log says: each SYNC and RETURNS leaf has the
root over all of them, and the log's head is in the start permit. So an old state, a dropped account
or another boot's history is found before anything is opened.
"""

from collections.abc import Callable, Iterable

from msgspec import DecodeError, Struct, msgpack
from strongroom_wire.bundle import LogHead
from strongroom_wire.encoding import digest, pack, u64
from strongroom_wire.errors import Malformed
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.record import ReturnsReceipt, SyncReceipt

from strongroom_enclave.record.errors import AccountForked, HistoryForked, StatesOld
from strongroom_enclave.record.vault import DataKey, Keys, opened

__all__ = ["AccountState", "Book", "SealedState", "resumed"]

_STATE = b"strongroom/record/state/v1"
_ROOT = b"strongroom/record/root/v1"
_ENCODER = msgpack.Encoder(order="deterministic")


class AccountState(Struct, frozen=True, forbid_unknown_fields=True):
    """Where an account stands. The receipts are the newest of their chains; `credentials` is the
    SHA-256 of the stored ones. By stream: `cursors` are (next, last ms, last key) of a connector's
    `Cursor`, `coverage` the spans in ms, first and last, that are complete."""

    sync: SyncReceipt
    returns: ReturnsReceipt | None
    credentials: bytes
    cursors: dict[str, tuple[int, int, str]]
    coverage: dict[str, tuple[tuple[int, int], ...]]
    symbols: tuple[str, ...]


class SealedState(Struct, frozen=True):
    """A state as the host keeps it. `version` grows; it opens for no other account or version."""

    account: str
    version: int
    sealed: bytes

    @classmethod
    def seal(cls, key: DataKey, version: int, state: AccountState) -> "SealedState":
        """Returns the state under the account's newest data key."""
        account = state.sync.account
        return cls(account, version, key.seal(_place(account, version), _ENCODER.encode(state)))

    def open(self, keys: Keys) -> AccountState:
        """Returns the state.

        Raises:
            SealForged, KeyUnknown: it is not what was sealed as this.
            Malformed: it is, in a layout that is not this image's.
        """
        content = opened(keys, _place(self.account, self.version), self.sealed)
        try:
            return msgpack.decode(content, type=AccountState)
        except DecodeError as error:
            raise Malformed("state", "this image's layout", "another") from error

    @property
    def digest(self) -> bytes:
        """What the root has of it, 32 bytes."""
        return digest(_ROOT, _place(self.account, self.version), self.sealed)


class Book:
    """Every account that was ever connected, and the digest of its `newest` state."""

    def __init__(self, states: Iterable[SealedState] = ()) -> None:
        self.newest = dict[str, bytes]()
        for state in states:
            self.advance(None, state)

    @property
    def root(self) -> bytes:
        """What a leaf says of all of them, 32 bytes."""
        return digest(_ROOT, *(entry for _, entry in sorted(self.newest.items())))

    def advance(self, before: SealedState | None, after: SealedState) -> None:
        """Puts a state in the place of the one that it was made from, None for a new account.

        Raises:
            AccountForked: the newest is another one, or does not come before.
        """
        known, least = (before.digest, before.version + 1) if before else (None, 0)
        if self.newest.get(after.account) != known or after.version < least:
            raise AccountForked(f"state of {after.account}", "the newest", "another")
        self.newest[after.account] = after.digest


def resumed(
    head: LogHead,
    tree: Frontier,
    leaves: Iterable[bytes],
    states: Callable[[bytes], Iterable[SealedState]],
) -> Book:
    """Returns the book of all accounts after proving that it is what the log ends with.

    `head` is in the start permit. The rest is the host's word: `tree`, an earlier frontier of the
    log (which becomes that of the head); all `leaves` since, from the newest with a root on at
    least; and the `states` that have this root. Only the true ones lead to the head, and to it.

    Raises:
        HistoryForked: the leaves do not.
        StatesOld: the states do not, or no root is among the leaves.
        AccountForked: an account comes twice.
    """
    root = b"" if tree.size else Book().root
    for data in leaves:
        leaf = Leaf.parse(data)
        tree.append(leaf_hash(data))
        root = leaf.public if leaf.kind in (Kind.SYNC, Kind.RETURNS) else root
    if tree.head != head:
        raise HistoryForked("log", head, tree.head)
    book = Book(states(root))
    if book.root != root:
        raise StatesOld("states", root.hex() or "with their leaf", book.root.hex())
    return book


def _place(account: str, version: int) -> bytes:
    return pack(_STATE, account.encode(), u64(version))
