"""How much code is trusted, held to a budget. What a line is, the audit's own counter says."""

from pathlib import Path

from strongroom_host.audit.lines import (
    BUDGET_ENCLAVE,
    BUDGET_WHOLE,
    code_lines,
    lines_by_part,
)

from tests.architecture.source import Finding, modules_under

__all__ = [
    "BUDGET_ENCLAVE",
    "BUDGET_WHOLE",
    "MODULE_LINES",
    "code_lines",
    "lines_by_part",
    "long_modules",
    "over_budget",
]

MODULE_LINES = 500
"""Lines of any kind in one module."""


def over_budget(
    enclave: Path, budget: int = BUDGET_ENCLAVE, whole: int = BUDGET_WHOLE
) -> list[Finding]:
    """Return a finding, naming the largest parts, for each budget that is exceeded."""
    parts = lines_by_part(enclave)
    inside = {part: n for part, n in parts.items() if part.startswith("strongroom_enclave")}
    findings = []
    for what, counted, limit in (("strongroom_enclave", inside, budget), ("all", parts, whole)):
        if (total := sum(counted.values())) > limit:
            largest = sorted(counted.items(), key=lambda part: -part[1])[:3]
            named = ", ".join(f"{part} {n}" for part, n in largest)
            text = f"{what}: {total} lines of code, budget {limit}; largest: {named}"
            findings.append(Finding(enclave.name, 0, text))
    return findings


def long_modules(folder: Path, limit: int = MODULE_LINES) -> list[Finding]:
    """Return the modules longer than the limit, counting every line."""
    return [
        Finding(module.path, limit, f"{length} lines, at most {limit}")
        for module in modules_under(folder)
        if (length := len(module.source.splitlines())) > limit
    ]
