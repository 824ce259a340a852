"""Putting an image together from its parts: what is checked before, and in which order they stand.

The order is that of AWS's builder: kernel, cmdline, metadata, ramdisks, signature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_eif.errors import InvalidArgument
from strongroom_eif.header import MAX_SECTIONS, Architecture, SectionType
from strongroom_eif.image import Bytes, Image, Section
from strongroom_eif.kernel import inspect_kernel, require_cmdline
from strongroom_eif.metadata import Metadata, parse_metadata

__all__ = ["MAX_RAMDISKS", "Parts", "build"]

MAX_RAMDISKS: Final = MAX_SECTIONS - 4
"""Room is left for kernel, cmdline, metadata and a signature."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an image is made of.

    Attributes:
        kernel: A bzImage (x86_64) or an Image (aarch64).
        cmdline: The kernel's command line, stored as it is.
        ramdisks: The first goes into PCR1, all others into PCR2.
        metadata: Its label, unmeasured.
        architecture: Which processors it boots on.
    """

    kernel: Bytes
    cmdline: str
    ramdisks: Sequence[Bytes]
    metadata: Metadata
    architecture: Architecture = Architecture.X86_64


def build(parts: Parts) -> Image:
    """Returns the unsigned image; equal parts give equal images, and equal files.

    Raises:
        InvalidArgument: No ramdisk, too many, an empty one, or a command line that is not ASCII.
        KernelInvalid, ArchitectureMismatch: The kernel would not boot.
        CmdlineInvalid: The kernel would not read all of the command line.
        MetadataInvalid: The label would not be accepted when read.
    """
    check_ramdisks(parts.ramdisks)
    kernel = inspect_kernel(parts.kernel, parts.architecture)
    cmdline = _ascii(parts.cmdline)
    require_cmdline(cmdline, kernel.cmdline_bytes)
    metadata = parts.metadata.to_json()
    parse_metadata(metadata)
    return Image(
        sections=(
            Section(SectionType.KERNEL, parts.kernel),
            Section(SectionType.CMDLINE, cmdline),
            Section(SectionType.METADATA, metadata),
            *(Section(SectionType.RAMDISK, data) for data in parts.ramdisks),
        ),
        architecture=parts.architecture,
    )


def _ascii(cmdline: str) -> bytes:
    try:
        return cmdline.encode("ascii")
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"character {error.start} of the command line is not ASCII", actual=cmdline
        ) from error


def check_ramdisks(ramdisks: Sequence[Bytes]) -> None:
    """Refuses numbers of ramdisks that no image can hold, and empty ones."""
    if not 1 <= len(ramdisks) <= MAX_RAMDISKS:
        raise InvalidArgument(
            f"{len(ramdisks)} ramdisks; an image has 1 to {MAX_RAMDISKS}", actual=len(ramdisks)
        )
    for number, data in enumerate(ramdisks):
        if not len(data):
            raise InvalidArgument(f"ramdisk {number} is empty")
