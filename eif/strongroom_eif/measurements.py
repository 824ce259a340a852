"""What the platform measures of an image: PCR 0, 1, 2, 8, and the digests that PCRs leave out.

Every PCR is one extend of SHA-384: `PCR = SHA384(48 zero bytes || SHA384(content))`. The content
of PCR0..2 is the sections' data without their headers, one after another. So where one section
ends and the next begins is in no PCR: bytes can move from the end of the command line to the start
of the first ramdisk and leave PCR0, 1 and 2 as they are. `Measurements.sections` closes that gap
for whoever compares them.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from strongroom_eif.header import SectionType
from strongroom_eif.image import Bytes, Image
from strongroom_eif.signature import parse_signature

__all__ = [
    "PCR_BYTES",
    "SINGLE_RAMDISK_PCR2",
    "UNSIGNED_PCR8",
    "Measurements",
    "SectionDigest",
    "extend",
    "measure",
    "pcr0_of",
    "pcr3",
    "pcr4",
    "pcr8",
]

PCR_BYTES: Final = 48
"""SHA-384."""

UNSIGNED_PCR8: Final = bytes(PCR_BYTES)

SINGLE_RAMDISK_PCR2: Final = bytes.fromhex(
    "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c"
    "10edb30948c90ba67310f7b964fc500a"
)
"""PCR2 of every image with one ramdisk: the measurement of nothing. PCR0 and PCR1 are equal then.
Seen in two documents of real hardware of 2025-04-15."""

_MEASURED: Final = (SectionType.KERNEL, SectionType.CMDLINE, SectionType.RAMDISK)


@dataclass(frozen=True, slots=True)
class SectionDigest:
    """What identifies one section, its boundaries included.

    Attributes:
        name: `kernel`, `cmdline`, `ramdisk[0]`, ..., `metadata`, `signature`.
        offset: Of the section's header in the file.
        length: Bytes of data.
        sha384: Of the data.
        pcrs: The PCRs that the data goes into.
    """

    name: str
    offset: int
    length: int
    sha384: bytes
    pcrs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measurements:
    """PCR values as the platform reports them for a production boot, and all sections' digests."""

    pcr0: bytes
    pcr1: bytes
    pcr2: bytes
    pcr8: bytes
    sections: tuple[SectionDigest, ...]

    @property
    def pcrs(self) -> dict[int, bytes]:
        """The values by index."""
        return {0: self.pcr0, 1: self.pcr1, 2: self.pcr2, 8: self.pcr8}


def extend(content_sha384: bytes) -> bytes:
    """Returns a PCR that was zero and was extended once: SHA384(zeros || digest of the content)."""
    return hashlib.sha384(bytes(PCR_BYTES) + content_sha384).digest()


def pcr3(role_arn: str) -> bytes:
    """Returns PCR3 for a parent instance with this IAM role, by ARN. Zero without a role."""
    return hashlib.sha384(bytes(PCR_BYTES) + role_arn.encode()).digest()


def pcr4(instance_id: str) -> bytes:
    """Returns PCR4 for a parent instance: `i-...`, a document's module_id before `-enc`."""
    return hashlib.sha384(bytes(PCR_BYTES) + instance_id.encode()).digest()


def pcr8(certificate_der: bytes) -> bytes:
    """Returns PCR8 for an image signed with this certificate (DER, not PEM)."""
    return extend(hashlib.sha384(certificate_der).digest())


def pcr0_of(image: Image) -> bytes:
    """Returns PCR0 alone: what a signature is over."""
    content = hashlib.sha384()
    for section in image.sections:
        if section.type in _MEASURED:
            content.update(section.data)
    return extend(content.digest())


def measure(image: Image) -> Measurements:
    """Returns PCR 0, 1, 2, 8 and the digest of each section.

    Cost: each byte of kernel, command line and ramdisks is hashed twice in the usual order of
    sections, three times where several ramdisks follow the first.

    Raises:
        SignatureMalformed: The signature section cannot be read, so there is no PCR8.
        CertificateUnusable: Nor can the certificate in it.
    """
    whole = hashlib.sha384()
    boot = whole  # one object as long as the contents of PCR0 and PCR1 are the same
    application: list[tuple[Bytes, bytes]] = []
    digests = []
    for (name, section), offset in zip(image.numbered(), image.offsets(), strict=True):
        own = hashlib.sha384(section.data).digest()
        pcrs = _pcrs_of(name)
        digests.append(SectionDigest(name, offset, section.size, own, pcrs))
        if 0 not in pcrs:
            continue
        if 2 in pcrs:
            application.append((section.data, own))
            if boot is whole:
                boot = whole.copy()
        elif boot is not whole:
            boot.update(section.data)
        whole.update(section.data)
    signature = image.signature
    return Measurements(
        pcr0=extend(whole.digest()),
        pcr1=extend(boot.digest()),
        pcr2=extend(_digest_of_all(application)),
        pcr8=UNSIGNED_PCR8 if signature is None else pcr8(parse_signature(signature).der),
        sections=tuple(digests),
    )


def _pcrs_of(name: str) -> tuple[int, ...]:
    """Returns the PCRs that a section goes into; the certificate in a signature goes into PCR8."""
    if name in ("kernel", "cmdline", "ramdisk[0]"):
        return (0, 1)
    if name.startswith("ramdisk"):
        return (0, 2)
    return (8,) if name == "signature" else ()


def _digest_of_all(parts: list[tuple[Bytes, bytes]]) -> bytes:
    """Returns the SHA-384 of several sections on end; that of a single one is known already."""
    if len(parts) == 1:
        return parts[0][1]
    content = hashlib.sha384()
    for data, _ in parts:
        content.update(data)
    return content.digest()
