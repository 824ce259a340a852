"""The store port: what the host keeps for the record, over one connection through egress.

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
"""

from collections.abc import Iterator
from contextlib import suppress
from io import BufferedRWPair

from strongroom_wire.encoding import pack, u32, u64, uint, unpack_fields
from strongroom_wire.errors import WireError

from strongroom_enclave.record.errors import StoreBroken, StoreRefused

_ASK = b"strongroom/store/ask/v2"
_TOLD = b"strongroom/store/told/v2"
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
            raise StoreBroken("store", "an answer", type(error).__name__) from error
        if told[0] != b"\0":
            raise StoreRefused(verb, "done", told[0].hex())
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
