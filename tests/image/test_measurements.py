"""QEMU computes the PCRs itself, from the file: an oracle that shares no code with strongroom_eif.

Each image is booted, and its guest asks the security module for a document.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from strongroom_attest.errors import UnsignedRefused
from strongroom_attest.nitro import Roots, authenticate, authenticate_unsigned
from strongroom_attest.nitro.document import AttestationDocument
from strongroom_eif import (
    SINGLE_RAMDISK_PCR2,
    Image,
    describe,
    diff,
    errors,
    parse,
    pcr3,
    pcr4,
    serialise,
    verify,
)

from tests.image.machine import MODULE_ID, Machine
from tests.image.probes import WORDS, Probes, document_in, in_date, signed

SHAPES = (
    "one ramdisk",
    "two ramdisks",
    "three ramdisks",
    "two ramdisks, not compressed",
    "one ramdisk, signed with P-256",
    "two ramdisks, signed with P-384",
    "three ramdisks, signed with P-521",
    "signed with P-256, then again with P-521",
    "metadata last, as the specification draws it",
    "the command line after the ramdisks",
    "the command line between the ramdisks",
    "the command line first",
    "the signature first",
)
ZERO = bytes(48)
ROLE = "arn:aws:iam::123456789012:role/desk"
INSTANCE = MODULE_ID.partition("-enc")[0]


class Booted:
    """Boots images and returns what the document says that the security module made there."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.path = machine, folder / "image.eif"

    def boot(self, image: Image, *properties: str) -> bytes:
        self.path.write_bytes(serialise(image))
        outcome = self.machine.boot(self.path, *properties)
        assert "probe: done" in outcome.console, outcome.console
        assert outcome.status == 0
        return document_in(outcome.answer)

    def document(self, image: Image, *properties: str) -> AttestationDocument:
        return authenticate_unsigned(self.boot(image, *properties)).document


@pytest.fixture
def qemu(machine: Machine, tmp_path: Path) -> Booted:
    return Booted(machine, tmp_path)


@pytest.mark.parametrize("shape", SHAPES)
def test_qemu_measures_what_describe_says(
    shape: str, qemu: Booted, probes: Probes, found: Callable[..., None]
) -> None:
    image = probes.all()[shape]
    document = qemu.document(image)
    data = qemu.path.read_bytes()
    described = describe(data, datetime.now(UTC))
    assert described.faults == ()
    ours = described.measurements
    assert {index: document.pcrs[index] for index in (0, 1, 2, 8)} == ours.pcrs
    assert sorted(document.pcrs) == list(range(16))
    unused = {document.pcrs[index] for index in range(16) if index not in (0, 1, 2, 8)}
    assert unused == {ZERO}
    # The measured ramdisks are the ones that the kernel unpacked.
    assert document.user_data == b"".join(WORDS[: len(image.ramdisks)])
    alone = len(image.ramdisks) == 1
    assert (ours.pcr2 == SINGLE_RAMDISK_PCR2) is (ours.pcr0 == ours.pcr1) is alone
    assert (ours.pcr8 == ZERO) is (image.signature is None)
    assert verify(data, datetime.now(UTC)).measurements == ours
    found("QEMU's PCR0, 1, 2 and 8 are ours", shape)


def test_the_table_of_shapes_is_whole(probes: Probes) -> None:
    assert tuple(probes.all()) == SHAPES


def test_the_first_ramdisk_leaves_pcr2_alone(probes: Probes) -> None:
    images = probes.all()
    [one, two] = (describe(serialise(images[n]), datetime.now(UTC)) for n in SHAPES[:2])
    assert one.measurements.pcr1 == two.measurements.pcr1
    assert one.measurements.pcr0 != two.measurements.pcr0


def test_pcrs_do_not_show_where_a_section_ends(
    qemu: Booted, probes: Probes, found: Callable[..., None]
) -> None:
    here, there = probes.shifted()
    first, second = qemu.document(here), qemu.document(there)
    assert first.pcrs == second.pcrs
    assert first.user_data == second.user_data == b"".join(WORDS)
    difference = diff(here, there)
    assert not difference.identical
    assert difference.pcrs == ()
    verify(serialise(here), datetime.now(UTC))
    with pytest.raises(errors.ImageError):
        verify(serialise(there), datetime.now(UTC))
    found("moved section borders show in no PCR, and `diff` and `verify` see them")


def test_the_parent_is_measured(qemu: Booted, probes: Probes, found: Callable[..., None]) -> None:
    image = probes.all()["two ramdisks"]
    document = qemu.document(image, f"parent-role={ROLE}", f"parent-id={INSTANCE}")
    assert document.pcrs[3] == pcr3(ROLE)
    assert document.pcrs[4] == pcr4(INSTANCE)
    assert document.module_id == MODULE_ID
    found("PCR3 and PCR4 of a parent's role and instance are as computed")


def test_its_documents_prove_nothing_and_pass_as_nothing_else(
    qemu: Booted, probes: Probes, found: Callable[..., None]
) -> None:
    data = qemu.boot(probes.all()["one ramdisk"])
    with pytest.raises(UnsignedRefused):
        authenticate(data, Roots.aws(), datetime.now(UTC))
    assert authenticate_unsigned(data).document.digest == "SHA384"
    found("QEMU's documents are refused where signed ones are wanted")


def test_a_boot_that_fails_is_noticed(qemu: Booted, probes: Probes) -> None:
    image = probes.all()["one ramdisk"]
    lame = probes.image(image.ramdisks, "console=ttyS0 quiet reboot=t panic=-1 rdinit=/says-0")
    qemu.path.write_bytes(serialise(lame))
    outcome = qemu.machine.boot(qemu.path)
    assert outcome.answer == b""
    assert "probe: done" not in outcome.console


def test_signing_again_leaves_pcr0_to_2(qemu: Booted, probes: Probes) -> None:
    plain = probes.all()["two ramdisks"]
    before, after = qemu.document(plain), qemu.document(signed(plain, "P-256"))
    assert {n for n in range(16) if before.pcrs[n] != after.pcrs[n]} == {8}
    assert parse(qemu.path.read_bytes()).signature is not None
    assert in_date("P-256")
