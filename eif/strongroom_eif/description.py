"""What an image consists of, as a value with a stable JSON form.

`describe` shows; it judges the container only. The lengths and digests of sections are here beside
the PCRs because the PCRs do not cover them: a release publishes both.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from strongroom_eif.errors import EifError
from strongroom_eif.image import Bytes, Image
from strongroom_eif.kernel import inspect_kernel
from strongroom_eif.measurements import Measurements, measure
from strongroom_eif.metadata import Metadata, parse_metadata
from strongroom_eif.ramdisk import compression_of
from strongroom_eif.reader import parse
from strongroom_eif.signature import Signature, parse_signature, verify_signature

__all__ = ["Description", "describe"]


@dataclass(frozen=True, slots=True)
class Description:
    """An image, taken apart.

    Attributes:
        image: As parsed; well-formed.
        sha256: Of the whole file.
        sha384: Of the whole file.
        crc: The checksum in the header, which is right.
        measurements: PCRs and section digests.
        kernel: The kernel's own version, empty if it does not say; or why it is none.
        metadata: None before version 4, or where it is not readable.
        signature: None if unsigned.
        faults: What is wrong inside sections, by section, in the words of the rule broken.
    """

    image: Image
    sha256: bytes
    sha384: bytes
    crc: int
    measurements: Measurements
    kernel: str
    metadata: Metadata | None
    signature: Signature | None
    faults: tuple[tuple[str, str], ...]

    @property
    def subject(self) -> str:
        """Who the signing certificate says it is, empty if the image is unsigned."""
        return "" if self.signature is None else _name(self.signature.certificate.subject)

    def to_json(self) -> dict[str, object]:
        """Returns the description in types that JSON has; bytes in hex."""
        image = self.image
        return {
            "version": image.version,
            "architecture": image.architecture.name.lower(),
            "size": image.size,
            "sha256": self.sha256.hex(),
            "sha384": self.sha384.hex(),
            "crc32": f"{self.crc:08x}",
            "default_mem": image.default_mem,
            "default_cpus": image.default_cpus,
            "pcrs": {str(index): pcr.hex() for index, pcr in self.measurements.pcrs.items()},
            "sections": [
                {
                    "name": section.name,
                    "offset": section.offset,
                    "length": section.length,
                    "sha384": section.sha384.hex(),
                    "pcrs": list(section.pcrs),
                }
                for section in self.measurements.sections
            ],
            "kernel": self.kernel,
            "cmdline": image.cmdline.decode("ascii", "backslashreplace"),
            "ramdisks": [{"compression": compression_of(data)} for data in image.ramdisks],
            "metadata": None if self.metadata is None else _metadata_json(self.metadata),
            "signature": None if self.signature is None else _signature_json(self.signature),
            "faults": [{"section": name, "fault": text} for name, text in self.faults],
        }


def describe(data: Bytes, at: datetime) -> Description:
    """Returns what a well-formed image consists of.

    What is wrong inside a section is reported and does not hide the rest; only a container that
    has no single reading, or a signature section without a certificate, is refused.

    Args:
        data: The whole file.
        at: The time for which the signing certificate is judged.

    Raises:
        FormatError: The container is malformed.
        SignatureError: The signature section cannot be read, so PCR8 is unknown.
    """
    image = parse(data)
    measurements = measure(image)
    faults: list[tuple[str, str]] = []
    metadata, kernel, signature = None, "", None
    try:
        kernel = inspect_kernel(image.kernel, image.architecture).version
    except EifError as error:
        faults.append(("kernel", str(error)))
    if image.metadata is not None:
        try:
            metadata = parse_metadata(image.metadata)
        except EifError as error:
            faults.append(("metadata", str(error)))
    if image.signature is not None:
        signature = parse_signature(image.signature)
        try:
            verify_signature(signature, measurements.pcr0, at)
        except EifError as error:
            faults.append(("signature", str(error)))
    return Description(
        image=image,
        sha256=hashlib.sha256(data).digest(),
        sha384=hashlib.sha384(data).digest(),
        crc=int.from_bytes(data[0x220:0x224], "big"),
        measurements=measurements,
        kernel=kernel,
        metadata=metadata,
        signature=signature,
        faults=tuple(faults),
    )


def _metadata_json(metadata: Metadata) -> dict[str, object]:
    build = metadata.build
    return {
        "image_name": metadata.image_name,
        "image_version": metadata.image_version,
        "build_time": build.build_time,
        "build_tool": build.build_tool,
        "build_tool_version": build.build_tool_version,
        "operating_system": build.operating_system,
        "kernel_version": build.kernel_version,
        "docker_info": metadata.docker_info,
        "custom": metadata.custom,
    }


def _signature_json(signature: Signature) -> dict[str, object]:
    certificate = signature.certificate
    return {
        "subject": _name(certificate.subject),
        "issuer": _name(certificate.issuer),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "certificate_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "signed_pcr": signature.register_index,
        "signed_value": signature.register_value.hex(),
        "protected": signature.protected.hex(),
        "signature": signature.signature.hex(),
    }


def _name(name: x509.Name) -> str:
    try:
        return name.rfc4514_string()
    except ValueError:  # a name in an encoding that the library does not know
        return name.public_bytes().hex()
