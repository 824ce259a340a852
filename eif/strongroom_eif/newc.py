"""The newc form of cpio: one entry's header, and what an entry is.

110 bytes: the magic `070701` and thirteen fields of eight hexadecimal digits; then the path with
its NUL, padded with zeros so that header and path together are a multiple of 4; then the content,
padded likewise. An entry named `TRAILER!!!` ends the archive (Linux
`Documentation/driver-api/early-userspace/buffer-format.rst`).
"""

import re
import stat
from dataclasses import dataclass
from typing import Final

from strongroom_eif.archive_errors import ArchiveFieldInvalid, ArchiveUnreadable
from strongroom_eif.errors import shown

__all__ = [
    "HEADER_BYTES",
    "MAGIC",
    "MAX_FILE_BYTES",
    "TRAILER",
    "Entry",
    "Head",
    "decoded",
    "encoded",
    "kind_of",
]

MAGIC: Final = b"070701"
HEADER_BYTES: Final = 110
TRAILER: Final = b"TRAILER!!!"
MAX_FILE_BYTES: Final = 0xFFFF_FFFF
"""What eight digits can say."""

_FIELDS: Final = re.compile(rb"[0-9A-Fa-f]{104}")
_KINDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, slots=True)
class Head:
    """The thirteen fields, in their order in the archive. All fit in 32 bits, unsigned."""

    ino: int
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    size: int
    dev_major: int
    dev_minor: int
    rdev_major: int
    rdev_minor: int
    name_size: int
    check: int

    @classmethod
    def unpack(cls, data: bytes) -> "Head":
        """Returns the header in 110 bytes.

        Raises:
            ArchiveUnreadable: Another magic: no archive, or an old or checksummed form of cpio.
            ArchiveFieldInvalid: A field that is not hexadecimal, or a checksum where newc has none.
        """
        check_magic(data[:6])
        check_digits(data[6:])
        head = cls(*(int(data[at : at + 8], 16) for at in range(6, HEADER_BYTES, 8)))
        check_no_checksum(head.check)
        return head

    def pack(self) -> bytes:
        """Returns the 110 bytes, digits in upper case as the kernel's own tool writes them.

        Raises:
            ArchiveFieldInvalid: A field does not fit.
        """
        values = (
            self.ino, self.mode, self.uid, self.gid, self.nlink, self.mtime, self.size,
            self.dev_major, self.dev_minor, self.rdev_major, self.rdev_minor, self.name_size,
            self.check,
        )  # fmt: skip
        for value in values:
            check_fits(value)
        return MAGIC + b"".join(b"%08X" % value for value in values)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an archive, its content as a digest.

    Attributes:
        path: As in the archive; bytes that are not UTF-8 as surrogates.
        mode: Type and permissions.
        uid: Owner.
        gid: Group.
        nlink: Above 1 for a file: it has several names.
        mtime: Seconds since 1970.
        ino: Joins the names of one file.
        device: Major and minor number of a device node.
        size: Bytes of content.
        sha256: Of the content; of a link its target.
        target: Where a link points to, otherwise empty.
        archive: How many archives precede this one in the ramdisks read.
    """

    path: str
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    ino: int
    device: tuple[int, int]
    size: int
    sha256: bytes
    target: str
    archive: int

    @property
    def kind(self) -> str:
        """`file`, `directory`, `link`, `character device`, ..."""
        return kind_of(self.mode)


def kind_of(mode: int) -> str:
    """Returns what a mode's type bits mean, `unknown` if nothing."""
    return _KINDS.get(stat.S_IFMT(mode), "unknown")


def decoded(path: bytes) -> str:
    """Returns a path as text; `encoded` gives the same bytes back."""
    return path.decode("utf-8", "surrogateescape")


def encoded(path: str) -> bytes:
    """Returns the bytes of a path.

    Raises:
        ArchiveFieldInvalid: Surrogates that stand for no byte.
    """
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ArchiveFieldInvalid(f"the path {path!a} has no bytes") from error


def check_magic(magic: bytes) -> None:
    """Refuses everything but newc: of the old binary and octal forms the kernel reads none."""
    if magic != MAGIC:
        raise ArchiveUnreadable(
            f"an entry begins with {shown(magic)}, a newc archive with {MAGIC.hex()} (070701)",
            expected=MAGIC,
            actual=magic,
        )


def check_digits(fields: bytes) -> None:
    """Refuses fields that are not hexadecimal: readers differ in what they make of them."""
    if not _FIELDS.fullmatch(fields):
        raise ArchiveFieldInvalid("a header field is not eight hexadecimal digits")


def check_no_checksum(check: int) -> None:
    """Refuses a value in the field that newc leaves zero."""
    if check:
        raise ArchiveFieldInvalid(
            f"the check field is {check:#x}, in newc it is zero", expected=0, actual=check
        )


def check_fits(value: int) -> None:
    """Refuses a number that eight digits cannot say."""
    if not 0 <= value <= MAX_FILE_BYTES:
        raise ArchiveFieldInvalid(
            f"{value} does not fit a cpio field", expected=MAX_FILE_BYTES, actual=value
        )
