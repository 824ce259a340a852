"""Trades and flows as rows that the host keeps: encrypted, in order, chained.

A row opens only at its own number in its own table of its own account, so that a row in another's
place is found at once; the chain of digests over all of them finds the rest. The order is that of
arrival, and nothing else is made of it.

A row is its name (32 bytes) and a ciphertext. The name is the same for the same event of an account
under one key, so that the host can tell doubles, and nobody else can tell what it is the name of.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import msgpack
from strongroom_wire.encoding import digest, pack, u64
from strongroom_wire.record import Tip

from strongroom_enclave.datakeys import DataKey, Keys, opened
from strongroom_enclave.record.errors import RowsReplaced
from strongroom_enclave.record.events import Event

TRADES: Final = "trades"
FLOWS: Final = "cash_flows"
_ROW = b"strongroom/record/row/v1"
_CHAIN = b"strongroom/record/chain/v1"
_EVENT: Final = msgpack.Decoder(Event)
# From which row on which key's rows count, by its name, in order.
Counted = Sequence[tuple[int, bytes]]


class Chain:
    """The rows of one table of an account so far, by their number and one digest: what a receipt
    commits to. It grows by what is added, or by what is read back."""

    def __init__(self, account: str, venue: str, environment: str, table: str) -> None:
        # A test venue's rows are no live account's, whoever of the same user made both.
        self._place = pack(_ROW, *map(str.encode, (account, venue, environment, table)))
        self._count, self._digest = 0, bytes(32)

    @property
    def tip(self) -> Tip:
        """What a receipt says of these rows."""
        return self._count, self._digest.hex()

    def add(self, key: DataKey, event: Event) -> bytes:
        """Returns the next row, which holds this event."""
        name = key.name(self._place, msgpack.encode(event.order[1:]))
        row = name + key.seal(self._next(name), msgpack.encode(event))
        self._advance(row)
        return row

    def read(self, keys: Keys, rows: Iterable[bytes], tip: Tip, counted: Counted) -> list[Event]:
        """Returns the events in these rows, all there are, after proving that they are those that
        were added, in order, and that the receipt with this tip is of the first of them.

        Rows beyond it were added here too, by a run that did not come to its receipt; the next
        receipt counts them. A row under another key than `counted` has for its place was added by
        a run with other credentials, which may be another account's: it is no event of this one.

        Raises:
            SealForged, KeyUnknown: a row was edited, or put in another's place.
            RowsReplaced: there are fewer, or they were added in another history than the receipt's.
        """
        events, passed = [], self.tip == tip
        for row in rows:
            content = opened(keys, self._next(row[:32]), row[32:])
            if row[32:48] in [key for first, key in counted if first <= self._count][-1:]:
                events.append(_EVENT.decode(content))
            self._advance(row)
            passed = passed or self.tip == tip
        if not passed:
            raise RowsReplaced("rows", tip, self.tip)
        return events

    def _next(self, name: bytes) -> bytes:
        return pack(_ROW, self._place, u64(self._count), name)

    def _advance(self, row: bytes) -> None:
        self._count, self._digest = self._count + 1, digest(_CHAIN, self._digest, row)
