"""A tape's bytes. All integers are little-endian.

    0        head (`HEAD`): magic, version, sizes, when it was started, where it was recorded from
    2048     two marks (`MARK`), 512 bytes apart, written in turn
    4096     instruments 1 to 256: entries of 96 bytes, a length (0: none) and UTF-8
    28672    ticks of 64 bytes, to the end of the file

A tick lies within one sector of the disk and one page of memory, so it is there or it is not: no
crash leaves half of one. A mark says how many ticks were on the disk at one moment, and their
CRC-32. Whatever comes after it was never promised, and counts as far as it is whole: each tick
with a higher sequence than the one before. Zeros, which a power cut can leave behind, are none.
"""

import zlib
from dataclasses import dataclass
from struct import Struct
from typing import Final

from strongroom_host.tape.errors import TapeInvalid

__all__ = [
    "FIRST_TICK",
    "HEAD",
    "INSTRUMENTS",
    "INSTRUMENTS_AT",
    "INSTRUMENT_SIZE",
    "MAGIC",
    "MARKS_AT",
    "VERSION",
    "Head",
    "Mark",
    "instrument_entry",
    "read_instruments",
]

MAGIC: Final = b"SR-TAPE\0"
VERSION: Final = 1
HEAD: Final = Struct("<8sIIQQB255s")
"""Magic, version, offset of the first tick, start (wall clock, ns since the epoch), the same moment
on CLOCK_MONOTONIC, length of the source's name and the name."""
MARKS_AT: Final = (2048, 2560)
MARK: Final = Struct("<QQII")
"""Count of marks so far, ticks, CRC-32 of those ticks, CRC-32 of the 20 bytes before."""
INSTRUMENTS_AT: Final = 4096
INSTRUMENTS: Final = 256
INSTRUMENT_SIZE: Final = 96
FIRST_TICK: Final = INSTRUMENTS_AT + INSTRUMENTS * INSTRUMENT_SIZE


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
        return HEAD.pack(MAGIC, VERSION, FIRST_TICK, *clocks, len(name), name)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> "Head":
        """Returns the head.

        Raises:
            TapeInvalid: it is no tape's, or of another version.
        """
        if len(data) < HEAD.size or bytes(data[:8]) != MAGIC:
            raise TapeInvalid("this is no tape", expected="a file of `strongroom tape record`")
        _, version, first, started, monotonic, length, name = HEAD.unpack_from(data)
        if (version, first) != (VERSION, FIRST_TICK):
            raise TapeInvalid(
                "the tape is of another version",
                expected=f"version {VERSION}, ticks from byte {FIRST_TICK}",
                actual=f"version {version}, ticks from byte {first}",
                remedy="read it with the version of strongroom that recorded it",
            )
        return cls(started, monotonic, name[:length].decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Mark:
    """What was on the disk at one moment: the `count`-th statement, `ticks`, and their CRC-32."""

    count: int
    ticks: int
    crc: int

    def serialise(self) -> bytes:
        """Returns the 24 bytes."""
        body = MARK.pack(self.count, self.ticks, self.crc, 0)[:-4]
        return body + zlib.crc32(body).to_bytes(4, "little")

    @classmethod
    def newest(cls, data: bytes | memoryview) -> "Mark":
        """Returns the newest mark that is whole: of two, at most one was being written."""
        found = [cls(0, 0, 0)]
        for at in MARKS_AT:
            count, ticks, crc, own = MARK.unpack_from(data, at)
            if count and own == zlib.crc32(data[at : at + MARK.size - 4]):
                found.append(cls(count, ticks, crc))
        return max(found, key=lambda mark: mark.count)


def instrument_entry(name: str) -> bytes:
    """Returns the 96 bytes of one instrument.

    Raises:
        TapeInvalid: the name is empty or longer than 95 bytes.
    """
    data = name.encode()
    if not 0 < len(data) < INSTRUMENT_SIZE:
        raise TapeInvalid(
            "an instrument cannot have this name", expected="1 to 95 bytes", actual=repr(name)
        )
    return bytes((len(data),)) + data.ljust(INSTRUMENT_SIZE - 1, b"\0")


def read_instruments(data: bytes | memoryview) -> tuple[str, ...]:
    """Returns the names by index, "" at 0 and wherever there is none.

    Raises:
        TapeInvalid: an entry is no name.
    """
    names = [""]
    for number in range(1, INSTRUMENTS + 1):
        at = INSTRUMENTS_AT + (number - 1) * INSTRUMENT_SIZE
        length = data[at]
        if length >= INSTRUMENT_SIZE:
            raise TapeInvalid(
                "the tape's table of instruments is damaged", actual=f"entry {number}"
            )
        try:
            names.append(bytes(data[at + 1 : at + 1 + length]).decode())
        except UnicodeDecodeError as error:
            what = "the tape's table of instruments is damaged"
            raise TapeInvalid(what, actual=f"entry {number}: {error}") from error
    while len(names) > 1 and not names[-1]:
        names.pop()
    return tuple(names)
