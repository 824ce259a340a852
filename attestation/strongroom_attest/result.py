"""What verification yields: types that downstream code demands, and only this package makes.

`Appraisal` says what was compared and what was not. `VerifiedLive` and `VerifiedArchived` share no
base, so a function that wants proof of *now* cannot be handed a proof of *then*.
"""

from dataclasses import InitVar, dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Generic, TypeVar

__all__ = ["Appraisal", "Findings", "Mode", "Skipped", "VerifiedArchived", "VerifiedLive"]

EvidenceT_co = TypeVar("EvidenceT_co", covariant=True)


class Seal:
    """Capability to construct results. A guard against accidents, not against hostile callers:
    code in the same process can always forge an object."""

    __slots__ = ()


SEAL: Final = Seal()


def check_sealed(seal: Seal) -> None:
    """Refuses to construct a result for anybody but the verifier (nor by dataclasses.replace)."""
    if seal is not SEAL:
        raise TypeError("results of verification are made by this package's functions only")


class Mode(Enum):
    """What a policy is for. There is no third value and no default that is weaker."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A field that was not compared, and why."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What one policy compared. `mode` is the strictest of the policies that had to accept."""

    mode: Mode
    compared: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, kw_only=True)  # no slots: generic and frozen, see policy.AllOf
class Appraisal(Generic[EvidenceT_co]):
    """Evidence that is genuine *and* is what a policy asked for; nothing about when."""

    evidence: EvidenceT_co
    findings: Findings
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        check_sealed(seal)


@dataclass(frozen=True, kw_only=True)  # no slots: generic and frozen, see policy.AllOf
class VerifiedLive(Generic[EvidenceT_co]):
    """Evidence that answered this verifier's own fresh challenge at `verified_at`."""

    appraisal: Appraisal[EvidenceT_co]
    nonce: bytes
    verified_at: datetime
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        check_sealed(seal)

    @property
    def evidence(self) -> EvidenceT_co:
        return self.appraisal.evidence

    @property
    def findings(self) -> Findings:
        return self.appraisal.findings


@dataclass(frozen=True, kw_only=True)  # no slots: generic and frozen, see policy.AllOf
class VerifiedArchived(Generic[EvidenceT_co]):
    """Evidence that was genuine at its own signed time, `as_of`. Says nothing about now."""

    appraisal: Appraisal[EvidenceT_co]
    as_of: datetime
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        check_sealed(seal)

    @property
    def evidence(self) -> EvidenceT_co:
        return self.appraisal.evidence

    @property
    def findings(self) -> Findings:
        return self.appraisal.findings
