"""Malformed images: what we refuse, and what QEMU makes of the very same bytes.

Two readers that were written apart. Where both refuse, the rule is more than our opinion; where
QEMU takes the image, the rule guards against something that boots, and eif/README.md says so in
its column of who overlooks what. Each row is held to both answers, so a QEMU that learns a rule, or
a rule of ours that goes missing, shows here.
"""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_eif import EifError, FormatError, measure, parse, resign, serialise, verify
from strongroom_eif.signing import KeyInMemory

from tests.eif.mutations import overlapping
from tests.eif.samples import (
    CMDLINE_SECTION,
    KERNEL,
    KERNEL_SECTION,
    METADATA,
    RAMDISK,
    SIGNATURE,
    Raw,
    baseline,
    key,
    metadata,
    signature_section,
)
from tests.image.machine import Machine
from tests.image.probes import in_date, signed


def loadable(kernel: bytes) -> bytes:
    """Returns a kernel that QEMU loads: as long as its setup, and with room for a ramdisk."""
    return kernel[:0x22C] + struct.pack("<I", 0x7FFF_FFFF) + kernel[0x230:].ljust(4_096, b"\0")


BASE = baseline().replacing(0, loadable(KERNEL))
WHOLE = BASE.data()
LAST = len(BASE.sections) - 1
END = len(WHOLE)
README = (Path(__file__).parents[2] / "eif" / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Case:
    """One breach.

    Attributes:
        name: What is wrong.
        code: Of the rule by which we refuse it.
        data: The file.
        qemu: Part of QEMU's complaint; empty if it takes the image.
    """

    name: str
    code: str
    data: bytes
    qemu: str = ""

    def __str__(self) -> str:
        return self.name


def stale_after_resigning() -> bytes:
    """Returns what AWS's re-signing leaves: the new signature, the old size in the table."""
    short = signed(parse(WHOLE), "P-256")
    long = resign(short, KeyInMemory(key("P-521")), in_date("P-521"), datetime.now(UTC))
    before, after = (image.sections[-1].data for image in (short, long))
    assert len(before) != len(after)
    sections = (*BASE.sections, (SIGNATURE, bytes(after)))
    return Raw(sections, sizes={len(sections) - 1: len(before)}).data()


def as_qemu_sums(data: bytes) -> bytes:
    """Returns a file with the checksum of QEMU, which leaves out what no entry points to."""
    count = int.from_bytes(data[0x1A:0x1C])
    crc = zlib.crc32(data[:0x220])
    for number in range(count):
        offset = int.from_bytes(data[0x1C + 8 * number :][:8])
        size = int.from_bytes(data[offset + 4 : offset + 12])
        crc = zlib.crc32(data[offset : offset + 12 + size], crc)
    return data[:0x220] + struct.pack(">I", crc) + data[0x224:]


def with_signature(section: bytes) -> bytes:
    return BASE.adding((SIGNATURE, section)).data()


def oversigned() -> bytes:
    """Returns a genuine signature whose certificate stands after 20,000 bytes of remarks."""
    pem = b"#" * 20_000 + b"\n" + in_date("P-384")
    return with_signature(signature_section(measure(parse(WHOLE)).pcr0, pem=pem))


BREACHES = (
    # --- The file ---
    Case("empty", "truncated", b"", "Failed to read EIF header"),
    Case("half a header", "truncated", WHOLE[:547], "Failed to read EIF header"),
    Case("no section", "truncated", WHOLE[:548], "Failed to read EIF section header"),
    Case("half of the last section", "truncated", WHOLE[: END - 40], "Failed to read EIF ramdisk"),
    Case("another magic", "magic", BASE.but(magic=b".eig").data(), "Magic mismatch"),
    Case("version 2", "version", BASE.but(version=2).data(), "Expected EIF version 4"),
    Case("version 5", "version", BASE.but(version=5).data()),
    Case("reserved flags", "flags", BASE.but(flags=2).data(), "flags to be 0"),
    Case("a reserved field in use", "reserved", BASE.but(reserved=1).data()),
    Case("the unused field in use", "reserved", BASE.but(unused=1).data()),
    Case("another checksum", "crc", BASE.but(crc=1).data(), "CRC mismatch"),
    Case("a flipped bit", "crc", WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]), "CRC mismatch"),
    Case("one byte too many", "trailing-bytes", BASE.but(tail=b"x").data(), "CRC mismatch"),
    Case("one byte more that nothing covers", "trailing-bytes", WHOLE + b"x"),
    # --- The table ---
    Case("a count of 33", "section-count", BASE.but(count=33).data(), "must not be greater"),
    Case("a count of 0", "section-count", BASE.but(count=0).data(), "No kernel"),
    Case(
        "a count of one less",
        "unused-entry",
        BASE.but(count=LAST).data(),
        "CRC mismatch",
    ),
    Case("an entry that nobody uses", "unused-entry", BASE.but(offsets={31: END}).data()),
    Case(
        "a gap between sections",
        "sections-apart",
        as_qemu_sums(BASE.but(gaps={3: b"gap"}).data()),
    ),
    Case("sections in each other", "sections-overlap", as_qemu_sums(overlapping(BASE))),
    Case(
        "an offset beyond the file",
        "sections-apart",
        BASE.but(offsets={LAST: END}).data(),
        "Failed to read EIF section header",
    ),
    Case(
        "an offset of 2^63",
        "sections-apart",
        BASE.but(offsets={LAST: 1 << 63}).data(),
        "offset out of bounds",
    ),
    # --- Sections ---
    Case(
        "a size one too large",
        "section-size",
        BASE.but(sizes={LAST: len(BASE.sections[LAST][1]) + 1}).data(),
        "section size mismatch",
    ),
    Case(
        "a stale size after signing again",
        "section-size",
        stale_after_resigning(),
        "section size mismatch",
    ),
    Case(
        "a size of 2^40",
        "truncated",
        BASE.but(own_sizes={LAST: 1 << 40}).data(),
        "Out of memory",
    ),
    Case(
        "a size of 2^64 - 1",
        "truncated",
        BASE.but(own_sizes={LAST: (1 << 64) - 1}).data(),
        "size out of bounds",
    ),
    Case(
        "reserved section flags",
        "section-flags",
        BASE.but(section_flags={LAST: 1}).data(),
        "section header flags to be 0",
    ),
    Case("a section of type 0", "section-type", BASE.adding((0, b"x")).data()),
    Case("a section of type 6", "section-type", BASE.adding((6, b"x")).data()),
    Case("an empty ramdisk", "section-empty", BASE.adding((RAMDISK, b"")).data(), "Out of memory"),
    Case(
        "no kernel",
        "section-missing",
        BASE.but(sections=BASE.sections[1:]).data(),
        "No kernel section",
    ),
    Case(
        "no command line",
        "section-missing",
        BASE.but(sections=(BASE.sections[0], *BASE.sections[2:])).data(),
        "No cmdline section",
    ),
    Case(
        "no ramdisk",
        "ramdisk-missing",
        BASE.but(sections=BASE.sections[:3]).data(),
        "No ramdisk section",
    ),
    Case(
        "two kernels",
        "kernel-twice",
        BASE.adding((KERNEL_SECTION, KERNEL)).data(),
        "More than 1 kernel",
    ),
    Case(
        "two command lines",
        "cmdline-twice",
        BASE.adding((CMDLINE_SECTION, b"quiet")).data(),
        "More than 1 cmdline",
    ),
    Case("two labels", "metadata-twice", BASE.adding((METADATA, metadata())).data()),
    Case(
        "no label",
        "metadata-missing",
        BASE.but(sections=(*BASE.sections[:2], *BASE.sections[3:])).data(),
    ),
    Case(
        "a label in version 3",
        "metadata-unexpected",
        BASE.but(version=3).data(),
        "Expected EIF version 4",
    ),
    Case(
        "a ramdisk before the kernel",
        "ramdisk-before-kernel",
        BASE.but(sections=(BASE.sections[3], *BASE.sections[:3], BASE.sections[4])).data(),
    ),
    # --- The signature ---
    Case(
        "two signatures",
        "signature-twice",
        BASE.adding(
            *[(SIGNATURE, bytes(signed(parse(WHOLE), "P-384").sections[-1].data))] * 2
        ).data(),
    ),
    Case("a signature that is none", "signature-malformed", with_signature(b"x"), "CBOR"),
    Case(
        "a signature of an empty certificate",
        "signature-malformed",
        with_signature(b"\x81\xa2\x73signing_certificate\x80\x69signature\x80"),
        "CBOR",
    ),
    Case(
        "a certificate in a byte string",
        "signature-malformed",
        with_signature(b"\x81\xa2\x73signing_certificate\x41x\x69signature\x80"),
        "CBOR",
    ),
    Case("a signature with a long certificate file", "signature-size", oversigned()),
)


def refusal(data: bytes) -> str:
    """Returns the code of the rule that refuses an image."""
    with pytest.raises(EifError) as caught:
        verify(data, datetime.now(UTC))
    return caught.value.code


def test_both_take_a_good_image(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "image.eif"
    for image in (parse(WHOLE), signed(parse(WHOLE), "P-384")):
        path.write_bytes(serialise(image))
        verify(path.read_bytes(), datetime.now(UTC))
        assert machine.judge(path).taken


@pytest.mark.parametrize("case", BREACHES, ids=str)
def test_refused_by_us_and_judged_by_qemu(case: Case, machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "image.eif"
    path.write_bytes(case.data)
    verdict = machine.judge(path)
    assert (verdict.taken, refusal(case.data)) == (not case.qemu, case.code), verdict.said
    assert case.qemu in verdict.said
    assert case.qemu or verdict.taken


def test_every_rule_of_the_container_is_here(found: Callable[..., None]) -> None:
    rules = {error.code for error in FormatError.__subclasses__()}
    # A file of 16 GiB would show it; tests/eif lowers the limit instead.
    assert rules - {case.code for case in BREACHES} == {"image-too-large"}
    taken = sum(not case.qemu for case in BREACHES)
    found(
        "malformed images refused by the rule that they break",
        f"{len(BREACHES)}, of which QEMU would boot {taken}",
    )


def test_the_documentation_says_what_qemu_overlooks() -> None:
    table = README[README.index("| code |") : README.index("Inside sections")]
    rows = re.findall(r"(?m)^\| (`.*?) \|.*\| (.*?) \|$", table)
    assert len(rows) >= 15
    for codes, overlooked_by in rows:
        named = {code.strip("` ") for code in codes.split(",")}
        taken = any(not case.qemu for case in BREACHES if case.code in named)
        assert bool(re.search("both|QEMU", overlooked_by)) is taken, codes


SECTIONS = st.lists(
    st.sampled_from([*BASE.sections, *BASE.sections, (CMDLINE_SECTION, b""), (RAMDISK, b"more")]),
    min_size=3,
    max_size=7,
)


@settings(max_examples=settings().max_examples * 2)
@given(SECTIONS, st.permutations(range(5)), st.booleans(), st.sampled_from([3, 4, 4, 4, 5]))
def test_what_we_accept_qemu_boots(
    machine: Machine,
    tmp_path: Path,
    sections: list[tuple[int, bytes]],
    order: list[int],
    shuffled: bool,
    version: int,
) -> None:
    mixed = tuple(BASE.sections[n] for n in order) if shuffled else tuple(sections)
    data = Raw(mixed, version=version).data()
    path = tmp_path / "image.eif"
    path.write_bytes(data)
    try:
        parse(data)
    except EifError:
        return
    assert machine.judge(path).taken is (version == 4)
