"""`diff` names the first section, then the first file, then says why it matters."""

import gzip
import lzma

import pytest
from strongroom_eif import Comparison, diff, parse

from tests.eif.samples import (
    APPLICATION,
    CMDLINE,
    DIRECTORY,
    FILE,
    KERNEL,
    LINK,
    RAMDISKS,
    SIGNATURE,
    baseline,
    certificate,
    cpio,
    cpio_entry,
    metadata,
    pcr,
    signature_section,
)

BASE = baseline()
PCR0 = pcr(KERNEL, CMDLINE, *RAMDISKS)


def compare(first: bytes, second: bytes) -> Comparison:
    return diff(parse(first), parse(second))


def application(*entries: bytes) -> Comparison:
    """Compares the sample's application with another archive."""
    other = BASE.replacing(4, gzip.compress(cpio(*entries), mtime=0))
    found = compare(BASE.data(), other.data())
    assert found.section is not None
    assert found.section.where == "ramdisk[1]"
    assert [change.index for change in found.pcrs] == [0, 2]
    assert "PCR2" in found.section.matters
    return found


APP = cpio_entry(b"app", DIRECTORY)
MAIN = cpio_entry(b"app/main.py", FILE, b"print('hello')\n", ino=2)
RUN = cpio_entry(b"app/run", LINK, b"main.py", ino=3)


def test_the_same_file_is_identical() -> None:
    found = compare(BASE.data(), BASE.data())
    assert found.identical
    assert (found.section, found.file, found.pcrs, found.others) == (None, None, (), ())


def test_one_byte_of_a_source_file_is_named() -> None:
    changed = cpio_entry(b"app/main.py", FILE, b"print('hullo')\n", ino=2)
    found = application(APP, changed, RUN)
    assert found.file is not None
    assert (found.file.where, found.file.what) == ("app/main.py", "content, from byte 8 on")
    assert "Python source" in found.file.matters


@pytest.mark.parametrize(
    ("entries", "where", "what", "matters"),
    [
        ((APP, RUN), "app/main.py", "only in the first", "Python"),
        (
            (APP, MAIN, RUN, cpio_entry(b"app/x.so.1", FILE, b"x")),
            "app/x.so.1",
            "only in the second",
            "native",
        ),
        (
            (APP, cpio_entry(b"app/main.py", 0o104755, b"print('hello')\n", ino=2), RUN),
            "app/main.py",
            "mode",
            "as whom",
        ),
        (
            (APP, cpio_entry(b"app/main.py", FILE, b"print('hello')\n", ino=2, uid=1), RUN),
            "app/main.py",
            "owner",
            "change it",
        ),
        (
            (APP, cpio_entry(b"app/main.py", FILE, b"print('hello')\n", ino=2, mtime=5), RUN),
            "app/main.py",
            "mtime",
            "not deterministic",
        ),
        (
            (APP, MAIN, cpio_entry(b"app/run", LINK, b"/evil", ino=3)),
            "app/run",
            "target",
            "another file",
        ),
        ((APP, MAIN, cpio_entry(b"app/run", FILE, ino=3)), "app/run", "kind", "something else"),
        (
            (APP, cpio_entry(b"app/main.py", FILE, b"print('hello')\n", ino=2, nlink=2), RUN),
            "app/main.py",
            "links",
            "one shows",
        ),
        ((APP, RUN, MAIN), "app/main.py", "order", "not deterministic"),
        (
            (APP, cpio_entry(b"app/main.py", FILE, b"print('hello')\n", ino=9), RUN),
            "ramdisk[1]",
            "packing",
            "not deterministic",
        ),
    ],
)
def test_every_kind_of_difference_in_an_archive(
    entries: tuple[bytes, ...], where: str, what: str, matters: str
) -> None:
    found = application(*entries)
    assert found.file is not None
    assert (found.file.where, found.file.what) == (where, what)
    assert matters in found.file.matters


def test_the_same_files_packed_otherwise() -> None:
    found = compare(BASE.data(), BASE.replacing(4, gzip.compress(APPLICATION, 1, mtime=9)).data())
    assert found.file is not None
    assert (found.file.where, found.file.what) == ("ramdisk[1]", "packing")


def test_ramdisks_that_cannot_be_taken_apart_are_compared_as_bytes() -> None:
    found = compare(BASE.data(), BASE.replacing(4, lzma.compress(APPLICATION)).data())
    assert found.file is not None
    assert found.file.what == "content, from byte 0 on"
    assert "not taken apart" in found.file.matters


def test_the_second_ramdisks_place_counts_as_in_the_image() -> None:
    """An uncompressed second ramdisk is aligned only with the first one before it."""
    first = BASE.replacing(4, APPLICATION)
    second = BASE.replacing(4, cpio(APP, MAIN))
    found = compare(first.data(), second.data())
    assert found.file is not None
    assert found.file.where == "app/run"


@pytest.mark.parametrize(
    ("number", "data", "where", "pcrs"),
    [
        (0, KERNEL + b"!", "kernel", [0, 1]),
        (1, CMDLINE + b" init=/bin/sh", "cmdline", [0, 1]),
        (2, metadata(ImageName="other"), "metadata", []),
        (3, RAMDISKS[0] + bytes(4), "ramdisk[0]", [0, 1]),
    ],
)
def test_each_section(number: int, data: bytes, where: str, pcrs: list[int]) -> None:
    found = compare(BASE.data(), BASE.replacing(number, data).data())
    assert found.section is not None
    assert (found.section.where, found.section.what) == (where, "content")
    assert [change.index for change in found.pcrs] == pcrs
    assert bool(found.unmeasured) == (not pcrs)
    assert found.file is not None


def test_the_first_of_several_sections_is_named_and_the_others_listed() -> None:
    changed = BASE.replacing(1, b"quiet").replacing(2, metadata(ImageName="x"))
    found = compare(BASE.data(), changed.replacing(4, APPLICATION).data())
    assert found.section is not None
    assert found.section.where == "cmdline"
    assert found.others == ("metadata", "ramdisk[1]")
    assert found.file is not None
    assert (found.file.what, found.file.second) == ("content, from byte 0 on", "'quiet'")


def test_signatures() -> None:
    signed = BASE.adding((SIGNATURE, signature_section(PCR0)))
    found = compare(BASE.data(), signed.data())
    assert found.section is not None
    assert (found.section.where, found.section.what) == ("signature", "only in the second")
    assert [change.index for change in found.pcrs] == [8]
    other = BASE.adding((SIGNATURE, signature_section(PCR0, pem=certificate("P-384", 2))))
    found = compare(signed.data(), other.data())
    assert [change.index for change in found.pcrs] == [8]


def test_bytes_moved_over_a_boundary_are_no_secret() -> None:
    moved = BASE.replacing(1, CMDLINE[:-4]).replacing(3, CMDLINE[-4:] + RAMDISKS[0])
    found = compare(BASE.data(), moved.data())
    assert not found.pcrs
    assert "where sections end" in found.unmeasured
    assert found.section is not None
    assert found.section.where == "cmdline"


def test_header_and_order() -> None:
    found = compare(BASE.data(), BASE.but(mem=1, cpus=4).data())
    assert [difference.where for difference in found.header] == ["default_mem", "default_cpus"]
    assert not found.identical
    kernel, cmdline, label, first, second = BASE.sections
    found = compare(BASE.data(), BASE.but(sections=(kernel, cmdline, first, second, label)).data())
    assert found.section is not None
    assert (found.section.where, found.section.what) == ("sections", "order")
    assert not found.identical
