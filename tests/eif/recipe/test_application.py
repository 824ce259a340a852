"""Our own part of the image: which files of the tree are in it, and which decide what it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from strongroom_eif.recipe import application as module
from strongroom_eif.recipe.application import (
    application,
    check_recipe,
    snapshot,
    source_digest,
    version,
)
from strongroom_eif.recipe.content_errors import SourceUnexpected
from strongroom_eif.recipe.contents import DIST_PACKAGES

from tests.architecture.source import ROOT

SHEBANG = "#!/usr/bin/python3.13 -I\n"
TREE = {
    "enclave/strongroom_enclave/__init__.py": 'VERSION = "1.2.3"\n',
    "enclave/strongroom_enclave/init/__main__.py": SHEBANG,
    "enclave/strongroom_enclave/signer/keys.py": "",
    "enclave/strongroom_wire/__init__.py": "",
    "enclave/strongroom_wire/py.typed": "",
    "enclave/strongroom_wire/proto/a.proto": "",
    "enclave/strongroom_wire/proto/a_pb2.pyi": "",
    "enclave/requirements.lock": "",
    "eif/strongroom_eif/recipe/assemble.py": "",
    "reproducible-build/pins/packages.json": "",
    "reproducible-build/kernel/config": "",
    "reproducible-build/system.toml": "",
    "reproducible-build/releases/1.2.3.json": "",
    "host/strongroom_host/cli/main.py": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def put(tree: Path, name: str, text: str = "") -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_modules_are_in_the_image_and_init_leads_to_ours(tree: Path) -> None:
    found = {item.path: item for item in application(tree)}
    inner = {path.removeprefix(f"{DIST_PACKAGES}/") for path in found}
    assert inner == {
        "init",
        "strongroom_enclave/__init__.py",
        "strongroom_enclave/init/__main__.py",
        "strongroom_enclave/signer/keys.py",
        "strongroom_wire/__init__.py",
    }
    target = bytes(found["init"].node.content).decode()
    assert target in found
    assert {item.origin for item in found.values()} == {"strongroom"}


def test_tables_that_code_reads_are_in_the_image(tree: Path) -> None:
    put(tree, "enclave/strongroom_enclave/signer/limits.toml", "a = 1\n")
    found = {item.path: item for item in application(tree)}
    table = found[f"{DIST_PACKAGES}/strongroom_enclave/signer/limits.toml"]
    assert (table.node.content, table.node.mode) == (b"a = 1\n", 0o100644)


def test_what_tools_leave_behind_is_not_there(tree: Path) -> None:
    before, digest = [item.path for item in application(tree)], source_digest(tree)
    for name in ("__pycache__/a.pyc", "a.pyc", ".hidden.py", "x.egg-info/PKG-INFO", "build/a.py"):
        put(tree, f"enclave/strongroom_enclave/{name}")
    assert [item.path for item in application(tree)] == before
    assert source_digest(tree) == digest


BROKEN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a kind nobody decided about": (
        "check_kind",
        lambda tree: put(tree, "enclave/strongroom_enclave/run.sh", "#!/bin/sh\n"),
    ),
    "native code": ("check_kind", lambda tree: put(tree, "enclave/strongroom_wire/a.so")),
    "another start": (
        "check_shebang",
        lambda tree: put(tree, f"enclave/{module.ENTRY_POINT}", "#!/usr/bin/python3.13\n"),
    ),
    "no start": (
        "check_entry_point",
        lambda tree: (tree / "enclave" / module.ENTRY_POINT).unlink(),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_tree_is_refused_by_a_rule_of_its_own(
    name: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, breaking = BROKEN[name]
    breaking(tree)
    with pytest.raises(SourceUnexpected):
        list(application(tree))
    monkeypatch.setattr(module, rule, lambda *_: None)
    assert list(application(tree))


def test_links_and_absent_folders_are_refused(tree: Path) -> None:
    (tree / "enclave/strongroom_wire/l.py").symlink_to("/etc/passwd")
    with pytest.raises(SourceUnexpected, match="neither file nor folder"):
        list(application(tree))
    with pytest.raises(SourceUnexpected, match="is not in"):
        list(application(tree / "host"))


@pytest.mark.parametrize(
    "text",
    ["", 'VERSION = "1"\n', "VERSION = 1\n", 'VERSION = "../1.2.3"\n', "VERSION = (\n", "x = 1\n"],
)
def test_a_version_that_is_none_is_refused(tree: Path, text: str) -> None:
    assert version(tree) == "1.2.3"
    put(tree, "enclave/strongroom_enclave/__init__.py", text)
    with pytest.raises(SourceUnexpected):
        version(tree)


def test_the_version_is_read_without_running_anything(tree: Path) -> None:
    text = 'import nonsense\nVERSION = "1.2.4rc1"\nraise SystemExit\n'
    put(tree, "enclave/strongroom_enclave/__init__.py", text)
    assert version(tree) == "1.2.4rc1"


@pytest.mark.parametrize("name", [n for n in TREE if not n.startswith("host")])
def test_the_digest_covers_what_decides_the_image(name: str, tree: Path) -> None:
    before = source_digest(tree)
    put(tree, name, TREE[name] + "# changed\n")
    # A release names the image; were it an input, no image could be recorded.
    assert (source_digest(tree) == before) is name.startswith("reproducible-build/releases")


def test_the_digest_covers_names_and_modes_and_nothing_of_the_machine(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = source_digest(tree)
    put(tree, "host/strongroom_host/cli/main.py", "changed")
    other = tmp_path_factory.mktemp("other")
    for name, text in reversed(TREE.items()):
        put(other, name, text)
    assert source_digest(other) == before
    (other / "enclave/requirements.lock").chmod(0o600)
    assert source_digest(other) == before
    (other / "enclave/requirements.lock").chmod(0o755)
    assert source_digest(other) != before
    (other / "enclave/requirements.lock").rename(other / "enclave/requirements.txt")
    assert source_digest(other) != before


def test_the_recipe_that_runs_must_be_the_one_of_the_checkout(tree: Path) -> None:
    check_recipe(snapshot(ROOT))
    with pytest.raises(SourceUnexpected, match="is not what runs here"):
        check_recipe(snapshot(tree))
    changed = [
        replace(file, content=file.content + b"#") if file.path.endswith("/record.py") else file
        for file in snapshot(ROOT)
    ]
    with pytest.raises(SourceUnexpected, match=r"recipe/record\.py"):
        check_recipe(changed)
    with pytest.raises(SourceUnexpected, match=r"recipe/record\.py"):
        check_recipe(file for file in snapshot(ROOT) if not file.path.endswith("/record.py"))


def test_every_rule_has_a_broken_tree() -> None:
    # The rule about the recipe is in the test before this one.
    rules = {name for name in vars(module) if name.startswith("check_")} - {"check_recipe"}
    assert {rule for rule, _ in BROKEN.values()} == rules


def test_this_repository_has_a_version() -> None:
    assert version(ROOT)
