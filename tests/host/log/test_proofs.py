"""Proofs against the recursive definitions of RFC 6962, written out here."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.errors import HeadsInconsistent, NotIncluded, OutsideLog
from strongroom_host.log.proofs import (
    consistency_proof,
    frontier,
    head,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from strongroom_wire.bundle import EMPTY_LOG, LogHead
from strongroom_wire.merkle import leaf_hash

from tests.wire.samples import byte
from tests.wire.test_merkle import REFERENCE_LEAVES, grown, naive_root

LEAVES = [b"leaf %d" % n for n in range(130)]


class Naive:
    """Subtree hashes by definition; it checks that only whole subtrees are asked for."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = leaves

    def __call__(self, level: int, index: int) -> bytes:
        part = self.leaves[index << level : (index + 1) << level]
        assert len(part) == 1 << level
        return naive_root(part)


def split(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*path(index - k, leaves[k:]), naive_root(leaves[:k])]


def subproof(old: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of section 2.1.2."""
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = split(len(leaves))
    if old <= k:
        return [*subproof(old, leaves[:k], whole), naive_root(leaves[k:])]
    return [*subproof(old - k, leaves[k:], False), naive_root(leaves[:k])]


def head_of(leaves: Sequence[bytes]) -> LogHead:
    return LogHead(len(leaves), naive_root(leaves))


SIZES = [*range(1, 35), 63, 64, 65, 127, 128, 129, 130]


@pytest.mark.parametrize("size", SIZES)
def test_inclusion_proofs_are_those_of_the_definition(size: int) -> None:
    leaves = LEAVES[:size]
    for index in range(size):
        proof = inclusion_proof(index, size, Naive(leaves))
        assert list(proof) == path(index, leaves)
        verify_inclusion(leaf_hash(leaves[index]), index, head_of(leaves), proof)


@pytest.mark.parametrize("size", SIZES)
def test_consistency_proofs_are_those_of_the_definition(size: int) -> None:
    leaves = LEAVES[:size]
    for old in range(1, size + 1):
        proof = consistency_proof(old, size, Naive(leaves))
        assert list(proof) == subproof(old, leaves, True)
        verify_consistency(head_of(leaves[:old]), head_of(leaves), proof)


@pytest.mark.parametrize("size", [0, *SIZES])
def test_heads_and_frontiers(size: int) -> None:
    leaves = LEAVES[:size]
    assert head(size, Naive(leaves)) == (head_of(leaves) if size else EMPTY_LOG)
    assert frontier(size, Naive(leaves)).serialise() == grown(leaves).serialise()


def test_the_empty_log_is_the_beginning_of_any() -> None:
    for size in (0, 1, 5):
        assert consistency_proof(0, size, Naive(LEAVES)) == ()
        verify_consistency(EMPTY_LOG, head_of(LEAVES[:size]) if size else EMPTY_LOG, ())


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (4, 3)])
def test_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(OutsideLog):
        inclusion_proof(index, size, Naive(LEAVES))
    with pytest.raises(NotIncluded):
        verify_inclusion(bytes(32), index, head_of(LEAVES[:size]), ())


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (1, 0)])
def test_no_proof_of_what_did_not_grow(old: int, new: int) -> None:
    with pytest.raises(OutsideLog):
        consistency_proof(old, new, Naive(LEAVES))


@given(st.data())
def test_one_change_to_an_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    tree, leaf = head_of(leaves), leaf_hash(leaves[index])
    proof = list(inclusion_proof(index, size, Naive(leaves)))
    wrong = [
        (leaf_hash(b"another"), index, tree, proof),
        (leaf, index, tree, [*proof, byte(1)]),
        (leaf, index, tree, [byte(1), *proof]),
        (leaf, index, LogHead(size, byte(1)), proof),
    ]
    if size > 1:
        at = data.draw(st.integers(0, len(proof) - 1))
        wrong += [
            (leaf, index, tree, proof[:-1]),
            (leaf, (index + 1) % size, tree, proof),
            (leaf, index, tree, [*proof[:at], byte(1), *proof[at + 1 :]]),
            (leaf, index, tree, [*proof[:at], proof[at][:31], *proof[at + 1 :]]),
        ]
    for arguments in wrong:
        with pytest.raises(NotIncluded):
            verify_inclusion(*arguments)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 8])
def test_the_proof_of_the_first_or_last_leaf_is_none_for_a_place_outside(size: int) -> None:
    leaves = LEAVES[:size]
    for index, outside in ((0, -1), (size - 1, size), (size - 1, size + 5)):
        proof = inclusion_proof(index, size, Naive(leaves))
        with pytest.raises(NotIncluded):
            verify_inclusion(leaf_hash(leaves[index]), outside, head_of(leaves), proof)


@given(st.data())
def test_one_change_to_a_consistency_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 70))
    old_size = data.draw(st.integers(1, size - 1))
    old, new = head_of(LEAVES[:old_size]), head_of(LEAVES[:size])
    proof = list(consistency_proof(old_size, size, Naive(LEAVES[:size])))
    at = data.draw(st.integers(0, len(proof) - 1))
    wrong = [
        (LogHead(old_size, byte(1)), new, proof),
        (old, LogHead(size, byte(1)), proof),
        (old, new, proof[:-1]),
        (old, new, [*proof, byte(1)]),
        (old, new, [byte(1), *proof]),
        (old, new, [*proof[:at], byte(1), *proof[at + 1 :]]),
        (old, new, [*proof[:at], proof[at] + b"\x00", *proof[at + 1 :]]),
        (new, old, proof),
        (head_of([*LEAVES[: old_size - 1], b"x"]), new, proof),
    ]
    for arguments in wrong:
        with pytest.raises(HeadsInconsistent):
            verify_consistency(*arguments)


def test_heads_of_one_size_need_one_root_and_no_proof() -> None:
    tree = head_of(LEAVES[:5])
    verify_consistency(tree, tree, ())
    with pytest.raises(HeadsInconsistent):
        verify_consistency(tree, tree, (byte(1),))
    with pytest.raises(HeadsInconsistent):
        verify_consistency(tree, LogHead(5, byte(1)), ())


def test_only_the_empty_tree_is_empty() -> None:
    for old, new in (
        (LogHead(0, byte(1)), head_of(LEAVES[:3])),
        (LogHead(0, byte(1)), LogHead(0, byte(1))),
        (EMPTY_LOG, LogHead(0, byte(1))),
        (LogHead(0, byte(1)), EMPTY_LOG),
    ):
        with pytest.raises(HeadsInconsistent):
            verify_consistency(old, new, ())
    with pytest.raises(HeadsInconsistent):
        verify_consistency(EMPTY_LOG, head_of(LEAVES[:3]), (byte(1),))


def test_what_is_no_hash_proves_nothing() -> None:
    """A leaf that is the root of a tree of one, but is no hash; roots that are none."""
    with pytest.raises(NotIncluded):
        verify_inclusion(b"", 0, LogHead(1, b""), ())
    for root in (b"", b"no root", bytes(33)):
        with pytest.raises(HeadsInconsistent):
            verify_consistency(EMPTY_LOG, LogHead(1, root), ())
        with pytest.raises(HeadsInconsistent):
            verify_consistency(LogHead(3, root), LogHead(3, root), ())


def test_published_proofs() -> None:
    """The reference tree's own figures: leaf 5 of 8, and from 6 to 8 leaves."""
    proof = inclusion_proof(5, 8, Naive(REFERENCE_LEAVES))
    assert [each.hex()[:16] for each in proof] == [
        "bc1a0643b12e4d2d",
        "ca854ea128ed050b",
        "d37ee418976dd957",
    ]
    proof = consistency_proof(6, 8, Naive(REFERENCE_LEAVES))
    assert [each.hex()[:16] for each in proof] == [
        "0ebc5d3437fbe2db",
        "ca854ea128ed050b",
        "d37ee418976dd957",
    ]


def test_proofs_of_enormous_trees_are_short() -> None:
    hashes = []
    size = (1 << 63) + 5

    def read(level: int, index: int) -> bytes:
        hashes.append((level, index))
        return byte(level)

    assert len(inclusion_proof(1 << 62, size, read)) == 64
    assert len(hashes) < 130
