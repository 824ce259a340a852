"""HPKE as used here: one suite, bound to `info`, and only our errors."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.contract.sealing import seal
from strongroom_wire.bundle import Role, hpke_info
from strongroom_wire.errors import BadSignature, Malformed
from strongroom_wire.hpke import open_sealed

from tests.wire.samples import bundle, byte

KEY = X25519PrivateKey.from_private_bytes(byte(7))
PUBLIC = KEY.public_key().public_bytes_raw()
INFO = hpke_info(bundle(), Role.SIGNER, b"channel")


def test_a_secret_opens_for_its_key_and_purpose_only() -> None:
    sealed = seal(byte(1), PUBLIC, INFO)
    assert len(sealed) == 80  # what a channel opening reserves for it
    assert open_sealed(sealed, KEY, INFO) == byte(1)
    other = X25519PrivateKey.from_private_bytes(byte(8))
    with pytest.raises(BadSignature):
        open_sealed(sealed, other, INFO)
    with pytest.raises(BadSignature):
        open_sealed(sealed, KEY, hpke_info(bundle(), Role.SIGNER, b"key-import"))
    with pytest.raises(BadSignature):
        open_sealed(sealed, KEY, hpke_info(bundle(), Role.INIT, b"channel"))
    with pytest.raises(BadSignature):
        open_sealed(sealed, KEY, b"")


def test_no_bit_of_a_ciphertext_is_spare() -> None:
    sealed = seal(byte(1), PUBLIC, INFO)
    for bit in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            open_sealed(bytes(flipped), KEY, INFO)


def test_every_cut_is_refused() -> None:
    sealed = seal(b"", PUBLIC, INFO)
    assert len(sealed) == 48
    for cut in range(48):
        with pytest.raises(Malformed):
            open_sealed(sealed[:cut], KEY, INFO)
    with pytest.raises(BadSignature):
        open_sealed(sealed + b"\x00", KEY, INFO)


@pytest.mark.parametrize("recipient", [b"", byte(1, 31), byte(1, 33)])
def test_what_is_no_public_key_is_refused(recipient: bytes) -> None:
    with pytest.raises(Malformed):
        seal(b"x", recipient, INFO)


@pytest.mark.parametrize(
    "point",
    [
        bytes(32),
        b"\x01" + bytes(31),
        (2**255 - 19).to_bytes(32, "little"),
        (2**255 - 20).to_bytes(32, "little"),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ],
)
def test_points_of_small_order_are_refused_both_ways(point: bytes) -> None:
    # Anybody could compute the shared secret of such a point.
    with pytest.raises(Malformed):
        seal(b"x", point, INFO)
    with pytest.raises(BadSignature):
        open_sealed(point + bytes(48), KEY, INFO)


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_round_trip(plaintext: bytes, info: bytes) -> None:
    assert open_sealed(seal(plaintext, PUBLIC, info), KEY, info) == plaintext


def test_sealing_twice_never_gives_the_same_bytes() -> None:
    assert seal(b"x", PUBLIC, INFO) != seal(b"x", PUBLIC, INFO)
