"""The root: what packages and their maintainer scripts would have made, and nothing elsewhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
from strongroom_eif.recipe import errors, root
from strongroom_eif.recipe.pins import Package
from strongroom_eif.recipe.root import MOUNT_POINTS, Root
from strongroom_eif.recipe.store import Store

from tests.eif.recipe.checkout import pins_of
from tests.eif.recipe.debs import Item, directory, file, hard_link, link, pin


def prepared(folder: Path, *packages: Package) -> Root:
    store = Store(folder / "cache", inputs=[folder], offline=True)
    return Root.prepare(store, pins_of(folder, {"toolchain": packages}), "toolchain")


def test_packages_are_unpacked_into_a_merged_usr(tmp_path: Path) -> None:
    one = pin(
        tmp_path,
        "one",
        directory("./bin"),
        file("./bin/tool", b"#!", 0o4711),
        directory("./usr"),
        directory("./usr/lib"),
        file("./usr/lib/data", b"d", 0o600),
        directory("./usr/share"),
        directory("./usr/share/doc"),
        file("./usr/share/doc/text", b"left out"),
    )
    two = pin(
        tmp_path,
        "two",
        link("./lib", "usr/lib"),
        directory("./usr"),
        directory("./usr/bin"),
        file("./usr/bin/b", b"b", 0o755),
        hard_link("./usr/bin/same", "./usr/bin/b"),
        link("./usr/bin/away", "/etc/passwd"),
    )
    made = prepared(tmp_path, one, two).path
    assert (made / "usr/bin/tool").read_bytes() == b"#!"
    assert (made / "bin").readlink() == Path("usr/bin")
    assert (made / "usr/bin/same").read_bytes() == b"b"
    assert (made / "usr/bin/away").readlink() == Path("/etc/passwd")
    assert not (made / "usr/share/doc").exists()
    assert (made / "usr/bin/tool").stat().st_mode == 0o100755
    assert (made / "usr/lib/data").stat().st_mode == 0o100644
    assert "root:x:0:0" in (made / "etc/passwd").read_text()
    assert all((made / name).is_dir() for name in MOUNT_POINTS)


def test_what_maintainer_scripts_would_have_made(tmp_path: Path) -> None:
    tools = pin(
        tmp_path,
        "tools",
        *(directory(f"./usr{name}") for name in ("", "/bin", "/share", "/share/ca-certificates")),
        file("./usr/bin/mawk", b"", 0o755),
        file("./usr/bin/gcc", b"", 0o755),
        file("./usr/bin/which.debianutils", b"", 0o755),
        file("./usr/bin/which", b"own", 0o755),
        file("./usr/share/ca-certificates/b.crt", b"B"),
        file("./usr/share/ca-certificates/a.crt", b"A"),
        file("./usr/share/ca-certificates/readme", b"-"),
    )
    made = prepared(tmp_path, tools).path
    assert (made / "usr/bin/awk").readlink() == Path("mawk")
    assert (made / "usr/bin/cc").readlink() == Path("gcc")
    assert not (made / "usr/bin/c++").is_symlink()
    assert (made / "usr/bin/which").read_bytes() == b"own"
    assert (made / "etc/ssl/certs/ca-certificates.crt").read_bytes() == b"AB"


def test_equal_files_of_two_packages(tmp_path: Path) -> None:
    both = [pin(tmp_path, name, file("./a", b"same"), file(f"./{name}")) for name in ("one", "two")]
    assert (prepared(tmp_path, *both).path / "a").read_bytes() == b"same"


# What two packages bring, given a directory outside of the root.
CLASHES: dict[str, Callable[[str], tuple[list[Item], list[Item]]]] = {
    "other content": lambda _: ([file("./a", b"1")], [file("./a", b"2")]),
    "file and directory": lambda _: ([file("./a")], [directory("./a")]),
    "directory and link": lambda _: ([directory("./a")], [link("./a", "b")]),
    "two links": lambda _: ([link("./a", "b")], [link("./a", "c")]),
    "below a link out": lambda out: ([link("./a", out)], [directory("./b"), file("./a/passwd")]),
    "directory below a link out": lambda out: ([link("./a", out)], [directory("./a/b")]),
    "directory over a link out": lambda out: ([link("./a", out)], [directory("./a")]),
    "below a file": lambda _: ([file("./a")], [file("./a/b")]),
    "a merged directory goes elsewhere": lambda out: ([link("./bin", out)], [file("./c")]),
}


@pytest.mark.parametrize("name", CLASHES)
def test_packages_that_clash(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    first, second = CLASHES[name](str(outside))
    packages = pin(tmp_path, "one", *first), pin(tmp_path, "two", *second)
    with pytest.raises(errors.PinsOverlap):
        prepared(tmp_path, *packages)
    assert list(outside.iterdir()) == []


def test_the_key_changes_with_the_packages(tmp_path: Path) -> None:
    one, two = (pin(tmp_path, name, file(f"./{name}")) for name in ("one", "two"))
    first, again, both = (prepared(tmp_path, *those) for those in ((one,), (one,), (one, two)))
    assert first == again
    assert first.digest != both.digest
    assert first.digest == Root.digest_of(pins_of(tmp_path, {"any": (one,)}), "any")
    assert not (first.path / "two").exists()


def test_another_machine_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(errors.WrongArchitecture) as caught:
        prepared(tmp_path, pin(tmp_path, "one", file("./a")))
    assert caught.value.actual == "Linux aarch64"
    assert not (tmp_path / "cache").exists()


def test_too_little_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "_EXPECTED_SIZE", 1 << 50)
    with pytest.raises(errors.DiskFull) as caught:
        prepared(tmp_path, pin(tmp_path, "one", file("./a")))
    assert "MiB free" in str(caught.value.expected)
