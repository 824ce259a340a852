"""Whether everything that runs can be imported, and what kind of build the compiled parts are."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import Final

from strongroom_host.runners.doctor.result import Result, fail, ok, warn
from strongroom_host.runners.implementations import in_use, pure

__all__ = ["SUPPORTED_PYTHON", "examine_packages", "examine_python"]

SUPPORTED_PYTHON: Final = ((3, 11), (3, 12), (3, 13))
_INSTALL: Final = "run `make env` in the repository: it installs the hashed lock"

_OURS: Final = ("strongroom_wire", "strongroom_attest", "strongroom_enclave", "strongroom_local")
"""Found, not imported: the host imports no code of the enclave."""

_COMPILED: Final = (
    ("cryptography", "cryptography.hazmat.primitives.hpke"),
    ("cbor2", "cbor2"),
    ("coincurve", "coincurve"),
    ("msgspec", "msgspec"),
    ("grpcio", "grpc"),
    ("protobuf", "google.protobuf"),
    ("pycryptodome", "Crypto.Hash.keccak"),
)
"""Distribution, and the module whose import loads its compiled code."""

_PURE: Final = (
    "certifi",
    "eth_account",
    "h11",
    "httpx",
    "rich",
    "starlette",
    "typer",
    "uvicorn",
)
_OPTIONAL: Final = (("safe-pysha3", "sha3"), ("uvloop", "uvloop"), ("picows", "picows"))


def examine_python() -> Result:
    """Returns whether this interpreter is a supported one."""
    here = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in SUPPORTED_PYTHON:
        return ok("Python", f"{here}, {sys.executable}")
    wanted = ", ".join(".".join(map(str, version)) for version in SUPPORTED_PYTHON)
    return fail("Python", here, f"use one of {wanted}, then `make env`")


def examine_packages() -> Iterator[Result]:
    """Yields a result for our own packages, each compiled one, the rest, and the fallbacks."""
    if missing := [name for name in _OURS if find_spec(name) is None]:
        yield fail("own packages", f"not installed: {', '.join(missing)}", _INSTALL)
    else:
        yield ok("own packages", ", ".join(_OURS))
    for name, module in _COMPILED:
        yield _compiled(name, module)
    broken = {name: reason for name in _PURE if (reason := _import(name))}
    if broken:
        detail = "; ".join(f"{name}: {reason}" for name, reason in broken.items())
        yield fail("other packages", detail, _INSTALL)
    else:
        yield ok("other packages", ", ".join(_PURE))
    yield _implementations()


def _compiled(name: str, module: str) -> Result:
    # In a process of its own: a compiled module for another machine can end the one that loads it.
    if reason := _import_apart(module):
        return fail(name, reason, _INSTALL)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return warn(name, "importable, but no distribution of that name is installed", _INSTALL)
    tags = re.findall(r"^Tag: (\S+)$", found.read_text("WHEEL") or "", re.MULTILINE)
    platforms = sorted({tag.rpartition("-")[2] for tag in tags})
    detail = f"{found.version}, wheel for {', '.join(platforms) or 'unknown'}"
    if any(platform.startswith("linux_") for platform in platforms):
        return warn(
            name,
            f"{detail}: built on this machine, so not the file whose hash is in the lock",
            _INSTALL,
        )
    return ok(name, detail)


def _implementations() -> Result:
    parts = ", ".join(f"{part}: {name}" for part, name in in_use().items())
    if pure():
        return ok("implementations", f"{parts} (STRONGROOM_PURE=1: pure-Python fallbacks)")
    if missing := [name for name, module in _OPTIONAL if find_spec(module) is None]:
        return warn(
            "implementations",
            f"{parts}; not installed: {', '.join(missing)}",
            "nothing is needed; for speed, install the extra: pip install -e '.[fast]'",
        )
    return ok("implementations", parts)


def _import(module: str) -> str:
    """Returns why a module cannot be imported, or ""."""
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  a broken package raises anything while loading
        return f"{type(error).__name__}: {error}"
    return ""


def _import_apart(module: str) -> str:
    command = [sys.executable, "-P", "-c", f"import {module}"]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter, a name from the table above
            command, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"importing {module} ended with status {done.returncode}"
