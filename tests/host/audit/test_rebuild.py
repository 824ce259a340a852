"""The two builds' surroundings: what is copied and how, and what the building process gets."""

import json
from pathlib import Path

import pytest
from strongroom_host.audit.rebuild import (
    FIRST,
    SECOND,
    BuildStopped,
    ProcessBuilder,
    copy_inputs,
)

TREE = {
    "enclave/strongroom_wire/__init__.py": "",
    "enclave/strongroom_wire/b.py": "b",
    "enclave/strongroom_wire/__pycache__/b.pyc": "left behind",
    "enclave/.hidden": "left behind",
    "eif/strongroom_eif/__init__.py": "",
    "reproducible-build/pins/packages.json": "{}",
    "reproducible-build/kernel/config": "",
    "reproducible-build/system.toml": "",
    "reproducible-build/releases/keys.json": "decides nothing",
    "host/strongroom_host/__init__.py": "decides nothing",
    "README.md": "decides nothing",
}
DECIDES = {name for name, text in TREE.items() if text not in ("left behind", "decides nothing")}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "checkout"
    for name, text in TREE.items():
        put(source, name, text)
    (source / "enclave/strongroom_wire/b.py").chmod(0o755)
    return source


def put(source: Path, name: str, text: str) -> None:
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def copied(source: Path, target: Path) -> set[str]:
    return {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}


def test_exactly_what_decides_the_image_is_copied(source: Path, tmp_path: Path) -> None:
    for around in (FIRST, SECOND):
        copy_inputs(source, tmp_path / around.name, around)
        assert copied(source, tmp_path / around.name) == DECIDES


def test_modes_times_and_order_are_others(source: Path, tmp_path: Path) -> None:
    for around in (FIRST, SECOND):
        copy_inputs(source, tmp_path / around.name, around)
    name = "enclave/strongroom_wire/b.py"
    one, two = ((tmp_path / around.name / name).stat() for around in (FIRST, SECOND))
    assert (one.st_mode & 0o777, two.st_mode & 0o777) == (0o755, 0o700)
    assert two.st_mtime < 1_000_100_000 < one.st_mtime
    times = {p.stat().st_mtime for p in (tmp_path / "second").rglob("*")}
    assert len(times) == len(list((tmp_path / "second").rglob("*")))


def test_what_cannot_be_copied_is_said(source: Path, tmp_path: Path) -> None:
    (source / "reproducible-build/system.toml").unlink()
    with pytest.raises(BuildStopped, match="cannot copy"):
        copy_inputs(source, tmp_path / "x", FIRST)


# --- The process ---------------------------------------------------------------------------------

RECIPE = """
import json, os, sys, time
from pathlib import Path
from strongroom_eif.recipe.errors import RecipeError

class Built:
    def __init__(self, place):
        self.image, self.record, self.sbom = place / "i", place / "r", place / "s"

def build_image(store, pins, source, *, fresh, work, output):
    if (source / "enclave" / "fail").exists():
        raise RecipeError()
    if (source / "enclave" / "die").exists():
        os._exit(9)
    mask = os.umask(0)
    print("a line of progress")
    output.mkdir(parents=True)
    Built(output).image.write_text(json.dumps({
        "umask": mask, "fresh": fresh, "cwd": os.getcwd(), "home": os.environ["HOME"],
        "env": dict(os.environ), "store": store, "recipe": __file__, "tz": time.timezone,
        "seed": hash("x"), "path": sys.path[0],
    }))
    return Built(output)
"""
FAKE = {
    "recipe/__init__.py": "",
    "recipe/assemble.py": RECIPE,
    "recipe/errors.py": "class RecipeError(Exception):\n    code = 'disk-full'\n"
    "    exit_status = 5\n    what = 'no space'\n    expected = 7\n    actual = None\n"
    "    remedy = 'free some'\n    tail = 'last words'\n",
    "recipe/pins.py": "class Pins:\n    load = staticmethod(lambda path: None)\n",
    "recipe/store.py": "def mirrors(pins): return ()\n"
    "def Store(cache, inputs, mirrors, say, offline):\n"
    "    return [str(cache), [str(p) for p in inputs], offline, sorted(os.listdir(cache))]\n"
    "import os\n",
}


@pytest.fixture
def recipe(source: Path) -> Path:
    """The checkout, with a recipe that says what it was given in place of an image."""
    for name, text in FAKE.items():
        put(source, f"eif/strongroom_eif/{name}", text)
    return source


def test_the_second_process_has_other_surroundings(recipe: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    builder = ProcessBuilder(tmp_path / "cache", [tmp_path], True, lines.append)
    said = {}
    for around in (FIRST, SECOND):
        product = builder.build(recipe, tmp_path / around.folder, around)
        said[around.name] = json.loads(product.image.read_text())
    one, two = said["first"], said["second"]
    for name in ("umask", "cwd", "home", "recipe", "tz", "seed", "store"):
        assert one[name] != two[name], name
    assert (one["umask"], two["umask"]) == (0o022, 0o077)
    assert one["fresh"] is two["fresh"] is True
    for name, value in SECOND.environment.items():
        assert two["env"][name] == value
        assert one["env"].get(name) != value
    assert "first: a line of progress" in lines


def test_the_recipe_is_the_copied_one_and_caches_share_inputs_only(
    recipe: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    (cache / "slots" / "kernel").mkdir(parents=True)
    (cache / "sha256" / "ab").mkdir(parents=True)
    product = ProcessBuilder(cache).build(recipe, tmp_path / "a", FIRST)
    said = json.loads(product.image.read_text())
    assert Path(said["recipe"]).is_relative_to(tmp_path / "a" / "source")
    own, _, _, inside = said["store"]
    assert Path(own) != cache
    assert inside == ["sha256"]
    assert (Path(own) / "sha256" / "ab").is_dir()


def test_a_refusal_of_the_recipe_comes_through_whole(recipe: Path, tmp_path: Path) -> None:
    put(recipe, "enclave/fail", "")
    with pytest.raises(BuildStopped) as caught:
        ProcessBuilder(tmp_path / "cache").build(recipe, tmp_path / "a", FIRST)
    error = caught.value
    assert (error.status, error.code, error.expected) == (5, "disk-full", "7")
    assert "no space" in error.what
    assert "last words" in error.what
    assert error.remedy == "free some"


def test_a_process_that_dies_is_said(recipe: Path, tmp_path: Path) -> None:
    put(recipe, "enclave/die", "")
    with pytest.raises(BuildStopped, match="without saying how"):
        ProcessBuilder(tmp_path / "cache").build(recipe, tmp_path / "a", FIRST)


def test_a_cache_that_cannot_be_used_is_said(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(BuildStopped) as caught:
        ProcessBuilder(tmp_path / "cache").build(recipe, tmp_path / "a", FIRST)
    assert caught.value.status == 5
    assert (tmp_path / "a" / "source").is_dir()  # what may explain it stays
