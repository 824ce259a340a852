"""How much code is trusted: lines of code per part of the image, held to a budget.

A line counts when it holds a token that is neither comment nor docstring; blank lines and generated
protobuf stubs do not count.
"""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

from tests.architecture.source import Finding, Module, modules_under

__all__ = [
    "BUDGET_ENCLAVE",
    "BUDGET_WHOLE",
    "MODULE_LINES",
    "code_lines",
    "lines_by_part",
    "long_modules",
    "over_budget",
]

BUDGET_WHOLE = 4_500
"""Lines of own code the finished image may run, the wire contract included."""
BUDGET_ENCLAVE = 1_900
"""Lines of `strongroom_enclave`: boot, front, signer (enclave/decisions/0003)."""
MODULE_LINES = 500
"""Lines of any kind in one module."""

_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """Return the lines of code in one module: no blank lines, comments or docstrings."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if not (isinstance(body, list) and body and isinstance(body[0], ast.Expr)):
            continue
        first = body[0].value
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            docstrings.update(range(body[0].lineno, (body[0].end_lineno or body[0].lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings)


def part_of(module: Module) -> str:
    """Return the part of the image a module belongs to: `package/subpackage`, or the package."""
    folders = module.path.split("/")[:-1]
    return "/".join(folders[:2])


def lines_by_part(enclave: Path) -> dict[str, int]:
    """Return the lines of code of each part of `enclave/`, in the order of the tree."""
    count: Counter[str] = Counter()
    for module in modules_under(enclave):
        count[part_of(module)] += code_lines(module.source)
    return {part: lines for part, lines in sorted(count.items()) if lines}


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
