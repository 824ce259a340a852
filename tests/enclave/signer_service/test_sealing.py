"""Sealed state: who can open it, and what happens to everybody else."""

import secrets

import pytest
from strongroom_enclave.sealing import role_key, seal, unseal
from strongroom_wire.bundle import Role
from strongroom_wire.encoding import pack, u64, unpack
from strongroom_wire.errors import Code, Malformed, Refused

PLATFORM, SHARE, ROOT = (secrets.token_bytes(32) for _ in range(3))
KEY = role_key(PLATFORM, SHARE, ROOT, Role.SIGNER)
STATE = b"the keys of this boot"


def test_what_was_sealed_opens_for_this_version_and_later_ones() -> None:
    blob = seal(KEY, 7, STATE)
    for version in (7, 8, 1 << 50):
        assert unseal(KEY, version, blob) == STATE


def test_an_earlier_version_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        unseal(KEY, 6, seal(KEY, 7, STATE))
    assert refused.value.code is Code.SEALED_STATE_REFUSED
    assert (refused.value.expected, refused.value.actual) == (7, 6)


@pytest.mark.parametrize(
    "other",
    [
        role_key(SHARE, PLATFORM, ROOT, Role.SIGNER),
        role_key(bytes(32), SHARE, ROOT, Role.SIGNER),
        role_key(PLATFORM, bytes(32), ROOT, Role.SIGNER),
        role_key(PLATFORM, SHARE, bytes(32), Role.SIGNER),
        role_key(PLATFORM, SHARE, ROOT, Role.RECORD),
        role_key(PLATFORM, SHARE, ROOT, Role.INIT),
    ],
    ids=["halves swapped", "platform", "share", "owner", "record", "init"],
)
def test_every_part_of_the_key_matters(other: bytes) -> None:
    assert len(other) == 32
    with pytest.raises(Refused, match="sealed state"):
        unseal(other, 7, seal(KEY, 7, STATE))


def test_halves_of_another_length_make_no_key() -> None:
    for halves in (
        (b"", SHARE),
        (PLATFORM, b""),
        (PLATFORM[:31], SHARE),
        (PLATFORM, SHARE + b"\0"),
    ):
        with pytest.raises(Malformed):
            role_key(*halves, ROOT, Role.SIGNER)
    # Nor does a byte move from one half into the other.
    with pytest.raises(Malformed):
        role_key(PLATFORM + SHARE[:1], SHARE[1:], ROOT, Role.SIGNER)


def test_every_flipped_bit_is_noticed() -> None:
    blob = seal(KEY, 7, STATE)
    for at in range(len(blob)):
        forged = blob[:at] + bytes([blob[at] ^ 1 << at % 8]) + blob[at + 1 :]
        with pytest.raises((Malformed, Refused)):
            unseal(KEY, 1 << 60, forged)


def test_the_version_is_authenticated() -> None:
    domain = b"strongroom/sealed/v1"
    _, nonce, content = unpack(domain, seal(KEY, 7, STATE))
    with pytest.raises(Refused, match="sealed state"):
        unseal(KEY, 9, pack(domain, u64(6), nonce, content))


def test_without_a_key_nothing_is_sealed_or_opened() -> None:
    blob = seal(KEY, 7, STATE)
    for act, content in ((seal, STATE), (unseal, blob)):
        with pytest.raises(Refused) as refused:
            act(b"", 7, content)
        assert refused.value.code is Code.SEALED_STATE_REFUSED


def test_no_two_blobs_are_alike_and_none_shows_the_state() -> None:
    blobs = {seal(KEY, 7, STATE) for _ in range(50)}
    assert len(blobs) == 50
    assert not [blob for blob in blobs if STATE in blob]
