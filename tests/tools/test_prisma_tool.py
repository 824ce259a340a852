"""`.tools/prisma.py` says what it lacks, and fails only where it is told to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tool in a folder without Prisma, and without Node.js."""
    for folder, names in (
        (".tools", ("prisma.py", "apart.py")),
        ("prisma", ("package-lock.json",)),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes((ROOT / folder / name).read_bytes())
    return tmp_path


def run(checkout: Path, *words: str, path: str = "/nowhere") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / ".tools/prisma.py"), *words]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_node_the_checks_are_skipped_and_it_says_so(checkout: Path) -> None:
    done = run(checkout, "install")
    assert done.returncode == 0
    assert "will be skipped" in done.stdout
    assert run(checkout, "installed").returncode == 1
    assert run(checkout, "validate").returncode == 1


def test_node_that_is_too_old_is_none(checkout: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    node = programs / "node"
    node.write_text("#!/bin/sh\necho v18.17.1\n")
    node.chmod(0o755)
    (programs / "npm").symlink_to("/nowhere/npm-cli.js")
    assert "no Node.js" in run(checkout, "install", path=str(programs)).stdout


def test_a_registry_out_of_reach_is_no_failure_unless_it_is_required(
    checkout: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    node = programs / "node"
    node.write_text('#!/bin/sh\n[ "$1" = --version ] && echo v20.0.0 || exit 7\n')
    node.chmod(0o755)
    script = tmp_path / "lib/node_modules/npm/bin"
    script.mkdir(parents=True)
    (script / "npm-cli.js").write_text("")
    done = run(checkout, "install", path=str(programs))
    assert done.returncode == 0
    assert "could not be installed" in done.stdout
    assert run(checkout, "install", "--require", path=str(programs)).returncode == 7
    assert run(checkout, "installed", path=str(programs)).returncode == 1
