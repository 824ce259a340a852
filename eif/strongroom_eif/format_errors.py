"""Refusals of the container: one leaf per rule of header, section table and checksum."""

from strongroom_eif.errors import ImageError

__all__ = [
    "CrcMismatch",
    "DuplicateCmdline",
    "DuplicateKernel",
    "DuplicateMetadata",
    "DuplicateSignature",
    "FlagsInvalid",
    "FormatError",
    "ImageTooLarge",
    "ImageTruncated",
    "MagicInvalid",
    "MetadataMissing",
    "MetadataUnexpected",
    "RamdiskBeforeKernel",
    "RamdiskMissing",
    "ReservedNotZero",
    "SectionCountInvalid",
    "SectionEmpty",
    "SectionFlagsInvalid",
    "SectionMissing",
    "SectionSizeMismatch",
    "SectionTypeInvalid",
    "SectionsApart",
    "SectionsOverlap",
    "SignatureTooLarge",
    "TrailingBytes",
    "UnusedEntryNotZero",
    "VersionUnsupported",
]


class FormatError(ImageError):
    """The container is malformed: header, section table or checksum."""

    code = "format-error"


class ImageTooLarge(FormatError):
    """More bytes than an enclave can have; nothing was read."""

    code = "image-too-large"


class ImageTruncated(FormatError):
    """The file ends inside the header, a section header or a section."""

    code = "truncated"


class MagicInvalid(FormatError):
    """The file does not begin with `.eif`."""

    code = "magic"
    elsewhere = "nitro-cli's reader does not look at these four bytes"


class VersionUnsupported(FormatError):
    """A version whose rules are unknown here: 0 and 1 were never published, 5 is not defined."""

    code = "version"
    elsewhere = "nitro-cli's reader does not look at the version; QEMU takes any from 4 on"


class FlagsInvalid(FormatError):
    """Reserved bits of the header's flags are set."""

    code = "flags"
    elsewhere = "nitro-cli's reader does not look at the flags; QEMU wants them all zero"


class ReservedNotZero(FormatError):
    """A reserved field of the header is not zero: room for bytes that nobody reads."""

    code = "reserved"
    elsewhere = "nitro-cli's reader and QEMU do not look at reserved fields"


class SectionCountInvalid(FormatError):
    """num_sections is not within 2..32."""

    code = "section-count"
    elsewhere = "nitro-cli's reader ignores the count and reads until the file ends"


class UnusedEntryNotZero(FormatError):
    """An offset or size behind the last section is not zero: room for bytes that nobody reads."""

    code = "unused-entry"
    elsewhere = "nitro-cli's reader and QEMU do not look at unused entries"


class SectionsApart(FormatError):
    """Bytes lie between two sections, or between header and first section."""

    code = "sections-apart"
    elsewhere = (
        "QEMU and the hypervisor follow the offsets and boot it; nitro-cli's describe-eif takes "
        "the bytes between for a section header, so it shows another image or none"
    )


class SectionsOverlap(FormatError):
    """A section begins before the one before it ends."""

    code = "sections-overlap"
    elsewhere = (
        "QEMU reads the shared bytes twice; nitro-cli's reader ignores offsets and shows "
        "other sections than those that boot"
    )


class SectionSizeMismatch(FormatError):
    """The header gives a section another size than the section's own header."""

    code = "section-size"
    elsewhere = (
        "nitro-cli ignores the header's sizes, and its sign-eif leaves this behind when it "
        "replaces a signature by one of another length; QEMU refuses to boot it"
    )


class SectionTypeInvalid(FormatError):
    """A section's type is 0, or one that the format does not define."""

    code = "section-type"
    elsewhere = "QEMU skips sections whose type it does not know"


class SectionFlagsInvalid(FormatError):
    """A section header's flags, all reserved, are not zero."""

    code = "section-flags"
    elsewhere = "nitro-cli's reader does not look at a section's flags"


class SectionEmpty(FormatError):
    """A kernel, ramdisk, metadata or signature section without a byte.

    An empty first ramdisk would move the one after it from PCR1 into PCR2.
    """

    code = "section-empty"
    elsewhere = "nitro-cli's reader takes empty sections; QEMU says that it is out of memory"


class SectionMissing(FormatError):
    """There is no kernel, or no cmdline."""

    code = "section-missing"
    elsewhere = "nitro-cli's reader does not count sections"


class DuplicateKernel(FormatError):
    """There is more than one kernel."""

    code = "kernel-twice"
    elsewhere = "nitro-cli's reader measures both and says nothing"


class DuplicateCmdline(FormatError):
    """There is more than one command line."""

    code = "cmdline-twice"
    elsewhere = "nitro-cli's reader measures both and says nothing"


class DuplicateSignature(FormatError):
    """There is more than one signature section, so it is open which one PCR8 stands for."""

    code = "signature-twice"
    elsewhere = "nitro-cli's reader and QEMU take the last one for PCR8"


class DuplicateMetadata(FormatError):
    """There is more than one metadata section."""

    code = "metadata-twice"
    elsewhere = "nitro-cli's reader shows the last one; QEMU skips all"


class RamdiskMissing(FormatError):
    """There is no ramdisk, so nothing to run."""

    code = "ramdisk-missing"
    elsewhere = "AWS's builder computes a wrong signature offset for such an image"


class RamdiskBeforeKernel(FormatError):
    """A ramdisk comes before the kernel; the specification wants all of them after it."""

    code = "ramdisk-before-kernel"
    elsewhere = "nitro-cli's reader and QEMU do not look at the order"


class MetadataMissing(FormatError):
    """A version 4 image without its mandatory metadata section."""

    code = "metadata-missing"
    elsewhere = "nitro-cli's reader and QEMU do not miss it; the hypervisor refuses to boot"


class MetadataUnexpected(FormatError):
    """A metadata section before version 4, which introduced it."""

    code = "metadata-unexpected"
    elsewhere = "nitro-cli's reader does not look at the version"


class SignatureTooLarge(FormatError):
    """A signature section of more than 32,768 bytes."""

    code = "signature-size"
    elsewhere = "neither nitro-cli's reader nor QEMU enforces the limit"


class TrailingBytes(FormatError):
    """Bytes follow the last section: neither measured, nor described, nor in the checksum."""

    code = "trailing-bytes"
    elsewhere = (
        "nitro-cli's reader drops up to 11 of them silently and takes more for a section; "
        "QEMU ignores any number"
    )


class CrcMismatch(FormatError):
    """The CRC-32 of the header is not that of the file."""

    code = "crc"
    elsewhere = "nitro-cli's describe-eif only prints CheckCRC: false"
