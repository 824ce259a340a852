"""Whether an image file is the one that a release describes, to the last byte.

The digest of the whole file would settle it. The other comparisons come first because they say
*what* differs, and whether the difference is one that attestation would show: PCR0 to PCR2 do not
cover where sections end, so an image whose boundaries moved attests like the released one.
"""

from dataclasses import dataclass
from typing import Final

from strongroom_eif import Image, Measurements, measure, parse, parse_metadata
from strongroom_eif.image import Bytes
from strongroom_eif.recipe.record import (
    ReleaseRecord,
    SectionRecord,
    compare,
    image_sha256,
    sections_of,
)

from strongroom_host.trust.release import pcr_values
from strongroom_host.trust.release_errors import (
    BoundaryMoved,
    FileDiffers,
    ImageSignatureUnlisted,
    MeasurementDiffers,
    SectionDiffers,
    VersionDiffers,
)

__all__ = ["ReleasedImage", "check_released"]

_MEASURED: Final = frozenset({"kernel", "cmdline", "ramdisk"})
_REMEDY: Final = "do not use this image; get it again, or build it from the released source"


@dataclass(frozen=True, slots=True)
class ReleasedImage:
    """What was proved of an image.

    Attributes:
        sha256: Of the file that is as released, 32 bytes.
        measurements: Of it.
        sections: How many sections have the released length and digest.
        signature_ignored: Whether a signature section was left out of the comparison.
    """

    sha256: bytes
    measurements: Measurements
    sections: int
    signature_ignored: bool


def check_released(
    data: Bytes, record: ReleaseRecord, *, ignore_signature: bool = False
) -> ReleasedImage:
    """Proves that `data` is the image of the record: version, PCRs, sections, whole file.

    Args:
        data: The image file.
        record: What the release says; it is of the unsigned image.
        ignore_signature: Accept a signature section besides, which the operator may have added.
            PCR8 is then whatever the operator made it.

    Raises:
        FormatError: It is no image.
        ImageRefused: The leaf says what differs.
    """
    image = parse(data)
    signed = image.signature is not None
    plain = image.without_signature() if signed else image
    measured = measure(plain)
    # 1. It says of itself to be the version that the record is about.
    check_version(plain, record)
    # 2. What attestation would show.
    check_pcrs(plain, measured, record)
    # 3. What it would not: boundaries first, since they change what runs.
    check_boundaries(plain, record)
    check_sections(plain, record)
    # 4. Everything else, such as fields of the header.
    check_file(plain, record)
    # 5. And the one thing that may be there besides, if the caller knows of it.
    if signed and not ignore_signature:
        raise ImageSignatureUnlisted(
            "the image carries a signature, which no release lists; all else is as released",
            remedy="if you or your operator signed it, say --ignore-signature and pin PCR8",
        )
    return ReleasedImage(
        sha256=bytes.fromhex(record.eif.sha256),
        measurements=measured,
        sections=len(plain.sections),
        signature_ignored=signed,
    )


def check_version(image: Image, record: ReleaseRecord) -> None:
    """Proves that the image's label names the record's version."""
    if image.metadata is None:
        return  # check_sections misses the section
    label = parse_metadata(image.metadata).image_version
    if label != record.version:
        raise VersionDiffers(
            "the release is one of another version than the image",
            expected=f"version {record.version}",
            actual=f"version {label}",
            remedy=f"use the release of version {label}",
        )


def check_pcrs(image: Image, measured: Measurements, record: ReleaseRecord) -> None:
    """Proves that PCR0 to PCR2 are the released ones."""
    for index, expected in enumerate(pcr_values(record)):
        if measured.pcrs[index] != expected:
            raise MeasurementDiffers(
                f"PCR{index} is not the released one; {_where(image, record)}",
                expected=expected.hex(),
                actual=measured.pcrs[index].hex(),
                remedy=_REMEDY,
            )


def check_boundaries(image: Image, record: ReleaseRecord) -> None:
    """Proves that the measured sections are the released ones, one by one."""
    mine, theirs = _measured(sections_of(image)), _measured(record.sections)
    if mine != theirs:
        raise BoundaryMoved(
            "the PCRs are the released ones and the sections are not: bytes moved from one section"
            f" to the next, which no PCR covers; {_where(image, record)}",
            expected=_lengths(theirs),
            actual=_lengths(mine),
            remedy=_REMEDY + ". Attestation cannot tell the two apart",
        )


def check_sections(image: Image, record: ReleaseRecord) -> None:
    """Proves that all sections are the released ones, in that order, by both digests."""
    found = sections_of(image)
    if found != record.sections:
        raise SectionDiffers(
            f"a section is not the released one; {_where(image, record)}",
            expected=", ".join(f"{section.name} {section.sha256}" for section in record.sections),
            actual=", ".join(f"{section.name} {section.sha256}" for section in found),
            remedy=_REMEDY,
        )


def check_file(image: Image, record: ReleaseRecord) -> None:
    """Proves that the file has the released length and SHA-256."""
    digest = image_sha256(image)
    if (image.size, digest) != (record.eif.size, record.eif.sha256):
        raise FileDiffers(
            "every section is the released one, but the file is another: its header differs",
            expected=f"{record.eif.size} bytes, SHA-256 {record.eif.sha256}",
            actual=f"{image.size} bytes, SHA-256 {digest}",
            remedy=_REMEDY,
        )


def _measured(sections: list[SectionRecord]) -> list[tuple[str, str, int, str]]:
    return [
        (section.name, section.type, section.length, section.sha384)
        for section in sections
        if section.type in _MEASURED
    ]


def _lengths(sections: list[tuple[str, str, int, str]]) -> str:
    return ", ".join(f"{name} {length} bytes" for name, _, length, _ in sections)


def _where(image: Image, record: ReleaseRecord) -> str:
    """Returns the first section and file that differ, which the record alone can tell."""
    found = compare(record, image)
    if found is None:
        return "all sections are as recorded, so the record contradicts itself"
    text = f"the first section that differs is {found.section.where}"
    if found.file is None:
        return f"{text}: {found.section.matters}"
    file = found.file
    return f"{text}, in it {file.where} ({file.what}): {file.matters}"
