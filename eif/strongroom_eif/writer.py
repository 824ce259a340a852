"""From an `Image` to bytes: the same image always gives the same bytes, which the reader takes."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Protocol

from strongroom_eif.format_errors import SectionCountInvalid
from strongroom_eif.header import CRC_OFFSET, MAGIC, MAX_SECTIONS, Header, SectionHeader
from strongroom_eif.image import Bytes, Image
from strongroom_eif.sections import check_version, require_sections

__all__ = ["ByteSink", "pieces", "serialise", "write"]

_CHUNK: Final = 1 << 20


class ByteSink(Protocol):
    """Where an image is written to: an open binary file, a socket's file, a hash in a wrapper."""

    def write(self, data: Bytes, /) -> object: ...


def pieces(image: Image) -> Iterator[Bytes]:
    """Yields the file in order: header, then each section's header and data, uncopied.

    Raises:
        FormatError: The sections make up no image; nothing was yielded.
    """
    check_version(image.version)
    check_fits_table(image)
    require_sections(image.sections, image.version)
    headers = [SectionHeader(s.type, 0, s.size).pack() for s in image.sections]
    header = _header(image)
    crc = zlib.crc32(header.pack()[:CRC_OFFSET])
    for own, section in zip(headers, image.sections, strict=True):
        crc = zlib.crc32(section.data, zlib.crc32(own, crc))
    yield replace(header, crc=crc).pack()
    for own, section in zip(headers, image.sections, strict=True):
        yield own
        yield section.data


def write(image: Image, sink: ByteSink) -> int:
    """Writes the file and returns its length in bytes.

    Memory: a megabyte beside the sections, which are written from where they are.

    Raises:
        FormatError: The sections make up no image; nothing was written.
    """
    for piece in pieces(image):
        view = memoryview(piece)
        for at in range(0, len(view), _CHUNK):
            sink.write(view[at : at + _CHUNK])
    return image.size


def serialise(image: Image) -> bytes:
    """Returns the whole file as bytes. `parse(serialise(image)) == image`.

    Raises:
        FormatError: The sections make up no image.
    """
    return b"".join(pieces(image))


def check_fits_table(image: Image) -> None:
    """Refuses more sections than the header's table has entries for."""
    if len(image.sections) > MAX_SECTIONS:
        raise SectionCountInvalid(
            f"{len(image.sections)} sections; an image has room for {MAX_SECTIONS}",
            expected=MAX_SECTIONS,
            actual=len(image.sections),
        )


def _header(image: Image) -> Header:
    def padded(values: tuple[int, ...]) -> tuple[int, ...]:
        return values + (0,) * (MAX_SECTIONS - len(values))

    return Header(
        magic=MAGIC,
        version=image.version,
        flags=int(image.architecture),
        default_mem=image.default_mem,
        default_cpus=image.default_cpus,
        reserved=0,
        num_sections=len(image.sections),
        offsets=padded(image.offsets()),
        sizes=padded(tuple(section.size for section in image.sections)),
        unused=0,
        crc=0,
    )
