"""Sealed openings: the same bytes each time, for one key, one log and one range."""

from __future__ import annotations

import struct
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.archive.errors import OpeningsSealed, SegmentMalformed
from strongroom_host.archive.sealed import (
    SealedOpenings,
    key_id,
    open_openings,
    read_key,
    seal_openings,
)
from strongroom_host.errors import BadInput
from strongroom_host.private_files import FileExposed

from tests.host.archive.orders import KEY

LOG = "strongroom.log/signer/ab"
KNOWN = {5: b"five" * 20, 6: b"six" * 20, 8: b"eight" * 20}
DATA = seal_openings(LOG, 4, 10, KNOWN, KEY)


def test_what_goes_in_comes_out_and_only_for_the_key() -> None:
    assert open_openings(DATA, LOG, KEY) == KNOWN
    assert seal_openings(LOG, 4, 10, KNOWN, KEY) == DATA
    assert not any(opening in DATA for opening in KNOWN.values())
    with pytest.raises(OpeningsSealed, match="another key"):
        open_openings(DATA, LOG, bytes(32))
    with pytest.raises(OpeningsSealed):
        open_openings(DATA, LOG + "c", KEY)


def test_the_header_is_as_documented() -> None:
    found = struct.unpack_from("<16sQQQ8s32s32s", DATA)
    assert found[:5] == (b"strongroom/opn/1", 4, 10, 3, key_id(KEY))
    assert found[5] == sha256(LOG.encode()).digest()
    assert SealedOpenings.parse(DATA).known == 3
    assert len(DATA) == 112 + 6 * 16 + sum(map(len, KNOWN.values())) + 16


def test_no_two_plaintexts_share_a_key() -> None:
    """Otherwise, with one nonce, their difference would show."""
    others = [
        seal_openings(LOG, 4, 10, KNOWN | {5: b"Five" * 20}, KEY),
        seal_openings(LOG + "x", 4, 10, KNOWN, KEY),
        seal_openings(LOG, 4, 11, KNOWN, KEY),
    ]
    for other in others:
        assert other[112 + 96 : 112 + 200] != DATA[112 + 96 : 112 + 200]


def test_every_flipped_bit_is_found() -> None:
    for at in range(len(DATA)):
        altered = bytearray(DATA)
        altered[at] ^= 1 << at % 8
        with pytest.raises((OpeningsSealed, SegmentMalformed)):
            open_openings(bytes(altered), LOG, KEY)


@given(st.binary(max_size=300), st.integers(0, len(DATA)))
def test_whatever_the_bytes_only_our_errors_come_out(noise: bytes, at: int) -> None:
    for data in (noise, DATA[:at], DATA[:at] + noise):
        if data != DATA:
            with pytest.raises((OpeningsSealed, SegmentMalformed)):
                open_openings(data, LOG, KEY)


def test_openings_of_nothing_are_not_sealed() -> None:
    with pytest.raises(SegmentMalformed):
        seal_openings(LOG, 4, 10, {11: b"elsewhere"}, KEY)


def test_the_key_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY.hex() + "\n")
    path.chmod(0o644)
    with pytest.raises(FileExposed):
        read_key(path)
    path.chmod(0o600)
    assert read_key(path) == KEY
    for wrong in ("", "00" * 31, "zz" * 32, "\xff"):
        path.write_text(wrong, encoding="latin-1")
        with pytest.raises(BadInput):
            read_key(path)
