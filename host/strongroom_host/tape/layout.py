"""A tape's bytes. All integers are little-endian.

    0        head (`HEAD`): magic, version, sizes, when it was started, where it was recorded from,
             and the CRC-32 of all that
    2048     two marks (`MARK`), 512 bytes apart, written in turn
    4096     instruments 1 to 256: entries of 128 bytes (`ENTRY`), zeros where there is none
    36864    ticks of 64 bytes, to the end of the file

A tick, an entry and a mark each lie within one sector of the disk and one page of memory, so they
are there or are not: no crash leaves half of one. A mark says how many ticks and instruments were
on the disk at one moment, and the CRC-32 of the ticks. Whatever comes after it was never promised,
and counts as far as it is whole: each tick with a higher sequence than the one before. Zeros, which
a power cut can leave behind, are none.

An entry has a CRC-32 of its own, its index included: instruments are named while others have ticks
already, and one that changed or went to another place would give its ticks to another instrument.
"""

import zlib
from dataclasses import dataclass
from struct import Struct
from typing import Final

from strongroom_host.tape.errors import TapeDamaged, TapeInvalid

__all__ = [
    "ENTRY",
    "FIRST_TICK",
    "HEAD",
    "INSTRUMENTS",
    "INSTRUMENTS_AT",
    "LONGEST_NAME",
    "MAGIC",
    "MARKS_AT",
    "VERSION",
    "Head",
    "Mark",
    "instrument_entry",
    "read_instruments",
]

MAGIC: Final = b"SR-TAPE\0"
VERSION: Final = 2
HEAD: Final = Struct("<8sIIQQB255sI")
"""Magic, version, offset of the first tick, start (wall clock, ns since the epoch), the same moment
on CLOCK_MONOTONIC, length of the source's name and the name, CRC-32 of the bytes before."""
MARKS_AT: Final = (2048, 2560)
MARK: Final = Struct("<QQIII")
"""Count of marks so far, ticks, CRC-32 of those ticks, instruments, CRC-32 of the 24 bytes
before."""
INSTRUMENTS_AT: Final = 4096
INSTRUMENTS: Final = 256
LONGEST_NAME: Final = 95
ENTRY: Final = Struct("<B95s24xII")
"""Length of the name, the name in UTF-8, zeros, index, CRC-32 of the 124 bytes before."""
FIRST_TICK: Final = INSTRUMENTS_AT + INSTRUMENTS * ENTRY.size
_NO_ENTRY: Final = bytes(ENTRY.size)


@dataclass(frozen=True, slots=True)
class Head:
    """When and where a tape was started.

    Attributes:
        started_ns: Wall clock, ns since the epoch.
        monotonic_ns: The same moment on the clock of `received_ns`.
        source: `ring NAME`, `simulated SEED`, and so on; at most 255 bytes.
    """

    started_ns: int
    monotonic_ns: int
    source: str

    def serialise(self) -> bytes:
        """Returns the bytes at the beginning of the file."""
        name = self.source.encode()[:255]
        clocks = (self.started_ns, self.monotonic_ns)
        return _sealed(HEAD.pack(MAGIC, VERSION, FIRST_TICK, *clocks, len(name), name, 0))

    @classmethod
    def parse(cls, data: bytes | memoryview, *, verify: bool = True) -> "Head":
        """Returns the head.

        Raises:
            TapeInvalid: it is no tape's, or of another version.
            TapeDamaged: with `verify`: it is not what was written.
        """
        if len(data) < HEAD.size or bytes(data[:8]) != MAGIC:
            raise TapeInvalid("this is no tape", expected="a file of `strongroom tape record`")
        _, version, first, started, monotonic, length, name, _ = HEAD.unpack_from(data)
        if (version, first) != (VERSION, FIRST_TICK):
            raise TapeInvalid(
                "the tape is of another version",
                expected=f"version {VERSION}, ticks from byte {FIRST_TICK}",
                actual=f"version {version}, ticks from byte {first}",
                remedy="read it with the version of strongroom that recorded it; a simulated one"
                " can be made anew",
            )
        if verify and not _holds(data[: HEAD.size]):
            raise TapeDamaged("its head has changed", actual="another CRC-32")
        return cls(started, monotonic, name[:length].decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Mark:
    """What was on the disk at one moment: the `count`-th statement, `ticks`, their CRC-32, and how
    many instruments had names."""

    count: int
    ticks: int
    crc: int
    instruments: int

    def serialise(self) -> bytes:
        """Returns the 28 bytes."""
        return _sealed(MARK.pack(self.count, self.ticks, self.crc, self.instruments, 0))

    @classmethod
    def newest(cls, data: bytes | memoryview) -> "Mark":
        """Returns the newest mark that is whole: of two, at most one was being written."""
        found = [cls(0, 0, 0, 0)]
        for at in MARKS_AT:
            count, ticks, crc, instruments, _ = MARK.unpack_from(data, at)
            if count and _holds(data[at : at + MARK.size]):
                found.append(cls(count, ticks, crc, instruments))
        return max(found, key=lambda mark: mark.count)


def instrument_entry(index: int, name: str) -> bytes:
    """Returns the 128 bytes of one instrument.

    Raises:
        TapeInvalid: the name is empty or longer than 95 bytes.
    """
    data = name.encode()
    if not 0 < len(data) <= LONGEST_NAME:
        raise TapeInvalid(
            "an instrument cannot have this name",
            expected=f"1 to {LONGEST_NAME} bytes",
            actual=repr(name),
        )
    return _sealed(ENTRY.pack(len(data), data, index, 0))


def read_instruments(
    data: bytes | memoryview, promised: int, *, verify: bool = True
) -> tuple[str, ...]:
    """Returns the names by index, "" at 0 and wherever there is none.

    Args:
        data: The file, from its beginning at least to the first tick.
        promised: How many the newest mark vouches for.
        verify: Otherwise a name that changed is given as far as it can be read.

    Raises:
        TapeDamaged: with `verify`: an entry is not what was written, or is missing.
    """
    names = [""]
    for number in range(1, INSTRUMENTS + 1):
        at = INSTRUMENTS_AT + (number - 1) * ENTRY.size
        entry = bytes(data[at : at + ENTRY.size])
        if not _whole(entry, number):
            # Of a tape that is being recorded, it may have been written at this very moment.
            entry = bytes(data[at : at + ENTRY.size])
        if verify and not _whole(entry, number):
            raise TapeDamaged("its table of instruments has changed", actual=f"entry {number}")
        length, name, _, _ = ENTRY.unpack(entry)
        names.append(name[:length].decode("utf-8", "replace"))
    found = sum(map(bool, names))
    if verify and found < promised:
        raise TapeDamaged("instruments are missing from its table", actual=f"{found} of {promised}")
    while len(names) > 1 and not names[-1]:
        names.pop()
    return tuple(names)


def _whole(entry: bytes, number: int) -> bool:
    return entry == _NO_ENTRY or (ENTRY.unpack(entry)[2] == number and _holds(entry))


def _sealed(data: bytes) -> bytes:
    """Returns the bytes with the CRC-32 of all before the last four in those."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def _holds(data: bytes | memoryview) -> bool:
    return zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
