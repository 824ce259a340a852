"""Trust anchors, by SHA-256 of the certificate's DER.

The root certificate itself travels in every document as `cabundle[0]`; pinning its hash means that
nothing else in a document can become a trust anchor.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from strongroom_attest.errors import InvalidArgument

__all__ = ["AWS_NITRO_ROOT_G1_SHA256", "PRODUCTION_ROOTS", "Roots"]

AWS_NITRO_ROOT_G1_SHA256: Final = bytes.fromhex(
    "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
)
"""CN=aws.nitro-enclaves, valid 2019-10-28 to 2049-10-28.

Origin: https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip, whose SHA-256 is
8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c. The root in every recorded
AWS document has this fingerprint too.
"""

PRODUCTION_ROOTS: Final = frozenset({AWS_NITRO_ROOT_G1_SHA256})
"""Roots held by a platform vendor. A production policy accepts documents under these only."""


@dataclass(frozen=True, slots=True)
class Roots:
    """The fingerprints one verification trusts; never empty."""

    fingerprints: frozenset[bytes]

    def __post_init__(self) -> None:
        check_fingerprints(self.fingerprints)

    @classmethod
    def aws(cls) -> "Roots":
        """Returns the root of AWS Nitro Enclaves, generation 1."""
        return cls(PRODUCTION_ROOTS)

    @classmethod
    def of(cls, *fingerprints: str) -> "Roots":
        """Returns roots from SHA-256 fingerprints in hex, with or without colons.

        Raises:
            InvalidArgument: A fingerprint is not 64 hex digits.
        """
        try:
            return cls(frozenset(bytes.fromhex(text.replace(":", "")) for text in fingerprints))
        except ValueError as error:
            raise InvalidArgument(f"a root fingerprint is not hex: {error}") from error

    @classmethod
    def of_certificates(cls, *ders: bytes) -> "Roots":
        """Returns roots from whole certificates in DER (of a test PKI, say)."""
        return cls(frozenset(hashlib.sha256(der).digest() for der in ders))


def check_fingerprints(fingerprints: frozenset[bytes]) -> None:
    """Refuses an empty set, and values that no certificate can hash to."""
    if not fingerprints:
        raise InvalidArgument("no root: a verifier without a trust anchor accepts nothing")
    if any(len(fingerprint) != hashlib.sha256().digest_size for fingerprint in fingerprints):
        raise InvalidArgument("a root fingerprint is the 32-byte SHA-256 of its DER")
