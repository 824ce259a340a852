"""Data keys: what opens where, and nowhere else."""

from secrets import token_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.datakeys import DataKey, KeyUnknown, SealForged, opened
from strongroom_enclave.sealing import seal
from strongroom_wire.encoding import pack
from strongroom_wire.errors import Malformed, Refused

from tests.enclave.record_kept.samples import KEY, KEYS, OTHER

ROLE_KEY = b"r" * 32


@given(st.binary(max_size=80), st.binary(max_size=400))
def test_what_is_sealed_opens_in_its_place(place: bytes, content: bytes) -> None:
    sealed = KEY.seal(place, content)
    assert opened(KEYS, place, sealed) == content
    assert len(sealed) == 16 + 12 + len(content) + 16
    assert KEY.seal(place, content) == sealed
    with pytest.raises(SealForged):
        opened(KEYS, place + b"x", sealed)


@given(st.integers(16, 63), st.integers(1, 255))
def test_any_edit_is_refused(at: int, change: int) -> None:
    sealed = bytearray(KEY.seal(b"place", b"c" * 20))
    sealed[at] ^= change
    with pytest.raises(SealForged):
        opened(KEYS, b"place", bytes(sealed))


@pytest.mark.parametrize("length", [0, 15, 16, 20, 27, 28, 43, 63])
def test_what_is_cut_is_refused(length: int) -> None:
    with pytest.raises((SealForged, KeyUnknown)):
        opened(KEYS, b"place", KEY.seal(b"place", b"c" * 20)[:length])


def test_another_key_does_not_open_it_even_under_its_name() -> None:
    sealed = KEY.seal(b"place", b"content")
    with pytest.raises(KeyUnknown):
        opened({OTHER.id: OTHER}, b"place", sealed)
    with pytest.raises(SealForged):
        opened({KEY.id: OTHER}, b"place", sealed)


def test_a_nonce_never_comes_twice_for_different_contents_or_places() -> None:
    sealed = [KEY.seal(b"p%d" % p, b"c%d" % c) for p in range(30) for c in range(30)]
    assert len({each[16:28] for each in sealed}) == 900


def test_generated_keys_differ_and_a_name_is_a_digest_of_its_key() -> None:
    one, other = DataKey("ada", token_bytes(32)), DataKey("ada", token_bytes(32))
    assert one.id != other.id
    assert DataKey("bob", b"k" * 32).id == KEY.id
    assert KEY.name(b"a", b"b") != KEY.name(b"ab") != OTHER.name(b"ab")


def test_a_wrapped_key_comes_back_for_its_user_only() -> None:
    wrapped = KEY.wrapped(ROLE_KEY, 3)
    back = DataKey.unwrapped(ROLE_KEY, 4, "ada", wrapped)
    assert back.id == KEY.id
    assert back.open(b"p", KEY.seal(b"p", b"c")) == b"c"
    assert b"k" * 32 not in wrapped
    with pytest.raises(SealForged):
        DataKey.unwrapped(ROLE_KEY, 4, "bob", wrapped)


def test_a_wrapped_key_needs_the_role_and_a_manifest_no_older() -> None:
    wrapped = KEY.wrapped(ROLE_KEY, 3)
    for key, version in ((b"x" * 32, 3), (ROLE_KEY, 2), (b"", 3)):
        with pytest.raises(Refused):
            DataKey.unwrapped(key, version, "ada", wrapped)
    short = seal(ROLE_KEY, 1, pack(b"strongroom/record/data-key/v1", b"ada", b"k" * 31))
    with pytest.raises(Malformed):
        DataKey.unwrapped(ROLE_KEY, 1, "ada", short)
