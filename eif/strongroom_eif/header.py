"""The two headers of the format: layout only, no judgement.

EIF header: 548 bytes. Section header: 12 bytes. Every number is big-endian (specification of
2024-06-21, sections "EifHeader" and "EifSectionHeader").
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = [
    "ARCHITECTURE_BIT",
    "CRC_OFFSET",
    "HEADER_BYTES",
    "MAGIC",
    "MAX_SECTIONS",
    "MIN_SECTIONS",
    "SECTION_HEADER_BYTES",
    "Architecture",
    "Header",
    "SectionHeader",
    "SectionType",
]

MAGIC: Final = b".eif"
MIN_SECTIONS: Final = 2
MAX_SECTIONS: Final = 32
ARCHITECTURE_BIT: Final = 1

_HEADER: Final = struct.Struct(">4sHHQQHH32Q32QII")
_SECTION_HEADER: Final = struct.Struct(">HHQ")

HEADER_BYTES: Final = _HEADER.size  # 548
SECTION_HEADER_BYTES: Final = _SECTION_HEADER.size  # 12
CRC_OFFSET: Final = HEADER_BYTES - 4  # 0x220


class Architecture(IntEnum):
    """Bit 0 of the header's flags."""

    X86_64 = 0
    AARCH64 = 1


class SectionType(IntEnum):
    """What a section holds. 0 is invalid, 6 and above are not defined."""

    KERNEL = 1
    CMDLINE = 2
    RAMDISK = 3
    SIGNATURE = 4
    METADATA = 5


@dataclass(frozen=True, slots=True)
class Header:
    """The 548 bytes at the start of a file, as they stand there.

    Attributes:
        magic: 4 bytes, `.eif`.
        version: u16; 4 is current.
        flags: u16; bit 0 is the architecture, the rest reserved.
        default_mem: u64, bytes; ignored at boot.
        default_cpus: u64; ignored at boot.
        reserved: u16 at 0x018.
        num_sections: u16, 2..32.
        offsets: 32 u64: file offset of each section's header.
        sizes: 32 u64: bytes of each section's data, its header not counted.
        unused: u32 at 0x21C.
        crc: u32: CRC-32 of the whole file without these four bytes.
    """

    magic: bytes
    version: int
    flags: int
    default_mem: int
    default_cpus: int
    reserved: int
    num_sections: int
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    unused: int
    crc: int

    @classmethod
    def unpack(cls, data: memoryview) -> "Header":
        """Returns the header that `data`, at least 548 bytes, begins with."""
        magic, version, flags, mem, cpus, reserved, count, *table = _HEADER.unpack_from(data)
        *entries, unused, crc = table
        return cls(
            magic=magic,
            version=version,
            flags=flags,
            default_mem=mem,
            default_cpus=cpus,
            reserved=reserved,
            num_sections=count,
            offsets=tuple(entries[:MAX_SECTIONS]),
            sizes=tuple(entries[MAX_SECTIONS:]),
            unused=unused,
            crc=crc,
        )

    def pack(self) -> bytes:
        """Returns the 548 bytes."""
        return _HEADER.pack(
            self.magic,
            self.version,
            self.flags,
            self.default_mem,
            self.default_cpus,
            self.reserved,
            self.num_sections,
            *self.offsets,
            *self.sizes,
            self.unused,
            self.crc,
        )


@dataclass(frozen=True, slots=True)
class SectionHeader:
    """The 12 bytes before each section's data.

    Attributes:
        type: u16, a `SectionType`.
        flags: u16, reserved.
        size: u64: bytes of data that follow.
    """

    type: int
    flags: int
    size: int

    @classmethod
    def unpack(cls, data: memoryview, offset: int) -> "SectionHeader":
        """Returns the section header at `offset` of `data`."""
        return cls(*_SECTION_HEADER.unpack_from(data, offset))

    def pack(self) -> bytes:
        """Returns the 12 bytes."""
        return _SECTION_HEADER.pack(self.type, self.flags, self.size)
