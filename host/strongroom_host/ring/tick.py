"""The tick: one normalised market event in 64 bytes, one cache line, read and written in place.

All integers are little-endian, fixed point where they are amounts; there are no floats.

| offset | type | field | meaning |
| --- | --- | --- | --- |
| 0 | u64 | `sequence` | the ring's own count: 1, 2, 3 ...; 0 while it is being written |
| 8 | u64 | `received_ns` | CLOCK_MONOTONIC when the frame arrived, in ns |
| 16 | u64 | `venue_ns` | the venue's own time, ns since the epoch; 0 if it tells none |
| 24 | i64 | `price` | in 1e-8 of the quote unit |
| 32 | i64 | `size` | in 1e-8 of the base unit; of a level its new size, where 0 removes it |
| 40 | u32 | `instrument` | index in the ring's table of instruments; 0 for none |
| 44 | u32 | `epoch` | the feed's continuity: when it changes, ticks may be missing before |
| 48 | u32 | `number` | the feed's own count mod 2^32, consecutive within an epoch |
| 52 | u8 | `kind` | `Kind` |
| 53 | u8 | `side` | `Side` |
| 54 | u8 | `feed` | the feed's id |
| 55 | u8 | `flags` | `Flag` bits |
| 56 | u64 | `detail` | by kind: trade id, first 8 bytes of a txid, tick size in 1e-8, `Status` |
"""

import struct
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from strongroom_host.ring.errors import TickInvalid

__all__ = [
    "PAYLOAD",
    "PAYLOAD_OFFSET",
    "RECORD",
    "SCALE",
    "SIZE",
    "Flag",
    "Kind",
    "Side",
    "Status",
    "Tick",
]

RECORD: Final = struct.Struct("<QQQqqIIIBBBBQ")
"""The whole record."""
PAYLOAD: Final = struct.Struct("<QQqqIIIBBBBQ")
"""The record without its sequence, which a ring writes last; at `PAYLOAD_OFFSET`."""
PAYLOAD_OFFSET: Final = 8
SIZE: Final = RECORD.size
SCALE: Final = 100_000_000
"""Units of `price` and `size` in one quote or base unit."""


class Kind(IntEnum):
    """What happened. A reader skips kinds that it does not know."""

    TRADE = 1
    LEVEL = 2  # a price level has a new size
    BEST_BID = 3
    BEST_ASK = 4
    TRANSFER = 5  # a mempool transaction; size: its largest output in 1e-8 BTC, price: 0
    STATUS = 6  # of the feed itself; detail: `Status`
    TICK_SIZE = 7  # the smallest step of the price has changed; detail: the new one in 1e-8


class Side(IntEnum):
    """Of the book, or whose initiative a trade was."""

    NONE = 0
    BUY = 1
    SELL = 2


class Flag(IntFlag):
    """More about one tick."""

    SNAPSHOT = 1  # part of a whole book, not a change
    LAST = 2  # the last tick of its message: the book is consistent after it
    DERIVED = 4  # worked out here, not said by the venue


class Status(IntEnum):
    """What became of a feed: `detail` of a STATUS tick."""

    CONNECTED = 1
    LOST = 2
    STALLED = 3
    RESUMED = 4
    MARKET_RESOLVED = 5
    BOOK_MISMATCH = 6


class Tick(NamedTuple):
    """A tick's fields as Python values; for tests, tools and people. Hot paths read in place."""

    sequence: int
    received_ns: int
    venue_ns: int
    price: int
    size: int
    instrument: int
    epoch: int
    number: int
    kind: int
    side: int
    feed: int
    flags: int
    detail: int

    @classmethod
    def read(cls, buffer: bytes | bytearray | memoryview, offset: int = 0) -> "Tick":
        """Returns the record at `offset`; kinds, sides and flags stay plain numbers.

        Raises:
            TickInvalid: fewer than 64 bytes are there.
        """
        try:
            return cls._make(RECORD.unpack_from(buffer, offset))
        except struct.error as error:
            actual = f"{max(0, len(buffer) - offset)} bytes"
            raise TickInvalid("a tick is cut off", expected="64 bytes", actual=actual) from error

    def pack_into(self, buffer: bytearray | memoryview, offset: int = 0) -> None:
        """Writes the 64 bytes at `offset` of memory that nobody reads meanwhile (not into a ring).

        Raises:
            TickInvalid: a field is beyond its type's range, or there are fewer than 64 bytes.
        """
        try:
            RECORD.pack_into(buffer, offset, *self)
        except struct.error as error:
            raise TickInvalid(f"not a tick: {error}", actual=tuple(self)) from error
