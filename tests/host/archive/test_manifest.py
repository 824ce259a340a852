"""Manifests and events: one canonical form, and nothing in them that contradicts itself."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.archive.errors import ManifestMalformed, ObjectAltered
from strongroom_host.archive.manifest import (
    EVENT_FORMAT,
    FORMAT,
    ArchivedBoot,
    ArchivedOpenings,
    ArchivedSegment,
    Event,
    Manifest,
    boot_key,
    digest_in,
    openings_key,
    segment_key,
    size_in,
)
from strongroom_host.archive.segments import cuts
from strongroom_host.archive.store import checked

from tests.host.log.histories import ORIGIN, checkpoint
from tests.wire.samples import byte
from tests.wire.test_merkle import grown

HEX = byte(7).hex()
HEAD = grown([b"leaf %d" % n for n in range(600)]).head
RANGES = list(cuts(600))
MANIFEST = Manifest(
    FORMAT,
    ORIGIN,
    HEAD.size,
    HEAD.root.hex(),
    checkpoint(HEAD).decode(),
    tuple(ArchivedSegment(start, end, 9, HEX, 1, 2, (HEX,)) for start, end in RANGES),
    (ArchivedOpenings(*RANGES[1], 9, HEX, 5, "00" * 8),),
    (ArchivedBoot(HEX, 9, HEX),),
)
EVENT = Event(EVENT_FORMAT, 5, "Anna", "hold on", "case 7", MANIFEST.key, 0)


def test_what_is_written_is_read() -> None:
    assert Manifest.parse(MANIFEST.serialise()) == MANIFEST
    assert Event.parse(EVENT.serialise()) == EVENT
    assert MANIFEST.head == HEAD
    assert size_in(MANIFEST.key) == 600
    assert sorted(MANIFEST.sizes()) == sorted(
        [
            *map(segment_key, MANIFEST.segments),
            openings_key(MANIFEST.openings[0]),
            boot_key(MANIFEST.boots[0]),
        ]
    )


def test_every_name_promises_a_digest() -> None:
    for document in (MANIFEST, EVENT):
        data = document.serialise()
        assert digest_in(document.key) == sha256(data).hexdigest()
        assert checked(document.key, data) == data
        with pytest.raises(ObjectAltered):
            checked(document.key, data + b" ")
    for key in MANIFEST.sizes():
        assert digest_in(key) == HEX


@pytest.mark.parametrize(
    "key",
    [
        "",
        "checkpoint",
        MANIFEST.key + "x",
        "../" + MANIFEST.key,
        MANIFEST.key.replace("manifests/", "manifest/"),
        MANIFEST.key.replace("0", "\u0660"),
        segment_key(MANIFEST.segments[0]).replace(".seg", ".sealed"),
        segment_key(MANIFEST.segments[0]).upper(),
    ],
)
def test_other_names_promise_nothing(key: str) -> None:
    assert digest_in(key) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 599},
        {"root": HEX},
        {"origin": ORIGIN + "x"},
        {"checkpoint": "no note"},
        {"checkpoint": checkpoint(grown([b"another"]).head).decode()},
        {"segments": MANIFEST.segments[:1]},
        {"segments": (*MANIFEST.segments, MANIFEST.segments[1])},
        {"segments": MANIFEST.segments[::-1]},
        {"segments": (ArchivedSegment(0, 600, 9, HEX, 1, 2, (HEX,)),)},
        {"openings": (ArchivedOpenings(0, 600, 9, HEX, 5, "00" * 8),)},
        {"openings": MANIFEST.openings * 2},
    ],
)
def test_a_manifest_that_contradicts_itself_is_none(changes: dict[str, object]) -> None:
    forged = msgspec.structs.replace(MANIFEST, **changes)
    with pytest.raises(ManifestMalformed):
        Manifest.parse(forged.serialise())


def test_a_second_spelling_is_refused() -> None:
    for data in (
        MANIFEST.serialise().replace(b"\n ", b"\n  "),
        MANIFEST.serialise() + b"\n",
        msgspec.json.encode(MANIFEST),
        MANIFEST.serialise().replace(b'"size"', b'"extra": 1,\n "size"'),
        MANIFEST.serialise().replace(FORMAT.encode(), b"strongroom-archive/2"),
    ):
        with pytest.raises(ManifestMalformed):
            Manifest.parse(data)


def test_a_size_beyond_all_logs_costs_nothing() -> None:
    """Its segments would be billions: they are not counted out."""
    forged = msgspec.structs.replace(MANIFEST, size=(1 << 53) - 1)
    head = msgspec.structs.replace(forged, checkpoint=checkpoint(forged.head).decode())
    with pytest.raises(ManifestMalformed, match="segments"):
        Manifest.parse(head.serialise())


@given(st.binary(max_size=200), st.integers(0, 3000), st.integers(0, 200))
def test_whatever_the_bytes_only_our_errors_come_out(noise: bytes, at: int, cut: int) -> None:
    data = MANIFEST.serialise()
    mutated = data[:at] + noise + data[at + cut :]
    for kind in (Manifest, Event):
        with suppress(ManifestMalformed):
            assert kind.parse(mutated).serialise() == mutated
