"""Debian packages: what is in them comes out, and nothing that could land elsewhere."""

import shutil
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_eif.recipe import deb as reader
from strongroom_eif.recipe.deb import DebEntry, EntryKind, control, copyright_text, entries
from strongroom_eif.recipe.errors import DebInvalid

from tests.eif.recipe.debs import (
    CONTROL,
    PACKERS,
    Item,
    ar,
    deb,
    directory,
    file,
    hard_link,
    link,
    member,
    special,
    tar,
)

GOOD = (
    directory("./"),
    directory("./usr/"),
    directory("./usr/bin/"),
    file("./usr/bin/tool", b"#!", 0o4755),
    hard_link("./usr/bin/same", "./usr/bin/tool"),
    link("./usr/bin/short", "/etc/anywhere"),
    directory("./usr/share/"),
    directory("./usr/share/doc/"),
    directory("./usr/share/doc/sample/"),
    file("./usr/share/doc/sample/copyright", "© nobody\n".encode()),
)


def read(folder: Path, data: bytes) -> list[DebEntry]:
    path = folder / "sample.deb"
    path.write_bytes(data)
    return list(entries(path))


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_a_package_holds_comes_out(tmp_path: Path, suffix: str) -> None:
    found = read(tmp_path, deb(*GOOD, suffix=suffix))
    assert found[0] == DebEntry("usr", EntryKind.DIRECTORY, 0o755)
    by_path = {entry.path: entry for entry in found}
    assert by_path["usr/bin/tool"] == DebEntry("usr/bin/tool", EntryKind.FILE, 0o4755, b"#!")
    assert by_path["usr/bin/same"].target == "usr/bin/tool"
    assert by_path["usr/bin/short"].target == "/etc/anywhere"
    assert len(found) == len(GOOD) - 1
    assert control(tmp_path / "sample.deb") == {
        "Package": "sample",
        "Version": "1:2.0-1",
        "Description": "short\n long line\n .\n end",
    }
    assert copyright_text(tmp_path / "sample.deb", "sample") == "© nobody\n"
    assert copyright_text(tmp_path / "sample.deb", "another") == ""


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_dpkg_builds_what_is_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: real\nVersion: 1\nArchitecture: all\nMaintainer: n\nDescription: d\n"
    )
    deep = "usr/share/" + "/".join(["a-rather-long-directory-name"] * 6)
    (tree / deep).mkdir(parents=True)
    (tree / deep / "file").write_bytes(bytes(range(256)) * 5_000)
    (tree / "usr/link").symlink_to("x" * 150)
    for compression in ("xz", "gzip", "none"):
        path = tmp_path / f"{compression}.deb"
        command = ["dpkg-deb", f"-Z{compression}", "--root-owner-group", "-b", str(tree), str(path)]
        subprocess.run(command, check=True, capture_output=True)
        found = {entry.path: entry for entry in entries(path)}
        assert found[f"{deep}/file"].data == bytes(range(256)) * 5_000
        assert found["usr/link"].target == "x" * 150
        assert control(path)["Package"] == "real"


A = file("./a", b"a")
BAD: dict[str, tuple[Item, ...]] = {
    "absolute": (file("/etc/passwd"),),
    "climbing": (file("./../a"),),
    "climbing inside": (file("./usr/../../a"),),
    "control character": (file("./a\nb"),),
    "twice": (A, A),
    "through a link": (link("./l", "/etc"), file("./l/passwd")),
    "through a file": (A, file("./a/b")),
    "hard link out": (hard_link("./b", "/etc/shadow"),),
    "hard link to a later file": (hard_link("./b", "./a"), A),
    "hard link to a link": (link("./l", "/etc/shadow"), hard_link("./b", "./l")),
    "character device": (special("./d", tarfile.CHRTYPE),),
    "block device": (special("./d", tarfile.BLKTYPE),),
    "pipe": (special("./d", tarfile.FIFOTYPE),),
    "unknown type": (special("./d", b"Z"),),
    "empty link": (link("./l", ""),),
    "link too long": (link("./l", "x" * 4_096),),
    "component too long": (file("./" + "x" * 256),),
    "nothing": (),
}


@pytest.mark.parametrize("name", BAD)
def test_entries_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DebInvalid):
        read(tmp_path, deb(*BAD[name]))


DATA = PACKERS[".xz"](tar(GOOD))
MALFORMED = {
    "empty": b"",
    "no archive": b"!<arch>",
    "another archive": b"!<thin>\n" + member("data.tar.xz", DATA),
    "no member": ar(),
    "other members": ar(member("debian-binary", b"2.0\n")),
    "header cut": ar(member("debian-binary", b"2.0\n"), b"data.tar.xz"),
    "header end": ar(member("data.tar.xz", DATA, end=b"xx")),
    "size in words": ar(member("data.tar.xz", DATA).replace(b"%d " % len(DATA), b"many ")),
    "negative size": ar(member("data.tar.xz", DATA, size=-5)),
    "size beyond the file": ar(member("data.tar.xz", DATA, size=len(DATA) + 100)),
    "data cut": ar(member("data.tar.xz", DATA[:-40])),
    "tar cut": ar(member("data.tar", tar(GOOD)[:3_000])),
    "file cut": ar(member("data.tar", tar([file("./a", b"a" * 5_000)])[:3_000])),
    "zstd": ar(member("data.tar.zst", DATA)),
    "lzma": ar(member("data.tar.lzma", DATA)),
    "not xz": ar(member("data.tar.xz", b"x" * 500)),
    "not gzip": ar(member("data.tar.gz", b"x" * 500)),
    "not tar": ar(member("data.tar", b"x" * 1_024)),
    "damaged": ar(member("data.tar.xz", DATA[:200] + b"\xff" + DATA[201:])),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_package(tmp_path: Path, name: str) -> None:
    with pytest.raises(DebInvalid):
        read(tmp_path, MALFORMED[name])


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DebInvalid, match="cannot read"):
        list(entries(tmp_path / "absent.deb"))


@pytest.mark.parametrize("text", [b"no colon\n", b"A: 1\nA: 2\n", b": x\n", b" leading\n"])
def test_control_files_that_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "sample.deb"
    path.write_bytes(deb(A, control=text))
    with pytest.raises(DebInvalid, match="malformed control file"):
        control(path)


def test_a_package_without_control_file(tmp_path: Path) -> None:
    path = tmp_path / "sample.deb"
    path.write_bytes(ar(member("control.tar", tar([A])), member("data.tar", tar([A]))))
    with pytest.raises(DebInvalid, match="no control file"):
        control(path)


@pytest.mark.parametrize("limit", ["MAX_INFLATED", "MAX_FILE", "MAX_ENTRIES"])
def test_each_limit_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    data = deb(file("./a", bytes(100_000)), file("./b"))
    assert len(read(tmp_path, data)) == 2
    monkeypatch.setattr(reader, limit, 1)
    with pytest.raises(DebInvalid, match=r"more than 1 |too large"):
        read(tmp_path, data)


def huge(kind: bytes) -> bytes:
    """Returns a tar whose only entry claims four gigabytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 4 << 30
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.REGTYPE])
def test_sizes_that_a_header_claims_cost_nothing(tmp_path: Path, kind: bytes) -> None:
    data = ar(member("data.tar", huge(kind)))
    tracemalloc.start()
    try:
        with pytest.raises(DebInvalid):
            read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_bomb_is_stopped_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(reader, "MAX_INFLATED", 4 << 20)
    data = deb(file("./a", b"a"), file("./b", bytes(64 << 20)), suffix=suffix)
    tracemalloc.start()
    try:
        with pytest.raises(DebInvalid, match="holds more than"):
            read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


names = st.text("ab./\0é\n", min_size=1, max_size=12)
items = st.one_of(
    st.builds(file, names, st.binary(max_size=40), st.integers(0, 0o7777)),
    st.builds(directory, names),
    st.builds(link, names, names),
    st.builds(hard_link, names, names),
    st.builds(special, names, st.sampled_from([b"3", b"4", b"6", b"7", b"S", b"V", b"M", b"Z"])),
)


def check_text(error: DebInvalid) -> None:
    assert str(error).isprintable()


@settings(max_examples=settings().max_examples * 4)
@given(st.lists(items, max_size=5), st.sampled_from(sorted(PACKERS)), st.data())
def test_only_our_errors_come_out(
    tmp_path_factory: pytest.TempPathFactory, found: list[Item], suffix: str, data: st.DataObject
) -> None:
    package = bytearray(deb(*found, suffix=suffix))
    for _ in range(data.draw(st.integers(0, 3))):
        package[data.draw(st.integers(0, len(package) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzzed.deb"
    path.write_bytes(package[: data.draw(st.integers(0, len(package)))] or package)
    for read_it in (lambda: list(entries(path)), lambda: [control(path)]):
        try:
            come_out = read_it()
        except DebInvalid as error:
            check_text(error)
            continue
        for entry in come_out:
            if isinstance(entry, DebEntry):
                assert entry.path
                assert not entry.path.startswith("/")
                assert ".." not in entry.path.split("/")


def test_the_baseline_is_accepted(tmp_path: Path) -> None:
    """What every refusal above is one step away from."""
    assert read(tmp_path, deb(*GOOD))
    assert read(tmp_path, ar(member("data.tar.xz", DATA)))
    assert CONTROL
