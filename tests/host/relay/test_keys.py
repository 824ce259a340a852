"""The pre-shared key: taken when it can be random, refused with words when it cannot."""

from __future__ import annotations

import secrets

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay.keys import PskRefused, SessionKeys, fingerprint, labelled, parse_psk

from tests.host.relay.world import PSK


def test_random_keys_are_taken() -> None:
    for size in (32, 33, 64, 1024):
        key = secrets.token_bytes(size)
        assert parse_psk(key.hex(), "X") == key
        assert parse_psk(f"  {key.hex().upper()}\n", "X") == key


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not hexadecimal"),
        ("xyz" * 30, "not hexadecimal"),
        ("ab " * 40, "not hexadecimal"),
        ("é" * 64, "not hexadecimal"),
        (PSK.hex()[:-1], "not hexadecimal"),
        (PSK.hex()[:62], "too short"),
        (secrets.token_hex(1025), "too long"),
        ("41" * 32, "pattern"),
        ("41" * 64, "pattern"),
        ("00" * 32, "pattern"),
        ("deadbeef" * 8, "pattern"),
        ("0123456789abcdef" * 4, "pattern"),
        (bytes(range(32)).hex(), "pattern"),
        (bytes(range(64, 0, -1)).hex(), "pattern"),
        (bytes(at * 7 % 256 for at in range(48)).hex(), "pattern"),
    ],
)
def test_others_are_refused_and_explained(text: str, says: str) -> None:
    with pytest.raises(PskRefused, match=says) as refused:
        parse_psk(text, "RELAY_PSK_HEX")
    error = refused.value
    assert "RELAY_PSK_HEX" in error.what
    assert error.expected
    assert "strongroom relay psk" in error.remedy
    shown = f"{error.what} {error.expected} {error.actual}"
    assert not text or text.strip() not in shown, "a key is never shown"


def test_no_random_key_is_mistaken_for_a_pattern() -> None:
    for _ in range(2000):
        parse_psk(secrets.token_hex(32), "X")


@given(st.binary(min_size=32, max_size=64), st.binary(max_size=32), st.binary(max_size=32))
def test_keys_are_hkdf_sha256(psk: bytes, label: bytes, salt: bytes) -> None:
    # RFC 5869: no salt is a salt of zeros.
    other = HKDF(SHA256(), 32, salt or None, b"strongroom relay v2 " + label).derive(psk)
    assert labelled(psk, label, salt) == other


def test_every_purpose_has_its_own_key() -> None:
    salts = [b"a" * 16, b"b" * 16]
    made = {labelled(PSK, label) for label in (b"hello", b"challenge", b"reset", b"fingerprint")}
    for client in salts:
        for relay in salts:
            keys = SessionKeys.derive(PSK, client, relay)
            made |= {keys.to_relay, keys.to_client}
    assert len(made) == 4 + 8
    assert PSK not in made


def test_fingerprints_tell_keys_apart_and_tell_nothing_else() -> None:
    assert fingerprint(PSK) == fingerprint(bytes(PSK))
    assert fingerprint(PSK) != fingerprint(PSK + b"x")
    assert len(fingerprint(PSK)) == 16
