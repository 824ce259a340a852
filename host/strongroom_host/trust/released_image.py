"""Whether an image file is the one that a release describes, to the last byte.

The digest of the whole file would settle it. The other comparisons come first because they say
*what* differs, and whether the difference is one that attestation would show: PCR0 to PCR2 do not
cover where sections end, so an image whose boundaries moved attests like the released one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from strongroom_eif import Image, Measurements, measure, parse, parse_metadata, serialise, unsign
from strongroom_eif.image import Bytes

from strongroom_host.trust.release import ReleaseRecord, SectionRecord
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
        record: What the release says.
        ignore_signature: Compare the image without its signature section, for one that its
            operator signed. PCR8 is then whatever the operator made it.

    Raises:
        FormatError: It is no image.
        ImageRefused: The leaf says what differs.
    """
    image = parse(data)
    stripped = ignore_signature and image.signature is not None
    if stripped:
        image = unsign(image)
        data = serialise(image)
    measured = measure(image)
    digests = tuple(sha256(section.data).hexdigest() for section in image.sections)
    # 1. It says of itself to be the version that the record is about.
    check_version(image, record)
    # 2. What attestation would show.
    check_pcrs(measured, record)
    # 3. What it would not: boundaries first, since they change what runs.
    check_boundaries(measured, record)
    check_sections(measured, digests, record)
    # 4. And everything else, such as fields of the header.
    check_file(data, record)
    return ReleasedImage(
        sha256=bytes.fromhex(record.eif.sha256),
        measurements=measured,
        sections=len(digests),
        signature_ignored=stripped,
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


def check_pcrs(measured: Measurements, record: ReleaseRecord) -> None:
    """Proves that PCR0 to PCR2 are the released ones."""
    for index, expected in enumerate(record.pcrs.values):
        if measured.pcrs[index] != expected:
            where = _first_difference(measured, record.sections)
            raise MeasurementDiffers(
                f"PCR{index} is not the released one; {where}",
                expected=expected.hex(),
                actual=measured.pcrs[index].hex(),
                remedy=_REMEDY,
            )


def check_boundaries(measured: Measurements, record: ReleaseRecord) -> None:
    """Proves that the measured sections are the released ones, one by one."""
    mine = [(_kind(s.name), s.length, s.sha384.hex()) for s in measured.sections]
    theirs = [(s.type, s.length, s.sha384) for s in record.sections]
    if _only_measured(mine) != _only_measured(theirs):
        raise BoundaryMoved(
            "the PCRs are the released ones and the sections are not: bytes moved from one section"
            f" to the next, which no PCR covers; {_first_difference(measured, record.sections)}",
            expected=_lengths(_only_measured(theirs)),
            actual=_lengths(_only_measured(mine)),
            remedy=_REMEDY + ". Attestation cannot tell the two apart",
        )


def check_sections(measured: Measurements, digests: Sequence[str], record: ReleaseRecord) -> None:
    """Proves that all sections are the released ones, in that order, by both digests."""
    mine = [
        SectionRecord(_kind(s.name), s.length, s.sha384.hex(), digest)
        for s, digest in zip(measured.sections, digests, strict=True)
    ]
    if mine == list(record.sections):
        return
    if [s for s in mine if s.type != "signature"] == list(record.sections):
        raise ImageSignatureUnlisted(
            "the image carries a signature that the release does not list; all else is as released",
            remedy="if you or your operator signed it, say --ignore-signature and pin PCR8",
        )
    raise SectionDiffers(
        f"a section is not the released one; {_first_difference(measured, record.sections)}",
        expected=", ".join(f"{s.type} {s.sha256}" for s in record.sections),
        actual=", ".join(f"{s.type} {s.sha256}" for s in mine),
        remedy=_REMEDY,
    )


def check_file(data: Bytes, record: ReleaseRecord) -> None:
    """Proves that the file has the released length and SHA-256."""
    digest = sha256(data).hexdigest()
    if (len(data), digest) != (record.eif.size, record.eif.sha256):
        raise FileDiffers(
            "every section is the released one, but the file is another: its header differs",
            expected=f"{record.eif.size} bytes, SHA-256 {record.eif.sha256}",
            actual=f"{len(data)} bytes, SHA-256 {digest}",
            remedy=_REMEDY,
        )


def _kind(name: str) -> str:
    return name.partition("[")[0]


def _only_measured(sections: Sequence[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    return [section for section in sections if section[0] in _MEASURED]


def _lengths(sections: Sequence[tuple[str, int, str]]) -> str:
    return ", ".join(f"{kind} {length} bytes" for kind, length, _ in sections)


def _first_difference(measured: Measurements, released: Sequence[SectionRecord]) -> str:
    for mine, theirs in zip(measured.sections, released, strict=False):
        if (_kind(mine.name), mine.length, mine.sha384.hex()) != (
            theirs.type,
            theirs.length,
            theirs.sha384,
        ):
            return (
                f"the first section that differs is {mine.name}: {mine.length} bytes here,"
                f" {theirs.type} of {theirs.length} bytes there"
            )
    if len(measured.sections) != len(released):
        return f"there are {len(measured.sections)} sections here, {len(released)} there"
    return "all sections are as recorded, so the record contradicts itself"
