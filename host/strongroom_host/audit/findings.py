"""What an audit found: one finding per check, and what they come to together.

A check that could not be done is never a pass. It is `NOT_APPLICABLE` if there is nothing it could
be about (no release published, a component not built yet) and `WARNING` if there is and this
machine could not look; both carry the reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

__all__ = ["Evidence", "Finding", "Report", "Result", "failed", "inapplicable", "passed", "warned"]

Evidence = Mapping[str, object]
"""Figures and digests as plain JSON values, by a name for people."""

_NONE: Final[Evidence] = {}


class Result(Enum):
    """How a check ended; the value stands in reports."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    WARNING = "warning"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome.

    Attributes:
        id: Stable, machine-readable: `rebuild.identical`.
        title: What is checked, as a statement that should be true.
        result: Whether it is.
        detail: What was found, in a sentence or several.
        evidence: The figures and digests behind it.
        remedy: What to do if it did not pass.
    """

    id: str
    title: str
    result: Result
    detail: str
    evidence: Evidence = field(default_factory=dict)
    remedy: str = ""

    def to_json(self) -> dict[str, object]:
        """Returns the finding as plain JSON values."""
        found: dict[str, object] = {
            "id": self.id,
            "title": self.title,
            "result": self.result.value,
            "detail": self.detail,
            "evidence": dict(self.evidence),
        }
        return found | ({"remedy": self.remedy} if self.remedy else {})


def passed(check: str, title: str, detail: str, evidence: Evidence = _NONE) -> Finding:
    """Returns that a check holds."""
    return Finding(check, title, Result.PASS, detail, evidence)


def failed(
    check: str, title: str, detail: str, evidence: Evidence = _NONE, *, remedy: str
) -> Finding:
    """Returns that a check does not hold."""
    return Finding(check, title, Result.FAIL, detail, evidence, remedy)


def warned(
    check: str, title: str, detail: str, evidence: Evidence = _NONE, *, remedy: str
) -> Finding:
    """Returns that a check holds not fully, or could not be done."""
    return Finding(check, title, Result.WARNING, detail, evidence, remedy)


def inapplicable(check: str, title: str, reason: str, remedy: str = "") -> Finding:
    """Returns that there is nothing a check could be about, and why."""
    return Finding(check, title, Result.NOT_APPLICABLE, reason, _NONE, remedy)


@dataclass(frozen=True, slots=True)
class Report:
    """A whole audit.

    Attributes:
        version: The version of the source.
        started: RFC 3339, UTC.
        finished: Likewise.
        findings: In the order of the checks.
        fault: Exit status of what kept the audit from being whole: 2 the caller's input, 5 this
            machine; 0 if nothing did.
        image: What was built or given: name, size, digests; empty if there is none.
    """

    version: str
    started: str
    finished: str
    findings: tuple[Finding, ...]
    fault: int = 0
    image: Evidence = field(default_factory=dict)

    def count(self, result: Result) -> int:
        """Returns how many checks ended so."""
        return sum(finding.result is result for finding in self.findings)

    @property
    def exit_status(self) -> int:
        """0 if no check failed; else what kept the audit from being whole; else 1."""
        if not any(finding.result is Result.FAIL for finding in self.findings):
            # An audit in which nothing passed has shown nothing.
            return self.fault or (0 if self.count(Result.PASS) else 1)
        return self.fault or 1

    def to_json(self) -> dict[str, object]:
        """Returns the report as plain JSON values."""
        return {
            "format": "strongroom-audit/1",
            "version": self.version,
            "started": self.started,
            "finished": self.finished,
            "passed": self.exit_status == 0,
            "counts": _counts(self.findings),
            "image": dict(self.image),
            "findings": [finding.to_json() for finding in self.findings],
        }


def _counts(findings: Iterable[Finding]) -> dict[str, int]:
    counts = {result.value: 0 for result in Result}
    for finding in findings:
        counts[finding.result.value] += 1
    return counts
