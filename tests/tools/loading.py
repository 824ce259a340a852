"""Load a script of `.tools/` as a module; its folder is not on the path and its name is hidden."""

import importlib.util
import sys
from types import ModuleType

from tests.architecture.source import ROOT

__all__ = ["load"]


def load(name: str) -> ModuleType:
    """Return the module made from `.tools/<name>.py`."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / ".tools" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module
