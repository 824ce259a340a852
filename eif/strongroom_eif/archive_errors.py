"""Refusals of a ramdisk: one leaf per rule of cpio archives and of the paths in them."""

from strongroom_eif.errors import ImageError, shown

__all__ = [
    "ArchiveError",
    "ArchiveFieldInvalid",
    "ArchivePaddingInvalid",
    "ArchiveTooLarge",
    "ArchiveTruncated",
    "ArchiveUnaligned",
    "ArchiveUnreadable",
    "CompressionUnsupported",
    "DeviceRefused",
    "DuplicatePath",
    "HardLinkRefused",
    "ParentMissing",
    "PathAbsolute",
    "PathEscapes",
    "PathInvalid",
    "PathNotNormal",
    "PathThroughLink",
    "PathTooLong",
    "TrailerNotEmpty",
]


class ArchiveError(ImageError):
    """A ramdisk is not a cpio archive that has one reading.

    Attributes:
        path: The entry at fault, empty where it is none.
    """

    code = "archive-error"
    elsewhere = "nitro-cli and QEMU do not look into ramdisks"

    def __init__(
        self, message: str, *, path: str = "", expected: object = None, actual: object = None
    ) -> None:
        super().__init__(
            f"{shown(path)}: {message}" if path else message, expected=expected, actual=actual
        )
        self.path = path


class ArchiveUnreadable(ArchiveError):
    """Neither a newc archive nor gzip begins here."""

    code = "archive-unreadable"


class CompressionUnsupported(ArchiveError):
    """Compressed by something that the kernel may understand and this package does not."""

    code = "archive-compression"


class ArchiveTruncated(ArchiveError):
    """The archive ends before its trailer: the kernel unpacks what is there and says nothing."""

    code = "archive-truncated"


class ArchiveTooLarge(ArchiveError):
    """More bytes or entries after decompression than the caller allows."""

    code = "archive-too-large"


class ArchiveUnaligned(ArchiveError):
    """An archive begins where the kernel does not look for one: not on a multiple of 4."""

    code = "archive-unaligned"


class ArchiveFieldInvalid(ArchiveError):
    """A header field is not eight hexadecimal digits, or not what newc prescribes."""

    code = "archive-field"


class ArchivePaddingInvalid(ArchiveError):
    """Padding bytes are not zero: room for bytes that nobody reads."""

    code = "archive-padding"


class TrailerNotEmpty(ArchiveError):
    """The trailer carries data, which the kernel skips."""

    code = "archive-trailer"


class PathInvalid(ArchiveError):
    """A path is empty or has a NUL or control characters in it."""

    code = "path-invalid"


class PathTooLong(ArchiveError):
    """A path of more than 4,095 bytes, or a component of more than 255: the kernel skips it."""

    code = "path-too-long"


class PathAbsolute(ArchiveError):
    """A path begins with a slash: another tool would unpack it elsewhere than the kernel."""

    code = "path-absolute"


class PathEscapes(ArchiveError):
    """A path climbs through `..`."""

    code = "path-escapes"


class PathNotNormal(ArchiveError):
    """A path has an empty or `.` component: a second spelling of another path."""

    code = "path-not-normal"


class PathThroughLink(ArchiveError):
    """A path leads through an entry that is not a directory, so it lands elsewhere."""

    code = "path-through-link"


class DuplicatePath(ArchiveError):
    """A path occurs twice; the kernel keeps the last, and a reader may look at the first."""

    code = "path-twice"


class ParentMissing(ArchiveError):
    """No entry makes the directory that a path is in: the kernel leaves the path out silently."""

    code = "parent-missing"


class DeviceRefused(ArchiveError):
    """A device node, socket or pipe that the policy does not name."""

    code = "device"


class HardLinkRefused(ArchiveError):
    """A file with several names, which the policy does not allow."""

    code = "hard-link"
