"""Bytes and measurements written out by hand, against what the library makes of the same parts."""

import hashlib
import struct
import zlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_eif import (
    SINGLE_RAMDISK_PCR2,
    Architecture,
    BuildMetadata,
    Metadata,
    Parts,
    SectionType,
    build,
    measure,
    parse,
    pcr3,
    pcr4,
    pcr8,
    serialise,
    write,
)

from tests.eif.samples import (
    CMDLINE,
    KERNEL,
    METADATA,
    NOW,
    RAMDISK,
    RAMDISKS,
    SIGNATURE,
    baseline,
    certificate,
    metadata,
    pcr,
    signature_section,
)


def test_a_file_spelled_out_byte_by_byte() -> None:
    header = (
        b".eif" + b"\x00\x04" + b"\x00\x00"
        + b"\x00\x00\x00\x00\x40\x00\x00\x00" + b"\x00\x00\x00\x00\x00\x00\x00\x02"
        + b"\x00\x00" + b"\x00\x04"
        + (548).to_bytes(8, "big") + (548 + 13).to_bytes(8, "big")
        + (548 + 13 + 14).to_bytes(8, "big") + (548 + 13 + 14 + 15).to_bytes(8, "big")
        + bytes(28 * 8)
        + (1).to_bytes(8, "big") + (2).to_bytes(8, "big")
        + (3).to_bytes(8, "big") + (4).to_bytes(8, "big")
        + bytes(28 * 8)
        + bytes(4)
    )  # fmt: skip
    body = (
        b"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + b"K"
        + b"\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + b"CC"
        + b"\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03" + b"{ }"
        + b"\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04" + b"RRRR"
    )  # fmt: skip
    assert len(header) == 0x220
    data = header + struct.pack(">I", zlib.crc32(header + body)) + body
    image = parse(data)
    assert (image.version, image.architecture) == (4, Architecture.X86_64)
    assert (image.default_mem, image.default_cpus) == (1 << 30, 2)
    assert [(s.type, bytes(s.data)) for s in image.sections] == [
        (SectionType.KERNEL, b"K"),
        (SectionType.CMDLINE, b"CC"),
        (SectionType.METADATA, b"{ }"),
        (SectionType.RAMDISK, b"RRRR"),
    ]
    assert image.offsets() == (548, 561, 575, 590)
    assert image.size == len(data)
    assert serialise(image) == data


def test_build_gives_the_bytes_put_together_by_hand() -> None:
    label = Metadata(
        "sample",
        "1.2.3",
        BuildMetadata("1970-01-01T00:00:00Z", "by hand", "0", "Linux", "6.12.57"),
    )
    image = build(Parts(KERNEL, CMDLINE.decode(), RAMDISKS, label))
    assert serialise(image) == baseline().data()


def test_write_streams_the_same_bytes() -> None:
    image = parse(baseline().data())

    class Sink(bytearray):
        def write(self, data: bytes | memoryview) -> None:
            self.extend(data)

    sink = Sink()
    assert write(image, sink) == len(sink) == image.size
    assert bytes(sink) == baseline().data()


def test_measurements_by_the_formulas() -> None:
    found = measure(parse(baseline().data()))
    assert found.pcr0 == pcr(KERNEL, CMDLINE, *RAMDISKS)
    assert found.pcr1 == pcr(KERNEL, CMDLINE, RAMDISKS[0])
    assert found.pcr2 == pcr(RAMDISKS[1])
    assert found.pcr8 == bytes(48)
    assert [(s.name, s.length, s.pcrs) for s in found.sections] == [
        ("kernel", len(KERNEL), (0, 1)),
        ("cmdline", len(CMDLINE), (0, 1)),
        ("metadata", len(metadata()), ()),
        ("ramdisk[0]", len(RAMDISKS[0]), (0, 1)),
        ("ramdisk[1]", len(RAMDISKS[1]), (0, 2)),
    ]
    assert found.sections[3].sha384 == hashlib.sha384(RAMDISKS[0]).digest()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_number_of_ramdisks(count: int) -> None:
    ramdisks = [b"ramdisk %d" % number for number in range(count)]
    raw = baseline()
    raw = raw.but(sections=raw.sections[:3]).adding(*((RAMDISK, data) for data in ramdisks))
    found = measure(parse(raw.data()))
    assert found.pcr0 == pcr(KERNEL, CMDLINE, *ramdisks)
    assert found.pcr1 == pcr(KERNEL, CMDLINE, ramdisks[0])
    assert found.pcr2 == pcr(*ramdisks[1:])
    assert (found.pcr2 == SINGLE_RAMDISK_PCR2) == (count == 1)
    assert (found.pcr0 == found.pcr1) == (count == 1)


@pytest.mark.parametrize("order", ["cmdline first", "cmdline last", "between", "metadata last"])
def test_file_order_is_the_order_of_measurement(order: str) -> None:
    """Both orders of the specification's pictures, and those in which PCR1 is no prefix of PCR0."""
    kernel, cmdline, label, first, second = baseline().sections
    sections = {
        "cmdline first": (cmdline, kernel, label, first, second),
        "cmdline last": (kernel, label, first, second, cmdline),
        "between": (kernel, first, cmdline, second, label),
        "metadata last": (kernel, cmdline, first, second, label),
    }[order]
    data = baseline().but(sections=sections).data()
    measured = [content for kind, content in sections if kind != METADATA]
    boot = [content for content in measured if content != RAMDISKS[1]]
    found = measure(parse(data))
    assert (found.pcr0, found.pcr1, found.pcr2) == (pcr(*measured), pcr(*boot), pcr(RAMDISKS[1]))
    assert serialise(parse(data)) == data


def test_version_3_has_no_metadata_and_may_be_signed() -> None:
    kernel, cmdline, _, first, second = baseline().sections
    signed = signature_section(pcr(KERNEL, CMDLINE, *RAMDISKS))
    raw = baseline().but(version=3, sections=(kernel, cmdline, first, second, (SIGNATURE, signed)))
    image = parse(raw.data())
    assert (image.version, image.metadata) == (3, None)
    assert serialise(image) == raw.data()
    der = x509.load_pem_x509_certificate(certificate()).public_bytes(Encoding.DER)
    assert measure(image).pcr8 == pcr(der) == pcr8(der)


def test_aarch64() -> None:
    image = parse(baseline().but(flags=1).data())
    assert image.architecture is Architecture.AARCH64


def test_pcr3_and_pcr4() -> None:
    arn = "arn:aws:iam::123456789012:role/enclave"
    assert pcr3(arn) == hashlib.sha384(bytes(48) + arn.encode()).digest()
    assert pcr4("i-0a1b").hex() == hashlib.sha384(bytes(48) + b"i-0a1b").hexdigest()
    assert NOW.tzinfo is not None


def test_boundaries_are_not_measured_but_in_the_digests() -> None:
    """Why the sections' digests are published beside the PCRs."""
    raw = baseline()
    moved = raw.replacing(1, CMDLINE[:-4]).replacing(3, CMDLINE[-4:] + RAMDISKS[0])
    a, b = measure(parse(raw.data())), measure(parse(moved.data()))
    assert a.pcrs == b.pcrs
    assert [s.sha384 for s in a.sections] != [s.sha384 for s in b.sections]
