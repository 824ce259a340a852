"""How much code is trusted: lines of code per part of the image, and the budget they are held to.

A line counts when it holds a token that is neither comment nor docstring; blank lines and generated
protobuf stubs do not count. Data beside the code (tables that a module reads) is in no budget, but
named with its lines, so that nothing is hidden in it. The audit and `tests/architecture` count with
this one module.
"""

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = [
    "BUDGET_ENCLAVE",
    "BUDGET_RECORD",
    "BUDGET_WHOLE",
    "code_lines",
    "data_lines",
    "is_generated",
    "lines_by_part",
    "source_paths",
    "totals",
]

BUDGET_WHOLE: Final = 4_500
"""Lines of own code the finished image may run, the wire contract included."""
BUDGET_ENCLAVE: Final = 2_150
"""Lines of `strongroom_enclave` without the record: boot, front, signer, log, sealing
(enclave/decisions/0003)."""
BUDGET_RECORD: Final = 1_535
"""Lines of `strongroom_enclave/record`: connectors, ledger, returns, what is kept of them
(enclave/decisions/0003)."""

_LAYOUT: Final = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)
# Code, which is counted as such; its contract and stubs; and what only people read.
_NO_DATA: Final = frozenset({".py", ".pyc", ".pyi", ".proto", ".md"})
_LEFT_OUT: Final = frozenset({"build", "dist"})
_RECORD: Final = "strongroom_enclave/record"


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


def is_generated(path: str) -> bool:
    """Return whether a file is a generated protobuf stub."""
    return path.endswith(("_pb2.py", "_pb2_grpc.py"))


def source_paths(folder: Path, *, generated: bool = False) -> Iterator[Path]:
    """Yield the modules below a folder that is a root of imports (`enclave/`, `host/`), sorted."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part in _LEFT_OUT for part in parts):
            continue
        if generated or not is_generated(path.name):
            yield path


def lines_by_part(enclave: Path) -> dict[str, int]:
    """Return the lines of code of each part of `enclave/`, in the order of the tree.

    A part is `package/subpackage`, or the package for modules that are in none.
    """
    count: Counter[str] = Counter()
    for path in source_paths(enclave):
        part = "/".join(path.relative_to(enclave).parts[:-1][:2])
        count[part] += code_lines(path.read_text(encoding="utf-8"))
    return {part: lines for part, lines in sorted(count.items()) if lines}


def data_lines(enclave: Path) -> dict[str, int]:
    """Return the lines of each file in the packages of `enclave/` that is neither code nor
    documentation, sorted; blank lines and comments (`#`) do not count."""
    count: dict[str, int] = {}
    for path in sorted(enclave.glob("*/**/*")):
        part = path.relative_to(enclave)
        if part.parts[0] in _LEFT_OUT or any(name.startswith((".", "__")) for name in part.parts):
            continue
        if (
            path.is_file()
            and path.suffix not in _NO_DATA
            and (enclave / part.parts[0] / "__init__.py").is_file()
        ):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            count[part.as_posix()] = sum(line.strip()[:1] not in ("", "#") for line in lines)
    return {path: lines for path, lines in count.items() if lines}


def totals(parts: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return each total that is held to a budget, by name: (lines, budget)."""
    enclave = sum(n for part, n in parts.items() if part.startswith("strongroom_enclave"))
    record = parts.get(_RECORD, 0)
    return {
        "strongroom_enclave without record": (enclave - record, BUDGET_ENCLAVE),
        _RECORD: (record, BUDGET_RECORD),
        "all": (sum(parts.values()), BUDGET_WHOLE),
    }
