"""What a Nitro document has to say: one frozen value, complete by construction."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from strongroom_attest.errors import (
    DebugRefused,
    EmptyPolicy,
    PolicyInvalid,
    TestRootRefused,
    UnsignedRefused,
)
from strongroom_attest.nitro.document import MAX_PCRS, PCR_LENGTHS, AttestationDocument
from strongroom_attest.nitro.roots import PRODUCTION_ROOTS
from strongroom_attest.nitro.verify import AuthenticatedDocument, UnsignedDocument
from strongroom_attest.policy import Exactly, Matcher, OneOf, Unchecked, match_field
from strongroom_attest.result import Findings, Mode, Skipped

__all__ = ["REQUIRED_PCRS", "NitroEvidence", "NitroPolicy", "PcrMatcher"]

PcrMatcher: TypeAlias = Exactly | OneOf | Unchecked
NitroEvidence: TypeAlias = AuthenticatedDocument | UnsignedDocument

REQUIRED_PCRS: Final = (0, 1, 2)
"""The image's measurements. A policy cannot be built without saying something about each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NitroPolicy:
    """Expected values of one document. No field has a default that skips a check.

    Attributes:
        pcrs: Index -> matcher. 0, 1 and 2 are required. Name 3 (IAM role) or 4 (instance) to know
            in whose account or on which machine, 8 for who signed the image, 16 for what the
            application committed to. A PCR that is named and compared but absent is refused.
        public_key: The key the document vouches for: compare it with the key of the channel.
        user_data: What else the enclave committed to.
        nonce: `verify_live` compares the nonce with its challenge besides; a policy for it says
            `Unchecked("compared with the challenge")`.
        mode: PRODUCTION refuses debug enclaves and any root that is not a platform vendor's,
            whatever else the policy or the caller says.
        allow_unsigned: Accept documents that nobody signed. Needs DEVELOPMENT.
    """

    pcrs: Mapping[int, PcrMatcher]
    public_key: Matcher
    user_data: Matcher
    nonce: Matcher
    mode: Mode = Mode.PRODUCTION
    allow_unsigned: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "pcrs", MappingProxyType(dict(self.pcrs)))
        check_required_pcrs(self.pcrs)
        check_pcr_matchers(self.pcrs)
        check_unsigned_mode(self.mode, self.allow_unsigned)
        check_compares_something((*self.pcrs.values(), self.public_key, self.user_data, self.nonce))

    def assess(self, evidence: NitroEvidence, /) -> Findings:
        """Returns what was compared; every mismatch is an exception.

        Raises:
            UnsignedRefused: Nobody signed it and the policy does not allow that.
            TestRootRefused: Production mode, and the root is not a vendor's.
            DebugRefused: Production mode, and PCR0..2 are zero.
            PolicyMismatch: A field differs, or a compared PCR is not in the document.
        """
        check_signed(evidence, self.allow_unsigned)
        if self.mode is Mode.PRODUCTION:
            check_vendor_root(evidence)
            check_not_debug(evidence.document)
        return self._compare(evidence.document)

    def _compare(self, document: AttestationDocument) -> Findings:
        compared: list[str] = []
        skipped: list[Skipped] = []

        def compare(field: str, matcher: Matcher, actual: bytes | None) -> None:
            if match_field(field, matcher, actual):
                compared.append(field)
            elif isinstance(matcher, Unchecked):
                skipped.append(Skipped(field, matcher.reason))

        for index, matcher in sorted(self.pcrs.items()):
            compare(f"pcrs[{index}]", matcher, document.pcrs.get(index))
        compare("public_key", self.public_key, document.public_key)
        compare("user_data", self.user_data, document.user_data)
        compare("nonce", self.nonce, document.nonce)
        skipped += [
            Skipped(f"pcrs[{index}]", "not named by the policy")
            for index in sorted(document.pcrs.keys() - self.pcrs.keys())
        ]
        return Findings(self.mode, tuple(compared), tuple(skipped))


def check_required_pcrs(pcrs: Mapping[int, PcrMatcher]) -> None:
    """Refuses a policy that is silent about an image measurement."""
    missing = [index for index in REQUIRED_PCRS if index not in pcrs]
    if missing:
        raise PolicyInvalid(
            f"the policy says nothing about PCR {', '.join(map(str, missing))}: give a value or "
            "Unchecked with a reason"
        )


def check_pcr_matchers(pcrs: Mapping[int, PcrMatcher]) -> None:
    """Refuses indexes that do not exist and values that no PCR can have."""
    for index, matcher in pcrs.items():
        if type(index) is not int or not 0 <= index < MAX_PCRS:
            raise PolicyInvalid(f"PCR {index!r} does not exist: 0..{MAX_PCRS - 1}")
        match matcher:
            case Exactly(value=value):
                values: tuple[bytes, ...] = (value,)
            case OneOf(values=values):
                pass
            case Unchecked():
                values = ()
            case _:
                raise PolicyInvalid(f"PCR {index}: {type(matcher).__name__} is not for PCRs")
        if any(len(value) not in PCR_LENGTHS for value in values):
            raise PolicyInvalid(f"PCR {index}: a value has 32, 48 or 64 bytes")


def check_unsigned_mode(mode: Mode, allow_unsigned: bool) -> None:
    """Refuses a production policy that allows unsigned documents."""
    if allow_unsigned and mode is not Mode.DEVELOPMENT:
        raise PolicyInvalid("allow_unsigned needs mode=Mode.DEVELOPMENT")


def check_compares_something(matchers: tuple[Matcher, ...]) -> None:
    """Refuses a policy of nothing but Unchecked."""
    if all(isinstance(matcher, Unchecked) for matcher in matchers):
        raise EmptyPolicy("every field is unchecked: this policy would accept any enclave")


def check_signed(evidence: NitroEvidence, allow_unsigned: bool) -> None:
    """Refuses evidence that nobody signed, unless the policy names it."""
    if isinstance(evidence, UnsignedDocument) and not allow_unsigned:
        raise UnsignedRefused(
            "nobody signed this document; only a development policy with allow_unsigned accepts it"
        )


def check_vendor_root(evidence: NitroEvidence) -> None:
    """Refuses documents under test roots: who pins one for development cannot reach production."""
    if isinstance(evidence, AuthenticatedDocument) and evidence.root_sha256 not in PRODUCTION_ROOTS:
        raise TestRootRefused(
            f"the root {evidence.root_sha256.hex()} is not a platform vendor's: only a development "
            "policy accepts documents of a test or local platform",
            expected=PRODUCTION_ROOTS,
            actual=evidence.root_sha256,
        )


def check_not_debug(document: AttestationDocument) -> None:
    """Refuses debug enclaves, also when the policy expects zeros or skips the PCRs."""
    if document.is_debug:
        raise DebugRefused(
            "PCR0, PCR1 and PCR2 are zero: the enclave runs in debug mode, its console is open to "
            "the host and its image is not measured"
        )
