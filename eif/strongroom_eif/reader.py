"""From bytes to an `Image`, strictly: one function per rule, all of them before anything is used.

Nothing is copied and nothing is allocated by a size that the file claims: sections are views of
the input. Two readings of one file are the danger here. AWS's reader goes through the sections one
after another and ignores the header's offsets; the hypervisor and QEMU follow the offsets. So the
two must describe the same bytes, without gaps, overlaps or remainders, or the file is refused.
"""

import zlib
from typing import Final

from strongroom_eif.errors import shown
from strongroom_eif.format_errors import (
    CrcMismatch,
    FlagsInvalid,
    ImageTooLarge,
    ImageTruncated,
    MagicInvalid,
    ReservedNotZero,
    SectionCountInvalid,
    SectionFlagsInvalid,
    SectionsApart,
    SectionSizeMismatch,
    SectionsOverlap,
    SectionTypeInvalid,
    TrailingBytes,
    UnusedEntryNotZero,
)
from strongroom_eif.header import (
    ARCHITECTURE_BIT,
    CRC_OFFSET,
    HEADER_BYTES,
    MAGIC,
    MAX_SECTIONS,
    MIN_SECTIONS,
    SECTION_HEADER_BYTES,
    Architecture,
    Header,
    SectionHeader,
    SectionType,
)
from strongroom_eif.image import Bytes, Image, Section
from strongroom_eif.sections import check_version, require_sections

__all__ = ["MAX_IMAGE_BYTES", "parse"]

MAX_IMAGE_BYTES: Final = 16 << 30
"""Bounds the time spent on a file, not memory: larger images than this do not fit an enclave that
leaves its parent any room on most instances."""

_CRC_CHUNK: Final = 1 << 20
_TYPES: Final = frozenset(SectionType)


def parse(data: Bytes) -> Image:
    """Proves that `data` is a well-formed EIF and returns it; sections are views of `data`.

    Covers the container: header, section table, section headers, counts, order, checksum. What is
    inside the sections is for `verify`. `serialise(parse(data)) == data` holds for every accepted
    input.

    Raises:
        FormatError: A subclass per rule.
    """
    view = memoryview(data).cast("B")
    check_image_size(len(view))
    check_header_present(len(view))
    header = Header.unpack(view)
    check_magic(header.magic)
    check_version(header.version)
    check_flags(header.flags)
    check_reserved(header)
    check_section_count(header.num_sections)
    check_unused_entries(header)
    sections = _read_sections(view, header)
    require_sections(sections, header.version)
    check_crc(header.crc, crc_of(view))
    return Image(
        sections=sections,
        architecture=Architecture(header.flags & ARCHITECTURE_BIT),
        version=header.version,
        default_mem=header.default_mem,
        default_cpus=header.default_cpus,
    )


def crc_of(view: memoryview) -> int:
    """Returns the CRC-32 (ISO-HDLC) of a file, the four bytes of the checksum left out."""
    crc = zlib.crc32(view[:CRC_OFFSET])
    # In pieces, so that the interpreter stays responsive to signals on an image of gigabytes.
    for at in range(HEADER_BYTES, len(view), _CRC_CHUNK):
        crc = zlib.crc32(view[at : at + _CRC_CHUNK], crc)
    return crc


def _read_sections(view: memoryview, header: Header) -> tuple[Section, ...]:
    """Returns the sections where the header says they are, which must be one after another."""
    found: list[Section] = []
    end = HEADER_BYTES
    count = header.num_sections
    table = zip(header.offsets[:count], header.sizes[:count], strict=True)
    for number, (offset, size) in enumerate(table):
        check_no_overlap(number, offset, end)
        check_no_gap(number, offset, end)
        check_section_header_present(number, offset, len(view))
        own = SectionHeader.unpack(view, offset)
        check_section_type(number, own.type)
        check_section_flags(number, own.flags)
        check_sizes_agree(number, size, own.size)
        start = offset + SECTION_HEADER_BYTES
        end = start + own.size
        check_section_present(number, end, len(view))
        found.append(Section(SectionType(own.type), view[start:end]))
    check_no_trailing_bytes(end, len(view))
    return tuple(found)


# --- The file and its header ---------------------------------------------------------------------


def check_image_size(length: int) -> None:
    """Bounds the work before any of it is done."""
    if length > MAX_IMAGE_BYTES:
        raise ImageTooLarge(
            f"{length} bytes; at most {MAX_IMAGE_BYTES} are accepted",
            expected=MAX_IMAGE_BYTES,
            actual=length,
        )


def check_header_present(length: int) -> None:
    """Refuses files shorter than their header."""
    if length < HEADER_BYTES:
        raise ImageTruncated(
            f"the file has {length} bytes, an EIF header alone {HEADER_BYTES}",
            expected=HEADER_BYTES,
            actual=length,
        )


def check_magic(magic: bytes) -> None:
    """Refuses files that do not begin with `.eif`."""
    if magic != MAGIC:
        raise MagicInvalid(
            f"the file begins with {shown(magic)}, an EIF with {MAGIC.hex()} (.eif)",
            expected=MAGIC,
            actual=magic,
        )


def check_flags(flags: int) -> None:
    """Refuses reserved bits in the header's flags."""
    if flags & ~ARCHITECTURE_BIT:
        raise FlagsInvalid(
            f"the header's flags are {flags:#06x}; bits above the first are reserved",
            expected=flags & ARCHITECTURE_BIT,
            actual=flags,
        )


def check_reserved(header: Header) -> None:
    """Refuses reserved header fields that carry something."""
    for name, value in (("0x018", header.reserved), ("0x21c", header.unused)):
        if value:
            raise ReservedNotZero(
                f"the reserved header field at {name} is {value:#x}", expected=0, actual=value
            )


def check_section_count(count: int) -> None:
    """Refuses a number of sections outside 2..32, before the table is read."""
    if not MIN_SECTIONS <= count <= MAX_SECTIONS:
        raise SectionCountInvalid(
            f"{count} sections; an image has {MIN_SECTIONS} to {MAX_SECTIONS}", actual=count
        )


def check_unused_entries(header: Header) -> None:
    """Refuses entries of the section table behind the last section."""
    for name, values in (("offset", header.offsets), ("size", header.sizes)):
        for number, value in enumerate(values[header.num_sections :], header.num_sections):
            if value:
                raise UnusedEntryNotZero(
                    f"the image has {header.num_sections} sections, yet the table gives section "
                    f"{number} the {name} {value}",
                    expected=0,
                    actual=value,
                )


def check_crc(stored: int, computed: int) -> None:
    """Refuses a file that changed after its checksum was made. No protection against intent."""
    if stored != computed:
        raise CrcMismatch(
            f"the header's checksum is {stored:#010x}, that of the file {computed:#010x}: the "
            "file was damaged or changed",
            expected=computed,
            actual=stored,
        )


# --- The section table ---------------------------------------------------------------------------


def check_no_overlap(number: int, offset: int, end: int) -> None:
    """Refuses a section that begins inside the one before it, or inside the header."""
    if offset < end:
        raise SectionsOverlap(
            f"section {number} begins at {offset}, before {end}, where what precedes it ends",
            expected=end,
            actual=offset,
        )


def check_no_gap(number: int, offset: int, end: int) -> None:
    """Refuses bytes between sections: two readers would see two different images."""
    if offset > end:
        raise SectionsApart(
            f"section {number} begins at {offset}, {offset - end} bytes after {end}, where what "
            "precedes it ends",
            expected=end,
            actual=offset,
        )


def check_section_header_present(number: int, offset: int, length: int) -> None:
    """Refuses a section header that the file does not hold in full."""
    if offset + SECTION_HEADER_BYTES > length:
        raise ImageTruncated(
            f"the file ends at {length}, inside the header of section {number} at {offset}",
            expected=offset + SECTION_HEADER_BYTES,
            actual=length,
        )


def check_section_type(number: int, kind: int) -> None:
    """Refuses type 0 and types that the format does not define."""
    if kind not in _TYPES:
        raise SectionTypeInvalid(
            f"section {number} has type {kind}; 1 to {max(SectionType)} are defined", actual=kind
        )


def check_section_flags(number: int, flags: int) -> None:
    """Refuses flags of a section: none is defined."""
    if flags:
        raise SectionFlagsInvalid(
            f"section {number} has flags {flags:#06x}; none is defined", expected=0, actual=flags
        )


def check_sizes_agree(number: int, in_table: int, own: int) -> None:
    """Refuses a section whose two sizes differ, as AWS's re-signing leaves them behind."""
    if in_table != own:
        raise SectionSizeMismatch(
            f"the file's header gives section {number} {in_table} bytes, the section's own "
            f"header {own}",
            expected=own,
            actual=in_table,
        )


def check_section_present(number: int, end: int, length: int) -> None:
    """Refuses a section that the file does not hold in full."""
    if end > length:
        raise ImageTruncated(
            f"section {number} would end at {end}, the file ends at {length}",
            expected=end,
            actual=length,
        )


def check_no_trailing_bytes(end: int, length: int) -> None:
    """Refuses bytes after the last section."""
    if length > end:
        raise TrailingBytes(
            f"{length - end} bytes follow the last section, which ends at {end}",
            expected=end,
            actual=length,
        )
