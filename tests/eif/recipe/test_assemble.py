"""The image as a whole: equal inputs give equal files, and each change shows where it belongs."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from strongroom_eif import OWN, parse, verify
from strongroom_eif.archive_errors import DuplicatePath
from strongroom_eif.recipe import assemble, ingredients, system
from strongroom_eif.recipe.assemble import Built
from strongroom_eif.recipe.content_errors import (
    ContentError,
    LicenceUnknown,
    LockMalformed,
    RuleStale,
    SourceUnexpected,
    ToolchainMismatch,
    ToolFound,
    TreeError,
    WheelNotLocked,
)
from strongroom_eif.recipe.errors import (
    DiskFull,
    InputMissing,
    PinsOverlap,
    RecipeError,
    WrongArchitecture,
)
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.record import ReleaseRecord, compare, parse_record
from strongroom_eif.recipe.sbom import read_sbom
from strongroom_eif.recipe.store import Store

from tests.eif.recipe.small_image import RULES, Checkout
from tests.eif.recipe.test_wheels import FILES, packed, wheel_of
from tests.eif.samples import NOW

KEYS = "enclave/strongroom_enclave/__init__.py"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(tmp_path, monkeypatch)


def files(built: Built) -> list[bytes]:
    return [path.read_bytes() for path in (built.image, built.record, built.sbom)]


def record_of(built: Built) -> ReleaseRecord:
    return parse_record(built.record.read_bytes())


def test_the_image_is_sound_and_its_record_and_sbom_are_about_it(checkout: Checkout) -> None:
    built = checkout.build()
    data = built.image.read_bytes()
    verified = verify(data, NOW, OWN)
    record = record_of(built)
    assert compare(record, verified.image) is None
    assert record.eif.sha256 == hashlib.sha256(data).hexdigest()
    assert record.eif.name == built.image.name == "strongroom-1.2.3.eif"
    assert record.sbom.sha256 == hashlib.sha256(built.sbom.read_bytes()).hexdigest()
    assert record.pcrs == {str(n): verified.measurements.pcrs[n].hex() for n in (0, 1, 2)}
    assert built.pcrs == {n: verified.measurements.pcrs[n].hex() for n in (0, 1, 2)}
    assert verified.image.cmdline.decode() == record.cmdline == assemble.CMDLINE
    assert verified.metadata is not None
    assert verified.metadata.image_version == record.version == "1.2.3"
    listed = read_sbom(built.sbom.read_bytes()).files
    assert {line.split(" ", 2)[2] for lines in record.files.values() for line in lines} == {*listed}


def test_what_is_in_it(checkout: Checkout) -> None:
    listed = read_sbom(checkout.build().sbom.read_bytes()).files
    dist = "usr/local/lib/python3.13/dist-packages"
    assert listed["usr/bin/python3.13"].mode == "100755"  # setuid in the package
    assert "usr/bin/sh" not in listed
    assert listed["init"].kind == "link"
    assert listed[f"{dist}/sample/__init__.py"].origin == "wheel:sample"
    compiled = listed["usr/lib/python3.13/__pycache__/os.cpython-313.pyc"]
    assert compiled.compiled_from == "usr/lib/python3.13/os.py"
    empty = listed[f"{dist}/sample/empty.py"]
    assert (empty.origin, empty.sha256) == ("recipe", hashlib.sha256().hexdigest())
    assert f"{dist}/sample/__pycache__/empty.cpython-313.pyc" in listed
    own = [file for file in listed.values() if file.origin == "strongroom"]
    assert all(f.path == "init" or f.path.startswith(f"{dist}/strongroom_") for f in own)
    assert f"{dist}/strongroom_enclave/init/__pycache__/__main__.cpython-313.pyc" in listed


def test_two_checkouts_in_other_circumstances_give_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    first = Checkout(tmp_path / "a", monkeypatch).build()
    other = tmp_path / "b" / "deeper" / "down"
    other.mkdir(parents=True)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    before = os.umask(0o077)
    try:
        second = Checkout(other, monkeypatch)
        for path in sorted(second.source.rglob("*")):
            os.utime(path, (10**9, 10**9))
        assert files(second.build()) == files(first)
    finally:
        os.umask(before)


def test_a_change_of_our_source_changes_pcr2_and_is_named(checkout: Checkout) -> None:
    before = record_of(checkout.build())
    checkout.put(KEYS, 'VERSION = "1.2.3"\nx = 2\n')
    built = checkout.build()
    after = record_of(built)
    assert before.pcrs["1"] == after.pcrs["1"]
    assert before.pcrs["0"] != after.pcrs["0"]
    assert before.pcrs["2"] != after.pcrs["2"]
    assert before.source.tree != after.source.tree
    found = compare(before, parse(built.image.read_bytes()))
    assert found is not None
    assert found.section.where == "ramdisk[1]"
    assert found.file is not None
    assert found.file.where.endswith("/strongroom_enclave/__init__.py")


def test_a_change_of_packages_changes_pcr1(checkout: Checkout) -> None:
    before = record_of(checkout.build())
    wheel = packed({**FILES, "sample/more.py": b"y = 1\n"})
    (checkout.folder / "inputs" / wheel_of(wheel).sha256).write_bytes(wheel)
    checkout.lock(wheel_of(wheel))
    after = record_of(checkout.build())
    assert before.pcrs["1"] != after.pcrs["1"]
    assert before.pcrs["2"] == after.pcrs["2"]


def test_what_was_built_is_not_built_again(checkout: Checkout) -> None:
    first = files(checkout.build())
    runs = list(checkout.runs)
    assert runs.count("/usr/bin/python3.13") == runs.count("/bin/sh") == 2
    assert files(checkout.build("elsewhere")) == first
    assert (checkout.runs, checkout.kernels) == (runs, 1)
    checkout.put(KEYS, 'VERSION = "1.2.3"\nx = 2\n')
    checkout.build()
    # Only what our source goes into: its bytecode and the second ramdisk.
    assert checkout.runs[len(runs) :] == ["/usr/bin/python3.13", "/bin/sh"]


def test_fresh_builds_everything_and_may_leave_the_cache_alone(checkout: Checkout) -> None:
    first = files(checkout.build())
    kept = {p: p.stat().st_mtime_ns for p in (checkout.folder / "cache/slots").rglob("*")}
    work = checkout.folder / "work"
    again = checkout.build("again", fresh=True, work=work)
    assert files(again) == first
    assert len(checkout.runs) == 8
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert files(checkout.build("third", fresh=True)) == first
    assert len(checkout.runs) == 12


def test_a_cached_image_that_was_changed_is_built_again(checkout: Checkout) -> None:
    first = files(checkout.build())
    [image] = (checkout.folder / "cache/slots/image").glob("*/image.eif")
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    assert files(checkout.build()) == first


def test_editing_while_it_is_built_does_not_show(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checkout.build("before")
    (checkout.folder / "cache").rename(checkout.folder / "old cache")
    gather = ingredients.gather

    def editing(*arguments: Any) -> Any:
        checkout.put(KEYS, 'VERSION = "1.2.3"\nx = "typed meanwhile"\n')
        return gather(*arguments)

    monkeypatch.setattr(assemble, "gather", editing)
    assert files(checkout.build("during")) == files(before)


def git(source: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(source), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_the_commit_is_recorded_unless_the_tree_was_changed(checkout: Checkout) -> None:
    built = checkout.build()
    assert record_of(built).source.commit is None
    image = built.image.read_bytes()
    git(checkout.source, "init", "-q")
    git(checkout.source, "add", "-A")
    git(checkout.source, "commit", "-qm", "x")
    built = checkout.build()
    assert record_of(built).source.commit == git(checkout.source, "rev-parse", "HEAD")
    assert built.image.read_bytes() == image
    checkout.put("README.md", "outside of what decides the image\n")
    assert record_of(checkout.build()).source.commit is not None
    checkout.put("enclave/new.txt", "")
    assert record_of(checkout.build()).source.commit is None


def edit(checkout: Checkout, name: str, old: str, new: str) -> None:
    path = checkout.source / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


SYSTEM = "reproducible-build/system.toml"
SHELL_RULE = RULES[RULES.index("[[leave-out]]") : RULES.index('[[leave-out]]\nfrom = ["wheel')]


@pytest.mark.parametrize(
    ("name", "old", "new", "error"),
    [
        (SYSTEM, SHELL_RULE, "", ToolFound),
        (SYSTEM, 'paths = ["usr/bin/sh"]', 'paths = ["usr/bin/sh", "gone"]', RuleStale),
        (SYSTEM, "PSF-2.0", "PSF-2.0", LicenceUnknown),
        (SYSTEM, 'path = "usr/bin/python3.13"', 'path = "usr/bin/python"', RuleStale),
        (KEYS, "1.2.3", "one", SourceUnexpected),
        ("enclave/requirements.lock", "--hash", "--hush", LockMalformed),
        ("enclave/requirements.lock", "==1.0", "==1.1", WheelNotLocked),
    ],
)
def test_each_mistake_stops_the_build_before_the_kernel(
    name: str, old: str, new: str, error: type[RecipeError], checkout: Checkout
) -> None:
    if error is LicenceUnknown:
        old, new = "debian:python3.13-minimal", "debian:other"
    edit(checkout, name, old, new)
    with pytest.raises(error) as caught:
        checkout.build()
    assert issubclass(error, ContentError | TreeError)
    assert caught.value.what
    # What is wrong with the finished tree can only be seen at the end.
    assert checkout.kernels == (1 if issubclass(error, TreeError) else 0)
    assert not (checkout.folder / "out").exists()


def test_a_file_of_a_package_is_not_emptied_while_it_is_there(checkout: Checkout) -> None:
    edit(checkout, SYSTEM, "sample/empty.py", "sample/__init__.py")
    with pytest.raises(DuplicatePath, match=r"sample/__init__\.py"):
        checkout.build()


def test_a_missing_wheel_is_told(checkout: Checkout) -> None:
    checkout.lock(wheel_of(packed({**FILES, "a.py": b""})))
    with pytest.raises(InputMissing, match="not in the cache"):
        checkout.build()


def test_a_toolchain_with_another_python_is_refused(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkout.source / "reproducible-build/pins/packages.json"
    table = json.loads(path.read_text())
    table["packages"]["python3.13-minimal"]["version"] = "2.0"
    pins = Pins.load(path.parent)
    path.write_text(json.dumps(table))
    other = Pins.load(path.parent)
    mixed = Pins((), {**pins.sets, "toolchain": other.sets["toolchain"]}, {})
    checkout.pins = mixed
    with pytest.raises(ToolchainMismatch, match="different versions"):
        checkout.build()
    monkeypatch.setattr(assemble, "check_same_python", lambda _: None)
    checkout.build()


def test_two_packages_must_not_bring_the_same_path(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = checkout.pins.package("system", "libc6")
    twice = Pins((), {**checkout.pins.sets, "system": (libc, *checkout.pins.sets["system"])}, {})
    checkout.pins = twice
    with pytest.raises(PinsOverlap, match="both libc6 and libc6"):
        checkout.build()
    monkeypatch.setattr(system, "check_not_owned", lambda *_: None)
    with pytest.raises(DuplicatePath):
        checkout.build()


def test_another_architecture_is_told_at_once(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise WrongArchitecture("the image is built on Linux on amd64 (x86_64)")

    monkeypatch.setattr(assemble, "check_architecture", refuse)
    with pytest.raises(WrongArchitecture):
        checkout.build()


def test_a_full_disk_is_told_and_leaves_nothing_half_done(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = files(checkout.build())
    checkout.put(KEYS, 'VERSION = "1.2.3"\nx = 2\n')

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DiskFull) as caught:
        checkout.build()
    assert caught.value.remedy
    folder = checkout.folder / "out"
    assert [
        (folder / f"strongroom-1.2.3{s}").read_bytes() for s in (".eif", ".json", ".cdx.json")
    ] == first
    assert len(list(folder.iterdir())) == 3


def test_without_the_cache_offline_it_says_what_is_missing(checkout: Checkout) -> None:
    checkout.store = Store(checkout.folder / "empty", mirrors=(), offline=True)
    with pytest.raises(InputMissing) as caught:
        checkout.build()
    assert "INPUTS" in caught.value.remedy
