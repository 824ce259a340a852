"""The pins: the committed ones are complete, and what could lead a fetch astray is refused."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_eif.recipe.errors import PinMissing, PinsInvalid
from strongroom_eif.recipe.pins import FILES, PACKAGES, Pins

from tests.eif.recipe.checkout import PINS

OURS = Pins.load(PINS)


def test_the_committed_pins_answer_the_requests() -> None:
    """Whoever edits requests.toml runs `make pins` and commits both."""
    requests = tomllib.loads((PINS / "requests.toml").read_text())
    pinned = json.loads((PINS / PACKAGES).read_text())

    def wanted(name: str) -> set[str]:
        own = requests["sets"][name]
        return {*own["packages"], *(p for part in own.get("includes", ()) for p in wanted(part))}

    assert pinned["sets"].keys() == requests["sets"].keys()
    for name, members in pinned["sets"].items():
        assert set(members["requested"]) == wanted(name)
        assert set(members["requested"]) <= set(members["packages"])
        if not requests["sets"][name]["closure"]:
            assert set(members["requested"]) == set(members["packages"])
    assert [(a["url"], a["suite"]) for a in pinned["archives"]] == [
        (a["url"], a["suite"]) for a in requests["archives"]
    ]
    assert {pin.origin.split()[3] for pin in OURS.files.values()} == requests["sources"].keys()


def test_the_image_has_no_shell_and_no_package_manager() -> None:
    banned = {"bash", "busybox", "coreutils", "dash", "dpkg", "apt", "perl-base", "util-linux"}
    assert not banned & {package.name for package in OURS.package_set("system")}


def test_every_pinned_package_is_in_a_set() -> None:
    pinned = json.loads((PINS / PACKAGES).read_text())
    used = {package.name for members in OURS.sets.values() for package in members}
    assert used == pinned["packages"].keys()


def test_what_is_asked_for_is_found() -> None:
    assert OURS.package("system", "python3.13-minimal").architecture == "amd64"
    [name] = OURS.files
    assert OURS.file(name).name == name
    for ask in (
        lambda: OURS.package_set("absent"),
        lambda: OURS.package("system", "bash"),
        lambda: OURS.package("absent", "bash"),
        lambda: OURS.file("absent"),
        lambda: OURS.digest("absent"),
    ):
        with pytest.raises(PinMissing, match="called"):
            ask()


def load(folder: Path, change: Callable[[Any], None], name: str = PACKAGES) -> Pins:
    """Loads the committed pins after a change to one of the files."""
    for file in (PACKAGES, FILES):
        content = json.loads((PINS / file).read_text())
        if file == name:
            change(content)
        (folder / file).write_text(json.dumps(content))
    return Pins.load(folder)


def test_the_digest_is_of_every_member(tmp_path: Path) -> None:
    def unchanged(_: Any) -> None: ...

    def other_bytes(content: Any) -> None:
        content["packages"]["libc6"]["sha256"] = "0" * 64

    def other_member(content: Any) -> None:
        content["sets"]["system"]["packages"].remove("zlib1g")

    def other_order(content: Any) -> None:
        content["sets"]["system"]["packages"].reverse()

    digest = OURS.digest("system")
    assert load(tmp_path, unchanged) == OURS
    assert load(tmp_path, other_order).digest("system") == digest
    assert load(tmp_path, other_bytes).digest("system") != digest
    assert load(tmp_path, other_member).digest("system") != digest
    assert load(tmp_path, other_member).digest("toolchain") == OURS.digest("toolchain")


def test_archives_as_they_were(tmp_path: Path) -> None:
    def dated(content: Any) -> None:
        for archive, day in zip(content["archives"], ("12", "19", "18"), strict=True):
            archive["date"] = f"Sat, {day} Sep 2026 17:55:41 UTC"

    assert load(tmp_path, dated).snapshots() == (
        "https://snapshot.debian.org/archive/debian/20260920T055541Z",
        "https://snapshot.debian.org/archive/debian-security/20260919T055541Z",
    )


BAD_PACKAGES: dict[str, dict[str, object]] = {
    "climbing": {"path": "pool/main/../../etc/x.deb"},
    "hidden": {"path": "pool/main/.x/x.deb"},
    "absolute": {"path": "/pool/main/x.deb"},
    "outside the pool": {"path": "dists/x.deb"},
    "no package": {"path": "pool/main/x/x.tar"},
    "elsewhere": {"path": "http://evil/pool/x.deb"},
    "line end": {"path": "pool/main/x/x.deb\n"},
    "query": {"path": "pool/main/x/x?y.deb"},
    "empty": {"size": 0},
    "huge": {"size": 1 << 40},
    "size in words": {"size": "12"},
    "short digest": {"sha256": "ab"},
    "upper case": {"sha256": "A" * 64},
    "other architecture": {"architecture": "arm64"},
    "version": {"version": "1 2"},
    "more": {"more": 1},
}


@pytest.mark.parametrize("name", BAD_PACKAGES)
def test_packages_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PinsInvalid):
        load(tmp_path, lambda content: content["packages"]["libc6"].update(BAD_PACKAGES[name]))


def test_sets_and_formats_that_are_refused(tmp_path: Path) -> None:
    changes: list[tuple[str, Callable[[Any], object]]] = [
        (PACKAGES, lambda c: c["sets"]["system"]["packages"].append("absent")),
        (PACKAGES, lambda c: c["sets"]["system"]["packages"].append("libc6")),
        (PACKAGES, lambda c: c.update(format="strongroom-pins/2")),
        (PACKAGES, lambda c: c.update(packages={"../x": {}})),
        (PACKAGES, lambda c: c["archives"][0].update(date="yesterday")),
        (PACKAGES, lambda c: c["archives"][0].update(date="Sat, 12 Sep 2026 07:55:41 +0200")),
        (FILES, lambda c: c.update(format="strongroom-pins/2")),
        (FILES, lambda c: c.update(files={"../x": next(iter(c["files"].values()))})),
        (FILES, lambda c: c.pop("files")),
    ]
    for name, change in changes:
        with pytest.raises(PinsInvalid):
            load(tmp_path, change, name)  # type: ignore[arg-type]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PinsInvalid, match="cannot read"):
        Pins.load(tmp_path)
    (tmp_path / PACKAGES).write_text("[" * 100_000)
    with pytest.raises(PinsInvalid, match="not a file of pins"):
        Pins.load(tmp_path)
    (tmp_path / PACKAGES).write_bytes(b" " * (9 << 20))
    with pytest.raises(PinsInvalid, match="larger than"):
        Pins.load(tmp_path)


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_only_our_errors_come_out(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / PACKAGES).write_bytes(data)
    with pytest.raises(PinsInvalid):
        Pins.load(folder)
