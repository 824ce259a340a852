"""What a distribution imports, held against what it declares and what its lock pins."""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.source import Finding, Module

__all__ = ["OWN", "declared", "lock_problems", "pins", "third_party", "undeclared", "unused"]

OWN = frozenset(
    {
        "strongroom_attest",
        "strongroom_eif",
        "strongroom_enclave",
        "strongroom_host",
        "strongroom_local",
        "strongroom_wire",
    }
)

# Where the imported name is not the distribution's.
_PROVIDED_BY = {
    "Crypto": "pycryptodome",
    "eth_account": "eth-account",
    "google": "protobuf",
    "grpc": "grpcio",
    "sha3": "safe-pysha3",
    "zmq": "pyzmq",
}

_PIN = re.compile(r"(?m)^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?P<rest>(?:.*\\\n)*.*)$")


def third_party(modules: Iterable[Module]) -> dict[str, Finding]:
    """Return the distributions that the modules import, each with the first place that does."""
    found: dict[str, Finding] = {}
    for module in modules:
        for item in module.imports:
            if item.top in sys.stdlib_module_names or item.top in OWN:
                continue
            name = canonicalize_name(_PROVIDED_BY.get(item.top, item.top))
            found.setdefault(name, Finding(module.path, item.line, f"imports {item.module}"))
    return found


def declared(project: Path, *extras: str) -> dict[str, Requirement]:
    """Return what a pyproject.toml declares, with those extras, by canonical name."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    lines = list(table.get("dependencies", ()))
    for extra in extras:
        lines += table["optional-dependencies"][extra]
    requirements = (Requirement(line) for line in lines)
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def undeclared(imported: dict[str, Finding], names: Iterable[str]) -> list[Finding]:
    """Return the imports of distributions that are not declared."""
    known = set(names)
    return sorted(finding for name, finding in imported.items() if name not in known)


def unused(imported: Iterable[str], names: Iterable[str]) -> set[str]:
    """Return the declared distributions that nothing imports."""
    return set(names) - set(imported)


def pins(lock: Path) -> dict[str, str]:
    """Return the version that a lock pins each distribution to."""
    text = lock.read_text(encoding="utf-8")
    return {canonicalize_name(match["name"]): match["version"] for match in _PIN.finditer(text)}


def lock_problems(lock: Path, requirements: dict[str, Requirement]) -> list[Finding]:
    """Return what is wrong with a lock: a missing or excluded version, no hash, an address."""
    text = lock.read_text(encoding="utf-8")
    versions = pins(lock)
    problems = []
    for name, requirement in requirements.items():
        version = versions.get(name)
        if version is None:
            problems.append(f"{name} is declared and not locked")
        elif not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{name}=={version} is outside the declared {requirement.specifier}")
    problems += [
        f"{match['name']} has no hash"
        for match in _PIN.finditer(text)
        if "--hash=sha256:" not in match["rest"]
    ]
    problems += [f"names an address: {line}" for line in text.splitlines() if "://" in line]
    return [Finding(lock.name, 0, problem) for problem in problems]
