"""Reading a log from a storage that may be hostile: what comes out is proven, or is an error."""

import pytest
from strongroom_host.log.errors import (
    BundleMalformed,
    HeadsInconsistent,
    LogError,
    NotIncluded,
    OutsideLog,
    TileMalformed,
    TileMissing,
)
from strongroom_host.log.tiles import ENTRIES, Tile, bundle
from strongroom_host.log.tree import LogReader, TileHashes
from strongroom_wire.bundle import EMPTY_LOG, LogHead

from tests.host.log.histories import Memory, stored
from tests.wire.test_merkle import grown, naive_root

ENTRIES_600 = [b"leaf %d" % n for n in range(600)]


def reader(entries: list[bytes], storage: Memory | None = None) -> LogReader:
    return LogReader(storage or stored(entries), grown(entries).head)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513, 600])
def test_entries_and_proofs_of_an_honest_storage(size: int) -> None:
    entries = ENTRIES_600[:size]
    log = reader(entries)
    for index in {0, 1 % size, size // 2, size - 1}:
        assert log.entry(index) == entries[index]
    assert list(log.entries()) == entries
    assert list(log.entries(100, 300)) == entries[100:300]
    assert log.frontier().serialise() == grown(entries).serialise()
    for old in {0, 1, size // 2, size}:
        log.continues(LogHead(old, naive_root(entries[:old])))


def test_larger_trees_have_tiles_of_more_levels() -> None:
    entries = [b"%d" % n for n in range(66_000)]
    log = reader(entries)
    for index in (0, 255, 256, 65_535, 65_536, 65_999):
        assert log.entry(index) == entries[index]
    log.continues(grown(entries[:65_537]).head)
    assert log.frontier().head == log.head


def test_the_empty_log() -> None:
    log = LogReader(Memory(), EMPTY_LOG)
    assert list(log.entries()) == []
    assert log.frontier().head == EMPTY_LOG
    with pytest.raises(OutsideLog):
        log.entry(0)


def test_a_smaller_head_is_read_from_tiles_of_a_larger_tree() -> None:
    entries = ENTRIES_600[:300]
    log = LogReader(stored(ENTRIES_600), grown(entries).head, 600)
    assert list(log.entries()) == entries
    assert log.entry(299) == entries[299]
    log.continues(grown(entries[:7]).head)
    assert log.frontier().head == log.head
    with pytest.raises(OutsideLog):
        log.entry(300)
    with pytest.raises(OutsideLog):
        LogReader(stored(entries), grown(ENTRIES_600).head, 300)


def test_a_bundle_ends_with_the_head() -> None:
    log = LogReader(stored(ENTRIES_600), grown(ENTRIES_600[:300]).head, 600)
    assert log.bundle(1) == ENTRIES_600[256:300]
    assert log.bundle(2) == []
    for index in (-1, 3):
        with pytest.raises(OutsideLog):
            log.bundle(index)


def test_a_full_tile_stands_for_the_partial_one_that_went() -> None:
    entries = ENTRIES_600[:300]
    storage = Memory({**stored(ENTRIES_600[:512]), **stored(entries)})
    for gone in (Tile(0, 1, 44), Tile(ENTRIES, 1, 44)):
        del storage[gone.path]
    log = reader(entries, storage)
    assert list(log.entries()) == entries
    assert log.entry(299) == entries[299]


def test_an_edited_entry_is_not_handed_out() -> None:
    storage = stored(ENTRIES_600)
    storage[Tile(ENTRIES, 0).path] = bundle([*ENTRIES_600[:7], b"edited", *ENTRIES_600[8:256]])
    log = reader(ENTRIES_600, storage)
    assert log.entry(6) == ENTRIES_600[6]
    with pytest.raises(NotIncluded):
        log.entry(7)


def test_a_history_made_up_throughout_is_not_handed_out() -> None:
    edited = [*ENTRIES_600[:7], b"edited", *ENTRIES_600[8:]]
    log = reader(ENTRIES_600, stored(edited))
    for index in (6, 7, 8, 599):
        with pytest.raises(NotIncluded):
            log.entry(index)
    with pytest.raises(NotIncluded):
        log.frontier()
    with pytest.raises(HeadsInconsistent):
        log.continues(grown(ENTRIES_600[:100]).head)


def test_a_shorter_log_does_not_continue_a_longer_one() -> None:
    with pytest.raises(HeadsInconsistent):
        reader(ENTRIES_600[:300]).continues(grown(ENTRIES_600).head)


def test_what_is_missing_is_named() -> None:
    for gone in (Tile(ENTRIES, 1), Tile(0, 1)):
        storage = stored(ENTRIES_600)
        del storage[gone.path]
        with pytest.raises(TileMissing) as missing:
            reader(ENTRIES_600, storage).entry(300)
        assert missing.value.expected == gone.path


def test_what_has_another_length_is_named() -> None:
    storage = stored(ENTRIES_600)
    storage[Tile(0, 1).path] += bytes(32)
    with pytest.raises(TileMalformed):
        reader(ENTRIES_600, storage).entry(300)
    storage = stored(ENTRIES_600)
    storage[Tile(ENTRIES, 1).path] += b"\x00"
    with pytest.raises(BundleMalformed):
        reader(ENTRIES_600, storage).entry(300)


def test_every_resource_matters() -> None:
    """Whatever is changed in the storage, nothing false comes out, and somebody notices."""
    honest = stored(ENTRIES_600)
    for path, data in honest.items():
        for at in range(0, len(data), max(1, len(data) // 5)):
            storage = Memory(honest)
            storage[path] = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            log, noticed = reader(ENTRIES_600, storage), False
            for index in (0, 255, 256, 300, 511, 512, 599):
                try:
                    assert log.entry(index) == ENTRIES_600[index]
                except LogError:
                    noticed = True
            assert noticed or list(log.entries()) != ENTRIES_600 or path.startswith("tile/0")


def test_only_whole_subtrees_are_given() -> None:
    hashes = TileHashes(stored(ENTRIES_600), 600)
    assert hashes(3, 0) == naive_root(ENTRIES_600[:8])
    assert hashes(8, 1) == naive_root(ENTRIES_600[256:512])
    for level, index in ((0, 600), (3, 75), (10, 0), (0, -1), (8, 2)):
        with pytest.raises(OutsideLog):
            hashes(level, index)
