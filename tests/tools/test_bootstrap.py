"""The environment is made from a lock, once, and whoever lacks something is told what."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.source import ROOT
from tests.tools.loading import load

SOURCE = ROOT / ".tools" / "bootstrap.py"


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, looking at an empty project in `tmp_path`."""
    module = load("bootstrap")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    for name in [*module.LOCKS.values(), "pyproject.toml"]:
        (tmp_path / name).write_text(name)
    return module


def install(bootstrap: ModuleType, name: str) -> None:
    """Leave behind what a finished installation leaves."""
    bootstrap.PYTHON.parent.mkdir(parents=True, exist_ok=True)
    bootstrap.PYTHON.touch()
    bootstrap.stamp(name).write_text(bootstrap.digest_of(name) + "\n")


def test_old_interpreters_can_parse_it() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize(
    ("installed", "asked", "fresh"),
    [
        ("demo", "demo", True),
        ("dev", "dev", True),
        ("dev", "demo", True),  # a superset
        ("demo", "dev", False),
    ],
)
def test_a_set_is_fresh_when_it_covers_what_is_asked(
    bootstrap: ModuleType, installed: str, asked: str, fresh: bool
) -> None:
    assert not bootstrap.is_fresh(asked)
    install(bootstrap, installed)
    assert bootstrap.is_fresh(asked) is fresh


@pytest.mark.parametrize("changed", ["requirements-dev.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_is_installed_again(bootstrap: ModuleType, changed: str) -> None:
    install(bootstrap, "dev")
    assert bootstrap.is_fresh("dev")
    (bootstrap.ROOT / changed).write_text("another version")
    assert not bootstrap.is_fresh("dev")


def test_a_removed_environment_is_made_again(bootstrap: ModuleType) -> None:
    install(bootstrap, "dev")
    bootstrap.PYTHON.unlink()
    assert not bootstrap.is_fresh("dev")


def test_an_unsupported_python_without_another_one_is_said(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 4, "final", 0))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(bootstrap.Unusable, match=r"3\.11, 3\.12 or 3\.13\. python3 here is 3\.10"):
        bootstrap.supported_python()


def test_a_supported_python_on_the_path_is_taken(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    version = "python{}.{}".format(*sys.version_info[:2])
    (tmp_path / version).symlink_to(sys.executable)
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 14, 0, "final", 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.supported_python() == str(tmp_path / version)


def test_a_machine_that_can_make_no_environment_gets_the_line_to_run(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.os, "getuid", lambda: 1000)
    monkeypatch.setattr(bootstrap, "succeeds", lambda *command: False)
    with pytest.raises(bootstrap.Unusable, match="sudo apt-get install -y python3"):
        bootstrap.create_environment(sys.executable)


def test_a_file_with_another_hash_is_not_installed(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample-1.0-py3-none-any.whl").write_bytes(b"not the file that was locked")
    lock = "sample==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    (tmp_path / "requirements.lock").write_text(lock)
    for name, value in {
        "NO_INDEX": "1",
        "FIND_LINKS": str(tmp_path),
        "TARGET": str(tmp_path / "t"),
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(bootstrap.Unusable, match=r"(?s)could not install requirements\.lock.*HASH"):
        bootstrap.install([sys.executable, "-m", "pip"], "requirements.lock")


def test_wrong_usage_prints_the_usage() -> None:
    result = subprocess.run(
        [sys.executable, str(SOURCE), "everything"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert "bootstrap.py dev" in result.stdout
