"""The image that a runner is given, checked before anything is started with it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from strongroom_eif import EifError, ImageError, verify

from strongroom_host.errors import BadInput
from strongroom_host.mapped_file import mapped

__all__ = ["BootImage", "ImageRefused", "read_boot_image"]


class ImageRefused(BadInput):
    """The file breaks a rule of the format: hypervisors would read it in different ways.

    Attributes:
        code: The rule, as `strongroom eif` names it.
    """

    def __init__(self, path: Path, error: EifError) -> None:
        super().__init__(
            f"{path} is no image to boot ({error.code}): {error}",
            expected=getattr(error, "expected", None),
            actual=getattr(error, "actual", None),
            remedy=f"look at it with `strongroom eif describe {path}`; take a release's image, or"
            " build one with `make image`",
        )
        self.code = error.code


@dataclass(frozen=True, slots=True)
class BootImage:
    """A well-formed image and what the platform will measure of it.

    Attributes:
        path: The file, absolute.
        name: The label in the image, or the file's name; nothing measures it.
        format: Version of the file format, and the architecture.
        unpacked: Bytes that booting certainly takes: ramdisks, packed and unpacked, and kernel.
        pcrs: PCR 0, 1, 2 and 8 as an attestation document will have them, 48 bytes each.
    """

    path: Path
    name: str
    format: tuple[int, str]
    unpacked: int
    pcrs: dict[int, bytes]

    @property
    def facts(self) -> dict[str, str]:
        """Label and value of what the operator sees: the file, and its PCRs in hex."""
        return {
            "image": f"{self.path}",
            **{f"PCR{index}": value.hex() for index, value in self.pcrs.items() if any(value)},
        }


def read_boot_image(path: Path) -> BootImage:
    """Returns what `path` holds, after proving that it has one reading.

    Raises:
        BadInput: it cannot be read.
        ImageRefused: it breaks a rule.
    """
    data = mapped(path)
    try:
        verified = verify(data, datetime.now(UTC))
    except ImageError as error:
        raise ImageRefused(path, error) from error
    label = verified.metadata
    return BootImage(
        path=path.absolute(),
        name=path.name if label is None else f"{label.image_name} {label.image_version}",
        format=(verified.image.version, verified.image.architecture.name.lower()),
        unpacked=len(data) + sum(ramdisk.content_bytes or 0 for ramdisk in verified.ramdisks),
        pcrs=verified.measurements.pcrs,
    )
