"""`enclave/` and `attestation/` install alone: their wheels run beside nothing they do not declare.

The clean environment is an empty one into which only the locked closure is linked from the
environment the tests run in, so this needs no network. `.ci/run` installs the real thing by hash.
"""

import importlib.metadata
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.closure import declared, pins
from tests.architecture.source import ROOT, modules_under

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
"""

FOLDERS = {
    "enclave": ("strongroom_wire", "strongroom_enclave"),
    "attestation": ("strongroom_attest",),
}


def closure_of(requirements: list[Requirement]) -> dict[str, importlib.metadata.Distribution]:
    """Return the installed distributions that some requirements bring, with all they need.

    Only what is locked: ccxt asks for more, which no lock has (enclave/ccxt-overrides.in), and
    importing everything shows that it is not needed.
    """
    locked = pins(ROOT / "enclave/requirements.lock")
    found: dict[str, importlib.metadata.Distribution] = {}
    pending = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    while pending:
        requirement = pending.pop()
        if requirement.name in found or canonicalize_name(requirement.name) not in locked:
            continue
        distribution = importlib.metadata.distribution(requirement.name)
        found[requirement.name] = distribution
        needs = map(Requirement, distribution.requires or ())
        pending += [r for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def environment_of(folder: Path, requirements: list[Requirement]) -> Path:
    """Make an environment that holds only the closure of some requirements; return its Python."""
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = (folder / "lib").glob("python*/site-packages")
    for distribution in closure_of(requirements).values():
        for file in distribution.files or ():
            top = file.parts[0]
            if top != ".." and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python"


def install_wheel(project: Path, python: Path, folder: Path) -> None:
    """Build a project's wheel without network and unpack it into an environment."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(folder)]
    subprocess.run([*command, *build, str(project)], check=True, timeout=120)
    [wheel] = folder.glob("*.whl")
    install = ["--python", str(python), "install", "--no-deps", "--no-index", "-q", str(wheel)]
    subprocess.run([*command, *install], check=True, timeout=120)


def import_all(python: Path, names: list[str]) -> subprocess.CompletedProcess[str]:
    """Import modules in an environment that sees neither this checkout nor PYTHONPATH."""
    return subprocess.run(
        [str(python), "-I", "-c", IMPORT_ALL, *names],
        cwd=python.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_installs_and_imports_alone(tmp_path: Path, folder: str) -> None:
    requirements = list(declared(ROOT / folder / "pyproject.toml").values())
    python = environment_of(tmp_path / "env", requirements)
    install_wheel(ROOT / folder, python, tmp_path)
    names = [
        module.name
        for module in modules_under(ROOT / folder, generated=True)
        if module.in_package(*FOLDERS[folder]) and not module.name.endswith("__main__")
    ]
    assert len(names) > 5
    result = import_all(python, names)
    assert result.returncode == 0, result.stderr
    # Only its own packages came with it.
    others = {name for packages in FOLDERS.values() for name in packages} - {*FOLDERS[folder]}
    for other in others | {"strongroom_host"}:
        assert import_all(python, [other]).returncode != 0


def test_a_package_outside_the_closure_cannot_be_imported(tmp_path: Path) -> None:
    python = environment_of(tmp_path / "env", [Requirement("cbor2")])
    assert import_all(python, ["cbor2"]).returncode == 0
    result = import_all(python, ["rich"])
    assert "No module named 'rich'" in result.stderr
