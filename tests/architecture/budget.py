"""How much code is trusted, held to a budget. What a line is, the audit's own counter says."""

from pathlib import Path

from strongroom_host.audit.lines import code_lines, lines_by_part, totals

from tests.architecture.source import Finding, modules_under

__all__ = [
    "MODULE_LINES",
    "code_lines",
    "lines_by_part",
    "long_modules",
    "over_budget",
    "totals",
]

MODULE_LINES = 500
"""Lines of any kind in one module."""


def over_budget(enclave: Path, budgets: tuple[int, ...] = ()) -> list[Finding]:
    """Return a finding, naming the largest parts, for each budget that is exceeded.

    `budgets` replaces the budgets of `totals`, in its order.
    """
    parts = lines_by_part(enclave)
    largest = sorted(parts.items(), key=lambda part: -part[1])[:3]
    named = ", ".join(f"{part} {n}" for part, n in largest)
    findings = []
    for place, (what, (lines, agreed)) in enumerate(totals(parts).items()):
        if lines > (limit := budgets[place] if budgets else agreed):
            text = f"{what}: {lines} lines of code, budget {limit}; largest: {named}"
            findings.append(Finding(enclave.name, 0, text))
    return findings


def long_modules(folder: Path, limit: int = MODULE_LINES) -> list[Finding]:
    """Return the modules longer than the limit, counting every line."""
    return [
        Finding(module.path, limit, f"{length} lines, at most {limit}")
        for module in modules_under(folder)
        if (length := len(module.source.splitlines())) > limit
    ]
