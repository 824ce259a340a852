"""What a module offers: `__all__` exists and names only what the module defines."""

import ast
from collections.abc import Iterable

from tests.architecture.source import Finding, Module

__all__ = ["export_problems"]


def export_problems(modules: Iterable[Module]) -> list[Finding]:
    """Return the modules without `__all__` that define something, and entries that name nothing.

    `__main__` modules are run, not imported, and a package that holds only its docstring offers
    nothing; both need none.
    """
    problems = []
    for module in modules:
        if module.name.endswith("__main__"):
            continue
        defined = _defined(module.tree)
        listed = _listed(module.tree)
        if listed is None:
            if defined:
                problems.append(Finding(module.path, 1, "has no __all__"))
            continue
        problems += [
            Finding(module.path, line, f"__all__ names {name}, which is not defined here")
            for name, line in listed
            if name not in defined
        ]
    return sorted(problems)


def _listed(tree: ast.Module) -> list[tuple[str, int]] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if names == ["__all__"]:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            entries = value.elts if isinstance(value, ast.List | ast.Tuple) else []
            return [(str(e.value), e.lineno) for e in entries if isinstance(e, ast.Constant)]
    return None


def _defined(tree: ast.Module) -> set[str]:
    """Return the top-level names, also those bound under `if` and `try`."""
    found: set[str] = set()
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
            found.update(name.id for name in names)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            pending += [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            for handler in getattr(node, "handlers", []):
                pending += handler.body
    return found - {"__all__"}
