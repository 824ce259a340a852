"""Verifies attestation evidence: pure functions of bytes, roots, a policy and a time.

`strongroom_attest.nitro` holds what is specific to AWS Nitro Enclaves; the names here are shared
by every platform. Nothing in this package reads a clock, a file, a socket or the environment.
"""

from strongroom_attest.errors import AttestationError, CallerError, EvidenceError, Refusal
from strongroom_attest.freshness import Challenge, FreshnessWindow
from strongroom_attest.policy import (
    Absent,
    AllOf,
    AnyOf,
    Exactly,
    Matcher,
    OneOf,
    Policy,
    Unchecked,
    appraise,
)
from strongroom_attest.result import (
    Appraisal,
    Findings,
    Mode,
    Skipped,
    VerifiedArchived,
    VerifiedLive,
)

__all__ = [
    "Absent",
    "AllOf",
    "AnyOf",
    "Appraisal",
    "AttestationError",
    "CallerError",
    "Challenge",
    "EvidenceError",
    "Exactly",
    "Findings",
    "FreshnessWindow",
    "Matcher",
    "Mode",
    "OneOf",
    "Policy",
    "Refusal",
    "Skipped",
    "Unchecked",
    "VerifiedArchived",
    "VerifiedLive",
    "appraise",
]
