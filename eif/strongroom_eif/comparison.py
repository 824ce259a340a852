"""Where two images part: the first section that differs, and in it the first file.

Sections are paired by name (the second ramdisk with the second ramdisk). A ramdisk is taken apart
only if it differs, and compared entry by entry in the order of the first image's archive.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom_eif.archive_diff import archive_difference
from strongroom_eif.difference import Difference, cut, parting
from strongroom_eif.errors import EifError
from strongroom_eif.image import Bytes, Image
from strongroom_eif.inflate import DEFAULT_LIMITS, Limits
from strongroom_eif.measurements import Measurements, SectionDigest, measure
from strongroom_eif.ramdisk import compression_of
from strongroom_eif.significance import of_header, of_section

__all__ = ["Comparison", "Difference", "PcrChange", "diff"]

_HEADER_FIELDS: Final = ("version", "architecture", "default_mem", "default_cpus")


@dataclass(frozen=True, slots=True)
class PcrChange:
    """A PCR that differs."""

    index: int
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two images; nothing does if `identical`.

    Attributes:
        header: Header fields that differ. Offsets, sizes and checksum follow from the rest.
        section: The first section that differs.
        file: The first difference inside that section, where it can be taken apart.
        others: Names of the further sections that differ.
        pcrs: The PCRs that differ.
        unmeasured: Why the images differ though no PCR does; empty otherwise.
    """

    header: tuple[Difference, ...]
    section: Difference | None
    file: Difference | None
    others: tuple[str, ...]
    pcrs: tuple[PcrChange, ...]
    unmeasured: str

    @property
    def identical(self) -> bool:
        """Whether the two files are the same, byte for byte."""
        return not self.header and self.section is None


def diff(first: Image, second: Image, limits: Limits = DEFAULT_LIMITS) -> Comparison:
    """Returns where two well-formed images part.

    Ramdisks that cannot be taken apart are compared as bytes.

    Raises:
        SignatureError: A signature section cannot be read, so PCR8 is unknown.
    """
    a, b = measure(first), measure(second)
    header = tuple(_header_differences(first, second))
    differing = list(_differing(a, b))
    pcrs = tuple(
        PcrChange(index, value, b.pcrs[index])
        for index, value in a.pcrs.items()
        if value != b.pcrs[index]
    )
    section = file = None
    if differing:
        section = _section_difference(differing[0], a, b)
        file = _inside(differing[0], first, second, limits)
    elif [s.name for s in a.sections] != [s.name for s in b.sections]:
        section = _order_difference(a, b)
    return Comparison(
        header=header,
        section=section,
        file=file,
        others=tuple(differing[1:]),
        pcrs=pcrs,
        unmeasured=_unmeasured(differing, pcrs),
    )


def _header_differences(first: Image, second: Image) -> Iterator[Difference]:
    for field in _HEADER_FIELDS:
        values = getattr(first, field), getattr(second, field)
        if values[0] != values[1]:
            mine, theirs = (getattr(value, "name", str(value)).lower() for value in values)
            yield Difference(field, "header field", mine, theirs, of_header(field))


def _differing(a: Measurements, b: Measurements) -> Iterator[str]:
    """Yields the names of sections that differ or are in one image only, in the first's order."""
    mine = {section.name: section.sha384 for section in a.sections}
    theirs = {section.name: section.sha384 for section in b.sections}
    for name in [*mine, *(name for name in theirs if name not in mine)]:
        if mine.get(name) != theirs.get(name):
            yield name


def _section_difference(name: str, a: Measurements, b: Measurements) -> Difference:
    mine, theirs = _named(a, name), _named(b, name)
    what = "content"
    if mine is None or theirs is None:
        what = f"only in the {'second' if mine is None else 'first'}"
    return Difference(name, what, _digest_text(mine), _digest_text(theirs), of_section(name))


def _order_difference(a: Measurements, b: Measurements) -> Difference:
    return Difference(
        "sections",
        "order",
        ", ".join(section.name for section in a.sections),
        ", ".join(section.name for section in b.sections),
        "kernel, cmdline and ramdisks are measured in file order; others may stand anywhere",
    )


def _unmeasured(differing: list[str], pcrs: tuple[PcrChange, ...]) -> str:
    if pcrs or not differing:
        return ""
    if any(name.startswith(("kernel", "cmdline", "ramdisk")) for name in differing):
        return (
            "no PCR differs though measured sections do: bytes moved from one section to the next. "
            "PCRs do not measure where sections end, and the two images may behave differently"
        )
    return "no PCR differs: what is different is not measured"


def _named(measurements: Measurements, name: str) -> SectionDigest | None:
    return next((section for section in measurements.sections if section.name == name), None)


def _digest_text(section: SectionDigest | None) -> str:
    return (
        "absent" if section is None else f"{section.length} bytes, SHA-384 {section.sha384.hex()}"
    )


def _section_data(image: Image, wanted: str) -> Bytes | None:
    return next((section.data for name, section in image.numbered() if name == wanted), None)


# --- Inside a section ----------------------------------------------------------------------------


def _inside(name: str, first: Image, second: Image, limits: Limits) -> Difference | None:
    mine, theirs = _section_data(first, name), _section_data(second, name)
    if mine is None or theirs is None:
        return None
    if not name.startswith("ramdisk"):
        return _bytes_difference(name, mine, theirs)
    try:
        found = archive_difference(first, second, name, limits)
    except EifError as error:
        plain = _bytes_difference(name, mine, theirs)
        return Difference(
            plain.where, plain.what, plain.first, plain.second, f"not taken apart: {error}"
        )
    return found or _packing_difference(name, mine, theirs)


def _packing_difference(name: str, mine: Bytes, theirs: Bytes) -> Difference:
    """Returns a difference that is in no entry: compression, padding, inode numbers."""
    return Difference(
        name,
        "packing",
        f"{compression_of(mine)}, {len(mine)} bytes",
        f"{compression_of(theirs)}, {len(theirs)} bytes",
        "the same files, packed differently (compression, inode numbers or padding): the build "
        "is not deterministic, and the PCRs differ all the same",
    )


def _bytes_difference(name: str, mine: Bytes, theirs: Bytes) -> Difference:
    offset = parting(cut(mine), cut(theirs))
    return Difference(
        name,
        f"content, from byte {offset} on",
        _excerpt(name, mine, offset),
        _excerpt(name, theirs, offset),
        of_section(name),
    )


def _excerpt(name: str, data: Bytes, offset: int) -> str:
    piece = bytes(data[offset : offset + 32])
    if not piece:
        return "(end)"
    return ascii(piece.decode("latin-1")) if name in ("cmdline", "metadata") else piece.hex()
