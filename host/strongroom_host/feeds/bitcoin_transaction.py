"""A serialised Bitcoin transaction, read strictly: what a node relays, and nothing that only looks
so.

Integers little-endian. Before segwit: version i32, inputs, outputs, lock time u32. With it (BIP
144): a marker 00 and a flag 01 after the version, and one witness per input before the lock time.
The txid is the double SHA-256 of the form without marker, flag and witnesses (BIP 141), shown
reversed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from strongroom_host.feeds.errors import Reason, Refused

__all__ = ["MAX_MONEY", "MAX_SIZE", "Transaction", "read_transaction"]

MAX_MONEY: Final = 21_000_000 * 100_000_000
"""Satoshi that can ever be."""
MAX_SIZE: Final = 4_000_000
"""Bytes: a block's weight limit, which no transaction can pass."""
_LEAST_INPUT: Final = 41
_LEAST_OUTPUT: Final = 9
_NO_OUTPOINT: Final = bytes(32) + b"\xff\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a transfer is about.

    Attributes:
        txid: 32 bytes in the order in which explorers and RPC show them.
        values: Satoshi of each output.
        inputs: How many outputs it spends.
        coinbase: Whether it is a block's own, which spends nothing.
        segwit: Whether it carries witnesses.
    """

    txid: bytes
    values: tuple[int, ...]
    inputs: int
    coinbase: bool
    segwit: bool

    @property
    def largest(self) -> int:
        """Satoshi of the largest output."""
        return max(self.values)


def read_transaction(data: bytes) -> Transaction:
    """The transaction that `data` is, whole and with nothing behind it.

    Raises:
        Refused: MALFORMED, OUT_OF_RANGE for impossible amounts, OVERSIZED.
    """
    if len(data) > MAX_SIZE:
        raise Refused(Reason.OVERSIZED, "larger than any transaction", actual=len(data))
    try:
        return _read(data)
    except IndexError:
        raise Refused(Reason.MALFORMED, "a transaction is cut off") from None


def _read(data: bytes) -> Transaction:
    segwit = data[4] == 0
    start = 4
    if segwit:
        if data[5] != 1:
            raise Refused(Reason.MALFORMED, "no inputs, or an unknown flag", actual=data[5])
        start = 6
    count, at = _count(data, start, _LEAST_INPUT)
    if not count:
        raise Refused(Reason.MALFORMED, "a transaction without inputs")
    first = at
    for _ in range(count):
        size, at = _size(data, at + 36)
        at += size + 4
    coinbase = count == 1 and data[first : first + 36] == _NO_OUTPOINT
    number, at = _count(data, at, _LEAST_OUTPUT)
    if not number:
        raise Refused(Reason.MALFORMED, "a transaction without outputs")
    values = []
    for _ in range(number):
        end = at + 8
        values.append(int.from_bytes(data[at:end], "little"))
        size, at = _size(data, end)
        at += size
    if sum(values) > MAX_MONEY:
        raise Refused(Reason.OUT_OF_RANGE, "outputs of more bitcoin than there are")
    body = at
    if segwit:
        at = _past_witnesses(data, at, count)
    # Lengths that lead beyond the end come here, too: nothing was read there but short slices.
    if len(data) != at + 4:
        raise Refused(Reason.MALFORMED, "bytes behind the transaction, or too few")
    core = data[:4] + data[start:body] + data[at:] if segwit else data
    txid = hashlib.sha256(hashlib.sha256(core).digest()).digest()[::-1]
    return Transaction(txid, tuple(values), count, coinbase, segwit)


def _past_witnesses(data: bytes, at: int, inputs: int) -> int:
    stacked = 0
    for _ in range(inputs):
        items, at = _count(data, at, 1)
        stacked += items
        for _ in range(items):
            size, at = _size(data, at)
            at += size
    if not stacked:
        raise Refused(Reason.MALFORMED, "a segwit form without any witness")
    return at


def _size(data: bytes, at: int) -> tuple[int, int]:
    """A CompactSize at `at`, in its one shortest form, and where it ends."""
    first = data[at]
    if first < 0xFD:
        return first, at + 1
    width = 2 << (first - 0xFD)
    end = at + 1 + width
    value = int.from_bytes(data[at + 1 : end], "little")
    if value < (0xFD, 1 << 16, 1 << 32)[first - 0xFD]:
        raise Refused(Reason.MALFORMED, "a length is not written in its shortest form")
    return value, end


def _count(data: bytes, at: int, least: int) -> tuple[int, int]:
    """A number of elements of at least `least` bytes each, which the rest of `data` could hold."""
    count, end = _size(data, at)
    if count * least > len(data) - end:
        raise Refused(Reason.MALFORMED, "more elements than bytes", actual=count)
    return count, end
