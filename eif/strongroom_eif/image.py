"""An image as a value: what the header says, and the sections in file order.

Offsets, sizes, the number of sections and the checksum are not part of it: they follow from the
sections, and the writer computes them. So an image that was read and is written again cannot
carry stale ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from strongroom_eif.errors import NotSigned
from strongroom_eif.header import (
    HEADER_BYTES,
    SECTION_HEADER_BYTES,
    Architecture,
    SectionType,
)

__all__ = ["CURRENT_VERSION", "DEFAULT_CPUS", "DEFAULT_MEM", "Bytes", "Image", "Section"]

Bytes = bytes | memoryview
"""What section data may be: a view of a mapped file costs no memory."""

CURRENT_VERSION: Final = 4
DEFAULT_MEM: Final = 1 << 30
"""Bytes; what AWS's builder writes. Nothing reads it."""
DEFAULT_CPUS: Final = 2


@dataclass(frozen=True, slots=True)
class Section:
    """One section's type and data."""

    type: SectionType
    data: Bytes

    @property
    def size(self) -> int:
        """Bytes of data, the section header not counted."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Image:
    """An enclave image.

    Attributes:
        sections: In file order, which is the order of measurement.
        architecture: Which processors it boots on.
        version: 3 or 4.
        default_mem: Bytes; ignored at boot.
        default_cpus: Ignored at boot.
    """

    sections: tuple[Section, ...]
    architecture: Architecture = Architecture.X86_64
    version: int = CURRENT_VERSION
    default_mem: int = DEFAULT_MEM
    default_cpus: int = DEFAULT_CPUS

    def of_type(self, wanted: SectionType) -> tuple[Bytes, ...]:
        """Returns the data of all sections of a type, in file order."""
        return tuple(section.data for section in self.sections if section.type == wanted)

    @property
    def kernel(self) -> Bytes:
        """The kernel; a parsed image has exactly one."""
        return self.of_type(SectionType.KERNEL)[0]

    @property
    def cmdline(self) -> bytes:
        """The command line, as stored and measured: without a NUL at its end."""
        return bytes(self.of_type(SectionType.CMDLINE)[0])

    @property
    def ramdisks(self) -> tuple[Bytes, ...]:
        """The ramdisks, in file order; a parsed image has at least one."""
        return self.of_type(SectionType.RAMDISK)

    @property
    def metadata(self) -> bytes | None:
        """The metadata section's JSON, or None before version 4."""
        found = self.of_type(SectionType.METADATA)
        return bytes(found[0]) if found else None

    @property
    def signature(self) -> bytes | None:
        """The signature section's CBOR, or None if the image is unsigned."""
        found = self.of_type(SectionType.SIGNATURE)
        return bytes(found[0]) if found else None

    def offsets(self) -> tuple[int, ...]:
        """Returns the file offset of each section's header."""
        found, at = [], HEADER_BYTES
        for section in self.sections:
            found.append(at)
            at += SECTION_HEADER_BYTES + section.size
        return tuple(found)

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return HEADER_BYTES + sum(SECTION_HEADER_BYTES + s.size for s in self.sections)

    def numbered(self) -> Iterator[tuple[str, Section]]:
        """Yields each section with its name: `kernel`, `cmdline`, `ramdisk[0]`, `ramdisk[1]`."""
        ramdisks = 0
        for section in self.sections:
            name = section.type.name.lower()
            if section.type == SectionType.RAMDISK:
                name, ramdisks = f"{name}[{ramdisks}]", ramdisks + 1
            yield name, section

    def with_signature(self, data: bytes) -> "Image":
        """Returns the image with this signature section.

        In the place of the present one, else at the end. Every other section keeps its bytes and
        its place.
        """
        signature = Section(SectionType.SIGNATURE, data)
        if self.signature is None:
            return replace(self, sections=(*self.sections, signature))
        return replace(
            self,
            sections=tuple(
                signature if section.type == SectionType.SIGNATURE else section
                for section in self.sections
            ),
        )

    def without_signature(self) -> "Image":
        """Returns the image unsigned; every other section keeps its bytes and order.

        Raises:
            NotSigned: There is no signature.
        """
        if self.signature is None:
            raise NotSigned("the image is not signed, so there is no signature to remove")
        kept = tuple(s for s in self.sections if s.type != SectionType.SIGNATURE)
        return replace(self, sections=kept)
