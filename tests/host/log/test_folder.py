"""Whatever is in a log's folder is handed out, also what no log would have, and while it grows."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from strongroom_host.errors import BadInput
from strongroom_host.log.boots import BOOTS_INDEX, Boots, StoredBoot, boot_path
from strongroom_host.log.errors import LogUnreadable, TileMissing
from strongroom_host.log.files import LogFiles
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, Tile
from strongroom_host.log.tree import LogReader
from strongroom_wire.bundle import Bundle

from tests.host.log.histories import checkpoint
from tests.wire.test_merkle import grown

LEAVES = [b"leaf %d" % n for n in range(1000)]


def written(folder: Path, count: int, published: int = 0) -> FolderLog:
    """Return the view of a log of so many leaves."""
    with LogFiles(folder) as files:
        files.append(0, LEAVES[:count])
        if published:
            files.publish(checkpoint(grown(LEAVES[:published]).head))
    return FolderLog(folder)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 512, 700, 1000])
def test_every_leaf_and_hash_of_a_log_is_read(tmp_path: Path, count: int) -> None:
    view = written(tmp_path, count, published=count // 2)
    assert view.size == count
    log = LogReader(view, grown(LEAVES[:count]).head)
    assert list(log.entries()) == LEAVES[:count]
    assert log.frontier().head == log.head
    for size in {1, count // 3, count // 2} & set(range(1, count)):
        log.continues(grown(LEAVES[:size]).head)
    assert (view.checkpoint is None) == (count < 2)


def test_it_is_read_while_it_is_written(tmp_path: Path) -> None:
    """The checkpoint that is seen always has its leaves."""
    stop = threading.Event()

    def write() -> None:
        with LogFiles(tmp_path) as files:
            steps = itertools.cycle((1, 7, 39, 20, 3))
            while files.size < len(LEAVES):
                end = files.size + next(steps)
                files.append(files.size, LEAVES[files.size : end])
                files.publish(checkpoint(files.head))
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        view = FolderLog(tmp_path)
        if view.checkpoint is not None:
            size = int(view.checkpoint.split(b"\n")[1])
            assert size <= view.size
            log = LogReader(view, grown(LEAVES[:size]).head, view.size)
            assert log.entry(size - 1) == LEAVES[size - 1]
    writer.join()
    assert FolderLog(tmp_path).size == len(LEAVES)


def test_gaps_and_damage_do_not_hide_the_rest(tmp_path: Path) -> None:
    view = written(tmp_path, 1000, published=1000)
    (tmp_path / Tile(ENTRIES, 1).path).unlink()
    (tmp_path / Tile(0, 2).path).write_bytes(b"short")
    (tmp_path / "tile" / "entries" / "999").mkdir()
    (tmp_path / "tail.x").write_bytes(b"?")
    view = FolderLog(tmp_path)
    assert view.size == 1000
    log = LogReader(view, grown(LEAVES).head)
    assert list(log.entries(512)) == LEAVES[512:]
    with pytest.raises(TileMissing):
        list(log.entries(200))


def test_a_lost_tail_or_bundle_is_told_from_the_tail(tmp_path: Path) -> None:
    view = written(tmp_path, 600)
    (tmp_path / Tile(ENTRIES, 1).path).unlink()
    assert FolderLog(tmp_path).size == 600
    (tmp_path / "tail.2").unlink()
    assert FolderLog(tmp_path).size == 256
    assert view.size == 600  # one moment


def test_evidence_is_there_too(tmp_path: Path) -> None:
    view = written(tmp_path, 3)
    assert view.read(BOOTS_INDEX) == b""
    boot = StoredBoot(b"d", Bundle(bytes(32)).serialise(), b"m", 1)
    Boots(tmp_path).add(boot)
    assert view.read(BOOTS_INDEX) == b""  # one moment
    view = FolderLog(tmp_path)
    assert view.read(BOOTS_INDEX) == bytes(32).hex().encode() + b"\n"
    assert view.read(boot_path(bytes(32))) == boot.serialise()
    assert view.read(boot_path(bytes([1]) * 32)) is None
    for path in ("openings.db", "../x", "boots/x.json", "tail.0", "tile/0/999"):
        assert view.read(path) is None
    assert view.read(CHECKPOINT) is None


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        FolderLog(tmp_path / "none")
    (tmp_path / CHECKPOINT).write_bytes(bytes(1 << 20))
    with pytest.raises(LogUnreadable):
        FolderLog(tmp_path)
