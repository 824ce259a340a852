"""What a machine or a person can get wrong: one clear message, an exit status, no traceback."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import one_message, run


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


def without(module: str, folder: Path) -> str:
    """A PYTHONPATH under which `module` cannot be imported, here or in the enclave's processes."""
    (folder / "sitecustomize.py").write_text(f"import sys; sys.modules[{module!r}] = None\n")
    return os.pathsep.join([str(folder), *filter(None, sys.path)])


@pytest.mark.parametrize("module", ["typer", "rich", "grpc", "cbor2", "msgspec", "h11"])
def test_a_missing_package_is_named_before_anything_starts(module: str, tmp_path: Path) -> None:
    done = run("demo", PYTHONPATH=without(module, tmp_path))
    said = one_message(done, 5)
    assert f"the Python package '{module}" in said
    assert "make env" in said
    assert done.stdout == ""


def test_one_that_only_the_enclave_needs_is_named_by_its_console(short: Path) -> None:
    short.chmod(0o755)  # as root the signer runs under another user, and has to find this too
    said = one_message(run("demo", PYTHONPATH=without("coincurve", short)), 5)
    assert "coincurve" in said
    assert "a Python package is missing" in said


def test_the_host_names_it_too(short: Path, tmp_path: Path) -> None:
    words = ["--run", str(short / "run"), "--state", str(short / "state")]
    broken = without("strongroom_local.sealer", tmp_path)
    done = run("host", "run", *words, "--listen", "127.0.0.1:0", PYTHONPATH=broken)
    said = one_message(done, 5)
    assert "the enclave ended before it was ready" in said
    assert "strongroom_local.sealer" in said


def test_an_optional_package_is_not_missed(tmp_path: Path) -> None:
    done = run("host", "doctor", "--json", "--listen", "127.0.0.1:0",
               PYTHONPATH=without("uvloop", tmp_path))  # fmt: skip
    assert '"ok": true' in done.stdout
    assert "event loop: asyncio" in done.stdout


@pytest.mark.parametrize("option", ["--run", "--state"])
def test_a_folder_below_a_file(option: str, short: Path) -> None:
    (short / "file").touch()
    folders = {"--run": short / "run", "--state": short / "state"}
    folders[option] = short / "file" / "folder"
    words = [word for pair in folders.items() for word in map(str, pair)]
    said = one_message(run("host", "run", *words, "--listen", "127.0.0.1:0"), 2)
    assert str(short / "file") in said
    assert option in said


def test_a_path_too_long_for_sockets(short: Path) -> None:
    words = ["--run", str(short / ("x" * 100)), "--state", str(short / "state")]
    said = one_message(run("host", "run", *words, "--listen", "127.0.0.1:0"), 2)
    assert "too long for Unix sockets" in said
    assert "--run /" in said


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        ("enclave status --enclave nowhere", 2, "not the address of an enclave"),
        ("enclave status --enclave 127.0.0.1:9", 5, "strongroom host run"),
        ("enclave evidence --owner /nonexistent", 2, "no trust file"),
        ("permit --budget main=1 --owner /nonexistent", 2, "cannot read"),
        ("manifest lint /nonexistent", 2, "cannot read"),
    ],
)
def test_owner_commands_without_what_they_need(words: str, status: int, what: str) -> None:
    assert what in one_message(run(*words.split()), status)
