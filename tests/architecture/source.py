"""The source tree as data: modules, their syntax trees, and the imports in them.

Everything reads files and nothing is imported, so a check sees what is written even where the code
would not load, and a synthetic tree serves a test as well as the real one.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from strongroom_host.audit.lines import is_generated, source_paths

__all__ = ["ROOT", "Finding", "Import", "Module", "is_generated", "listing", "modules_under"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, order=True)
class Finding:
    """One place that breaks a rule."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Import:
    """One imported name: `from a.b import c` gives module `a.b`, name `c`; `import a.b` no name."""

    module: str
    name: str
    line: int

    @property
    def top(self) -> str:
        """The top-level package."""
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """One source file; `name` is dotted, and `path` relative to the scanned root."""

    name: str
    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.source, self.path)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import, at any depth: also in functions and under TYPE_CHECKING."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [Import(alias.name, "", node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                found += [Import(base, alias.name, node.lineno) for alias in node.names]
        return tuple(found)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        drop = node.level - (1 if self.path.endswith("__init__.py") else 0)
        parts = self.name.split(".")
        return ".".join([*parts[: len(parts) - drop], *([node.module] if node.module else [])])

    def in_package(self, *packages: str) -> bool:
        """Return whether the module is one of the packages or inside one."""
        return any(self.name == name or self.name.startswith(f"{name}.") for name in packages)


def listing(findings: Iterable[Finding]) -> str:
    """Return the findings one to a line: what a failing check shows."""
    return "\n".join(map(str, findings))


def modules_under(folder: Path, *, generated: bool = False) -> Iterator[Module]:
    """Yield the modules below a folder that is a root of imports (`enclave/`, `host/`), sorted."""
    for path in source_paths(folder, generated=generated):
        relative = path.relative_to(folder)
        parts = relative.with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Module(name, relative.as_posix(), path.read_text(encoding="utf-8"))
