"""Whatever comes in, only errors of this package come out, soon and without eating the memory."""

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strongroom_eif import (
    EifError,
    Limits,
    describe,
    diff,
    entries,
    files,
    parse,
    parse_metadata,
    parse_signature,
    parts,
    serialise,
    verify,
)
from strongroom_eif.inflate import Budget

from tests.eif.mutations import CONTAINER, MUTATIONS
from tests.eif.samples import (
    APPLICATION,
    CMDLINE,
    DIRECTORY,
    FILE,
    KERNEL,
    NOW,
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

MORE = settings(max_examples=settings().max_examples * 4)
SIGNED = baseline().adding((SIGNATURE, signature_section(pcr(KERNEL, CMDLINE, *RAMDISKS))))
LIMITS = Limits(inflated=1 << 20, entries=1_000)


def accepts(call: Callable[[], object]) -> bool:
    """Whether a call accepts; anything but our own error propagates and fails the test."""
    try:
        call()
    except EifError as error:
        check_error(error)
        return False
    return True


def check_error(error: EifError) -> None:
    assert error.code
    assert str(error).isprintable()
    assert error.elsewhere.isprintable()


def try_all(data: bytes) -> bool:
    """Gives an image to every entry point; returns whether it was accepted whole."""
    if accepts(lambda: parse(data)):
        image = parse(data)
        assert serialise(image) == data
        accepts(lambda: parts(image))
        accepts(lambda: list(files(image, frozenset({"init"}))))
        accepts(lambda: diff(image, parse(SIGNED.data()), LIMITS))
    accepts(lambda: describe(data, NOW).to_json())
    return accepts(lambda: verify(data, NOW, limits=LIMITS))


@MORE
@given(st.binary(max_size=1_200))
@example(b"")
@example(b".eif")
def test_any_bytes(data: bytes) -> None:
    assert not try_all(data)


@MORE
@given(st.data())
def test_flips_of_an_image(data: st.DataObject) -> None:
    image = bytearray(SIGNED.data())
    # The header and what the parser decides on get as many flips as the bulk of the sections.
    borders = [548, 548 + 12 + len(KERNEL), len(image)]
    end = data.draw(st.sampled_from(borders))
    for _ in range(data.draw(st.integers(1, 4))):
        image[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    fixed = with_crc(bytes(image)) if data.draw(st.booleans()) else bytes(image)
    if fixed != SIGNED.data():
        try_all(fixed)


U64 = st.integers(0, (1 << 64) - 1) | st.integers(0, 2_000)


@MORE
@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from([b"", KERNEL, b"x", *RAMDISKS, metadata()])),
        max_size=36,
    ),
    st.none() | st.integers(0, 40),
    st.dictionaries(st.integers(0, 31), U64, max_size=2),
    st.dictionaries(st.integers(0, 31), U64, max_size=2),
    st.integers(0, 6),
)
def test_section_tables(
    sections: list[tuple[int, bytes]],
    count: int | None,
    offsets: dict[int, int],
    sizes: dict[int, int],
    version: int,
) -> None:
    try_all(Raw(tuple(sections), version=version, count=count, offsets=offsets, sizes=sizes).data())


@MORE
@given(st.binary(max_size=300))
def test_signature_sections(data: bytes) -> None:
    accepts(lambda: parse_signature(data))
    try_all(baseline().adding((SIGNATURE, data or b"x")).data())


@MORE
@given(st.data())
def test_flips_of_a_signature_section(data: st.DataObject) -> None:
    section = bytearray(SIGNED.sections[-1][1])
    for _ in range(data.draw(st.integers(1, 3))):
        section[data.draw(st.integers(0, len(section) - 1))] = data.draw(st.integers(0, 255))
    if accepts(lambda: parse_signature(bytes(section))):
        # One spelling: what is taken apart goes together to the same bytes.
        found = parse_signature(bytes(section))
        assert len(found.certificate_pem) < len(section)


@MORE
@given(st.binary(max_size=300))
@example(b'{"ImageName":1e999}')
@example(b'{"a":"\\ud800"}')
def test_metadata_sections(data: bytes) -> None:
    accepts(lambda: parse_metadata(data))


hostile_archives = st.lists(
    st.one_of(
        st.just(APPLICATION),
        st.binary(max_size=30),
        st.just(bytes(4)),
        st.builds(
            cpio_entry,
            st.binary(max_size=12),
            st.sampled_from([FILE, DIRECTORY, 0o120777, 0o020600, 0, 0o177777]),
            st.binary(max_size=9),
            size=st.none() | st.integers(0, 0xFFFF_FFFF) | st.integers(0, 12),
            nlink=st.integers(0, 3),
        ),
    ),
    max_size=5,
).map(b"".join)


@MORE
@given(hostile_archives, st.booleans(), st.integers(0, 3))
def test_ramdisks(data: bytes, packed: bool, position: int) -> None:
    ramdisk = gzip.compress(data, 1, mtime=0) if packed else data
    accepts(lambda: list(entries(ramdisk, position=position, budget=Budget(LIMITS))))
    sections = (*baseline().sections[:3], (RAMDISK, ramdisk or b"x"))
    try_all(baseline().but(sections=sections).data())


def all_entries(data: bytes) -> object:
    return list(entries(data))


def peak(call: Callable[[], object]) -> int:
    """Returns the most bytes that a refused call held at once."""
    tracemalloc.start()
    try:
        assert not accepts(call)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


MIB = 1 << 20


@pytest.mark.parametrize(
    "mutation",
    [m for m in CONTAINER if m.about in ("huge", "33", "stale after re-signing", "offset")],
    ids=str,
)
def test_sizes_that_a_header_claims_cost_nothing(mutation: object) -> None:
    assert mutation in MUTATIONS
    attempt = next(m.attempt for m in MUTATIONS if m is mutation)
    assert peak(attempt) < MIB // 2


@pytest.mark.parametrize("claimed", [1 << 20, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("number", range(5))
def test_huge_sections(claimed: int, number: int) -> None:
    data = baseline().but(own_sizes={number: claimed}).data()
    assert peak(lambda: parse(data)) < MIB // 2


def test_huge_lengths_in_cbor() -> None:
    for width in (4, 8):
        head = bytes([0x9A if width == 4 else 0x9B]) + b"\xff" * width
        section = b"\x81\xa2\x73signing_certificate" + head
        assert peak(partial(parse_signature, section)) < MIB // 2


def test_huge_files_in_an_archive() -> None:
    claimed = cpio_entry(b"f", FILE, size=0xFFFF_FFFF) + bytes(1_000)
    link = cpio_entry(b"l", 0o120777, size=0xFFFF_FFFF) + bytes(1_000)
    name = b"070701" + b"00000000" * 11 + b"FFFFFFFF" + b"00000000" + bytes(1_000)
    for data in (claimed, link, name):
        assert peak(partial(all_entries, data)) < MIB // 2


def test_a_gzip_bomb_is_inflated_in_pieces() -> None:
    content = struct.pack(">Q", 0) * (8 * MIB)
    bomb = gzip.compress(cpio(cpio_entry(b"zeros", FILE, content)), mtime=0)
    assert len(bomb) < MIB // 8
    del content
    limits = Limits(inflated=32 * MIB, entries=10)
    assert peak(lambda: list(entries(bomb, budget=Budget(limits)))) < 2 * MIB
    [entry] = entries(bomb)
    assert entry.size == 64 * MIB


def test_endless_entries_are_counted() -> None:
    many = b"".join(cpio_entry(b"%d" % number, FILE) for number in range(5_000))
    limits = Limits(inflated=64 * MIB, entries=100)
    assert peak(lambda: list(entries(many, budget=Budget(limits)))) < MIB
