"""An image held against its release: each way of not being it has its own refusal."""

import struct
from typing import Any

import pytest
from strongroom_eif.recipe.record import ReleaseRecord
from strongroom_host.trust.release import read_record
from strongroom_host.trust.release_errors import (
    BoundaryMoved,
    FileDiffers,
    ImageRefused,
    ImageSignatureUnlisted,
    MeasurementDiffers,
    SectionDiffers,
    VersionDiffers,
)
from strongroom_host.trust.released_image import check_released

from tests.eif.samples import (
    CMDLINE,
    KERNEL,
    RAMDISK,
    RAMDISKS,
    SIGNATURE,
    Raw,
    baseline,
    cpio,
    cpio_entry,
    metadata,
    pcr,
    signature_section,
    with_crc,
)
from tests.host.trust.releases import record, record_of

RECORD = read_record(record_of())
PCR0 = pcr(KERNEL, CMDLINE, *RAMDISKS)


def moved() -> Raw:
    """The last byte of the command line moved to the front of the first ramdisk."""
    raw = baseline()
    return raw.replacing(1, CMDLINE[:-1]).replacing(3, CMDLINE[-1:] + RAMDISKS[0])


def bent(**changes: Any) -> ReleaseRecord:
    return read_record(record_of(**changes))


def test_the_released_image_is_accepted() -> None:
    found = check_released(baseline().data(), RECORD)
    assert found.sections == 5
    assert not found.signature_ignored
    assert found.measurements.pcr0 == PCR0


def test_moved_bytes_attest_alike() -> None:
    """The premise: without the sections of the record nothing would show."""
    assert record(moved())["pcrs"] == record()["pcrs"]
    assert moved().data() != baseline().data()


OTHER_INIT = cpio(cpio_entry(b"init", 0o100755, b"\x7fELF evil"))
SIGNED = baseline().adding((SIGNATURE, signature_section(PCR0)))
REFUSED: list[tuple[str, type[ImageRefused], bytes, ReleaseRecord]] = [
    ("version", VersionDiffers, baseline().data(), bent(version="1.2.4")),
    ("code", MeasurementDiffers, baseline().replacing(3, OTHER_INIT).data(), RECORD),
    ("application", MeasurementDiffers, baseline().replacing(4, OTHER_INIT).data(), RECORD),
    ("record's pcr", MeasurementDiffers, baseline().data(),
     bent(pcrs=record()["pcrs"] | {"1": "11" * 48})),
    ("boundary", BoundaryMoved, moved().data(), RECORD),
    ("label", SectionDiffers, baseline().replacing(2, metadata(ImageName="x")).data(), RECORD),
    ("order", SectionDiffers,
     Raw((*baseline().sections[:2], *baseline().sections[3:], baseline().sections[2])).data(),
     RECORD),
    ("record's sha256", SectionDiffers, baseline().data(),
     bent(sections=[s | {"sha256": "11" * 32} for s in record()["sections"]])),
    ("signature", ImageSignatureUnlisted, SIGNED.data(), RECORD),
    ("header", FileDiffers, baseline().but(mem=1 << 31).data(), RECORD),
    ("record's size", FileDiffers, baseline().data(),
     bent(eif=record()["eif"] | {"size": len(baseline().data()) + 1})),
]  # fmt: skip


@pytest.mark.parametrize(("what", "leaf", "data", "release"), REFUSED, ids=[r[0] for r in REFUSED])
def test_each_difference_is_refused_by_its_own_check(
    what: str, leaf: type[ImageRefused], data: bytes, release: ReleaseRecord
) -> None:
    with pytest.raises(ImageRefused) as caught:
        check_released(data, release)
    assert type(caught.value) is leaf
    assert caught.value.remedy


def test_what_differs_is_named() -> None:
    with pytest.raises(MeasurementDiffers, match=r"ramdisk\[1\]"):
        check_released(baseline().replacing(4, OTHER_INIT).data(), RECORD)
    with pytest.raises(MeasurementDiffers, match="in it app "):
        check_released(baseline().replacing(4, OTHER_INIT).data(), RECORD)
    with pytest.raises(BoundaryMoved, match="cmdline"):
        check_released(moved().data(), RECORD)
    with pytest.raises(MeasurementDiffers, match="contradicts itself"):
        check_released(baseline().data(), bent(pcrs=record()["pcrs"] | {"2": "11" * 48}))


def test_an_operators_signature_can_be_left_out() -> None:
    found = check_released(SIGNED.data(), RECORD, ignore_signature=True)
    assert found.signature_ignored
    # Left out is the signature and nothing else.
    other = baseline().replacing(2, metadata(ImageName="x"))
    with pytest.raises(SectionDiffers):
        check_released(
            other.adding((SIGNATURE, signature_section(PCR0))).data(),
            RECORD,
            ignore_signature=True,
        )


def test_a_section_more_or_less() -> None:
    more = baseline().adding((RAMDISK, OTHER_INIT)).data()
    with pytest.raises(MeasurementDiffers):
        check_released(more, RECORD)


def test_any_byte_of_the_file_matters() -> None:
    data = bytearray(baseline().data())
    for at in (4, 8, 16, 30, len(data) - 1):
        before = data[at]
        data[at] ^= 1
        struct.pack_into(">I", data, 0x220, int.from_bytes(with_crc(bytes(data))[0x220:0x224]))
        with pytest.raises(Exception) as caught:  # noqa: PT011 the format's errors or ours
            check_released(bytes(data), RECORD)
        assert type(caught.value).__module__.startswith("strongroom_")
        data[at] = before
