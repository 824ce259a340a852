"""Small source trees written for one test, in which a rule is broken on purpose."""

from pathlib import Path

from tests.architecture.source import Module

__all__ = ["module", "write_tree"]


def module(name: str, source: str) -> Module:
    """Return a module that exists only in memory."""
    return Module(name, f"{name.replace('.', '/')}.py", source)


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Write files below `root`, making packages of all folders between; return `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        for folder in path.relative_to(root).parents:
            if folder != Path() and path.suffix == ".py":
                (root / folder / "__init__.py").touch()
    return root
