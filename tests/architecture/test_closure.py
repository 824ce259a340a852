"""Each distribution imports exactly what it declares, and locks what it declares, by hash."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.architecture.closure import (
    declared,
    lock_problems,
    pins,
    third_party,
    undeclared,
    unused,
)
from tests.architecture.source import ROOT, listing, modules_under
from tests.architecture.synthetic import module

FOLDERS = {
    "enclave": ["enclave"],
    "attestation": ["attestation"],
    ".": ["enclave", "attestation", "eif", "host"],
}
EXTRAS = {".": ("archive", "fast", "record", "torch", "trading")}


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_are_exactly_the_declared_dependencies(folder: str) -> None:
    modules = [m for f in FOLDERS[folder] for m in modules_under(ROOT / f, generated=True)]
    imported = third_party(modules)
    extras = EXTRAS.get(folder, ())
    project = ROOT / folder / "pyproject.toml"
    assert listing(undeclared(imported, declared(project, *extras))) == ""
    assert unused(imported, declared(project)) == set()


@pytest.mark.parametrize("folder", ["enclave", "attestation"])
def test_the_development_install_takes_the_same_ranges(folder: str) -> None:
    root = declared(ROOT / "pyproject.toml")
    for name, requirement in declared(ROOT / folder / "pyproject.toml").items():
        assert str(root[name]) == str(requirement)


LOCKS = {
    "requirements.lock": (".", ("build", "fast", "record", "trading")),
    "requirements-dev.lock": (".", ("dev",)),
    "enclave/requirements.lock": ("enclave", ()),
}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_what_is_declared_by_hash_and_name_no_index(lock: str) -> None:
    folder, extras = LOCKS[lock]
    requirements = declared(ROOT / folder / "pyproject.toml", *extras)
    requirements.pop("strongroom", None)
    assert listing(lock_problems(ROOT / lock, requirements)) == ""


def test_no_package_has_two_versions_here() -> None:
    whole = pins(ROOT / "requirements-dev.lock")
    for lock in LOCKS:
        assert pins(ROOT / lock).items() <= whole.items(), lock


def test_undeclared_and_unused_are_reported() -> None:
    source = "import os\nimport cbor2\nfrom google.protobuf import message\nimport requests.auth\n"
    imported = third_party([module("strongroom_wire.x", source)])
    assert imported.keys() == {"cbor2", "protobuf", "requests"}
    [finding] = undeclared(imported, {"cbor2", "protobuf", "grpcio"})
    assert str(finding) == "strongroom_wire/x.py:4: imports requests.auth"
    assert unused(imported, {"cbor2", "grpcio"}) == {"grpcio"}


def test_an_import_hidden_in_a_function_counts() -> None:
    source = "def late():\n    from Crypto.Hash import keccak\n"
    assert third_party([module("strongroom_enclave.x", source)]).keys() == {"pycryptodome"}


def test_each_flaw_of_a_lock_is_reported(tmp_path: Path) -> None:
    lock = tmp_path / "flawed.lock"
    lock.write_text(
        "cbor2==5.0 \\\n    --hash=sha256:aa\n"
        "h11==0.16.0\n"
        "--index-url https://packages.example/simple\n"
    )
    wanted = {
        name: Requirement(line)
        for name, line in [("cbor2", "cbor2>=6"), ("h11", "h11"), ("rich", "rich")]
    }
    messages = [finding.message for finding in lock_problems(lock, wanted)]
    assert messages == [
        "cbor2==5.0 is outside the declared >=6",
        "rich is declared and not locked",
        "h11 has no hash",
        "names an address: --index-url https://packages.example/simple",
    ]
    lock.write_text(
        "cbor2==6.2.1 ; sys_platform == 'linux' \\\n    --hash=sha256:aa \\\n"
        "    --hash=sha256:bb\nh11==0.16.0 \\\n    --hash=sha256:cc\n"
    )
    assert lock_problems(lock, {"cbor2": wanted["cbor2"], "h11": wanted["h11"]}) == []
    assert pins(lock) == {"cbor2": "6.2.1", "h11": "0.16.0"}
