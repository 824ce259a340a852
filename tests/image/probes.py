"""Small images whose only program attests and stops (guest/probe.c), in every shape that counts.

The kernel is the one of the image under test; what is measured does not depend on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import cbor2
from strongroom_eif import (
    BuildMetadata,
    Image,
    KeyInMemory,
    Metadata,
    Node,
    Parts,
    Section,
    archive,
    build,
    compress,
    resign,
    sign,
)
from strongroom_eif.image import Bytes

from tests.eif.samples import certificate, key

__all__ = ["CMDLINE", "WORDS", "Probes", "document_in", "in_date", "resigned", "signed"]

CMDLINE = "console=ttyS0 quiet reboot=t panic=-1 rootfstype=ramfs rdinit=/init"
WORDS = (b"ramdisk zero; ", b"ramdisk one; ", b"ramdisk two; ")
"""Ramdisk n brings a file with the nth, and the probe has them signed: so all were unpacked."""
_LABEL = Metadata(
    "probe", "1", BuildMetadata("1970-01-01T00:00:00Z", "tests", "1", "Linux", "unknown")
)


def document_in(answer: bytes) -> bytes:
    """Returns the document in what the probe hands over: the security module's whole response."""
    [(name, members)] = cbor2.loads(answer).items()
    assert name == "Attestation", answer
    document = members["document"]
    assert isinstance(document, bytes)
    return document


@dataclass(frozen=True, slots=True)
class Probes:
    """Makes images from a kernel and the compiled probe."""

    kernel: Bytes
    program: bytes

    def ramdisks(self, count: int, *, packed: bool = True) -> tuple[bytes, ...]:
        """Returns the boot ramdisk and `count - 1` more."""
        first = [
            Node.directory("dev"),
            Node.character_device("dev/console", 5, 1),
            Node.file("init", self.program, 0o755),
            _says(0),
        ]
        rest = [[_says(number)] for number in range(1, count)]
        pieces = [archive(nodes) for nodes in (first, *rest)]
        return tuple(b"".join(compress(p) if packed else p) for p in pieces)

    def image(self, ramdisks: Sequence[Bytes], cmdline: str = CMDLINE) -> Image:
        """Returns an unsigned image in the order of AWS's builder."""
        return build(Parts(self.kernel, cmdline, ramdisks, _LABEL))

    def echoing(self) -> Image:
        """Returns an image whose guest also sends back what it is sent."""
        more = b"".join(compress(archive([Node.file("echo", b"")])))
        return self.image((*self.ramdisks(1), more))

    def all(self) -> dict[str, Image]:
        """Returns the images by what is special about them."""
        one, two, three = (self.image(self.ramdisks(count)) for count in (1, 2, 3))
        stored = self.image(self.ramdisks(2, packed=False))
        return {
            "one ramdisk": one,
            "two ramdisks": two,
            "three ramdisks": three,
            "two ramdisks, not compressed": stored,
            "one ramdisk, signed with P-256": signed(one, "P-256"),
            "two ramdisks, signed with P-384": signed(two, "P-384"),
            "three ramdisks, signed with P-521": signed(three, "P-521"),
            "signed with P-256, then again with P-521": resigned(signed(two, "P-256"), "P-521"),
            "metadata last, as the specification draws it": reordered(two, 0, 1, 3, 4, 2),
            "the command line after the ramdisks": reordered(two, 0, 3, 4, 2, 1),
            "the command line between the ramdisks": reordered(three, 0, 3, 1, 4, 2, 5),
            "the command line first": reordered(two, 1, 0, 2, 3, 4),
            "the signature first": reordered(signed(two, "P-384"), 5, 0, 1, 2, 3, 4),
        }

    def shifted(self) -> tuple[Image, Image]:
        """Returns two images that differ only in where ramdisk 1 ends and ramdisk 2 begins."""
        first, second, third = self.ramdisks(3, packed=False)
        here = self.image((first, second, third))
        there = self.image((first, second + third[:100], third[100:]))
        return here, there


def signed(image: Image, curve: str) -> Image:
    """Returns the image signed by a throw-away key whose certificate is in date."""
    return sign(image, KeyInMemory(key(curve)), in_date(curve), datetime.now(UTC))


def resigned(image: Image, curve: str) -> Image:
    """Returns a signed image under another signature, of another length."""
    return resign(image, KeyInMemory(key(curve)), in_date(curve), datetime.now(UTC))


def in_date(curve: str) -> bytes:
    """Returns a certificate (PEM) for the throw-away key of a curve."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return certificate(curve, start=today - timedelta(days=2), end=today + timedelta(days=365))


def reordered(image: Image, *order: int) -> Image:
    """Returns an image with its sections in another order."""
    sections: tuple[Section, ...] = tuple(image.sections[number] for number in order)
    assert sorted(order) == list(range(len(image.sections)))
    return Image(sections, image.architecture)


def _says(number: int) -> Node:
    return Node.file(f"says-{number}", WORDS[number])
