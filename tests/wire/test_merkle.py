"""The frontier against the definition in RFC 6962, written out here without any cleverness."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_wire.bundle import EMPTY_LOG, LogHead
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.errors import Malformed, TooLarge, WireError
from strongroom_wire.merkle import Frontier, leaf_hash, node_hash

from tests.wire.samples import byte
from tests.wire.test_encoding import packed

DOMAIN = b"strongroom/frontier/v1"
LEAVES = st.lists(st.binary(max_size=20), max_size=70)

REFERENCE_LEAVES = tuple(
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")
    + ("606162636465666768696a6b6c6d6e6f",)
)
"""The eight leaves that implementations of RFC 6962 have been compared with since 2012."""
REFERENCE_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""Their roots, from none of them to all."""


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """Return MTH(leaves) as section 2.1 of RFC 6962 defines it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = naive_root(leaves[:split]), naive_root(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


def grown(leaves: Sequence[bytes]) -> Frontier:
    """Return the frontier after appending these."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf_hash(leaf))
    return frontier


def test_hashes_are_the_documented_ones() -> None:
    assert leaf_hash(b"x") == sha256(b"\x00x").digest()
    assert node_hash(byte(1), byte(2)) == sha256(b"\x01" + byte(1) + byte(2)).digest()
    # A node's preimage, taken as a leaf's content, must not hash to the node.
    assert leaf_hash(byte(1) + byte(2)) != node_hash(byte(1), byte(2))


def test_published_reference_tree() -> None:
    for size, root in enumerate(REFERENCE_ROOTS):
        assert grown(REFERENCE_LEAVES[:size]).head == LogHead(size, bytes.fromhex(root))
        assert naive_root(REFERENCE_LEAVES[:size]).hex() == root


@given(LEAVES)
def test_head_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert grown(leaves).head == LogHead(len(leaves), naive_root(leaves))


def test_every_size_up_to_three_hundred() -> None:
    leaves = [bytes([n % 251]) for n in range(300)]
    frontier = Frontier()
    for n, leaf in enumerate(leaves):
        assert frontier.head == LogHead(n, naive_root(leaves[:n]))
        assert len(frontier.hashes) == n.bit_count()
        frontier.append(leaf_hash(leaf))


def test_empty_log() -> None:
    assert Frontier().head == EMPTY_LOG
    assert Frontier.parse(Frontier().serialise()).head == EMPTY_LOG


def test_memory_is_constant_up_to_the_largest_tree() -> None:
    hashes = tuple(byte(n) for n in range(63))
    frontier = Frontier((1 << 64) - 2, hashes)
    frontier.append(byte(200))
    assert (frontier.size, len(frontier.hashes)) == ((1 << 64) - 1, 64)
    before = frontier.serialise()
    with pytest.raises(Malformed):
        frontier.append(byte(201))
    assert frontier.serialise() == before
    half = Frontier((1 << 63) - 1, hashes)
    half.append(byte(200))
    assert (half.size, len(half.hashes)) == (1 << 63, 1)


@pytest.mark.parametrize("leaf", [b"", bytes(31), bytes(33), bytes(64)])
def test_what_is_no_hash_is_not_appended(leaf: bytes) -> None:
    frontier = grown([b"a", b"b", b"c"])
    before = frontier.serialise()
    with pytest.raises(Malformed):
        frontier.append(leaf)
    assert frontier.serialise() == before


def test_layout_is_the_documented_one() -> None:
    size, roots = (5).to_bytes(8, "big"), byte(1) + byte(2)
    by_hand = packed(DOMAIN, size, roots)
    assert Frontier(5, (byte(1), byte(2))).serialise() == by_hand
    assert Frontier.parse(by_hand).hashes == (byte(1), byte(2))


def test_hashes_are_largest_and_leftmost_first() -> None:
    leaves = [b"%d" % n for n in range(7)]
    expected = (naive_root(leaves[:4]), naive_root(leaves[4:6]), naive_root(leaves[6:]))
    assert grown(leaves).hashes == expected


@given(LEAVES)
def test_round_trip(leaves: list[bytes]) -> None:
    data = grown(leaves).serialise()
    assert Frontier.parse(data).serialise() == data


@pytest.mark.parametrize(
    ("size", "hashes"),
    [
        (0, (byte(1),)),
        (1, ()),
        (1, (byte(1), byte(2))),
        (1, (bytes(31),)),
        (1, (bytes(33),)),
        (2, (byte(1), byte(2))),
        (3, (byte(1),)),
        (3, (bytes(31), bytes(33))),
        (-1, (byte(1),)),
        (-2, (byte(1),)),
        (1 << 64, (byte(1),)),
    ],
)
def test_a_frontier_has_one_hash_for_each_bit_of_its_size(
    size: int, hashes: tuple[bytes, ...]
) -> None:
    with pytest.raises(Malformed):
        Frontier(size, hashes)


def _flawed() -> dict[str, bytes]:
    size, roots = unpack(DOMAIN, Frontier(5, (byte(1), byte(2))).serialise())
    return {
        "nothing": b"",
        "a hash missing": pack(DOMAIN, size, roots[:32]),
        "a hash too many": pack(DOMAIN, size, roots + byte(3)),
        "a byte missing": pack(DOMAIN, size, roots[:-1]),
        "a byte too many": pack(DOMAIN, size, roots + b"\x00"),
        "no hashes": pack(DOMAIN, size, b""),
        "no size": pack(DOMAIN, roots),
        "size of 7 bytes": pack(DOMAIN, size[1:], roots),
        "size of 9 bytes": pack(DOMAIN, b"\x00" + size, roots),
        "a field more": pack(DOMAIN, size, roots, b""),
        "another domain": pack(b"strongroom/frontier/v2", size, roots),
        "trailing byte": pack(DOMAIN, size, roots) + b"\x00",
    }


@pytest.mark.parametrize("data", _flawed().values(), ids=_flawed())
def test_a_flawed_frontier_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Frontier.parse(data)


def test_a_huge_frontier_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        Frontier.parse(pack(DOMAIN, bytes(8), bytes(5000)))


@given(LEAVES, st.lists(st.binary(max_size=20), max_size=5))
def test_a_parsed_frontier_goes_on_as_the_tree_it_is_of(
    leaves: list[bytes], since: list[bytes]
) -> None:
    frontier = Frontier.parse(grown(leaves).serialise())
    for leaf in since:
        frontier.append(leaf_hash(leaf))
    assert frontier.head == LogHead(len(leaves + since), naive_root(leaves + since))


def test_same_root_under_another_size_is_another_head() -> None:
    """Five leaves have as many subtrees as three, so one set of hashes serves both sizes."""
    frontier = grown([b"a", b"b", b"c"])
    twin = Frontier(5, frontier.hashes)
    assert twin.head.root == frontier.head.root
    assert twin.head != frontier.head


@given(st.integers(0, 2**64 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=64))
def test_whatever_is_accepted_has_one_encoding(size: int, hashes: list[bytes]) -> None:
    try:
        frontier = Frontier(size, tuple(hashes))
    except WireError:
        return
    assert Frontier.parse(frontier.serialise()).head == frontier.head
