"""Third-party Python code: the wheels that `enclave/requirements.lock` allows, by hash.

The lock names every file of a release by hash; `pins/wheels.json` says which one of them goes into
the image, so that neither a package index nor a version of pip has a say in it. A wheel is fetched
by pip, which knows how to reach an index from this machine, and counts only by its hash.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from strongroom_eif.recipe.content_errors import (
    LockMalformed,
    WheelMissing,
    WheelNotLocked,
)
from strongroom_eif.recipe.contents import PYTHON
from strongroom_eif.recipe.errors import InputMissing
from strongroom_eif.recipe.store import Store

__all__ = [
    "Wheel",
    "locked",
    "read_lock",
    "read_pins",
    "resolve",
    "wheel_file",
    "write_pins",
]

FORMAT: Final = "strongroom-wheels/1"

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PIN: Final = re.compile(rf"({_NAME})==([A-Za-z0-9.!+_-]+)(?: *;[^\\]*)?")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_GLIBC: Final = 41
"""trixie has glibc 2.41, so a wheel may ask for any manylinux up to that."""
_PIP_SECONDS: Final = 600


_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_FileName = Annotated[
    str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._]+-[A-Za-z0-9.!+_]+(-[A-Za-z0-9._]+){3,4}\.whl\Z")
]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of the image.

    Attributes:
        name: As in the lock.
        version: Likewise.
        filename: Under which the index has it.
        size: Bytes.
        sha256: Hexadecimal.
    """

    name: str
    version: str
    filename: _FileName
    size: Annotated[int, msgspec.Meta(gt=0, le=1 << 30)]
    sha256: _Digest


class _PinsJson(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    wheels: list[Wheel]


# --- The lock and the pins -----------------------------------------------------------------------


def read_lock(path: Path) -> dict[tuple[str, str], frozenset[str]]:
    """Returns the hashes that a lock allows, by name and version.

    Raises:
        LockMalformed: A line that is neither, a name without hash, or twice the same.
    """
    found: dict[tuple[str, str], frozenset[str]] = {}
    try:
        logical = path.read_text(encoding="utf-8").replace("\\\n", " ")
    except (OSError, UnicodeDecodeError) as error:
        raise LockMalformed(f"{path.name} cannot be read: {error}") from error
    for line in logical.splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        hashes = frozenset(_HASH.findall(text))
        pin = _PIN.fullmatch(_HASH.sub("", text).strip())
        if pin is None:
            raise LockMalformed(f"a line of {path.name} is not understood: {text[:100]}")
        if not hashes:
            raise LockMalformed(
                f"{pin[1]} has no hash in {path.name}", remedy="re-make the lock with `make lock`"
            )
        if any(name == pin[1] for name, _ in found):
            raise LockMalformed(f"{pin[1]} is in {path.name} twice")
        found[pin[1], pin[2]] = hashes
    return found


def read_pins(path: Path) -> tuple[Wheel, ...]:
    """Returns the wheels that are pinned, in the order of their names.

    Raises:
        LockMalformed: The file is not one that `write_pins` wrote.
    """
    try:
        table = msgspec.json.decode(path.read_bytes(), type=_PinsJson)
    except (OSError, msgspec.DecodeError) as error:
        raise LockMalformed(
            f"{path.name} cannot be read: {error}", remedy="make it anew with `make pins`"
        ) from error
    if table.format != FORMAT:
        raise LockMalformed(f"{path.name} has another format", expected=FORMAT, actual=table.format)
    return tuple(table.wheels)


def write_pins(wheels: Iterable[Wheel]) -> str:
    """Returns the text of `pins/wheels.json`."""
    table = _PinsJson(format=FORMAT, wheels=sorted(wheels, key=lambda wheel: wheel.name))
    return msgspec.json.format(msgspec.json.encode(table), indent=2).decode() + "\n"


def locked(
    wheels: Iterable[Wheel], lock: Mapping[tuple[str, str], frozenset[str]]
) -> tuple[Wheel, ...]:
    """Returns the wheels, proved to be exactly what the lock asks for: none less, none else.

    Raises:
        WheelNotLocked: Naming the first that is not.
    """
    kept = tuple(wheels)
    remedy = "choose them anew with `make pins`, and look at what changed"
    for wheel in kept:
        allowed = lock.get((wheel.name, wheel.version), frozenset())
        if wheel.sha256 not in allowed:
            raise WheelNotLocked(
                f"{wheel.filename} is pinned, and enclave/requirements.lock does not allow it",
                expected=f"one of {len(allowed)} hashes for {wheel.name} {wheel.version}",
                actual=wheel.sha256,
                remedy=remedy,
            )
    names = [(wheel.name, wheel.version) for wheel in kept]
    for name, version in lock:
        if names.count((name, version)) != 1:
            raise WheelNotLocked(
                f"the lock names {name} {version}, the pins do not name exactly one wheel of it",
                remedy=remedy,
            )
    return kept


# --- Fetching ------------------------------------------------------------------------------------


def resolve(lock: Path) -> tuple[Wheel, ...]:
    """Returns the wheels that pip chooses from a lock for the image's Python and processor.

    For the maintainer, when the lock changes; builds read the pins.

    Raises:
        WheelMissing: A release has no wheel for the image, or no index can be reached.
    """
    pins = {re.sub(r"[-_.]+", "-", name).lower(): name for name, _ in read_lock(lock)}
    versions = dict(read_lock(lock).keys())
    with tempfile.TemporaryDirectory() as folder:
        # Markers in the lock are judged by pip for the machine it runs on, an x86-64 Linux.
        _pip(Path(folder), "--requirement", str(lock))
        found = []
        for path in sorted(Path(folder).iterdir()):
            name = pins[re.sub(r"[-_.]+", "-", path.name.partition("-")[0]).lower()]
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            found.append(Wheel(name, versions[name], path.name, len(data), digest))
        return locked(sorted(found, key=lambda wheel: wheel.name), read_lock(lock))


def wheel_file(store: Store, wheel: Wheel) -> Path:
    """Returns a pinned wheel's file, from the cache or the inputs, else through pip.

    Raises:
        WheelMissing: No index has it, or none can be reached.
    """
    try:
        return store.file(sha256=wheel.sha256, size=wheel.size, urls=(), name=wheel.filename)
    except InputMissing:
        if store.offline:
            raise
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        target = Path(folder) / "wheels"
        _pip(target, "--requirement", str(requirement))
        fetched = [path for path in target.iterdir() if path.is_file()]
        if len(fetched) != 1:
            raise WheelMissing(f"pip fetched {len(fetched)} files for {wheel.name}", expected=1)
        return store.add(fetched[0], wheel.sha256)


def _pip(target: Path, *arguments: str) -> None:
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)]
    platforms += ["--platform=manylinux2014_x86_64", "--platform=manylinux2010_x86_64"]
    abis = ["--implementation=cp", f"--abi=cp{PYTHON.replace('.', '')}", "--abi=abi3", "--abi=none"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir"]
    command += [f"--python-version={PYTHON}", *abis, *platforms, f"--dest={target}", *arguments]
    try:
        result = subprocess.run(  # noqa: S603  our own interpreter's pip
            command,
            capture_output=True,
            text=True,
            timeout=_PIP_SECONDS,
            check=False,
            # From the environment comes how the index is reached; other options do not.
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
    except subprocess.TimeoutExpired as error:
        raise WheelMissing(
            f"pip did not answer within {_PIP_SECONDS} s", remedy="check the network"
        ) from error
    if result.returncode:
        told = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise WheelMissing(
            f"pip cannot fetch a wheel: {' '.join(told)[:400] or result.stderr[-400:]}",
            remedy="check the network and pip's index configuration, or put the wheels into the "
            "folder given as INPUTS",
        )
