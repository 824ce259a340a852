"""Tile paths, widths and bundles, against the examples and formulas of C2SP tlog-tiles."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.errors import BundleMalformed, PathMalformed, TileMalformed
from strongroom_host.log.tiles import (
    ENTRIES,
    WIDTH,
    Tile,
    bundle,
    parent,
    parse_bundle,
    parse_tile,
    tiles,
    width_at,
)
from strongroom_wire.merkle import leaf_hash

from tests.wire.test_merkle import naive_root


def test_published_paths() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(ENTRIES, 1234067, 8).path == "tile/entries/x001/x234/067.p/8"
    assert Tile(0, 0).path == "tile/0/000"
    assert Tile(63, 999, 1).path == "tile/63/999.p/1"
    assert Tile(3, 1000).path == "tile/3/x001/000"


@given(
    st.one_of(st.just(ENTRIES), st.integers(0, 63)), st.integers(0, 1 << 60), st.integers(1, WIDTH)
)
def test_paths_round_trip(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    ["", "checkpoint", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/0000"]
    + ["tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/x000/000", "tile/0/x001/x234/67"]
    + ["tile/0/001/234", "tile/0/x001", "tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0"]
    + ["tile/0/000.p/01", "tile/0/000.p/256", "tile/0/000.p/999", "tile/0/000.p/-1"]
    + ["tile/entries", "tile/entry/000", "/tile/0/000", "tile/0/000/", "tile/0/000\n"]
    + ["tile/0/../../lock", "tile/0/x001/../000", "tile//0/000", "tile/0/\u0660\u0660\u0660"]
    + ["tile/0/x000/x001/000", "tile/data/000", "tile/8/0/000"],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathMalformed):
        Tile.parse(path)


def _by_formula(size: int) -> Iterator[Tile]:
    """Every tile of a tree, by the specification's own words."""
    level = 0
    while size // 256**level:
        hashes = size // 256**level
        yield from (Tile(level, n) for n in range(hashes // 256))
        if partial := hashes % 256:
            yield Tile(level, hashes // 256, partial)
        level += 1


def test_published_example_of_a_tree() -> None:
    found = list(tiles(0, 70_000))
    assert found == list(_by_formula(70_000))
    assert [t for t in found if t.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert sum(t.level == 0 for t in found) == 274
    assert list(tiles(0, 256)) == [Tile(0, 0), Tile(1, 0, 1)]


@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_growth_writes_exactly_the_new_tiles(one: int, other: int) -> None:
    old, new = sorted((one, other))
    assert set(tiles(old, new)) == set(_by_formula(new)) - set(_by_formula(old))


@given(st.integers(0, 300_000), st.integers(0, 2), st.integers(0, 1200))
def test_widths(size: int, level: int, index: int) -> None:
    known = {(t.level, t.index): t.width for t in _by_formula(size)}
    assert max(0, width_at(size, level, index)) == known.get((level, index), 0)
    assert width_at(size, ENTRIES, index) == width_at(size, 0, index)


def test_bundle_layout_is_the_documented_one() -> None:
    assert bundle([b"ab", b"", b"c" * 300]) == b"\x00\x02ab\x00\x00\x01\x2c" + b"c" * 300


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=40))
def test_bundles_round_trip(entries: list[bytes]) -> None:
    assert parse_bundle(bundle(entries), len(entries)) == entries


@pytest.mark.parametrize(
    ("data", "width"),
    [(b"", 1), (b"\x00", 1), (b"\x00\x01", 1), (b"\x00\x01a", 2), (b"\x00\x01ab", 1)]
    + [(b"\x00\x01a\x00\x01b", 1), (b"\x00\x02a", 1), (b"\x00\x00", 0), (b"\xff\xff" + b"a", 1)],
)
def test_a_bundle_of_another_shape_is_refused(data: bytes, width: int) -> None:
    with pytest.raises(BundleMalformed):
        parse_bundle(data, width)


@pytest.mark.parametrize("entries", [[], [b"x"] * 257, [bytes(1 << 16)]])
def test_no_bundle_is_made_that_could_not_be_read(entries: list[bytes]) -> None:
    with pytest.raises(BundleMalformed):
        bundle(entries)


def test_a_tile_of_another_length_is_refused() -> None:
    assert parse_tile(bytes(64), 2) == [bytes(32)] * 2
    for data in (b"", bytes(63), bytes(65), bytes(96)):
        with pytest.raises(TileMalformed):
            parse_tile(data, 2)


@pytest.mark.parametrize("height", range(9))
def test_parent_is_the_root_of_a_perfect_subtree(height: int) -> None:
    leaves = [b"%d" % n for n in range(1 << height)]
    assert parent([leaf_hash(leaf) for leaf in leaves]) == naive_root(leaves)
