"""Data keys and credentials: what opens where, and nowhere else."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.identity import Identity
from strongroom_enclave.record.errors import CredentialsSwapped, KeyUnknown, SealForged
from strongroom_enclave.record.vault import (
    PURPOSE,
    DataKey,
    admitted,
    kept,
    opened,
    recalled,
)
from strongroom_enclave.sealing import seal
from strongroom_wire.bundle import Bundle, Role, RoleKeys, hpke_info
from strongroom_wire.encoding import pack
from strongroom_wire.errors import BadSignature, Malformed, Refused
from strongroom_wire.hpke import seal as hpke_seal
from strongroom_wire.record import Credentials

from tests.enclave.record_kept.samples import KEY, KEYS, OTHER

ROLE_KEY = b"r" * 32
CREDENTIALS = Credentials("ada-spot", "binance", "the key", "the secret", "")


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
    one, other = DataKey.generate("ada"), DataKey.generate("ada")
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


@pytest.fixture
def identity() -> Identity:
    made = Identity(Role.RECORD)
    roles = (RoleKeys(Role.RECORD, made.public[:32], made.public[32:]),)
    made.boot = Bundle(b"\x05" * 32, b"\x06" * 32, b"\x07" * 32, b"", roles)
    return made


def _sealed_to(identity: Identity, purpose: bytes, content: bytes) -> bytes:
    info = hpke_info(identity.boot, Role.RECORD, purpose)
    return hpke_seal(content, identity.public[:32], info)


def test_credentials_are_admitted_for_the_account_inside(identity: Identity) -> None:
    sealed = _sealed_to(identity, PURPOSE, CREDENTIALS.serialise())
    assert admitted(identity, sealed, "ada-spot", "binance") == CREDENTIALS
    for account, venue in (("eve-spot", "binance"), ("ada-spot", "kraken")):
        with pytest.raises(CredentialsSwapped) as caught:
            admitted(identity, sealed, account, venue)
        assert "secret" not in str(caught.value)


def test_credentials_for_another_purpose_or_of_another_shape_are_refused(
    identity: Identity,
) -> None:
    elsewhere = _sealed_to(identity, b"key-import", CREDENTIALS.serialise())
    with pytest.raises(BadSignature):
        admitted(identity, elsewhere, "ada-spot", "binance")
    with pytest.raises(Malformed):
        admitted(identity, _sealed_to(identity, PURPOSE, b"{}"), "ada-spot", "binance")


def test_stored_credentials_are_the_newest_of_their_account() -> None:
    stored = kept(KEY, CREDENTIALS)
    newest = sha256(stored).digest()
    assert recalled(KEYS, stored, "ada-spot", "binance", newest) == CREDENTIALS
    assert b"secret" not in stored
    assert b"the key" not in stored
    for account, venue in (("eve-spot", "binance"), ("ada-spot", "kraken")):
        with pytest.raises(SealForged):
            recalled(KEYS, stored, account, venue, newest)
    older = kept(KEY, Credentials("ada-spot", "binance", "old", "", ""))
    with pytest.raises(SealForged):
        recalled(KEYS, older, "ada-spot", "binance", newest)


def test_keys_are_rotated_by_keeping_under_a_new_one() -> None:
    new = DataKey.generate("ada")
    keys = {**KEYS, new.id: new}
    stored = kept(new, recalled(keys, kept(KEY, CREDENTIALS), "ada-spot", "binance", _digest()))
    assert stored[:16] == new.id
    found = recalled(keys, stored, "ada-spot", "binance", sha256(stored).digest())
    assert found == CREDENTIALS
    with pytest.raises(KeyUnknown):
        recalled(KEYS, stored, "ada-spot", "binance", sha256(stored).digest())


def _digest() -> bytes:
    return sha256(kept(KEY, CREDENTIALS)).digest()
