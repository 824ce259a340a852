"""Everything there is to check of an image by itself, in one call.

That an image is well-formed says nothing about what it does. Which image it is, `Measurements`
say; whether it is the one that somebody published, only a comparison with their figures can.
"""

import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from strongroom_eif.archive_errors import CompressionUnsupported
from strongroom_eif.image import CURRENT_VERSION, Bytes, Image
from strongroom_eif.inflate import DEFAULT_LIMITS, Budget, Limits
from strongroom_eif.kernel import Kernel, inspect_kernel, require_cmdline
from strongroom_eif.measurements import Measurements, measure
from strongroom_eif.metadata import Metadata, parse_metadata
from strongroom_eif.newc import Entry
from strongroom_eif.paths import FOREIGN, FilePolicy, Tree
from strongroom_eif.ramdisk import compression_of, entries
from strongroom_eif.reader import parse
from strongroom_eif.signature import Signature, check_aware, parse_signature, verify_signature

__all__ = ["Notice", "RamdiskSummary", "VerifiedImage", "verify"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is allowed and that whoever relies on the image should know.

    Attributes:
        code: Stable identifier.
        text: One sentence.
    """

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class RamdiskSummary:
    """What a ramdisk holds; `entries` is None where its compression is not looked into."""

    compression: str
    entries: int | None
    content_bytes: int | None


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """An image that broke no rule, and what it consists of.

    Attributes:
        image: As parsed.
        measurements: The PCRs to expect of it, and its sections' digests.
        kernel: What the kernel says about itself.
        metadata: The unmeasured label; None before version 4.
        signature: Verified; None if the image is unsigned.
        ramdisks: In file order.
        notices: What the rules do not forbid.
    """

    image: Image
    measurements: Measurements
    kernel: Kernel
    metadata: Metadata | None
    signature: Signature | None
    ramdisks: tuple[RamdiskSummary, ...]
    notices: tuple[Notice, ...]


def verify(
    data: Bytes, at: datetime, policy: FilePolicy = FOREIGN, limits: Limits = DEFAULT_LIMITS
) -> VerifiedImage:
    """Proves that every part of an image has one reading, and that its signature holds.

    Args:
        data: The whole file.
        at: When the image is to boot; its certificate has to be valid then.
        policy: Which files its ramdisks may have.
        limits: How much may come out of the ramdisks.

    Raises:
        InvalidArgument: `at` has no time zone.
        ImageError: A subclass per rule.
    """
    check_aware(at)
    # 1. The container, and what is small in it.
    image = parse(data)
    kernel = inspect_kernel(image.kernel, image.architecture)
    require_cmdline(image.cmdline, kernel.cmdline_bytes)
    metadata = None if image.metadata is None else parse_metadata(image.metadata)
    # 2. The measurements, and the signature over one of them.
    measurements = measure(image)
    signature = None if image.signature is None else parse_signature(image.signature)
    if signature is not None:
        verify_signature(signature, measurements.pcr0, at)
    # 3. The files, as the kernel will unpack them: all ramdisks into one tree.
    notices = list(_of_image(image, metadata, signature))
    summaries = _ramdisks(image, policy, limits, notices)
    return VerifiedImage(
        image, measurements, kernel, metadata, signature, summaries, tuple(notices)
    )


def _ramdisks(
    image: Image, policy: FilePolicy, limits: Limits, notices: list[Notice]
) -> tuple[RamdiskSummary, ...]:
    tree, budget = Tree(policy), Budget(limits)
    special: Counter[str] = Counter()
    summaries, position = [], 0
    for number, data in enumerate(image.ramdisks):
        found, content = 0, 0
        compression = compression_of(data)
        try:
            for entry in entries(data, position=position, budget=budget):
                tree.add(
                    entry.path,
                    entry.mode,
                    nlink=entry.nlink,
                    device=entry.device,
                    archive=entry.archive,
                )
                special.update(_remarkable(entry))
                found, content = found + 1, content + entry.size
            summaries.append(RamdiskSummary(compression, found, content))
        except CompressionUnsupported as error:
            summaries.append(RamdiskSummary(str(error.actual), None, None))
            text = f"ramdisk[{number}] is compressed with {error.actual}: its files were not seen"
            notices.append(Notice("ramdisk-unseen", text))
        position += len(data)
    for what, count in sorted(special.items()):
        notices.append(Notice("special-files", f"the ramdisks hold {count} {what}"))
    return tuple(summaries)


def _remarkable(entry: Entry) -> Iterator[str]:
    if entry.mode & (stat.S_ISUID | stat.S_ISGID) and entry.kind == "file":
        yield "setuid or setgid files"
    if entry.nlink > 1 and entry.kind == "file":
        yield "files with several names"
    if entry.kind not in ("file", "directory", "link"):
        yield f"{entry.kind}s"


def _of_image(
    image: Image, metadata: Metadata | None, signature: Signature | None
) -> Iterator[Notice]:
    yield Notice(
        "boundaries-unmeasured",
        "PCR0 to PCR2 do not measure where a section ends: compare section lengths and digests, "
        "or the digest of the whole file, with the published ones",
    )
    if image.version < CURRENT_VERSION:
        yield Notice("old-version", f"version {image.version}: QEMU boots version 4 only")
    if metadata is not None:
        yield Notice("metadata-unmeasured", "no PCR covers the metadata: anyone may have set them")
        if metadata.docker_info is None:
            yield Notice(
                "docker-info-null",
                "DockerInfo is null, as AWS's builder writes it; the schema calls for an object",
            )
    if len(image.ramdisks) == 1:
        yield Notice(
            "single-ramdisk",
            "there is one ramdisk: PCR1 equals PCR0, and PCR2 is the same for all such images",
        )
    if signature is None:
        yield Notice("unsigned", "the image is not signed: PCR8 is zero")
        return
    yield Notice(
        "issuer-unchecked",
        "nobody checks who issued the signing certificate: pin PCR8 to know who signed",
    )
    if (
        signature.certificate_pem.strip()
        != signature.certificate.public_bytes(Encoding.PEM).strip()
    ):
        yield Notice(
            "certificate-extras",
            "the certificate's file holds more than the certificate; PCR8 covers only the latter",
        )
