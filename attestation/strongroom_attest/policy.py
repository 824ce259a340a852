"""Matchers, composition and appraisal: comparison only, shared by every platform.

A field is compared (`Exactly`, `OneOf`, `Absent`) or skipped aloud (`Unchecked`); there is no way
to leave it out. Each platform adds one frozen policy type that implements `Policy`.
"""

import hmac
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from strongroom_attest.errors import (
    EmptyPolicy,
    NoAlternative,
    PolicyInvalid,
    PolicyMismatch,
    Refusal,
)
from strongroom_attest.result import SEAL, Appraisal, Findings, Mode

__all__ = [
    "Absent",
    "AllOf",
    "AnyOf",
    "Exactly",
    "Matcher",
    "OneOf",
    "Policy",
    "Unchecked",
    "appraise",
    "match_field",
]

EvidenceT = TypeVar("EvidenceT")
EvidenceT_contra = TypeVar("EvidenceT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Exactly:
    """The field must hold these bytes. `Exactly(b"")` is an empty field, not a missing one."""

    value: bytes

    def __post_init__(self) -> None:
        check_bytes(self.value)

    def __str__(self) -> str:
        return self.value.hex() or "(empty)"


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field must hold one of these, for instance the PCR0 of every release still in use."""

    values: tuple[bytes, ...]

    def __post_init__(self) -> None:
        check_values(self.values)
        for value in self.values:
            check_bytes(value)

    def __str__(self) -> str:
        return "one of " + ", ".join(value.hex() or "(empty)" for value in self.values)


@dataclass(frozen=True, slots=True)
class Absent:
    """The field must be null in the document (an empty byte string is not null)."""

    def __str__(self) -> str:
        return "absent"


@dataclass(frozen=True, slots=True)
class Unchecked:
    """The field is not compared, for a stated reason, which every result repeats."""

    reason: str

    def __post_init__(self) -> None:
        check_reason(self.reason)

    def __str__(self) -> str:
        return f"unchecked ({self.reason})"


Matcher: TypeAlias = Exactly | OneOf | Absent | Unchecked


def check_bytes(value: object) -> None:
    """Refuses text: "ab12" compared with two bytes would never match, and puzzle its author."""
    if not isinstance(value, bytes):
        raise PolicyInvalid(f"a matcher compares bytes, not {type(value).__name__}")


def check_values(values: object) -> None:
    """Refuses a OneOf of nothing, and one of a bare value: bytes iterate as integers."""
    if not isinstance(values, tuple):
        raise PolicyInvalid(f"OneOf takes a tuple of bytes, not {type(values).__name__}")
    if not values:
        raise EmptyPolicy("OneOf() accepts nothing: name at least one value")


def check_reason(reason: str) -> None:
    """Refuses an `Unchecked` that does not say why."""
    if not reason.strip():
        raise PolicyInvalid("Unchecked needs a reason: say why this field need not be compared")


def match_field(field: str, matcher: Matcher, actual: bytes | None) -> bool:
    """Returns True if `actual` was compared and matched, False if the matcher skips it.

    Raises:
        PolicyMismatch: It was compared and differs.
    """
    match matcher:
        case Unchecked():
            return False
        case Absent():
            matched = actual is None
        case Exactly(value=value):
            matched = actual is not None and hmac.compare_digest(value, actual)
        case OneOf(values=values):
            matched = actual is not None and any(hmac.compare_digest(v, actual) for v in values)
    if not matched:
        raise PolicyMismatch(field, expected=matcher, actual=actual)
    return True


class Policy(Protocol[EvidenceT_contra]):
    """Something that evidence can be compared with."""

    def assess(self, evidence: EvidenceT_contra, /) -> Findings:
        """Returns what was compared.

        Raises:
            Refusal: The evidence is not what the policy asks for.
        """
        ...


@dataclass(frozen=True)  # no slots: AllOf[X](...) fails with them on CPython 3.11
class AllOf(Generic[EvidenceT]):
    """Accepts what every member accepts. An empty one is refused, not vacuously true."""

    policies: tuple[Policy[EvidenceT], ...]

    def __post_init__(self) -> None:
        check_members("AllOf", self.policies)

    def assess(self, evidence: EvidenceT, /) -> Findings:
        parts = [policy.assess(evidence) for policy in self.policies]
        compared = tuple(dict.fromkeys(field for part in parts for field in part.compared))
        return Findings(
            # Each member's mode was enforced on the same evidence, so the strictest one holds.
            mode=Mode.PRODUCTION
            if any(part.mode is Mode.PRODUCTION for part in parts)
            else Mode.DEVELOPMENT,
            compared=compared,
            skipped=tuple(
                {
                    skip.field: skip
                    for part in parts
                    for skip in part.skipped
                    if skip.field not in compared
                }.values()
            ),
        )


@dataclass(frozen=True)  # no slots: AnyOf[X](...) fails with them on CPython 3.11
class AnyOf(Generic[EvidenceT]):
    """Accepts what at least one member accepts; the findings are those of the first that does."""

    policies: tuple[Policy[EvidenceT], ...]

    def __post_init__(self) -> None:
        check_members("AnyOf", self.policies)

    def assess(self, evidence: EvidenceT, /) -> Findings:
        causes: list[Refusal] = []
        for policy in self.policies:
            try:
                return policy.assess(evidence)
            except Refusal as cause:
                causes.append(cause)
        raise NoAlternative(tuple(causes))


def check_members(kind: str, policies: object) -> None:
    """Refuses a composite with no members: all of nothing is true of anything."""
    if not isinstance(policies, tuple):
        raise PolicyInvalid(f"{kind} takes a tuple of policies, not {type(policies).__name__}")
    if not policies:
        raise EmptyPolicy(f"{kind} of no policies compares nothing")


def appraise(evidence: EvidenceT, policy: Policy[EvidenceT]) -> Appraisal[EvidenceT]:
    """Proves that authenticated evidence is what `policy` asks for. No cryptography, no clock.

    Raises:
        Refusal: It is not; the leaf class and `code` say in what.
    """
    return Appraisal(evidence=evidence, findings=policy.assess(evidence), seal=SEAL)
