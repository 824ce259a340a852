"""Two views of a log: one history, or the first leaf that differs, as a naive search finds it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.log.comparing import Outcome, View, compare
from strongroom_host.log.tiles import ENTRIES, Tile, bundle

from tests.host.log.histories import Memory, checkpoint, stored
from tests.wire.test_merkle import grown

LEAVES = [b"leaf %d" % n for n in range(700)]


class Shown(Memory):
    """A storage as a source."""

    def __init__(self, entries: list[bytes], note: bytes | None = None) -> None:
        super().__init__(stored(entries))
        self.size = len(entries)
        self.checkpoint, self.note = note, b""


def log(name: str, entries: list[bytes], signed: int | None = None) -> View:
    size = len(entries) if signed is None else signed
    note = checkpoint(grown(entries[:size]).head)
    return View(name, note, Shown(entries, note))


def head(name: str, entries: list[bytes]) -> View:
    return View(name, checkpoint(grown(entries).head))


def other(size: int, at: int) -> list[bytes]:
    """A history that parts from the other at one leaf."""
    return [*LEAVES[:at], *(b"other %d" % n for n in range(at, size))]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 700), st.integers(0, 700), st.integers(0, 700))
def test_the_first_leaf_that_differs(one: int, two: int, at: int) -> None:
    found = compare(log("A", LEAVES[:one]), log("B", other(two, min(at, two))))
    common = min(one, two, at)
    if common < min(one, two):
        assert (found.outcome, found.common) == (Outcome.FORKED, common)
        assert found.leaves == (LEAVES[common], b"other %d" % common)
    else:
        assert found.common == min(one, two)
        assert found.outcome is (Outcome.SAME if one == two else Outcome.CONTAINED)


@pytest.mark.parametrize("at", [0, 1, 255, 256, 511, 600, 698])
def test_one_leaf_among_equal_ones_is_found(at: int) -> None:
    changed = [*LEAVES[:at], b"changed", *LEAVES[at + 1 :]]
    found = compare(log("A", LEAVES), log("B", changed))
    assert (found.outcome, found.common) == (Outcome.FORKED, at)


def test_leaves_beside_their_tiles_are_told() -> None:
    bad = log("B", LEAVES)
    assert isinstance(bad.source, Shown)
    bad.source[Tile(ENTRIES, 1).path] = bundle([b"changed", *LEAVES[257:512]])
    assert compare(log("A", LEAVES), bad).outcome is Outcome.SAME
    found = compare(log("A", LEAVES), bad, every_leaf=True)
    assert (found.outcome, found.common) == (Outcome.FORKED, 256)
    assert "the leaf in B is not that of its own tiles" in found.what


def test_a_log_and_a_head() -> None:
    full = log("A", LEAVES)
    assert compare(full, head("B", LEAVES)).outcome is Outcome.SAME
    assert compare(head("B", LEAVES[:9]), full).outcome is Outcome.CONTAINED
    assert compare(full, head("B", other(9, 8))).outcome is Outcome.FORKED
    assert compare(log("A", LEAVES[:8]), head("B", LEAVES[:9])).outcome is Outcome.UNKNOWN
    assert compare(full, View("B", None)).outcome is Outcome.UNKNOWN


def test_two_heads() -> None:
    one = head("A", LEAVES)
    assert compare(one, head("B", LEAVES)).outcome is Outcome.SAME
    assert compare(one, head("B", other(700, 3))).outcome is Outcome.FORKED
    assert compare(one, head("B", LEAVES[:9])).outcome is Outcome.UNKNOWN
    assert compare(one, head("B", [])).outcome is Outcome.CONTAINED
    assert compare(one, View("B", None)).outcome is Outcome.UNKNOWN


def test_a_view_that_contradicts_itself() -> None:
    cut = log("B", LEAVES[:9])
    longer = View("B", checkpoint(grown(LEAVES).head), cut.source)
    assert compare(log("A", LEAVES), longer).outcome is Outcome.FORKED
    another = View("B", checkpoint(grown(other(9, 2)).head), cut.source)
    assert "do not lead to its own signed head" in compare(log("A", LEAVES), another).what
