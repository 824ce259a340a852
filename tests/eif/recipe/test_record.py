"""The release record: strict to read, and able to say by itself where an image parts from it."""

import hashlib
import json
from typing import Any

import pytest
from strongroom_eif import KeyInMemory, parse, sign
from strongroom_eif.recipe import record as module
from strongroom_eif.recipe.content_errors import RecordMalformed
from strongroom_eif.recipe.errors import RecipeError
from strongroom_eif.recipe.pins import Package
from strongroom_eif.recipe.record import (
    Artefact,
    KernelRecord,
    ReleaseRecord,
    Source,
    compare,
    image_sha256,
    lines_of,
    parse_record,
    sections_of,
)
from strongroom_eif.recipe.wheels import Wheel

from tests.eif.recipe.trees import BOOT, DIST, OWN, Entry, image, raw
from tests.eif.samples import CMDLINE, NOW, certificate, key, pcr

PACKAGE = Package("libc6", "2.41-12", "amd64", "pool/main/g/glibc/libc6.deb", 7, "aa" * 32, "glibc")
WHEEL = Wheel("cbor2", "6.2.1", "cbor2-6.2.1-cp313-cp313-linux_x86_64.whl", 9, "bb" * 32)


def recorded(boot: list[Entry] = BOOT, own: list[Entry] = OWN) -> ReleaseRecord:
    whole = image(boot, own)
    data = raw(boot, own).data()
    kernel, cmdline, boot_disk, own_disk = whole.kernel, CMDLINE, *whole.ramdisks
    return ReleaseRecord(
        format="strongroom-release/1",
        version="1.2.3",
        source=Source(tree="cc" * 32, commit="dd" * 20),
        eif=Artefact(name="a.eif", size=len(data), sha256=hashlib.sha256(data).hexdigest()),
        pcrs={
            "0": pcr(bytes(kernel), cmdline, bytes(boot_disk), bytes(own_disk)).hex(),
            "1": pcr(bytes(kernel), cmdline, bytes(boot_disk)).hex(),
            "2": pcr(bytes(own_disk)).hex(),
        },
        cmdline=CMDLINE.decode(),
        sections=sections_of(whole),
        kernel=KernelRecord(
            version="6.12", sha256="ee" * 32, config_sha256="ff" * 32, inputs={"source": "linux"}
        ),
        packages=[PACKAGE],
        wheels=[WHEEL],
        toolchain=[PACKAGE],
        inputs={"system.toml": "ab" * 32},
        sbom=Artefact(name="a.cdx.json", size=1, sha256="cd" * 32),
        files={name: [str(line) for line in lines] for name, lines in lines_of(whole).items()},
    )


def test_what_was_written_is_read_and_written_the_same() -> None:
    found = recorded()
    data = found.to_json()
    assert parse_record(data) == found
    assert parse_record(data).to_json() == data
    assert json.loads(data)["pcrs"].keys() == {"0", "1", "2"}


def test_a_record_lists_every_entry_with_mode_and_digest() -> None:
    lines = recorded().files["ramdisk[1]"]
    content = hashlib.sha256(b"#!/usr/bin/python3.13 -I\n").hexdigest()
    assert f"100755 {content} {DIST}/strongroom_enclave/main.py" in lines
    target = hashlib.sha256(f"{DIST}/strongroom_enclave/main.py".encode()).hexdigest()
    assert f"120777 {target} init" in lines


def changed(path: list[Any], value: object) -> bytes:
    tree = json.loads(recorded().to_json())
    at = tree
    for step in path[:-1]:
        at = at[step]
    if value is KeyError:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return json.dumps(tree).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "strongroom-release/2"),
        (["format"], KeyError),
        (["surprise"], 1),
        (["version"], 1),
        (["source", "tree"], "cc" * 31),
        (["source", "commit"], "main"),
        (["source", "surprise"], 1),
        (["eif", "sha256"], "CC" * 32),
        (["eif", "size"], -1),
        (["eif", "size"], "1"),
        (["eif", "name"], "../a.eif"),
        (["pcrs", "0"], "00" * 32),
        (["pcrs", "0"], KeyError),
        (["pcrs", "3"], "00" * 48),
        (["sections", 0, "length"], 1 << 50),
        (["sections", 0, "sha384"], ""),
        (["sections", 4, "name"], "ramdisk[0]"),
        (["kernel", "inputs"], []),
        (["packages", 0, "size"], None),
        (["wheels", 0, "filename"], "../x.whl"),
        (["files", "ramdisk[0]"], KeyError),
        (["files", "ramdisk[2]"], []),
        (["files", "ramdisk[0]", 0], "100644 " + "aa" * 32),
        (["files", "ramdisk[0]", 0], f"100644 {'aa' * 32} a\nb"),
        (["files", "ramdisk[0]", 0], f"100644 {'aa' * 31} a"),
    ],
)
def test_each_flaw_is_refused(path: list[Any], value: object) -> None:
    with pytest.raises(RecordMalformed):
        parse_record(changed(path, value))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"[" * 100_000, b"\xff" * 9])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_record(data)
    assert caught.value.what.isprintable()


def test_a_huge_record_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORD_BYTES", 100)
    with pytest.raises(RecordMalformed, match="too large"):
        parse_record(recorded().to_json())


def test_an_incomplete_record_would_compare_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = changed(["pcrs", "0"], KeyError)
    monkeypatch.setattr(module, "check_complete", lambda _: None)
    assert len(parse_record(bare).pcrs) == 2


# --- Comparison ----------------------------------------------------------------------------------


def test_the_recorded_image_is_found_to_be_it() -> None:
    assert compare(recorded(), image(BOOT)) is None


def test_a_signature_makes_no_other_image() -> None:
    signed = sign(image(BOOT), KeyInMemory(key()), certificate(), NOW)
    assert signed.signature is not None
    assert compare(recorded(), signed) is None
    assert image_sha256(signed) == recorded().eif.sha256


MAIN = f"{DIST}/strongroom_enclave/main.py"


def own(**changes: object) -> list[Entry]:
    return [entry.but(**changes) if entry.path == MAIN else entry for entry in OWN]


@pytest.mark.parametrize(
    ("boot", "mine", "section", "where", "what"),
    [
        (BOOT, own(content=b"#!"), "ramdisk[1]", MAIN, "content"),
        (BOOT, own(mode=0o100644), "ramdisk[1]", MAIN, "mode"),
        (BOOT, own(mode=0o120777), "ramdisk[1]", MAIN, "kind"),
        (BOOT, OWN[:-1], "ramdisk[1]", MAIN, "only in the record"),
        (BOOT, [*OWN, Entry("z", 0o100644)], "ramdisk[1]", "z", "only in the image"),
        (BOOT, [*OWN[:-2], Entry("init", 0o120777, b"x"), OWN[-1]], "ramdisk[1]", "init", "target"),
        (BOOT[:-1], OWN, "ramdisk[0]", f"{DIST}/cbor2/libown.so", "only in the record"),
        (BOOT, [*reversed(OWN[-2:]), *OWN[:-2]], "ramdisk[1]", "ramdisk[1]", "packing"),
    ],
)
def test_the_first_section_and_file_are_named(
    boot: list[Entry], mine: list[Entry], section: str, where: str, what: str
) -> None:
    found = compare(recorded(), image(boot, mine))
    assert found is not None
    assert found.section.where == section
    assert found.section.matters
    assert found.file is not None
    assert (found.file.where, found.file.what) == (where, what)
    assert found.file.matters


def test_source_is_named_before_the_bytecode_that_follows_from_it() -> None:
    cached = f"{DIST}/strongroom_enclave/__pycache__"
    both = [
        *OWN,
        Entry(cached, 0o040755),
        Entry(f"{cached}/main.cpython-313.pyc", 0o100644, b"1"),
    ]
    record = recorded(BOOT, sorted(both, key=lambda e: e.path))
    after = [
        entry.but(content=b"2") if entry.path.endswith((".pyc", ".py")) else entry for entry in both
    ]
    found = compare(record, image(BOOT, sorted(after, key=lambda e: e.path)))
    assert found is not None
    assert found.file is not None
    assert found.file.where == MAIN
    # Bytecode that changed by itself is what to look at.
    after = [entry.but(content=b"2") if entry.path.endswith(".pyc") else entry for entry in both]
    found = compare(record, image(BOOT, sorted(after, key=lambda e: e.path)))
    assert found is not None
    assert found.file is not None
    assert found.file.where.endswith(".pyc")


@pytest.mark.parametrize(
    ("numbers", "first", "others"),
    [
        ([0], "kernel", ()),
        ([1], "cmdline", ()),
        ([2], "metadata", ()),
        ([0, 1, 2], "kernel", ("cmdline", "metadata")),
    ],
)
def test_other_sections_are_named(numbers: list[int], first: str, others: tuple[str, ...]) -> None:
    other = raw(BOOT)
    for number in numbers:
        data = other.sections[number][1]
        other = other.replacing(number, data + b" x")
    found = compare(recorded(), parse(other.data()))
    assert found is not None
    assert (found.section.where, found.file, found.others) == (first, None, others)


def test_a_moved_boundary_is_found_though_no_pcr_shows_it() -> None:
    sections = dict(enumerate(raw(BOOT).sections))
    cmdline, disk = sections[1][1], sections[3][1]
    # Four bytes go from the command line to the ramdisk: the same content on end.
    moved = raw(BOOT).replacing(1, cmdline[:-4]).replacing(3, cmdline[-4:] + disk)
    found = compare(recorded(), parse(moved.data()))
    assert found is not None
    assert found.section.where == "cmdline"
    assert found.others == ("ramdisk[0]",)


def test_a_section_that_was_added_or_taken_is_named() -> None:
    more = raw(BOOT).adding((3, raw(BOOT).sections[4][1]))
    found = compare(recorded(), parse(more.data()))
    assert found is not None
    assert (found.section.where, found.section.what) == ("ramdisk[2]", "only in the image")
    fewer = raw(BOOT).but(sections=raw(BOOT).sections[:-1])
    found = compare(recorded(), parse(fewer.data()))
    assert found is not None
    assert (found.section.where, found.section.what) == ("ramdisk[1]", "only in the record")


def test_the_order_of_sections_and_the_header_count() -> None:
    sections = raw(BOOT).sections
    swapped = raw(BOOT).but(sections=(sections[0], sections[2], sections[1], *sections[3:]))
    found = compare(recorded(), parse(swapped.data()))
    assert found is not None
    assert (found.section.where, found.section.what) == ("sections", "order")
    found = compare(recorded(), parse(raw(BOOT).but(cpus=4).data()))
    assert found is not None
    assert found.section.where == "header"
