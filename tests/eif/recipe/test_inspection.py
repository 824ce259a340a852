"""The finished tree: what no image of ours may hold, and that each rule is one of its own."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_eif.recipe import inspection
from strongroom_eif.recipe.content_errors import (
    DeviceFound,
    DirtyOwner,
    ElfUnreadable,
    ForeignPackage,
    LibraryMissing,
    LinkDangling,
    NotListed,
    ProgramFound,
    SetIdFound,
    ToolFound,
    TreeError,
    WritableFound,
    WrongMachine,
)
from strongroom_eif.recipe.elf import read_elf
from strongroom_eif.recipe.inspection import check_tree, read_tree

from tests.eif.recipe.trees import (
    BOOT,
    DIRECTORY,
    DIST,
    FILE,
    LINK,
    PROGRAMS,
    PYTHON,
    RUN,
    Entry,
    elf,
    image,
    listed,
)

Trees = list[Entry]


def inspect(boot: Trees, sbom: Trees | None = None) -> None:
    check_tree(read_tree(image(boot)), PROGRAMS, listed(boot if sbom is None else sbom))


def test_the_sample_breaks_no_rule() -> None:
    inspect(BOOT)


def plus(*entries: Entry) -> Trees:
    return [*BOOT, *entries]


def without(path: str) -> Trees:
    return [entry for entry in BOOT if entry.path != path]


def instead(entry: Entry) -> Trees:
    return [entry if there.path == entry.path else there for there in BOOT]


@dataclass(frozen=True)
class Breach:
    """A tree that only one rule refuses."""

    name: str
    rule: str
    error: type[TreeError]
    boot: Trees
    sbom: Trees | None = None

    def __str__(self) -> str:
        return self.name


SETUID, SETGID = Entry("usr/lib/a", 0o104644), Entry("usr/lib/a", 0o102644)
BREACHES = [
    *(
        Breach(f"tool {name}", "check_no_tool", ToolFound, plus(Entry(f"usr/bin/{name}", FILE)))
        for name in (
            "sh", "bash", "dash", "busybox", "dpkg", "dpkg-deb", "apt-get", "pip3.13", "gcc",
            "x86_64-linux-gnu-gcc-14", "cc", "ld", "perl5.40", "su", "nc", "curl",
        )
    ),
    Breach("pip", "check_no_tool", ToolFound, plus(Entry(f"{DIST}/pip", DIRECTORY))),
    Breach(
        "pip's papers", "check_no_tool", ToolFound,
        plus(Entry(f"{DIST}/pip-26.0.dist-info", DIRECTORY)),
    ),
    Breach(
        "a shell as a link", "check_no_tool", ToolFound,
        plus(Entry("usr/bin/sh", LINK, b"python3.13")),
    ),
    Breach(
        "software NSM", "check_own_packages", ForeignPackage,
        plus(Entry(f"{DIST}/strongroom_local", DIRECTORY)),
    ),
    Breach(
        "host code", "check_own_packages", ForeignPackage,
        plus(Entry("usr/lib/strongroom_host", DIRECTORY)),
    ),
    Breach("setuid", "check_no_set_id", SetIdFound, plus(SETUID)),
    Breach("setgid", "check_no_set_id", SetIdFound, plus(SETGID)),
    Breach(
        "a file for all to write", "check_not_writable", WritableFound,
        plus(Entry("usr/lib/a", 0o100666)),
    ),
    Breach(
        "a folder for a group", "check_not_writable", WritableFound,
        plus(Entry("usr/lib/a", 0o040775)),
    ),
    Breach(
        "a mount point for all", "check_not_writable", WritableFound,
        instead(Entry("tmp", 0o041777)),
    ),
    Breach("an owner", "check_owner", DirtyOwner, plus(Entry("usr/lib/a", FILE, uid=1000))),
    Breach("a time", "check_owner", DirtyOwner, plus(Entry("usr/lib/a", FILE, mtime=1))),
    Breach(
        "another device", "check_device", DeviceFound,
        plus(Entry("dev/mem", 0o020600, device=(1, 1))),
    ),
    Breach(
        "the console elsewhere", "check_device", DeviceFound,
        plus(Entry("dev/tty", 0o020600, device=(5, 1))),
    ),
    Breach(
        "another console", "check_device", DeviceFound,
        instead(Entry("dev/console", 0o020600, device=(1, 3))),
    ),
    Breach("a pipe", "check_device", DeviceFound, plus(Entry("dev/pipe", 0o010600))),
    Breach("a script", "check_program", ProgramFound, plus(Entry("usr/lib/a", RUN, b"#!x\n"))),
    Breach(
        "a program without the mode", "check_program", ProgramFound,
        plus(Entry("usr/lib/a", FILE, elf(interpreter="/lib64/ld-linux-x86-64.so.2"))),
    ),
    Breach(
        "a static program", "check_program", ProgramFound,
        plus(Entry("usr/lib/a", FILE, elf(kind=2))),
    ),
    Breach(
        "a static program that moves", "check_program", ProgramFound,
        plus(Entry("usr/lib/a", FILE, elf(pie=True))),
    ),
    Breach("nowhere", "check_link", LinkDangling, plus(Entry("usr/lib/a", LINK, b"gone"))),
    Breach("out of it", "check_link", LinkDangling, plus(Entry("a", LINK, b"../usr"))),
    Breach("a circle", "check_link", LinkDangling, plus(Entry("usr/lib/a", LINK, b"a"))),
    Breach(
        "a library that is not there", "check_libraries", LibraryMissing,
        without(f"{DIST}/cbor2/libown.so"),
    ),
    Breach(
        "no loader", "check_libraries", LibraryMissing,
        instead(PYTHON.but(content=elf(interpreter="/lib64/ld-musl.so", pie=True))),
    ),
    Breach("not in the SBOM", "check_listed", NotListed, plus(Entry("a", FILE)), BOOT),
    Breach("only in the SBOM", "check_listed", NotListed, BOOT, plus(Entry("a", FILE))),
    Breach(
        "other content", "check_listed", NotListed,
        plus(Entry("a", FILE, b"1")), plus(Entry("a", FILE, b"2")),
    ),
    Breach(
        "another mode", "check_listed", NotListed,
        plus(Entry("a", FILE)), plus(Entry("a", 0o100600)),
    ),
]  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES, ids=str)
def test_refused_by_this_rule_and_by_no_other(
    breach: Breach, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(breach.error) as caught:
        inspect(breach.boot, breach.sbom)
    assert caught.value.what.isprintable()
    monkeypatch.setattr(inspection, breach.rule, lambda *_: None)
    inspect(breach.boot, breach.sbom)


def test_every_rule_has_a_breach() -> None:
    rules = {name for name in vars(inspection) if name.startswith("check_")} - {"check_tree"}
    assert {breach.rule for breach in BREACHES} == rules


def test_libraries_are_found_through_links_and_beside_the_file() -> None:
    far = Entry("usr/lib/far.so", FILE, elf("libown.so", runpath=f"/nowhere:/{DIST}/cbor2"))
    inspect(plus(far))
    with pytest.raises(LibraryMissing):
        inspect(plus(far.but(content=elf("libown.so", runpath=f"/{DIST}"))))


@pytest.mark.parametrize("cut", [20, 70, 130, -1])
def test_native_code_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ElfUnreadable):
        inspect(plus(Entry("usr/lib/a", FILE, elf("libc.so.6", interpreter="/x")[:cut])))


def test_native_code_for_other_processors_is_refused() -> None:
    with pytest.raises(WrongMachine):
        inspect(plus(Entry("usr/lib/a", FILE, elf(machine=183))))


@pytest.mark.parametrize("at", [b"\xff" * 8, b"\x00\x00\x01\x00\x00\x00\x00\x00"])
def test_tables_that_point_elsewhere_are_refused(at: bytes) -> None:
    data = bytearray(elf("libc.so.6"))
    data[32:40] = at  # where the segments are said to be
    with pytest.raises(ElfUnreadable):
        read_elf(bytes(data), "a")


@pytest.mark.skipif(sys.platform != "linux", reason="ELF is what Linux has")
def test_a_real_program_is_read() -> None:
    found = read_elf(Path(sys.executable).resolve().read_bytes(), "python")
    assert found.program
    assert found.interpreter.startswith("/")
    assert any(name.startswith("libc.so") for name in found.needed)


def test_what_is_read_of_a_file() -> None:
    found = read_elf(elf("a.so", "b.so", runpath="$ORIGIN:/lib", interpreter="/ld.so"), "x")
    assert found.needed == ("a.so", "b.so")
    assert found.search == ("$ORIGIN", "/lib")
    assert (found.program, found.interpreter) == (True, "/ld.so")
    assert not read_elf(elf("a.so"), "x").program


@given(st.data())
def test_broken_native_code_raises_our_errors_only(data: st.DataObject) -> None:
    broken = bytearray(elf("libc.so.6", "b.so", interpreter="/ld.so", runpath="$ORIGIN"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    with suppress(TreeError):
        read_elf(bytes(broken[: data.draw(st.integers(0, len(broken)))]), "a")
