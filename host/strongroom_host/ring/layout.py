"""Where everything is in a ring's memory, and the numbers that may never change without `VERSION`.

One file of three regions, each on a border that every platform can map by itself:

    0        header, 4 KiB: what is fixed (`FIXED`), then words that the producer changes
    4096     instruments: 256 entries of 96 bytes, a length (0: free) and UTF-8
    65536    consumers: a shared line (doorbell), then one entry of 128 bytes each
    131072   slots of 64 bytes, a power of two of them (on huge pages: in a file of their own)

The producer writes header, instruments and slots; consumers write in their region only. All is
little-endian, and every word that changes is an aligned u64, read and written as one.
"""

import hashlib
from struct import Struct
from typing import Final

from strongroom_host.ring.errors import SizeInvalid
from strongroom_host.ring.tick import RECORD, SIZE, Tick

__all__ = [
    "AFTER",
    "BELL",
    "CLOSED",
    "CONSUMERS_OFFSET",
    "DIGEST",
    "ENTRY_SIZE",
    "ENTRY_WORDS",
    "FIXED",
    "GAP",
    "GAP_MISSED",
    "GENERATION",
    "HEADER_SIZE",
    "HUGE_PATH",
    "INSTRUMENTS",
    "INSTRUMENTS_OFFSET",
    "INSTRUMENT_SIZE",
    "IN_HAND_BITS",
    "LIVE",
    "MAGIC",
    "MAX_CONSUMERS",
    "MAX_SLOTS",
    "MISSED",
    "NAME",
    "NAME_SIZE",
    "NOT_BEGUN",
    "PID",
    "PRODUCER_PID",
    "PRODUCER_START",
    "SLOTS_OFFSET",
    "START",
    "STATE",
    "TAKEN",
    "UNFINISHED",
    "VERSION",
    "WAITING",
    "WORDS_PER_SLOT",
    "check_shape",
    "entry_word",
]

MAGIC: Final = b"SR-RING\0"
VERSION: Final = 1
HEADER_SIZE: Final = 4096
INSTRUMENTS_OFFSET: Final = 4096
INSTRUMENTS: Final = 256
INSTRUMENT_SIZE: Final = 96
CONSUMERS_OFFSET: Final = 65536
SLOTS_OFFSET: Final = 131072
WORDS_PER_SLOT: Final = SIZE // 8

FIXED: Final = Struct("<8sI32sQQ16sQ")
"""Magic, version, digest of the layout, slots, consumers, the ring's identity (random), time of its
creation (ns since the epoch). Written once."""
HUGE_PATH: Final = 512
"""Offset of a length (u8) and path: the file of the slots where they are on huge pages."""

# Words of the header, as indices of u64.
STATE: Final = 128 // 8
GENERATION: Final = 136 // 8
PRODUCER_PID: Final = 144 // 8
PRODUCER_START: Final = 152 // 8

UNFINISHED: Final = 0
LIVE: Final = 1
CLOSED: Final = 2

# Words of the consumers' region, from its beginning.
WAITING: Final = 0
"""Not 0: a consumer sleeps, or is about to. Set by consumers, cleared by the producer."""
BELL: Final = 64 // 8
"""Its lower 32 bits are a futex; counted up by the producer before it wakes the sleepers."""
ENTRY_SIZE: Final = 128
ENTRY_WORDS: Final = ENTRY_SIZE // 8
MAX_CONSUMERS: Final = (SLOTS_OFFSET - CONSUMERS_OFFSET) // ENTRY_SIZE - 1
MAX_SLOTS: Final = 1 << 24

# Words of an entry, from its beginning: a line that changes with every tick, and one that does not.
TAKEN: Final = 0
"""The last tick taken, shifted left by `IN_HAND_BITS`, and how many up to it the consumer is not
done with: 0, 1, or what a batch holds. One word, so that both are always of the same moment."""
IN_HAND_BITS: Final = 7
NOT_BEGUN: Final = (1 << IN_HAND_BITS) - 1
"""`TAKEN` of a consumer that has registered and not yet chosen where to begin."""
MISSED: Final = 1
GAP: Final = 2
"""Not 0: the last tick of a gap that is just being counted, after which `MISSED` is `GAP_MISSED`.
Whoever finds it so completes what a killed consumer had begun: no gap is counted twice or never."""
GAP_MISSED: Final = 3
PID: Final = 8
START: Final = 9
AFTER: Final = 10
"""The number of the consumer that this one may not pass, plus 1; 0 for none."""
NAME: Final = 88
"""Byte offset in the entry of a length (u8; 0: free) and the consumer's name."""
NAME_SIZE: Final = ENTRY_SIZE - NAME - 1


def entry_word(number: int) -> int:
    """Returns the index of the first word of a consumer's entry, in the consumers' region."""
    return (number + 1) * ENTRY_WORDS


def check_shape(slots: int, consumers: int) -> None:
    """Proves that a ring can have so many slots and consumers.

    Raises:
        SizeInvalid: it cannot.
    """
    if not 2 <= slots <= MAX_SLOTS or slots & (slots - 1):
        below = 1 << max(1, min(slots, MAX_SLOTS).bit_length() - 1)
        raise SizeInvalid(
            "a ring's number of slots is a power of two",
            expected=f"2 to {MAX_SLOTS}: 256, 512, 1024 and so on",
            actual=slots,
            remedy=f"the nearest are {below} and {min(MAX_SLOTS, 2 * below)}",
        )
    if not 1 <= consumers <= MAX_CONSUMERS:
        raise SizeInvalid(
            "a ring cannot have so many consumers",
            expected=f"1 to {MAX_CONSUMERS}",
            actual=consumers,
        )


def _digest() -> bytes:
    """What makes memory of one version unlike that of another, even if `VERSION` was forgotten."""
    numbers = (
        *(RECORD.format, *Tick._fields, FIXED.format, HUGE_PATH),
        *(STATE, GENERATION, PRODUCER_PID, PRODUCER_START),
        *(INSTRUMENTS_OFFSET, INSTRUMENTS, INSTRUMENT_SIZE, CONSUMERS_OFFSET, SLOTS_OFFSET),
        *(WAITING, BELL, ENTRY_SIZE, TAKEN, IN_HAND_BITS, MISSED, GAP, GAP_MISSED, PID, START),
        *(AFTER, NAME),
    )
    return hashlib.sha256("/".join(map(str, numbers)).encode()).digest()


DIGEST: Final = _digest()
