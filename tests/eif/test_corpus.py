"""A corpus of malformed images: every cut, every header bit, each field at its extremes.

Where `mutations` has one input per rule, this has all inputs of a kind, so that no position is
forgotten; and the whole of both in a process that may hardly allocate.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_eif import EifError, measure, parse, verify

from tests.eif.samples import (
    CMDLINE,
    KERNEL,
    NOW,
    RAMDISKS,
    SIGNATURE,
    baseline,
    pcr,
    signature_section,
    with_crc,
)

SIGNED = baseline().adding((SIGNATURE, signature_section(pcr(KERNEL, CMDLINE, *RAMDISKS))))
WHOLE = SIGNED.data()
HEADER = 548
UNMEASURED = range(0x08, 0x18)
"""Default memory and processors: nothing reads them, and any value is well-formed."""
EXTREMES = (0, 1, 547, 548, len(WHOLE), 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def code(data: bytes) -> str:
    """Returns the code of the rule that refuses an image, or nothing if it is accepted."""
    try:
        verify(data, NOW)
    except EifError as error:
        return error.code
    return ""


def flips(start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yields the file with each bit of a range flipped, and where."""
    for bit in range(start * 8, end * 8):
        data = bytearray(WHOLE)
        data[bit // 8] ^= 0x80 >> bit % 8
        yield bit // 8, bytes(data)


def test_the_image_itself_is_accepted() -> None:
    assert code(WHOLE) == ""


def test_every_cut_is_refused() -> None:
    assert {code(WHOLE[:length]) for length in range(len(WHOLE))} == {"truncated"}


def test_every_cut_with_the_checksum_put_right_is_refused() -> None:
    cuts = range(HEADER, len(WHOLE))
    assert {code(with_crc(WHOLE[:length])) for length in cuts} == {"truncated"}


@pytest.mark.parametrize("length", [1, 11, 12, 13, 547, 4096])
@pytest.mark.parametrize("right", [False, True], ids=["checksum as before", "checksum put right"])
def test_every_tail_is_refused(length: int, right: bool) -> None:
    for tail in (bytes(length), WHOLE[-length:], WHOLE[:length]):
        data = WHOLE + tail
        assert code(with_crc(data) if right else data) == "trailing-bytes"


def test_every_bit_of_the_header_counts() -> None:
    for at, data in flips(0, HEADER):
        assert code(data), f"a flipped bit of byte {at:#x} was accepted"


def test_every_bit_of_the_header_counts_with_the_checksum_put_right() -> None:
    # The last four bytes are the checksum.
    for at, data in flips(0, HEADER - 4):
        fixed = with_crc(data)
        assert bool(code(fixed)) is (at not in UNMEASURED), f"byte {at:#x}"
        if at in UNMEASURED:
            assert measure(parse(fixed)).pcrs == measure(parse(WHOLE)).pcrs


def test_every_bit_of_the_section_headers_counts() -> None:
    at = HEADER
    for _, content in SIGNED.sections:
        for where, data in flips(at, at + 12):
            assert code(data), f"byte {where:#x}"
            assert code(with_crc(data)), f"byte {where:#x}, checksum put right"
        at += 12 + len(content)


@pytest.mark.parametrize("number", [0, 4, 5, 6, 31])
def test_offsets_and_sizes_at_their_extremes_are_refused(number: int) -> None:
    for value in EXTREMES:
        for change in (
            SIGNED.but(offsets={number: value}),
            SIGNED.but(sizes={number: value}),
            SIGNED.but(offsets={number: value}, sizes={number: value}),
            SIGNED.but(own_sizes={number: value}, sizes={number: value}),
        ):
            if change.data() != WHOLE:
                assert code(change.data()), (number, value)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 31, 32, 33, 255, 65_535])
def test_every_other_number_of_sections_is_refused(count: int) -> None:
    assert code(SIGNED.but(count=count).data())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's data")
def test_nothing_allocates_what_an_image_claims() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.eif.bounded"],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "bounded\n", done.stderr[-2_000:]
