"""Development measurements: the documented layout, and a change for every change of source."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import strongroom_enclave
import strongroom_wire
from strongroom_local.errors import NotMeasurable
from strongroom_local.measure import DEBUG, Measurements, measure_installed, measure_trees


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    wire, enclave = tmp_path / "strongroom_wire", tmp_path / "strongroom_enclave"
    (wire / "proto").mkdir(parents=True)
    (enclave / "init").mkdir(parents=True)
    (wire / "__init__.py").write_bytes(b"")
    (wire / "proto" / "x.py").write_bytes(b"X = 1\n")
    (enclave / "init" / "boot.py").write_bytes(b"Y = 2\n")
    (enclave / "init.py").write_bytes(b"Z = 3\n")
    return wire, enclave


Trees = tuple[Path, Path]


def entry(name: bytes, content: bytes) -> bytes:
    return len(name).to_bytes(4, "big") + name + len(content).to_bytes(8, "big") + content


def register(content: bytes) -> bytes:
    return hashlib.sha384(bytes(48) + hashlib.sha384(content).digest()).digest()


def test_layout(trees: Trees) -> None:
    wire = entry(b"strongroom_wire/__init__.py", b"")
    wire += entry(b"strongroom_wire/proto/x.py", b"X = 1\n")
    # By the bytes of the whole name: "." sorts before "/".
    enclave = entry(b"strongroom_enclave/init.py", b"Z = 3\n")
    enclave += entry(b"strongroom_enclave/init/boot.py", b"Y = 2\n")
    assert measure_trees(*trees) == Measurements(
        register(wire + enclave), register(wire), register(enclave)
    )


def test_byte_code_is_left_out(trees: Trees) -> None:
    before = measure_trees(*trees)
    for tree in trees:
        (tree / "__pycache__").mkdir()
        (tree / "__pycache__" / "x.pyc").write_bytes(b"cached")
    assert measure_trees(*trees) == before


def changes() -> dict[str, Callable[[Path], object]]:
    return {
        "content": lambda tree: (tree / "a.py").write_bytes(b"other"),
        "moved byte": lambda tree: (
            (tree / "a.py").write_bytes(b"aa\n"),
            (tree / "b.py").write_bytes(b"\nb"),
        ),
        "new empty file": lambda tree: (tree / "c.py").touch(),
        "renamed": lambda tree: (tree / "b.py").rename(tree / "c.py"),
        "removed": lambda tree: (tree / "b.py").unlink(),
        "moved into a folder": lambda tree: (
            (tree / "sub").mkdir(),
            (tree / "b.py").rename(tree / "sub" / "b.py"),
        ),
        "swapped": lambda tree: (
            (tree / "a.py").write_bytes(b"b"),
            (tree / "b.py").write_bytes(b"aa\n\n"),
        ),
        "data file": lambda tree: (tree / "data.json").write_bytes(b"{}"),
        "loose byte code": lambda tree: (tree / "d.pyc").write_bytes(b"runs without source"),
    }


@pytest.mark.parametrize("change", changes())
@pytest.mark.parametrize("side", [0, 1])
def test_every_change_shows_in_its_registers(tmp_path: Path, change: str, side: int) -> None:
    trees = tmp_path / "strongroom_wire", tmp_path / "strongroom_enclave"
    for tree in trees:
        tree.mkdir()
        (tree / "a.py").write_bytes(b"aa\n\n")
        (tree / "b.py").write_bytes(b"b")
    before = measure_trees(*trees)
    changes()[change](trees[side])
    after = measure_trees(*trees)
    assert after.pcr0 != before.pcr0
    assert (after.pcr1 != before.pcr1) == (side == 0)
    assert (after.pcr2 != before.pcr2) == (side == 1)


def test_a_file_moved_between_the_packages_shows(trees: Trees) -> None:
    before = measure_trees(*trees)
    (trees[0] / "proto" / "x.py").rename(trees[1] / "x.py")
    assert measure_trees(*trees).pcr0 != before.pcr0


def test_order_of_creation_does_not_show(tmp_path: Path) -> None:
    seen = set()
    for run, names in enumerate(("abc", "cab")):
        trees = (tmp_path / str(run) / "strongroom_wire", tmp_path / str(run) / "e")
        for tree in trees:
            tree.mkdir(parents=True)
            for name in names:
                (tree / name).write_text(name)
        seen.add(measure_trees(*trees))
    assert len(seen) == 1


@pytest.mark.parametrize("target", ["inside", "outside", "folder", "nowhere"])
def test_links_are_refused(trees: Trees, tmp_path: Path, target: str) -> None:
    outside = tmp_path / "outside.py"
    outside.touch()
    places = {
        "inside": trees[0] / "__init__.py",
        "outside": outside,
        "folder": trees[0] / "proto",
        "nowhere": tmp_path / "nowhere",
    }
    (trees[1] / "link").symlink_to(places[target])
    with pytest.raises(NotMeasurable, match="regular"):
        measure_trees(*trees)


def test_pipes_are_refused(trees: Trees) -> None:
    os.mkfifo(trees[0] / "pipe.py")
    with pytest.raises(NotMeasurable):
        measure_trees(*trees)


@pytest.mark.parametrize("kind", ["missing", "empty", "only caches", "a file"])
def test_nothing_to_measure_is_refused(trees: Trees, kind: str) -> None:
    shutil.rmtree(trees[1])
    if kind == "a file":
        trees[1].touch()
    elif kind != "missing":
        (trees[1] / "__pycache__").mkdir(parents=True)
    if kind == "only caches":
        (trees[1] / "__pycache__" / "x.pyc").touch()
    with pytest.raises(NotMeasurable):
        measure_trees(*trees)


def test_installed_packages_are_the_imported_ones() -> None:
    wire, enclave = (Path(package.__path__[0]) for package in (strongroom_wire, strongroom_enclave))
    assert measure_installed() == measure_trees(wire, enclave)
    assert measure_installed() != DEBUG


def test_a_package_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom_local.measure.find_spec", lambda name: None)
    with pytest.raises(NotMeasurable, match="strongroom_wire"):
        measure_installed()
