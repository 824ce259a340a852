"""`strongroom image`: what it builds and prints, exit statuses, and mistakes told with a remedy."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from strongroom_eif.recipe.assemble import Built
from strongroom_host.cli.app import app
from typer.testing import CliRunner

from tests.eif.recipe.small_image import Checkout

LOCK = "enclave/requirements.lock"
RULES = "reproducible-build/system.toml"
KEYS = "enclave/strongroom_enclave/__init__.py"


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["image", *arguments], terminal_width=200)
    # Anything but SystemExit would be a traceback on the user's terminal.
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.setenv("STRONGROOM_CACHE", str(tmp_path / "cache"))
    return Checkout(tmp_path, monkeypatch)


def build(checkout: Checkout, *options: str) -> Any:
    inputs = ["--inputs", str(checkout.folder / "inputs"), "--offline"]
    return run("build", "--source", str(checkout.source), *inputs, *options)


@pytest.fixture
def built(checkout: Checkout) -> Built:
    return checkout.build()


def test_build_writes_three_files_and_says_what_they_measure(checkout: Checkout) -> None:
    result = build(checkout)
    assert result.exit_code == 0, result.output
    folder = checkout.source / "build/image"
    names = {"strongroom-1.2.3.eif", "strongroom-1.2.3.json", "strongroom-1.2.3.cdx.json"}
    assert {path.name for path in folder.iterdir()} == names
    record = json.loads((folder / "strongroom-1.2.3.json").read_text())
    for value in (*record["pcrs"].values(), record["eif"]["sha256"]):
        assert value in result.output
    assert "ramdisk[1]" in result.output


def test_build_as_json(checkout: Checkout) -> None:
    result = build(checkout, "--json", "-o", str(checkout.folder / "elsewhere"))
    told = json.loads(result.stdout)
    assert Path(told["image"]).stat().st_size == told["size"]
    assert told["pcrs"].keys() == {"0", "1", "2"}
    assert Path(told["image"]).parent == checkout.folder / "elsewhere"


def test_build_says_what_it_does_once(checkout: Checkout) -> None:
    assert "compiling" in build(checkout).output
    assert "compiling" not in build(checkout).output
    assert "compiling" in build(checkout, "--fresh").output


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (LOCK, "--hash", "--hush", ["lock-malformed"]),
        (LOCK, "==1.0 \\\n    --hash", "==1.0 # ", ["no hash", "make lock"]),
        (RULES, "usr/bin/sh", "usr/bin/zsh", ["rule-stale", "zsh"]),
        (RULES, 'paths = ["usr/bin/sh"]', "paths = []", ["rules-malformed"]),
        (KEYS, "VERSION", "version", ["VERSION"]),
        ("reproducible-build/pins/packages.json", "strongroom-pins/1", "x", ["pins", "restore"]),
    ],
)
def test_mistakes_in_the_checkout_are_told(
    file: str, old: str, new: str, words: list[str], checkout: Checkout
) -> None:
    path = checkout.source / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    result = build(checkout)
    assert result.exit_code == 2, result.output
    for word in words:
        assert word in result.output


def test_missing_inputs_are_told(checkout: Checkout, tmp_path: Path) -> None:
    result = run("build", "--source", str(checkout.source), "--offline")
    assert result.exit_code == 2
    assert "INPUTS" in result.output
    result = run("build", "--source", str(checkout.source), "--inputs", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "no directory" in result.output


def test_another_folder_is_no_checkout(tmp_path: Path) -> None:
    result = run("build", "--source", str(tmp_path))
    assert result.exit_code == 2
    assert "cannot read" in result.output


def test_work_needs_fresh(checkout: Checkout) -> None:
    result = build(checkout, "--work", str(checkout.folder / "w"))
    assert result.exit_code == 2
    assert "--fresh" in result.output


def test_a_build_that_fails_shows_what_the_tool_said(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strongroom_eif.recipe import sandbox
    from strongroom_eif.recipe.errors import BuildFailed

    def fail(*_: object, **__: object) -> None:
        raise BuildFailed("gzip failed", remedy="look at it", tail="gzip: out of memory")

    monkeypatch.setattr(sandbox, "run", fail)
    result = build(checkout)
    assert result.exit_code == 1
    assert "out of memory" in result.output
    assert "look at it" in result.output


# --- record --------------------------------------------------------------------------------------


def test_a_record_is_shown(built: Built) -> None:
    result = run("record", str(built.record))
    assert result.exit_code == 0
    assert "1.2.3" in result.output
    assert built.pcrs[0] in result.output
    told = json.loads(run("record", str(built.record), "--json").stdout)
    assert told["pcrs"]["2"] == built.pcrs[2]


def test_an_image_is_held_against_its_record(built: Built) -> None:
    result = run("record", str(built.record), str(built.image))
    assert result.exit_code == 0
    assert "is the image of this record" in result.output
    told = json.loads(run("record", str(built.record), str(built.image), "--json").stdout)
    digest = hashlib.sha256(built.image.read_bytes()).hexdigest()
    assert told == {"identical": True, "mismatch": None, "file_sha256": digest}
    assert "not compared" in result.output
    assert f"SHA-256 is the record's: {digest}" in result.output


def test_another_image_is_told_apart_by_file(checkout: Checkout, built: Built) -> None:
    checkout.put(KEYS, 'VERSION = "1.2.3"\nx = 2\n')
    other = checkout.build("other")
    result = run("record", str(built.record), str(other.image))
    assert result.exit_code == 1
    assert "ramdisk[1]" in result.output
    assert "strongroom_enclave/__init__.py" in result.output
    told = json.loads(run("record", str(built.record), str(other.image), "--json").stdout)
    assert told["mismatch"]["section"]["where"] == "ramdisk[1]"
    assert told["mismatch"]["file"]["matters"]


def test_what_is_no_record_or_image_is_told(built: Built, tmp_path: Path) -> None:
    result = run("record", str(built.sbom))
    assert result.exit_code == 2
    assert "no release record" in result.output
    assert run("record", str(built.record), str(built.sbom)).exit_code == 1
    assert run("record", str(tmp_path / "none")).exit_code == 2


# --- files and sbom ------------------------------------------------------------------------------


def test_files_are_listed_with_their_origin(built: Built) -> None:
    result = run("files", str(built.image))
    assert result.exit_code == 0
    lines = {line.split()[-1]: line.split()[:-1] for line in result.output.splitlines()}
    assert lines["/usr/bin/python3.13"][0] == "100755"
    assert lines["/usr/bin/python3.13"][2] == "debian:python3.13-minimal"
    assert lines["/init"][2] == "strongroom"


def test_files_under_a_path(built: Built) -> None:
    told = json.loads(run("files", str(built.image), "--under", "/usr/lib/", "--json").stdout)
    assert told
    assert all(entry["path"].startswith("usr/lib") for entry in told)
    assert not any(entry["path"].startswith("usr/lib64") for entry in told)


def test_an_entry_that_the_sbom_does_not_have_is_marked(checkout: Checkout, built: Built) -> None:
    checkout.put(KEYS, 'VERSION = "1.2.3"\nx = 2\n')
    other = checkout.build("other")
    result = run("files", str(other.image), "--sbom", str(built.sbom))
    marked = [line for line in result.output.splitlines() if "not in the SBOM" in line]
    assert [line.rpartition("/")[2] for line in marked] == [
        "__init__.py",
        "__init__.cpython-313.pyc",
    ]


def test_without_an_sbom_origins_are_unknown(built: Built) -> None:
    built.sbom.unlink()
    result = run("files", str(built.image))
    assert result.exit_code == 0
    assert " - " in result.output


def test_an_sbom_is_shown(built: Built) -> None:
    result = run("sbom", str(built.sbom))
    assert result.exit_code == 0
    for word in ("debian:libc6", "LGPL-2.1+", "wheel:sample", "MIT", "GPL-2.0-only"):
        assert word in result.output
    told = json.loads(run("sbom", str(built.sbom), "--json").stdout)
    assert {"debian:linux", "recipe", "strongroom"} <= {row["origin"] for row in told}
    assert run("sbom", str(built.record)).exit_code == 2


def test_an_image_with_a_shell_is_not_written(checkout: Checkout) -> None:
    path = checkout.source / RULES
    text = path.read_text()
    first = text.index("[[leave-out]]")
    path.write_text(text[:first] + text[text.index("[[leave-out]]", first + 1) :])
    result = build(checkout)
    assert result.exit_code == 1
    assert "usr/bin/sh is in the image" in result.output
    assert not (checkout.source / "build").exists()
