"""Taking an image apart: each section as a file, and single files out of its ramdisks."""

from collections.abc import Iterator
from dataclasses import dataclass

from strongroom_eif.image import Bytes, Image
from strongroom_eif.inflate import Budget
from strongroom_eif.newc import kind_of
from strongroom_eif.paths import FOREIGN, Tree
from strongroom_eif.ramdisk import members
from strongroom_eif.signature import parse_signature

__all__ = ["ExtractedFile", "files", "parts"]


@dataclass(frozen=True, slots=True)
class ExtractedFile:
    """A regular file found in a ramdisk; `pieces` must be used up before the next is asked for."""

    path: str
    size: int
    pieces: Iterator[memoryview]


def parts(image: Image) -> dict[str, Bytes]:
    """Returns the content of each section by a file name of ours, nothing from the image in it.

    Raises:
        SignatureError: The signature section cannot be read; without `certificate.pem` the
            others are of no less use, so callers may go on with `image.sections`.
    """
    found: dict[str, Bytes] = {
        "kernel": image.kernel,
        "cmdline": image.cmdline,
    }
    for number, data in enumerate(image.ramdisks):
        found[f"ramdisk{number}"] = data
    if image.metadata is not None:
        found["metadata.json"] = image.metadata
    if image.signature is not None:
        found["signature.cbor"] = image.signature
        found["certificate.pem"] = parse_signature(image.signature).certificate_pem
    return found


def files(image: Image, wanted: frozenset[str]) -> Iterator[ExtractedFile]:
    """Yields those regular files of the ramdisks whose paths are wanted.

    Every entry before them passes the rules of `Tree`, so no path yielded is absolute, climbs, or
    leads through a link.

    Raises:
        ArchiveError: A subclass per rule.
    """
    tree, budget, position = Tree(FOREIGN), Budget(), 0
    for data in image.ramdisks:
        for member in members(data, position=position, budget=budget):
            head = member.head
            device = (head.rdev_major, head.rdev_minor)
            tree.add(
                member.path, head.mode, nlink=head.nlink, device=device, archive=member.archive
            )
            if member.path in wanted and kind_of(head.mode) == "file":
                yield ExtractedFile(member.path, head.size, member.pieces())
        position += len(data)
