"""`system.toml`: read strictly, every reason given, and nothing in it that fits nothing."""

import tomllib
from pathlib import Path

import pytest
from strongroom_eif.recipe import rules as module
from strongroom_eif.recipe.content_errors import LicenceUnknown, RulesMalformed, RuleStale
from strongroom_eif.recipe.contents import Item, with_directories
from strongroom_eif.recipe.licences import is_expression, of_debian, of_wheel
from strongroom_eif.recipe.rules import LeaveOut, Program, Pruner, Rules

from tests.architecture.source import ROOT

TEXT = """
format = "strongroom-system/1"
[[leave-out]]
from = ["debian:*"]
paths = ["usr/share/doc/*/README*", "**.pyi"]
why = "papers"
[[leave-out]]
from = ["wheel:big"]
paths = ["big/**"]
but = ["big/a.py", "big/deep/*.py"]
why = "most of it"
[[directory]]
path = "tmp"
why = "a tmpfs"
[[link]]
path = "lib"
target = "usr/lib"
why = "the loader"
[[empty]]
path = "lib/big/__init__.py"
why = "the package's own imports all of it"
[[program]]
path = "usr/bin/python3.13"
executable = true
why = "the interpreter"
[[licence]]
origin = "debian:libgcc-s1"
expression = "GPL-3.0-or-later"
why = "papers elsewhere"
"""


def rules(tmp_path: Path, text: str = TEXT) -> Rules:
    path = tmp_path / "system.toml"
    path.write_text(text)
    return Rules.load(path)


def test_rules_are_read(tmp_path: Path) -> None:
    found = rules(tmp_path)
    assert found.leave_out == (
        LeaveOut(("debian:*",), ("usr/share/doc/*/README*", "**.pyi"), "papers"),
        LeaveOut(("wheel:big",), ("big/**",), "most of it", ("big/a.py", "big/deep/*.py")),
    )
    assert found.empty == ("lib/big/__init__.py",)
    assert (found.directories, dict(found.links)) == (("tmp",), {"lib": "usr/lib"})
    assert found.programs == (Program("usr/bin/python3.13", True, "the interpreter"),)
    assert dict(found.licences) == {"debian:libgcc-s1": "GPL-3.0-or-later"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("strongroom-system/1", "strongroom-system/2"),
        ('why = "papers"', 'why = ""'),
        ('why = "papers"\n', ""),
        ('why = "papers"', 'why = "papers"\nwhen = 1'),
        ("[[licence]]", "[[license]]"),
        ('from = ["debian:*"]', 'from = "debian:*"'),
        ('from = ["debian:*"]', "from = []"),
        ('from = ["debian:*"]', "from = [1]"),
        ("executable = true", "executable = 1"),
        ('target = "usr/lib"', "target = 1"),
        ("[[directory]]", "[directory]"),
        ("[[empty]]", "[[void]]"),
        ('but = ["big/a.py", "big/deep/*.py"]', "but = []"),
        ('but = ["big/a.py", "big/deep/*.py"]', 'nor = ["big/a.py"]'),
        ("[[leave-out]]", "[[leave-out"),
    ],
)
def test_each_flaw_is_refused(old: str, new: str, tmp_path: Path) -> None:
    assert old in TEXT
    with pytest.raises(RulesMalformed):
        rules(tmp_path, TEXT.replace(old, new, 1))


def test_a_mistyped_member_is_noticed_by_the_rule_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistyped = TEXT.replace('why = "papers"', 'why = "papers"\npath = []')
    with pytest.raises(RulesMalformed):
        rules(tmp_path, mistyped)
    monkeypatch.setattr(module, "check_members", lambda *_: None)
    rules(tmp_path, mistyped)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RulesMalformed):
        Rules.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("origin", "path", "kept"),
    [
        ("debian:libc6", "usr/share/doc/libc6/README.gz", False),
        ("debian:libc6", "usr/share/doc/libc6/deeper/README", True),
        ("debian:libc6", "usr/share/doc/README", True),
        ("debian:libc6", "usr/lib/deep/in/a.pyi", False),
        ("debian:libc6", "usr/lib/a.py", True),
        ("debian:libc6", "usr/lib/a_pyi", True),
        ("wheel:cbor2", "cbor2/a.pyi", True),
        ("wheel:big", "big/a.py", True),
        ("wheel:big", "big/deep/b.py", True),
    ],
)
def test_what_patterns_mean(origin: str, path: str, kept: bool, tmp_path: Path) -> None:
    pruner = Pruner(rules(tmp_path))
    assert pruner.keeps(origin, path, 5) is kept
    assert [(left.path, left.size, left.why) for left in pruner.left_out] == (
        [] if kept else [(path, 5, "papers")]
    )


@pytest.mark.parametrize("path", ["big/__init__.py", "big/b.py", "big/deep/er/b.py"])
def test_what_an_exception_does_not_name_stays_out(path: str, tmp_path: Path) -> None:
    pruner = Pruner(rules(tmp_path))
    assert not pruner.keeps("wheel:big", path, 5)
    assert [left.why for left in pruner.left_out] == ["most of it"]
    assert pruner.keeps("wheel:other", path, 5)


def test_an_exception_that_fits_nothing_is_an_error(tmp_path: Path) -> None:
    pruner = Pruner(rules(tmp_path))
    for path in ("usr/share/doc/libc6/README", "a.pyi"):
        pruner.keeps("debian:libc6", path, 1)
    for path in ("big/b.py", "big/a.py"):
        pruner.keeps("wheel:big", path, 1)
    with pytest.raises(RuleStale, match=r"big/deep/\*\.py"):
        pruner.check_all_used()
    pruner.keeps("wheel:big", "big/deep/c.py", 1)
    pruner.check_all_used()


def test_a_pattern_that_fits_nothing_is_an_error(tmp_path: Path) -> None:
    pruner = Pruner(rules(tmp_path))
    for path in ("big/b.py", "big/a.py", "big/deep/c.py"):
        pruner.keeps("wheel:big", path, 1)
    pruner.keeps("debian:libc6", "usr/share/doc/libc6/README", 1)
    with pytest.raises(RuleStale, match=r"\*\*\.pyi"):
        pruner.check_all_used()
    pruner.keeps("debian:libc6", "a.pyi", 1)
    pruner.check_all_used()


def test_only_named_programs_can_be_run(tmp_path: Path) -> None:
    python = Item.file("usr/bin/python3.13", b"", "debian:python")
    other = Item.file("usr/bin/other", b"", "debian:python")
    found = rules(tmp_path).permitted([python, other])
    assert [item.node.mode & 0o777 for item in found] == [0o755, 0o644]
    with pytest.raises(RuleStale, match="nothing provides"):
        rules(tmp_path).permitted([other])


def test_what_is_added(tmp_path: Path) -> None:
    found = {item.path: item for item in rules(tmp_path).added()}
    assert found.keys() == {"tmp", "lib", "lib/big/__init__.py", "dev/console"}
    empty = found["lib/big/__init__.py"]
    assert (empty.node.content, empty.origin, empty.node.mode) == (b"", "recipe", 0o100644)
    assert found["tmp"].node.mode == 0o040755
    assert found["lib"].node.content == b"usr/lib"
    assert (found["dev/console"].node.device, found["dev/console"].kind) == (
        (5, 1),
        "character device",
    )


def test_every_directory_is_made_once_and_for_root_alone() -> None:
    items = [Item.file("a/b/c", b"", "x"), Item.file("a/b/d", b"", "x"), Item.file("e", b"", "x")]
    found = list(with_directories(items))
    assert sorted(item.path for item in found) == ["a", "a/b", "a/b/c", "a/b/d", "e"]
    assert {item.node.mode for item in found if item.kind == "directory"} == {0o040755}


def test_the_rules_of_this_repository_are_well_formed() -> None:
    path = ROOT / "reproducible-build/system.toml"
    found = Rules.load(path)
    assert {"dev", "proc", "sys", "tmp", "run"} == set(found.directories)
    assert [p.path for p in found.programs if p.path.startswith("usr/bin/")] == [
        "usr/bin/python3.13"
    ]
    assert all(is_expression((text,)) for text in found.licences.values())
    tables = tomllib.loads(path.read_text())
    assert all(row["why"] for name in tables if name != "format" for row in tables[name])


# --- Licences ------------------------------------------------------------------------------------

DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: zlib

Files: *
License: Zlib

Files: debian/*
License: GPL-2+ or Artistic
 The text: License: no name

Files: other
License: Zlib
"""


def test_debian_papers_name_each_licence_once() -> None:
    assert of_debian("debian:zlib1g", DEP5) == ("Zlib", "GPL-2+ or Artistic")


@pytest.mark.parametrize("text", ["", "Put together by somebody.\n", "Format: x\n"])
def test_prose_is_not_guessed_at(text: str) -> None:
    with pytest.raises(LicenceUnknown) as caught:
        of_debian("debian:x", text)
    assert "system.toml" in caught.value.remedy
    with pytest.raises(LicenceUnknown):
        of_debian("debian:x", DEP5.splitlines()[0])


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: x\n", ("MIT OR Apache-2.0",)),
        (
            "License: long text\nClassifier: License :: OSI Approved :: MIT License\n",
            ("MIT License",),
        ),
        ("License: 3-Clause BSD License\n", ("3-Clause BSD License",)),
    ],
)
def test_wheels_say_their_licence_in_three_ways(metadata: str, found: tuple[str, ...]) -> None:
    assert of_wheel("wheel:x", f"Name: x\n{metadata}\nLicense: in the description") == found


def test_a_wheel_that_says_nothing_is_refused() -> None:
    with pytest.raises(LicenceUnknown):
        of_wheel("wheel:x", "Name: x\n\nLicense: in the description only")


@pytest.mark.parametrize(
    ("licence", "is_one"),
    [
        (("MIT",), True),
        (("GPL-2.0-only WITH Linux-syscall-note",), True),
        (("3-Clause BSD License",), False),
        (("MIT", "ISC"), False),
    ],
)
def test_expressions_are_told_from_names(licence: tuple[str, ...], is_one: bool) -> None:
    assert is_expression(licence) is is_one
