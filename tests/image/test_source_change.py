"""One byte of the source is another image, and whoever compares the two is told which file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from strongroom_eif.recipe.application import INPUTS
from strongroom_eif.recipe.assemble import PINS, Built, build_image
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.store import Store, default_cache

from tests.e2e.commands import run

ROOT = Path(__file__).parents[2]
CHANGED = "enclave/strongroom_enclave/signer/__init__.py"


def built(source: Path, output: Path) -> Built:
    """Builds a tree's image; what has been made before comes out of the cache."""
    return build_image(Store(default_cache()), Pins.load(source / PINS), source, output=output)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built(ROOT, tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source that decides what the image is, in a folder of its own."""
    folder = tmp_path_factory.mktemp("copy")
    for name in INPUTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    return folder


def test_the_same_source_elsewhere_is_the_same_image(
    original: Built, copy: Path, tmp_path: Path
) -> None:
    again = built(copy, tmp_path)
    assert again.image.read_bytes() == original.image.read_bytes()


@pytest.mark.timeout(600)
def test_one_byte_changes_pcr0_and_pcr2_and_is_named(
    original: Built, copy: Path, tmp_path: Path, found: Callable[..., None]
) -> None:
    path = copy / CHANGED
    source = bytearray(path.read_bytes())
    # A letter inside the module's docstring: no instruction differs.
    at = source.index(b'"""') + 4
    source[at] ^= 0x01
    path.write_bytes(source)
    changed = built(copy, tmp_path)
    assert {n for n in original.pcrs if original.pcrs[n] != changed.pcrs[n]} == {0, 2}
    done = run("eif", "diff", str(original.image), str(changed.image), "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert set(report["pcrs"]) == {"0", "2"}
    assert report["section"]["where"] == "ramdisk[1]"
    assert report["other_sections"] == []
    named = report["file"]["where"]
    # The bytecode comes first in the archive, and holds the source's hash.
    assert "/strongroom_enclave/signer/" in named
    assert "__init__" in named
    found("one byte of the source changes PCR0 and PCR2, and `diff` names the file", named)
