"""Evidence of boots beside the leaves: what is stored reads back, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.boots import (
    BOOTS_INDEX,
    MAX_BOOT,
    Boots,
    StoredBoot,
    boot_path,
    parse_boot_path,
    parse_index,
)
from strongroom_host.log.errors import LogDamaged, LogUnwritable
from strongroom_wire.bundle import Bundle

ONE, TWO = bytes([1]) * 32, bytes([2]) * 32


def stored(boot_id: bytes = ONE, document: bytes = b"document") -> StoredBoot:
    return StoredBoot(document, Bundle(boot_id).serialise(), b"manifest", 1_700_000_000_000, b"n")


def test_what_is_added_reads_back_and_the_newest_stays(tmp_path: Path) -> None:
    boots = Boots(tmp_path / "log")
    assert (boots.get(ONE), list(boots)) == (None, [])
    for boot in (stored(TWO), stored(), stored(document=b"newer")):
        boots.add(boot)
    assert boots.get(ONE) == stored(document=b"newer")
    assert list(Boots(tmp_path / "log")) == [stored(document=b"newer"), stored(TWO)]
    index = (tmp_path / "log" / BOOTS_INDEX).read_bytes()
    assert (parse_index(index), index) == ((ONE, TWO), boots.index())


@pytest.mark.parametrize("data", [b"\n", b"00", b"\xff\n", ONE.hex().encode(), b"00\n"])
def test_what_is_no_index_is_refused(data: bytes) -> None:
    assert parse_index(b"") == ()
    with pytest.raises(LogDamaged):
        parse_index(data)


@given(st.binary(max_size=200), st.binary(max_size=64), st.integers(0, (1 << 53) - 1))
def test_the_file_holds_every_byte(document: bytes, nonce: bytes, fetched: int) -> None:
    boot = StoredBoot(document, Bundle(ONE).serialise(), document, fetched, nonce)
    assert StoredBoot.parse(boot.serialise(), ONE) == boot


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\xff",
        b" " * (MAX_BOOT + 1),
        stored(TWO).serialise(),
        stored().serialise().replace(b"boot/1", b"boot/2"),
        stored().serialise().replace(b'"nonce"', b'"nonsense"'),
        stored().serialise()[:-20],
        StoredBoot(b"", b"no bundle", b"", 0).serialise(),
    ],
)
def test_what_is_no_evidence_of_this_boot_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / boot_path(ONE)
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(LogDamaged):
        Boots(tmp_path).get(ONE)
    Boots(tmp_path).add(stored())  # what is right takes its place
    assert Boots(tmp_path).get(ONE) == stored()


def test_what_would_not_read_back_is_not_stored(tmp_path: Path) -> None:
    for boot in (StoredBoot(b"", b"", b"", 0), stored(document=bytes(MAX_BOOT))):
        with pytest.raises(LogDamaged):
            Boots(tmp_path).add(boot)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "boots").write_bytes(b"no folder")
    with pytest.raises(LogUnwritable):
        Boots(tmp_path).add(stored())


def test_only_the_one_spelling_of_a_path_is_one(tmp_path: Path) -> None:
    assert parse_boot_path(boot_path(ONE)) == ONE
    for path in ("boots/", "boots/01.json", boot_path(ONE) + "x", f"boots/{ONE.hex()}.JSON"):
        assert parse_boot_path(path) is None
    Boots(tmp_path).add(stored())
    (tmp_path / "boots" / "notes.json").write_bytes(b"")
    assert Boots(tmp_path).ids() == (ONE,)
