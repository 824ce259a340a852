"""Quorums and signatures: who counts, who does not, and keys under which anybody can sign."""

import struct
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from strongroom_wire.encoding import MAX_STATEMENT, pack
from strongroom_wire.errors import (
    BadSignature,
    Malformed,
    QuorumMissing,
    TooLarge,
    WireError,
)
from strongroom_wire.owners import (
    MAX_OWNERS,
    Owners,
    Signature,
    Statement,
    verify_signature,
)

from tests.wire.samples import byte, owners, private_key, public, signed
from tests.wire.strategies import STATEMENTS
from tests.wire.test_encoding import packed

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def _root_of_minus_one() -> int:
    return pow(2, (P - 1) // 4, P)


def _x_of(y: int) -> int | None:
    """The even x with (x, y) on edwards25519, if there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * _root_of_minus_one() % P):
        if x * x % P == square:
            return x if x % 2 == 0 else P - x
    return None


Point = tuple[int, int]


def _add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def _times(scalar: int, point: Point) -> Point:
    found = (0, 1)
    while scalar:
        if scalar & 1:
            found = _add(found, point)
        point, scalar = _add(point, point), scalar >> 1
    return found


def _small_order_points() -> set[Point]:
    """The eight points of order dividing 8: L times anything."""
    found: set[Point] = set()
    y = 2
    while len(found) < 8:
        x = _x_of(y)
        if x is not None:
            found.add(_times(L, (x, y)))
            found.add(_times(L, (P - x, y)))
        y += 1
    return found


def _encodings() -> set[bytes]:
    """Every 32-byte string that OpenSSL may read as one of them, non-canonical ones included."""
    ys = {y for _, y in _small_order_points()}
    wide = ys | {y + P for y in ys if y + P < 2**255}
    return {(y | sign << 255).to_bytes(32, "little") for y in wide for sign in (0, 1)}


SMALL = sorted(_encodings())


def test_there_are_fourteen_small_order_encodings() -> None:
    assert len(_small_order_points()) == 8
    assert len(SMALL) == 14


def _forgery(key: bytes, domain: bytes) -> Statement:
    """A signature under a small-order key, made without any secret: S = 0 and a small-order R."""
    library = Ed25519PublicKey.from_public_bytes(key)
    for number in range(400):
        payload = b"pay %d" % number
        for commitment in SMALL:
            try:
                library.verify(commitment + bytes(32), pack(domain, payload))
            except InvalidSignature:
                continue
            return Statement(payload, (Signature(key, commitment + bytes(32)),))
    raise AssertionError("the library takes no forgery any more: then the check may go")


@pytest.mark.parametrize("key", SMALL, ids=bytes.hex)
def test_small_order_keys_are_refused_though_the_library_takes_their_forgeries(key: bytes) -> None:
    forged = _forgery(key, b"d")
    [signature] = forged.signatures
    with pytest.raises(BadSignature, match="large order"):
        verify_signature(key, signature.value, pack(b"d", forged.payload))
    with pytest.raises(BadSignature, match="large order"):
        Owners((key,), 1).verify(b"d", forged)


def test_genuine_keys_are_not_mistaken_for_small_ones() -> None:
    for number in range(50):
        verify_signature(public(number), private_key(number).sign(b"m"), b"m")


def test_a_signature_counts_for_its_key_message_and_bytes_only() -> None:
    key, signature = public(1), private_key(1).sign(b"message")
    verify_signature(key, signature, b"message")
    shifted = (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")
    for bad in (
        (public(2), signature, b"message"),
        (key, signature, b"massage"),
        (key, signature, b""),
        (key, signature[:63], b"message"),
        (key, signature + b"\x00", b"message"),
        (key, b"", b"message"),
        (key, signature[:32] + shifted, b"message"),  # malleable where S is not reduced
        (key, bytes(64), b"message"),
        (key[:31], signature, b"message"),
        (key + b"\x00", signature, b"message"),
        (b"", signature, b"message"),
    ):
        with pytest.raises(BadSignature):
            verify_signature(*bad)


@given(st.integers(0, 511))
def test_no_bit_of_a_signature_is_spare(bit: int) -> None:
    signature = bytearray(private_key(1).sign(b"message"))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadSignature):
        verify_signature(public(1), bytes(signature), b"message")


def test_what_is_signed_is_the_packed_domain_and_payload() -> None:
    message = b"\x00\x01d" + struct.pack(">I", 7) + b"payload"
    proof = Signature(public(1), private_key(1).sign(message))
    assert owners(1, quorum=1).verify(b"d", Statement(b"payload", (proof,))) == b"payload"


def test_a_quorum_of_owners_is_needed() -> None:
    three = owners(1, 2, 3, quorum=2)
    enough: list[tuple[int, ...]] = [(1, 2), (2, 3), (3, 1), (1, 2, 3), (3, 2, 1)]
    for signers in enough:
        assert three.verify(b"d", signed(b"d", b"p", *signers)) == b"p"
    lacking: list[tuple[int, ...]] = [
        (),
        (1,),
        (4,),
        (4, 5),
        (1, 4),
        (1, 1),
        (1, 1, 1),
        (1, 4, 5, 6),
    ]
    for signers in lacking:
        with pytest.raises(QuorumMissing) as caught:
            three.verify(b"d", signed(b"d", b"p", *signers))
        assert caught.value.expected == 2


def test_no_wrong_signature_of_an_owner_is_passed_over() -> None:
    three = owners(1, 2, 3, quorum=2)
    good = signed(b"d", b"p", 1, 2)
    wrong = Signature(public(3), bytes(64))
    twice = Signature(public(1), bytes(64))
    for signatures in (
        (*good.signatures, wrong),
        (wrong, *good.signatures),
        (*good.signatures, twice),
    ):
        with pytest.raises(BadSignature):
            three.verify(b"d", Statement(b"p", signatures))


def test_a_stranger_neither_counts_nor_harms() -> None:
    three = owners(1, 2, 3, quorum=2)
    stranger = Signature(public(4), bytes(64))
    assert three.verify(b"d", Statement(b"p", (stranger, *signed(b"d", b"p", 1, 2).signatures)))


@pytest.mark.parametrize(
    "other",
    [
        signed(b"e", b"p", 1, 2),
        Statement(b"q", signed(b"d", b"p", 1, 2).signatures),
        Statement(b"", signed(b"d", b"p", 1, 2).signatures),
        Statement(pack(b"d", b"p"), signed(b"d", b"p", 1, 2).signatures),
    ],
)
def test_a_signature_for_another_domain_or_payload_is_refused(other: Statement) -> None:
    with pytest.raises(BadSignature):
        owners(1, 2, 3, quorum=2).verify(b"d", other)


def test_one_owner_may_suffice_but_none_never_does() -> None:
    three = owners(1, 2, 3, quorum=2)
    assert three.verify(b"d", signed(b"d", b"p", 3), quorum=1) == b"p"
    with pytest.raises(QuorumMissing):
        three.verify(b"d", signed(b"d", b"p", 1, 2), quorum=3)
    for quorum in (0, -1, -(2**40)):
        with pytest.raises(QuorumMissing):
            three.verify(b"d", Statement(b"p", ()), quorum=quorum)
        with pytest.raises(QuorumMissing):
            three.verify(b"d", signed(b"d", b"p", 4), quorum=quorum)


def test_the_root_names_keys_order_and_quorum() -> None:
    keys = (public(1), public(2))
    by_hand = packed(b"strongroom/owners/v1", struct.pack(">I", 2), *keys)
    assert Owners(keys, 2).root == sha256(by_hand).digest()
    assert len({Owners(keys, 1).root, Owners(keys, 2).root, Owners(keys[::-1], 2).root}) == 3
    assert Owners(keys[:1], 1).root != Owners(keys, 1).root


@pytest.mark.parametrize(
    ("keys", "quorum"),
    [
        ((), 0),
        ((), 1),
        ((byte(1),), 0),
        ((byte(1),), -1),
        ((byte(1),), 2),
        ((byte(1), byte(1)), 1),
        ((byte(1), byte(1)), 2),
        ((byte(1), byte(2, 31)), 1),
        ((byte(1, 33),), 1),
        (tuple(byte(n) for n in range(MAX_OWNERS + 1)), 1),
    ],
)
def test_owner_sets_that_make_no_sense_are_refused(keys: tuple[bytes, ...], quorum: int) -> None:
    with pytest.raises(Malformed):
        Owners(keys, quorum)


def test_the_largest_set_is_fine() -> None:
    keys = tuple(byte(n) for n in range(MAX_OWNERS))
    assert Owners(keys, MAX_OWNERS).keys == keys


def test_statement_layout_is_the_documented_one() -> None:
    statement = Statement(b"p", (Signature(byte(1), byte(2, 64)), Signature(byte(3), byte(4, 64))))
    by_hand = packed(b"strongroom/statement/v1", b"p", byte(1) + byte(2, 64), byte(3) + byte(4, 64))
    assert statement.serialise() == by_hand
    assert Statement.parse(by_hand) == statement


@pytest.mark.parametrize(
    "data",
    [
        packed(b"strongroom/statement/v1"),
        packed(b"strongroom/statement/v1", b""),
        packed(b"strongroom/statement/v1", b"", byte(1, 96)),
        packed(b"strongroom/statement/v1", b"p", byte(1, 95)),
        packed(b"strongroom/statement/v1", b"p", byte(1, 97)),
        packed(b"strongroom/statement/v1", b"p", b""),
        packed(b"strongroom/statement/v1", b"p", byte(1, 96)) + b"\x00",
        packed(b"strongroom/statement/v2", b"p", byte(1, 96)),
        b"",
    ],
)
def test_a_flawed_statement_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Statement.parse(data)


def test_statement_limits() -> None:
    most = packed(b"strongroom/statement/v1", b"p", *[byte(1, 96)] * MAX_OWNERS)
    assert len(Statement.parse(most).signatures) == MAX_OWNERS
    with pytest.raises(TooLarge):
        Statement.parse(packed(b"strongroom/statement/v1", b"p", *[byte(1, 96)] * (MAX_OWNERS + 1)))
    with pytest.raises(TooLarge):
        Statement.parse(bytes(MAX_STATEMENT + 1))


@pytest.mark.parametrize(
    "flawed",
    [
        Statement(b"", ()),
        Statement(b"p", (Signature(byte(1, 31), byte(2, 65)),)),  # the sum is right, the cut not
        Statement(b"p", (Signature(byte(1), byte(2, 63)),)),
        Statement(b"p", (Signature(byte(1), byte(2, 64)),) * (MAX_OWNERS + 1)),
        Statement(bytes(MAX_STATEMENT), ()),
    ],
)
def test_a_flawed_statement_is_never_sent(flawed: Statement) -> None:
    with pytest.raises(WireError):
        flawed.serialise()


@given(STATEMENTS)
def test_statements_round_trip(value: Statement) -> None:
    assert Statement.parse(value.serialise()) == value
