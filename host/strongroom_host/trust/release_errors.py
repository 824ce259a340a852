"""Why a release, or an image held against one, is refused: one leaf and one stable code per reason.

`ReleaseRefused`: what was signed, by whom, or which image it is, is not what it must be. The two
`...Malformed` say that a file of the caller's is not such a file at all.
"""

from typing import ClassVar

from strongroom_host.errors import BadInput, HostError

__all__ = [
    "BoundaryMoved",
    "FileDiffers",
    "ImageRefused",
    "ImageSignatureUnlisted",
    "KeyNotInForce",
    "KeyRevoked",
    "KeyUnknown",
    "KeysMalformed",
    "MeasurementDiffers",
    "PayloadTypeWrong",
    "RecordContradictsItself",
    "ReleaseMalformed",
    "ReleaseRefused",
    "ReleaseUnsigned",
    "SectionDiffers",
    "SignatureWrong",
    "SignaturesTooFew",
    "VersionDiffers",
]


class ReleaseMalformed(BadInput):
    """The file is neither a release record nor an envelope around one."""

    code: ClassVar[str] = "release-malformed"


class KeysMalformed(BadInput):
    """The file of pinned release keys is malformed, or would let anybody release."""

    code: ClassVar[str] = "release-keys-malformed"


class ReleaseRefused(HostError):
    """Root of the refusals; nothing that the release says may be used."""

    exit_status = 3
    code: ClassVar[str] = "release-refused"


# --- Who signed it -------------------------------------------------------------------------------


class ReleaseUnsigned(ReleaseRefused):
    """A bare record: whoever could write the file could write the measurements in it."""

    code = "release-unsigned"


class PayloadTypeWrong(ReleaseRefused):
    """The envelope is signed for something else than a release record."""

    code = "release-payload-type"


class SignatureWrong(ReleaseRefused):
    """A pinned key's signature does not hold: record, type or signature were changed."""

    code = "release-signature"


class SignaturesTooFew(ReleaseRefused):
    """Fewer pinned keys signed than the threshold asks for."""

    code = "release-threshold"


class KeyUnknown(SignaturesTooFew):
    """Too few, and a signature is by a key that is not pinned."""

    code = "release-key-unknown"


class KeyNotInForce(SignaturesTooFew):
    """Too few, and a signature is by a key that is not valid yet or not any more."""

    code = "release-key-not-in-force"


class KeyRevoked(SignaturesTooFew):
    """Too few, and a signature is by a key that was revoked."""

    code = "release-key-revoked"


class RecordContradictsItself(ReleaseRefused):
    """The record's own figures exclude each other, so no image can be the one it describes."""

    code = "release-contradiction"


# --- Which image it is ---------------------------------------------------------------------------


class ImageRefused(ReleaseRefused):
    """The image is not the one that the record describes."""

    code = "release-image"


class VersionDiffers(ImageRefused):
    """The record is one of another version than the image says it is."""

    code = "release-version"


class MeasurementDiffers(ImageRefused):
    """A PCR differs: other code runs."""

    code = "release-pcr"


class BoundaryMoved(ImageRefused):
    """Sections differ and no PCR does: bytes moved from one section to its neighbour."""

    code = "release-boundary"


class SectionDiffers(ImageRefused):
    """A section that no PCR covers differs, or one is missing, added or elsewhere."""

    code = "release-section"


class ImageSignatureUnlisted(ImageRefused):
    """The image carries a signature that the record does not list; all else is as recorded."""

    code = "release-image-signature"


class FileDiffers(ImageRefused):
    """All sections are as recorded, but the file is another: a field of the header differs."""

    code = "release-file"
