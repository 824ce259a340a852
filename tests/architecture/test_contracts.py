"""Imports respect the trust borders, and every contract that says so would notice a breach."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.architecture.synthetic import write_tree

_CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {c["id"]: c for c in _CONFIGURATION["contracts"]}
_MODULE_LISTS = (
    "modules", "source_modules", "forbidden_modules", "protected_modules", "allowed_importers",
)  # fmt: skip
ROOTS: list[str] = _CONFIGURATION["root_packages"]


def lint(folder: Path, contract: str | None = None) -> subprocess.CompletedProcess[str]:
    """Check this repository's contracts against the packages found below `folder`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    command += ["--config", str(ROOT / "pyproject.toml")]
    command += ["--contract", contract] if contract else []
    roots = ["enclave", "attestation", "eif", "host", ""] if folder == ROOT else [""]
    paths = ":".join(str(folder / root) for root in roots)
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": paths, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def breaches(contract: dict[str, Any]) -> list[tuple[str, str]]:
    """Return every pairing (importer, imported) that a contract bans."""
    if contract["type"] == "independence":
        members = contract["modules"]
        return [(a, b) for a in members for b in members if a != b]
    if contract["type"] == "protected":
        may = contract["allowed_importers"]
        return [(a, b) for b in contract["protected_modules"] for a in ROOTS if a not in (b, *may)]
    return [(a, b) for a in contract["source_modules"] for b in contract["forbidden_modules"]]


def skeleton() -> dict[str, str]:
    """Return an innocent tree that holds every module of ours that a contract names."""
    named = set(ROOTS)
    for contract in CONTRACTS.values():
        for key in _MODULE_LISTS:
            named.update(m for m in contract.get(key, ()) if m.partition(".")[0] in ROOTS)
    return {f"{name.replace('.', '/')}/__init__.py": "" for name in sorted(named)}


def test_the_tree_keeps_every_contract() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


def test_an_innocent_tree_keeps_every_contract(tmp_path: Path) -> None:
    result = lint(write_tree(tmp_path, skeleton()))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("identifier", CONTRACTS)
def test_each_breach_is_reported(tmp_path: Path, identifier: str) -> None:
    """All pairings at once, each by a module that imports directly and one that does indirectly."""
    files = skeleton()
    expected = []
    for number, (importer, imported) in enumerate(breaches(CONTRACTS[identifier])):
        folder = importer.replace(".", "/")
        files[f"{folder}/direct_{number}.py"] = f"import {imported}\n"
        files[f"{folder}/between_{number}.py"] = f"import {imported}\n"
        files[f"{folder}/indirect_{number}.py"] = f"from {importer} import between_{number}\n"
        expected.append(f"{importer}.direct_{number} -> {imported}")
    result = lint(write_tree(tmp_path, files), identifier)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "0 kept, 1 broken" in result.stdout
    assert [line for line in expected if line not in result.stdout] == []


def test_the_borders_of_the_design_are_all_contracts() -> None:
    """Each package has a contract that bans every other package it has no business with."""
    allowed = {
        "strongroom_wire": set(),
        "strongroom_attest": set(),
        "strongroom_eif": set(),
        "strongroom_enclave": {"strongroom_wire"},
        "strongroom_host": {"strongroom_wire", "strongroom_attest", "strongroom_eif"},
        "strongroom_local": {"strongroom_wire", "strongroom_enclave"},
    }
    assert allowed.keys() == set(ROOTS)
    banned = {
        pair
        for contract in CONTRACTS.values()
        if contract["type"] == "forbidden"
        for pair in breaches(contract)
    }
    for importer, may in allowed.items():
        for imported in set(ROOTS) - may - {importer}:
            assert (importer, imported) in banned


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("strongroom_enclave.signer", "grpc"),
        ("strongroom_enclave.signer", "google"),
        ("strongroom_enclave.signer", "json"),
        ("strongroom_enclave.signer", "ssl"),
        ("strongroom_enclave.signer", "strongroom_enclave.front"),
        ("strongroom_enclave.init", "grpc"),
        ("strongroom_enclave.enroll", "grpc"),
        ("strongroom_enclave.enroll", "strongroom_enclave.signer"),
        ("strongroom_enclave.front", "strongroom_enclave.signer"),
        ("strongroom_enclave.front", "strongroom_enclave.init"),
        ("strongroom_enclave.front", "coincurve"),
        ("strongroom_host", "strongroom_enclave"),
    ],
)
def test_no_contract_was_dropped(importer: str, imported: str) -> None:
    assert any((importer, imported) in breaches(contract) for contract in CONTRACTS.values())
