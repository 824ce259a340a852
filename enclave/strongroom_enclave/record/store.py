"""The store port: what the host keeps for the record, over one connection through egress.

Each message is a u32 length and, packed, a request with its verb and fields, or an answer with its
outcome (one byte, 0 is done) and fields. No answer is believed: rows, states, keys and credentials
prove themselves where they are opened, or the account is not touched.
"""

from collections.abc import Iterator, Sequence
from io import BufferedRWPair

from strongroom_wire.encoding import pack, u32, u64, uint, unpack_fields
from strongroom_wire.errors import WireError

from strongroom_enclave.record.errors import StoreBroken, StoreRefused
from strongroom_enclave.record.state import SealedState
from strongroom_enclave.record.vault import DataKey

__all__ = ["Store"]

_ASK = b"strongroom/store/ask/v1"
_TOLD = b"strongroom/store/told/v1"
_LONGEST = 64 << 20
_ROWS = 1000


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

    def put(self, table: str, account: str, first: int, rows: Sequence[bytes]) -> None:
        """Has rows kept from this number on; those that are there already have to be the same."""
        for at in range(0, len(rows), _ROWS):
            some = rows[at : at + _ROWS]
            self._ask(b"put", table.encode(), account.encode(), u64(first + at), *some)

    def rows(self, table: str, account: str) -> Iterator[bytes]:
        """Yields all rows that the host says it has, in order."""
        count = 0
        while found := self._ask(b"get", table.encode(), account.encode(), u64(count), u32(_ROWS)):
            yield from found
            count += len(found)

    def put_state(self, state: SealedState) -> None:
        """Has a state kept. The leaf that has it in its root comes after."""
        self._ask(b"put-state", state.account.encode(), u64(state.version), state.sealed)

    def states(self, root: bytes) -> Iterator[SealedState]:
        """Yields the states which the host says have this root. A name that is none is no
        account's."""
        for found in self._ask(b"states", root):
            sealed = self._ask(b"state", found[8:], found[:8])
            yield SealedState(str(found[8:], "latin-1"), uint(found[:8], 8), b"".join(sealed))

    def publish(self, account: str, index: int, opening: bytes, rows: Sequence[bytes]) -> None:
        """Has disclosed rows published: those of the returns receipt in the opening of the leaf
        with this index."""
        self._ask(b"publish", account.encode(), u64(index), opening, *rows)

    def connect(self, account: str, user: str, venue: str, environment: str, kept: bytes) -> None:
        """Has an account kept, or other credentials for it."""
        names = account.encode(), user.encode(), venue.encode(), environment.encode()
        self._ask(b"connect", *names, kept)

    def connection(self, account: str) -> tuple[str, bytes]:
        """Returns the user whose account the host says it is, and the credentials kept for it."""
        user, *kept = self._ask(b"connection", account.encode()) or [b""]
        return str(user, "latin-1"), b"".join(kept)

    def put_key(self, key: DataKey, wrapped: bytes) -> None:
        """Has a user's data key kept, wrapped."""
        self._ask(b"put-key", key.user.encode(), key.id, wrapped)

    def keys(self, user: str) -> list[bytes]:
        """Returns the wrapped data keys of a user."""
        return self._ask(b"keys", user.encode())

    def _ask(self, verb: bytes, *fields: bytes) -> list[bytes]:
        request = pack(_ASK, verb, *fields)
        try:
            self._stream.write(u32(len(request)) + request)
            self._stream.flush()
            size = min(uint(self._stream.read(4), 4), _LONGEST)
            told = unpack_fields(_TOLD, self._stream.read(size), 1, more=True, limit=size)
        except (OSError, WireError) as error:
            raise StoreBroken("store", "an answer", type(error).__name__) from error
        if told[0] != b"\0":
            raise StoreRefused(verb.decode(), "done", told[0].hex())
        return told[1:]
