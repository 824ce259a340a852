"""Inclusion and consistency proofs of RFC 6962 (RFC 9162, section 2.1): made and verified.

Proofs are made from any source of subtree hashes, tiles or memory. Making and verifying walk the
same path through the tree, from its root down; what a proof holds are the hashes beside that path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce

from strongroom_wire.bundle import EMPTY_LOG, LogHead
from strongroom_wire.merkle import Frontier, node_hash

from strongroom_host.log.errors import HeadsInconsistent, NotIncluded, OutsideLog

__all__ = [
    "HashReader",
    "consistency_proof",
    "frontier",
    "head",
    "inclusion_proof",
    "verify_consistency",
    "verify_inclusion",
]

HashReader = Callable[[int, int], bytes]
"""Returns the root of a perfect subtree: `read(level, index)` is that of the 2**level leaves from
index * 2**level on. It is asked only for subtrees that the tree has in full."""

_Range = tuple[int, int]


def head(size: int, read: HashReader) -> LogHead:
    """The head of the tree of the first `size` leaves."""
    return LogHead(size, _root((0, size), read)) if size else EMPTY_LOG


def frontier(size: int, read: HashReader) -> Frontier:
    """What the enclave needs to continue the tree of the first `size` leaves."""
    return Frontier(size, tuple(read(*subtree) for subtree in _perfect((0, size))))


def inclusion_proof(index: int, size: int, read: HashReader) -> tuple[bytes, ...]:
    """The hashes that lead from leaf `index` to the head of the first `size` leaves.

    Raises:
        OutsideLog: that tree has no such leaf.
    """
    if not 0 <= index < size:
        raise OutsideLog("no such leaf in this tree", expected=f"0 to {size - 1}", actual=index)
    return tuple(_root(beside, read) for beside in _beside_leaf(index, size))


def verify_inclusion(leaf: bytes, index: int, tree: LogHead, proof: Sequence[bytes]) -> None:
    """Proves that `tree` has the leaf with this hash at `index`.

    Raises:
        NotIncluded: it does not, or the proof does not show it.
    """
    if not 0 <= index < tree.size:
        raise NotIncluded(f"leaf {index} is outside the tree", expected=f"below {tree.size}")
    path = _beside_leaf(index, tree.size)
    _check_shape(NotIncluded, proof, len(path), leaf, tree.root)
    found = leaf
    for (start, _), beside in zip(path, proof, strict=True):
        found = node_hash(beside, found) if start < index else node_hash(found, beside)
    if found != tree.root:
        raise NotIncluded(
            f"leaf {index} is not in the tree of size {tree.size}",
            expected=tree.root.hex(),
            actual=found.hex(),
        )


def consistency_proof(old: int, new: int, read: HashReader) -> tuple[bytes, ...]:
    """The hashes that show the first `old` of `new` leaves to be a tree's whole beginning.

    Raises:
        OutsideLog: not 0 <= `old` <= `new`.
    """
    if not 0 <= old <= new:
        raise OutsideLog("a tree grows", expected=f"0 to {new}", actual=old)
    if old in (0, new):
        return ()
    seed, path = _beside_tree(old, new)
    ranges = path if seed == (0, old) else [seed, *path]
    return tuple(_root(each, read) for each in ranges)


def verify_consistency(old: LogHead, new: LogHead, proof: Sequence[bytes]) -> None:
    """Proves that the tree `new` begins with the whole tree `old`: nothing in it was changed.

    Raises:
        HeadsInconsistent: it does not, or the proof does not show it.
    """
    if old.size > new.size:
        raise HeadsInconsistent("the log became shorter", expected=old.size, actual=new.size)
    if old.size in (0, new.size):
        _check_shape(HeadsInconsistent, proof, 0, old.root, new.root)
        _check_root(old, EMPTY_LOG.root if old.size == 0 else new.root)
        _check_root(new, EMPTY_LOG.root if new.size == 0 else new.root)
        return
    seed, path = _beside_tree(old.size, new.size)
    if seed == (0, old.size):
        proof = [old.root, *proof]
    _check_shape(HeadsInconsistent, proof, len(path) + 1, old.root, new.root)
    smaller = larger = proof[0]
    for (start, _), beside in zip(path, proof[1:], strict=True):
        if start < seed[0]:
            smaller, larger = node_hash(beside, smaller), node_hash(beside, larger)
        else:
            larger = node_hash(larger, beside)
    _check_root(old, smaller)
    _check_root(new, larger)


def _check_shape(
    failure: type[NotIncluded] | type[HeadsInconsistent],
    proof: Sequence[bytes],
    length: int,
    *ends: bytes,
) -> None:
    if len(proof) != length or any(len(each) != 32 for each in (*proof, *ends)):
        raise failure(
            "the proof has another shape than the tree",
            expected=f"{length} hashes, all of 32 bytes",
            actual=f"{len(proof)} hashes",
        )


def _check_root(tree: LogHead, found: bytes) -> None:
    if found != tree.root:
        raise HeadsInconsistent(
            f"the proof does not lead to the head of size {tree.size}",
            expected=tree.root.hex(),
            actual=found.hex(),
        )


def _split(whole: _Range) -> int:
    """Where a range of two leaves or more divides: after the largest power of two below it."""
    start, end = whole
    return start + (1 << (end - start - 1).bit_length() - 1)


def _beside_leaf(index: int, size: int) -> list[_Range]:
    """The ranges beside the path from leaf `index` up to the root, lowest first."""
    beside, (start, end) = [], (0, size)
    while end - start > 1:
        middle = _split((start, end))
        if index < middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    return beside[::-1]


def _beside_tree(old: int, new: int) -> tuple[_Range, list[_Range]]:
    """The subtree of `new` that ends with `old`, and the ranges beside its path, lowest first."""
    beside, (start, end) = [], (0, new)
    while end != old:
        middle = _split((start, end))
        if old <= middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    return (start, end), beside[::-1]


def _perfect(whole: _Range) -> Iterator[tuple[int, int]]:
    """The perfect subtrees (level, index) that make up a range, largest first.

    Every range here starts at a multiple of a power of two no smaller than itself.
    """
    start, end = whole
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _root(whole: _Range, read: HashReader) -> bytes:
    hashes = [read(level, index) for level, index in _perfect(whole)]
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes))
