"""Which sections an image has and in which order: rules that reader and writer share.

Because the writer obeys them too, it writes nothing that the reader would refuse.
"""

from typing import Final

from strongroom_eif.format_errors import (
    DuplicateCmdline,
    DuplicateKernel,
    DuplicateMetadata,
    DuplicateSignature,
    MetadataMissing,
    MetadataUnexpected,
    RamdiskBeforeKernel,
    RamdiskMissing,
    SectionEmpty,
    SectionMissing,
    SignatureTooLarge,
    VersionUnsupported,
)
from strongroom_eif.header import SectionType
from strongroom_eif.image import CURRENT_VERSION, Section

__all__ = ["MAX_SIGNATURE_BYTES", "VERSIONS", "check_version", "require_sections"]

MAX_SIGNATURE_BYTES: Final = 32_768
"""SIGNATURE_MAX_SIZE of the specification."""

VERSIONS: Final = (3, CURRENT_VERSION)
"""3 is the first with signatures, 4 the first with metadata. 2 is from before the first release."""


def require_sections(sections: tuple[Section, ...], version: int) -> None:
    """Proves that the sections make up an image of this version.

    Raises:
        FormatError: A subclass per rule.
    """
    kinds = [section.type for section in sections]
    check_kernel_count(kinds.count(SectionType.KERNEL))
    check_cmdline_count(kinds.count(SectionType.CMDLINE))
    check_ramdisk_count(kinds.count(SectionType.RAMDISK))
    check_signature_count(kinds.count(SectionType.SIGNATURE))
    check_metadata_count(kinds.count(SectionType.METADATA), version)
    check_ramdisks_after_kernel(kinds)
    for section in sections:
        check_not_empty(section)
        check_signature_size(section)


def check_version(version: int) -> None:
    """Refuses versions whose rules are not known."""
    if version not in VERSIONS:
        raise VersionUnsupported(
            f"version {version}; only {' and '.join(map(str, VERSIONS))} are known",
            expected=VERSIONS,
            actual=version,
        )


def check_kernel_count(count: int) -> None:
    """Refuses an image without a kernel, or with more than one."""
    if not count:
        raise SectionMissing("there is no kernel section", expected=1, actual=0)
    if count > 1:
        raise DuplicateKernel(f"there are {count} kernel sections", expected=1, actual=count)


def check_cmdline_count(count: int) -> None:
    """Refuses an image without a command line, or with more than one."""
    if not count:
        raise SectionMissing("there is no cmdline section", expected=1, actual=0)
    if count > 1:
        raise DuplicateCmdline(f"there are {count} cmdline sections", expected=1, actual=count)


def check_ramdisk_count(count: int) -> None:
    """Refuses an image without a ramdisk."""
    if not count:
        raise RamdiskMissing("there is no ramdisk section", actual=0)


def check_signature_count(count: int) -> None:
    """Refuses several signatures: PCR8 has room for one certificate."""
    if count > 1:
        raise DuplicateSignature(f"there are {count} signature sections", expected=1, actual=count)


def check_metadata_count(count: int, version: int) -> None:
    """Refuses version 4 without exactly one metadata section, and version 3 with any."""
    if version < CURRENT_VERSION:
        if count:
            raise MetadataUnexpected(
                f"version {version} has no metadata sections", expected=0, actual=count
            )
    elif not count:
        raise MetadataMissing("version 4 wants a metadata section", expected=1, actual=0)
    elif count > 1:
        raise DuplicateMetadata(f"there are {count} metadata sections", expected=1, actual=count)


def check_ramdisks_after_kernel(kinds: list[SectionType]) -> None:
    """Refuses a ramdisk before the kernel. Any other order is free."""
    if SectionType.RAMDISK in kinds[: kinds.index(SectionType.KERNEL)]:
        raise RamdiskBeforeKernel("a ramdisk section comes before the kernel")


def check_not_empty(section: Section) -> None:
    """Refuses empty sections; only a command line may be empty."""
    if not section.size and section.type != SectionType.CMDLINE:
        raise SectionEmpty(f"a {section.type.name.lower()} section is empty")


def check_signature_size(section: Section) -> None:
    """Refuses a signature beyond the specification's limit, before it is decoded."""
    if section.type == SectionType.SIGNATURE and section.size > MAX_SIGNATURE_BYTES:
        raise SignatureTooLarge(
            f"the signature section has {section.size} bytes, at most {MAX_SIGNATURE_BYTES} are "
            "allowed",
            expected=MAX_SIGNATURE_BYTES,
            actual=section.size,
        )
