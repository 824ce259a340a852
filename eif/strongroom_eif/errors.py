"""Everything this package raises: one root, split by who erred, one leaf per rule.

`code` is stable and machine-readable; the text is for people and may change. `expected` and
`actual` hold the two values that disagreed, where there are two. `elsewhere` says what other
readers of the format do with an image that breaks the rule, as read in their code: AWS's library
behind nitro-cli (`EifReader`, which walks the sections one after another and never looks at the
header's offsets) and QEMU (`hw/core/eif.c`, which follows the offsets).
"""

from typing import ClassVar

__all__ = [
    "AlgorithmMismatch",
    "AlreadySigned",
    "ArchitectureMismatch",
    "CallerError",
    "CertificateExpired",
    "CertificateNotYetValid",
    "CertificateUnusable",
    "CmdlineInvalid",
    "EifError",
    "ImageError",
    "InvalidArgument",
    "KernelInvalid",
    "KeyMismatch",
    "KeyUnsupported",
    "MetadataInvalid",
    "NotSigned",
    "SignatureError",
    "SignatureInvalid",
    "SignatureMalformed",
    "SignatureWrongImage",
    "shown",
]


def shown(value: object) -> str:
    """Returns `value` as short printable ASCII, safe for a terminal even if a peer chose it."""
    text = bytes(value[:100]).hex() if isinstance(value, bytes | memoryview) else ascii(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


class EifError(Exception):
    """Root of all errors of this package: whatever the input, nothing else comes out.

    Attributes:
        code: Stable identifier of the rule that was broken.
        elsewhere: What AWS's tools and QEMU do with an image that breaks it; empty where that is
            the same as here or nothing is known.
        expected: What would have been accepted, if that is one value.
        actual: What was found in its place.
    """

    code: ClassVar[str] = "eif-error"
    elsewhere: ClassVar[str] = ""

    def __init__(self, message: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


# --- The caller of this library erred ------------------------------------------------------------


class CallerError(EifError):
    """The arguments make no sense, whatever the image says."""

    code = "caller-error"


class InvalidArgument(CallerError):
    """An argument is unusable: a naive datetime, an empty kernel, too many ramdisks."""

    code = "invalid-argument"


class AlreadySigned(CallerError):
    """The image carries a signature; replacing it has to be asked for."""

    code = "already-signed"


class NotSigned(CallerError):
    """The image carries no signature that could be replaced, removed or verified."""

    code = "not-signed"


class KeyUnsupported(CallerError):
    """The signing key is not an ECDSA key on P-256, P-384 or P-521, or cannot be read."""

    code = "key-unsupported"


class KeyMismatch(CallerError):
    """The private key is not the one that the certificate is for."""

    code = "key-mismatch"


# --- The bytes are at fault ----------------------------------------------------------------------


class ImageError(EifError):
    """The bytes are not an image that this package stands behind."""

    code = "image-error"


class KernelInvalid(ImageError):
    """The kernel section holds no bzImage (x86_64) or Image (aarch64)."""

    code = "kernel"
    elsewhere = "nitro-cli does not look into the kernel; the enclave fails to boot"


class ArchitectureMismatch(ImageError):
    """The kernel is one for another architecture than the image declares."""

    code = "architecture-mismatch"


class CmdlineInvalid(ImageError):
    """The command line is one that the kernel would read in part only, or that misleads a reader.

    The kernel stops at a NUL byte and at the size it has room for, while all bytes are measured.
    """

    code = "cmdline"
    elsewhere = "nitro-cli's reader and QEMU measure any bytes"


class MetadataInvalid(ImageError):
    """The metadata section is not the JSON that the specification describes.

    Attributes:
        field: The member at fault, empty for the whole.
    """

    code = "metadata"
    elsewhere = "the hypervisor does not read metadata; nitro-cli's reader takes the last of equals"

    def __init__(
        self, field: str, message: str, *, expected: object = None, actual: object = None
    ) -> None:
        where = f"metadata {field}" if field else "metadata"
        super().__init__(f"{where}: {message}", expected=expected, actual=actual)
        self.field = field


# --- The signature is at fault -------------------------------------------------------------------


class SignatureError(ImageError):
    """The signature section does not show that the certificate's holder signed this image."""

    code = "signature-error"


class SignatureMalformed(SignatureError):
    """The section is not encoded as the builder and the hypervisor's reader want it."""

    code = "signature-malformed"
    elsewhere = (
        "nitro-cli takes byte strings, any order of members and more tuples, of which only the "
        "first is checked; QEMU wants arrays of one-byte integers"
    )


class CertificateUnusable(SignatureError):
    """The signing certificate cannot be parsed, or its key is on another curve."""

    code = "certificate-unusable"


class CertificateExpired(SignatureError):
    """The certificate was no longer valid at the given time: the enclave would not boot."""

    code = "certificate-expired"
    elsewhere = "nitro-cli describes and signs without looking; booting fails with E36 or E39"


class CertificateNotYetValid(SignatureError):
    """The certificate was not valid yet at the given time: the enclave would not boot."""

    code = "certificate-not-yet-valid"
    elsewhere = "nitro-cli describes and signs without looking; booting fails with E36 or E39"


class AlgorithmMismatch(SignatureError):
    """The protected header names another algorithm than the certificate's curve wants."""

    code = "algorithm-mismatch"


class SignatureWrongImage(SignatureError):
    """What was signed is not PCR0 of this image: the signature belongs to another one."""

    code = "signature-wrong-image"
    elsewhere = "nitro-cli's describe-eif prints SignatureCheck: false; QEMU does not check"


class SignatureInvalid(SignatureError):
    """The ECDSA signature does not verify under the certificate's key."""

    code = "signature-invalid"
    elsewhere = "QEMU does not check signatures"
