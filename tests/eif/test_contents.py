"""Kernel headers, metadata, descriptions and parts."""

import hashlib
import struct

import pytest
from strongroom_eif import (
    Architecture,
    BuildMetadata,
    Metadata,
    Parts,
    build,
    describe,
    errors,
    files,
    parse,
    parse_metadata,
    parts,
    verify,
)
from strongroom_eif.kernel import inspect_kernel, require_cmdline

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
    cpio,
    cpio_entry,
    kernel,
    metadata,
    pcr,
    signature_section,
)

PCR0 = pcr(KERNEL, CMDLINE, *RAMDISKS)
ARM = bytes(56) + b"ARM\x64" + bytes(4)


def test_kernels_say_what_they_are() -> None:
    found = inspect_kernel(KERNEL, Architecture.X86_64)
    assert found.version == "6.12.57 (build@host) #1 SMP"
    assert found.cmdline_bytes == 2047
    assert inspect_kernel(ARM, Architecture.AARCH64).architecture is Architecture.AARCH64
    old = bytearray(KERNEL)
    struct.pack_into("<H", old, 0x206, 0x0205)
    assert inspect_kernel(bytes(old), Architecture.X86_64).cmdline_bytes == 255
    nameless = bytearray(KERNEL)
    struct.pack_into("<H", nameless, 0x20E, 0)
    assert inspect_kernel(bytes(nameless), Architecture.X86_64).version == ""


@pytest.mark.parametrize(
    "data", [b"\x7fELF" + bytes(1000), KERNEL[:0x23B], ARM[:63], b"", kernel()[:0x1FE] + bytes(900)]
)
def test_what_is_no_kernel_is_refused(data: bytes) -> None:
    with pytest.raises(errors.KernelInvalid):
        inspect_kernel(data, Architecture.X86_64)


def test_the_kernels_own_limit_holds_for_the_command_line() -> None:
    small = bytearray(KERNEL)
    struct.pack_into("<I", small, 0x238, 100)
    image = baseline().replacing(0, bytes(small)).replacing(1, b"a" * 101)
    with pytest.raises(errors.CmdlineInvalid):
        verify(image.data(), NOW)
    verify(image.replacing(1, b"a" * 100).data(), NOW)
    require_cmdline(b"a" * 2047)


@pytest.mark.parametrize(
    "section",
    [
        b"",
        b"[]",
        b"\xff",
        b"{",
        b"[" * 100_000,
        metadata().replace(b'"sample"', b"1"),
        metadata(BuildMetadata=None),
        metadata(BuildMetadata={}),
        metadata(DockerInfo=[]),
        metadata(CustomMetadata=float("nan")),
        metadata() + b" {}",
    ],
)
def test_metadata_that_is_not_what_the_schema_says(section: bytes) -> None:
    with pytest.raises(errors.MetadataInvalid) as caught:
        parse_metadata(section)
    assert str(caught.value).isprintable()


def test_metadata_as_others_write_them() -> None:
    found = parse_metadata(metadata(DockerInfo={"Id": "sha256:..."}, CustomMetadata={"a": [1]}))
    assert (found.docker_info, found.custom) == ({"Id": "sha256:..."}, {"a": [1]})
    without = metadata().replace(b',"CustomMetadata":null', b"")
    assert parse_metadata(without).custom is None
    assert parse_metadata(metadata().replace(b",", b" ,\n ")).image_name == "sample"


LABEL = Metadata("name", "2.0", BuildMetadata("1970-01-01T00:00:00Z", "t", "1", "Linux", "6.12"))


def test_the_version_is_the_one_given() -> None:
    """AWS's eif_build takes the name for it."""
    built = build(Parts(KERNEL, "quiet", RAMDISKS, LABEL))
    assert built.metadata is not None
    assert parse_metadata(built.metadata).image_version == "2.0"


@pytest.mark.parametrize(
    ("parts_", "error"),
    [
        (Parts(KERNEL, "quiet", [b""], LABEL), errors.InvalidArgument),
        (Parts(KERNEL, "quiet", [b"x"] * 29, LABEL), errors.InvalidArgument),
        (Parts(KERNEL, "naïve", RAMDISKS, LABEL), errors.InvalidArgument),
        (Parts(KERNEL, "a\0b", RAMDISKS, LABEL), errors.CmdlineInvalid),
        (Parts(ARM, "quiet", RAMDISKS, LABEL), errors.ArchitectureMismatch),
        (Parts(b"no kernel", "quiet", RAMDISKS, LABEL), errors.KernelInvalid),
    ],
)
def test_parts_that_make_no_image(parts_: Parts, error: type[errors.EifError]) -> None:
    with pytest.raises(error):
        build(parts_)


def test_the_most_ramdisks_still_leave_room_for_a_signature() -> None:
    image = build(Parts(KERNEL, "quiet", [b"x"] * 28, LABEL))
    assert len(image.with_signature(b"x").sections) == 32


def test_a_description_says_everything() -> None:
    data = baseline().adding((SIGNATURE, signature_section(PCR0))).data()
    found = describe(data, NOW)
    shown = found.to_json()
    assert shown["sha256"] == hashlib.sha256(data).hexdigest()
    assert shown["crc32"] == data[0x220:0x224].hex()
    assert shown["size"] == len(data)
    assert shown["kernel"] == "6.12.57 (build@host) #1 SMP"
    assert shown["cmdline"] == CMDLINE.decode()
    assert shown["faults"] == []
    pcrs = shown["pcrs"]
    assert isinstance(pcrs, dict)
    assert pcrs["0"] == PCR0.hex()
    sections = shown["sections"]
    assert isinstance(sections, list)
    names = ["kernel", "cmdline", "metadata", "ramdisk[0]", "ramdisk[1]", "signature"]
    assert [section["name"] for section in sections] == names
    at = sections[4]["offset"] + 12
    assert data[at : at + sections[4]["length"]] == RAMDISKS[1]
    signature = shown["signature"]
    assert isinstance(signature, dict)
    assert signature["subject"] == found.subject == "CN=signer"


def test_a_description_goes_on_after_a_fault_inside() -> None:
    broken = baseline().replacing(0, b"no kernel").replacing(2, b"no json")
    broken = broken.adding((SIGNATURE, signature_section(bytes(48))))
    found = describe(broken.data(), NOW)
    assert [name for name, _ in found.faults] == ["kernel", "metadata", "signature"]
    assert found.metadata is None
    assert found.measurements.pcr0 == pcr(b"no kernel", CMDLINE, *RAMDISKS)
    assert found.subject == "CN=signer"
    assert describe(baseline().data(), NOW).subject == ""


def test_parts_have_names_of_ours() -> None:
    image = parse(baseline().adding((SIGNATURE, signature_section(PCR0))).data())
    found = parts(image)
    assert list(found) == [
        "kernel",
        "cmdline",
        "ramdisk0",
        "ramdisk1",
        "metadata.json",
        "signature.cbor",
        "certificate.pem",
    ]
    assert bytes(found["ramdisk1"]) == RAMDISKS[1]
    assert found["certificate.pem"] == certificate()


def test_single_files_come_out_of_either_ramdisk() -> None:
    image = parse(baseline().data())
    wanted = frozenset({"init", "app/main.py", "app/run", "absent"})
    found = {file.path: b"".join(file.pieces) for file in files(image, wanted)}
    assert found == {"init": b"\x7fELF init", "app/main.py": b"print('hello')\n"}


def test_files_under_tricky_paths_do_not_come_out() -> None:
    trick = cpio(cpio_entry(b"../../etc/passwd", 0o100644, b"root::0:0"))
    image = parse(baseline().but(sections=(*baseline().sections[:3], (RAMDISK, trick))).data())
    with pytest.raises(errors.ImageError) as caught:
        list(files(image, frozenset({"../../etc/passwd"})))
    assert caught.value.code == "path-escapes"


def test_notices_say_what_is_not_measured() -> None:
    signed = baseline().adding((SIGNATURE, signature_section(PCR0, pem=b"note\n" + certificate())))
    codes = [notice.code for notice in verify(signed.data(), NOW).notices]
    assert codes == [
        "boundaries-unmeasured",
        "metadata-unmeasured",
        "docker-info-null",
        "issuer-unchecked",
        "certificate-extras",
        "special-files",
    ]
    plain = [notice.code for notice in verify(baseline().data(), NOW).notices]
    assert "unsigned" in plain
    old = baseline().but(
        version=3, sections=tuple(s for s in baseline().sections if s[0] != METADATA)
    )
    assert "old-version" in [notice.code for notice in verify(old.data(), NOW).notices]
